// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"slices"

	"github.com/google/cel-go/common/ast"
)

// Columns returns the names of the columns that the expression mentions, sorted.
// Events that have the same there are selected alike.
func (f *Filter) Columns() []string {
	if f.tree == nil {
		return nil
	}
	var names []string
	ast.PostOrderVisit(f.tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.IdentKind {
			return
		}
		if _, ok := columns()[e.AsIdent()]; ok {
			names = append(names, e.AsIdent())
		}
	}))
	slices.Sort(names)
	return slices.Compact(names)
}

// Values returns the only values of a text column with which an event can be
// selected, sorted; there may be none. It reports false where it knows no bound.
func (f *Filter) Values(column string) ([]string, bool) {
	values, ok := f.narrow.texts[column]
	return slices.Clone(values), ok
}
