// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// A Filter selects events by a CEL expression over their headers. It may be
// used concurrently.
type Filter struct {
	env     *cel.Env
	tree    *ast.AST
	program cel.Program // nil selects everything
	narrow  bounds
}

// columns are the header's fields by their json names.
var columns = sync.OnceValue(func() map[string]int {
	m := map[string]int{}
	t := reflect.TypeFor[profile.Header]()
	for i := range t.NumField() {
		m[t.Field(i).Tag.Get("json")] = i
	}
	return m
})

var environment = sync.OnceValues(func() (*cel.Env, error) {
	t := reflect.TypeFor[profile.Header]()
	var vars []cel.EnvOption
	for name, i := range columns() {
		kind := cel.StringType
		switch t.Field(i).Type.Kind() {
		case reflect.Int32, reflect.Int64:
			kind = cel.IntType
		case reflect.Bool:
			kind = cel.BoolType
		default:
		}
		vars = append(vars, cel.Variable(name, kind))
	}
	return cel.NewEnv(vars...)
})

// costLimit bounds what one event may cost a filter: expressions come from
// callers, and a comprehension over constants can be made to run for hours.
const costLimit = 10_000

// Parse compiles an expression; the empty one selects everything. It fails with
// an [Error] on what is no condition over the columns.
func Parse(expression string) (*Filter, error) {
	if expression == "" {
		return new(Filter), nil
	}
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("prepare filters: %w", err)
	}
	checked, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, refused(issues.Errors())
	}
	if checked.OutputType() != cel.BoolType {
		return nil, &Error{Reason: fmt.Sprintf("the expression is a %s, not true or false", checked.OutputType())}
	}
	program, err := env.Program(checked, cel.CostLimit(costLimit), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, &Error{Reason: err.Error()}
	}
	f := &Filter{env: env, tree: checked.NativeRep(), program: program}
	f.narrow = f.implied(f.tree.Expr())
	return f, nil
}

// Matches reports whether the filter selects an event with header h. It fails
// with an [Error] where the expression does.
func (f *Filter) Matches(h *profile.Header) (bool, error) {
	if f.program == nil {
		return true, nil
	}
	out, _, err := f.program.Eval(&headerVars{reflect.ValueOf(h).Elem()})
	if err != nil {
		return false, &Error{Reason: err.Error()}
	}
	return out == types.True, nil
}

// Narrow puts into q what the store itself can select by: what must be so for
// the whole expression to hold. Matches still decides.
func (f *Filter) Narrow(q *store.Query) { f.narrow.put(q) }

// headerVars resolves variables from a header without building a map of it.
type headerVars struct{ v reflect.Value }

func (a *headerVars) ResolveName(name string) (any, bool) {
	i, ok := columns()[name]
	if !ok {
		return nil, false
	}
	return a.v.Field(i).Interface(), true
}

func (*headerVars) Parent() cel.Activation { return nil }
