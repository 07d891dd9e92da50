// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"maps"
	"math"
	"slices"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/docket-audit/docket/collector/store"
)

// bounds are what must be true of every event for which an expression does not
// come out false; the zero value is nothing. So an event outside of them is
// neither selected nor one for which the expression fails.
type bounds struct {
	// texts are, by column, the only values that it may have; sorted.
	texts map[string][]string
	// min and max are those of time; used when bounded.
	min, max int64
	bounded  bool
}

// put narrows q, which may be narrow already.
func (b bounds) put(q *store.Query) {
	one := func(to *string, column string) {
		if values := b.texts[column]; len(values) == 1 && values[0] != "" && *to == "" {
			*to = values[0]
		}
	}
	one(&q.Tenant, "tenant")
	one(&q.Event, "metadata_uid")
	one(&q.Operation, "operation_uid")
	one(&q.Trace, "trace_uid")
	one(&q.Epoch, "epoch")
	if values := b.texts["kind"]; len(values) > 0 && len(q.Kinds) == 0 {
		q.Kinds = slices.Clone(values)
	}
	q.Texts = b.more(q.Texts)
	if !b.bounded {
		return
	}
	// 0 is open in a query, and no event has a time of 0 or less.
	if b.min > 0 {
		q.Since = max(q.Since, b.min)
	}
	if b.max > 0 && b.max < math.MaxInt64 && (q.Until == 0 || b.max+1 < q.Until) {
		q.Until = b.max + 1
	}
}

// own are the columns that a [store.Query] has fields for.
var own = []string{"tenant", "kind", "metadata_uid", "operation_uid", "trace_uid", "epoch"}

// more returns texts with those of the other columns that are not in it.
func (b bounds) more(texts map[string][]string) map[string][]string {
	for column, values := range b.texts {
		if _, known := texts[column]; known || slices.Contains(own, column) {
			continue
		}
		// The caller has other queries with that map.
		if texts = maps.Clone(texts); texts == nil {
			texts = make(map[string][]string)
		}
		texts[column] = slices.Clone(values)
	}
	return texts
}

func (f *Filter) implied(e ast.Expr) bounds {
	if e.Kind() != ast.CallKind {
		return bounds{}
	}
	call := e.AsCall()
	if len(call.Args()) != 2 {
		return bounds{}
	}
	left, right := call.Args()[0], call.Args()[1]
	switch name := call.FunctionName(); name {
	case operators.LogicalAnd:
		return f.implied(left).and(f.implied(right))
	case operators.LogicalOr:
		return f.implied(left).or(f.implied(right))
	case operators.In:
		return f.among(left, right)
	default:
		if left.Kind() != ast.IdentKind {
			left, right = right, left
			name = turned[name]
		}
		if left.Kind() != ast.IdentKind {
			return bounds{}
		}
		if v, ok := f.constant(right); ok {
			return compared(left.AsIdent(), name, v)
		}
	}
	return bounds{}
}

// turned are comparisons with their sides changed.
var turned = map[string]string{
	operators.Equals: operators.Equals, operators.Less: operators.Greater, operators.LessEquals: operators.GreaterEquals,
	operators.Greater: operators.Less, operators.GreaterEquals: operators.LessEquals,
}

// compared is what follows from a column's comparison with a constant.
func compared(column, operator string, v ref.Val) bounds {
	switch v := v.(type) {
	case types.String:
		if operator == operators.Equals && store.IsText(column) {
			return bounds{texts: map[string][]string{column: {string(v)}}}
		}
	case types.Int:
		if column == "time" {
			return timed(operator, int64(v))
		}
	}
	return bounds{}
}

func timed(operator string, n int64) bounds {
	switch b := (bounds{min: math.MinInt64, max: math.MaxInt64, bounded: true}); {
	case operator == operators.Equals:
		b.min, b.max = n, n
		return b
	case operator == operators.GreaterEquals:
		b.min = n
		return b
	case operator == operators.Greater && n < math.MaxInt64:
		b.min = n + 1
		return b
	case operator == operators.LessEquals:
		b.max = n
		return b
	case operator == operators.Less && n > math.MinInt64:
		b.max = n - 1
		return b
	}
	return bounds{}
}

// among is what follows from "column in [constants]".
func (f *Filter) among(column, list ast.Expr) bounds {
	if column.Kind() != ast.IdentKind {
		return bounds{}
	}
	v, ok := f.constant(list)
	values, isList := v.(traits.Lister)
	if !ok || !isList {
		return bounds{}
	}
	var texts []string
	timed := bounds{min: math.MaxInt64, max: math.MinInt64, bounded: true}
	for it := values.Iterator(); it.HasNext() == types.True; {
		switch v := it.Next().(type) {
		case types.String:
			texts = append(texts, string(v))
		case types.Int:
			timed.min, timed.max = min(timed.min, int64(v)), max(timed.max, int64(v))
		}
	}
	slices.Sort(texts)
	switch name := column.AsIdent(); {
	case len(texts) > 0 && store.IsText(name):
		return bounds{texts: map[string][]string{name: slices.Compact(texts)}}
	case timed.min <= timed.max && name == "time":
		return timed
	}
	return bounds{}
}

func (b bounds) and(c bounds) bounds {
	out := bounds{texts: map[string][]string{}, min: b.min, max: b.max, bounded: b.bounded}
	maps.Copy(out.texts, b.texts)
	for column, y := range c.texts {
		x, both := out.texts[column]
		if out.texts[column] = y; both {
			out.texts[column] = slices.DeleteFunc(slices.Clone(x), func(v string) bool { return !slices.Contains(y, v) })
		}
	}
	switch {
	case b.bounded && c.bounded:
		out.min, out.max = max(b.min, c.min), min(b.max, c.max)
	case c.bounded:
		out.min, out.max, out.bounded = c.min, c.max, true
	}
	return out
}

func (b bounds) or(c bounds) bounds {
	out := bounds{texts: map[string][]string{}}
	for column, x := range b.texts {
		if y, both := c.texts[column]; both {
			union := slices.Concat(x, y)
			slices.Sort(union)
			out.texts[column] = slices.Compact(union)
		}
	}
	if b.bounded && c.bounded {
		out.min, out.max, out.bounded = min(b.min, c.min), max(b.max, c.max), true
	}
	return out
}
