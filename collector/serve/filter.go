// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// A Filter selects events by a CEL expression over their headers.
type Filter struct {
	program cel.Program // nil selects everything
	narrow  func(*store.Query)
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

// ParseFilter compiles an expression; the empty one selects everything.
func ParseFilter(expression string) (*Filter, error) {
	if expression == "" {
		return &Filter{narrow: func(*store.Query) {}}, nil
	}
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("prepare filters: %w", err)
	}
	tree, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, refused(issues.Errors())
	}
	if tree.OutputType() != cel.BoolType {
		return nil, &FilterError{Reason: fmt.Sprintf("the expression is a %s, not true or false", tree.OutputType())}
	}
	program, err := env.Program(tree, cel.CostLimit(costLimit), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, &FilterError{Reason: err.Error()}
	}
	return &Filter{program: program, narrow: narrowing(tree.NativeRep().Expr())}, nil
}

// Matches reports whether the filter selects an event with header h.
func (f *Filter) Matches(h *profile.Header) (bool, error) {
	if f.program == nil {
		return true, nil
	}
	out, _, err := f.program.Eval(&headerVars{reflect.ValueOf(h).Elem()})
	if err != nil {
		return false, &FilterError{Reason: err.Error()}
	}
	return out == types.True, nil
}

// Narrow puts into q what the store itself can select by: equalities that must
// hold for the whole expression to hold.
func (f *Filter) Narrow(q *store.Query) { f.narrow(q) }

func narrowing(e ast.Expr) func(*store.Query) {
	if e.Kind() != ast.CallKind {
		return func(*store.Query) {}
	}
	call := e.AsCall()
	switch {
	case call.FunctionName() == operators.LogicalAnd && len(call.Args()) == 2:
		left, right := narrowing(call.Args()[0]), narrowing(call.Args()[1])
		return func(q *store.Query) { left(q); right(q) }
	case call.FunctionName() == operators.Equals && len(call.Args()) == 2:
		name, value := call.Args()[0], call.Args()[1]
		if name.Kind() != ast.IdentKind {
			name, value = value, name
		}
		if name.Kind() != ast.IdentKind || value.Kind() != ast.LiteralKind {
			break
		}
		if s, ok := value.AsLiteral().Value().(string); ok && s != "" {
			return func(q *store.Query) { equals(q, name.AsIdent(), s) }
		}
	}
	return func(*store.Query) {}
}

func equals(q *store.Query, column, value string) {
	switch column {
	case "tenant":
		q.Tenant = value
	case "kind":
		q.Kinds = []string{value}
	case "metadata_uid":
		q.Event = value
	case "operation_uid":
		q.Operation = value
	case "epoch":
		q.Epoch = value
	}
}

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
