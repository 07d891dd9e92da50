// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// constant returns the value of an expression that is the same for every event;
// its error value where it fails for every one. What takes longer to find out
// than one event may take counts as not constant.
func (f *Filter) constant(e ast.Expr) (ref.Val, bool) {
	if e.Kind() == ast.LiteralKind {
		return e.AsLiteral(), true
	}
	free := true
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(sub ast.Expr) {
		if sub.Kind() == ast.IdentKind {
			if _, column := columns()[sub.AsIdent()]; column {
				free = false
			}
		}
	}))
	if !free {
		return nil, false
	}
	part := ast.NewCheckedAST(ast.NewAST(e, f.tree.SourceInfo()), f.tree.TypeMap(), f.tree.ReferenceMap())
	program, err := f.env.PlanProgram(part, cel.CostLimit(costLimit), cel.EvalOptions(cel.OptOptimize)) // as the whole is
	if err != nil {
		return nil, false
	}
	out, _, err := program.Eval(cel.NoVars())
	if out == nil { // it was stopped
		return nil, false
	}
	if err != nil && !types.IsError(out) {
		return nil, false
	}
	return out, true
}
