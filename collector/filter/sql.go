// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// A Dialect is how one engine says what others say in other words. Its fields
// return SQL; what they are given is SQL, or a name or a text as it is.
type Dialect struct {
	Column func(name string) string
	Text   func(s string) string

	// Null is NULL with the type of a column of booleans, whole numbers or texts.
	NullBool, NullInt, NullText string

	// Arithmetic computes with operator (+, -, *, /, %, the last two cut towards
	// 0) and is NULL where the result is no number of 64 bits or there is none.
	Arithmetic func(operator, left, right string) string

	Concat, StartsWith, EndsWith, Contains func(left, right string) string
	// Matches says whether a part of text matches an expression in the syntax of
	// RE2. It is given as the text that it is.
	Matches func(text, expression string) string
	Size    func(text string) string // in code points
	String  func(value string) string
	// StringBool is String of a boolean; nil: the same.
	StringBool func(value string) string
	// In says whether a value is one of some; nil: by IN. It is NULL of NULL.
	In func(value string, members []string) string
}

// maxSQL bounds what an expression may become, in bytes.
const maxSQL = 1 << 20

// A Condition is a filter in SQL: true for the events that it selects, false for
// the others, and NULL for those for which [Filter.Matches] fails.
type Condition struct {
	Text string
	// Partial says that it can be NULL.
	Partial bool
}

// SQL returns the condition of f in the words of d; that of the filter of
// everything is "true". It fails with an [Error] on what has no equal in SQL.
func (f *Filter) SQL(d *Dialect) (Condition, error) {
	if f.program == nil {
		return Condition{Text: "true"}, nil
	}
	t := translation{f: f, d: d}
	text, err := t.expr(f.tree.Expr())
	if err == nil && len(text) > maxSQL {
		err = &Error{Reason: "it is too long"}
	}
	if err != nil {
		return Condition{}, err
	}
	return Condition{text, t.partial}, nil
}

type translation struct {
	f       *Filter
	d       *Dialect
	partial bool
}

// unknown says that an expression has no equal.
func (t *translation) unknown(e ast.Expr, what string) error {
	return &Error{
		Reason: fmt.Sprintf("%s at %s has no equal in SQL", what, place(t.f.tree.SourceInfo().GetStartLocation(e.ID()))),
		Advice: "docs/filters.md lists what has: comparisons, in with a list of constants, && || ! ?:, + - * / %, startsWith, endsWith, contains, matches, size",
	}
}

func (t *translation) expr(e ast.Expr) (string, error) {
	if v, ok := t.f.constant(e); ok {
		return t.value(e, v)
	}
	switch e.Kind() {
	case ast.IdentKind:
		return t.d.Column(e.AsIdent()), nil
	case ast.CallKind:
		return t.call(e, e.AsCall())
	case ast.ComprehensionKind:
		return "", t.unknown(e, "a macro over columns")
	case ast.ListKind:
		return "", t.unknown(e, "a list with columns in it")
	}
	return "", t.unknown(e, "what stands")
}

// value writes a constant.
func (t *translation) value(e ast.Expr, v ref.Val) (string, error) {
	switch v := v.(type) {
	case types.Bool:
		return strconv.FormatBool(bool(v)), nil
	case types.Int:
		return integer(int64(v)), nil
	case types.String:
		return t.d.Text(string(v)), nil
	}
	if types.IsError(v) {
		t.partial = true
		switch t.f.tree.GetType(e.ID()) {
		case types.BoolType:
			return t.d.NullBool, nil
		case types.IntType:
			return t.d.NullInt, nil
		case types.StringType:
			return t.d.NullText, nil
		}
	}
	return "", t.unknown(e, "a value of type "+v.Type().TypeName())
}

// integer writes a number so that it has 64 bits everywhere.
func integer(n int64) string { return "CAST('" + strconv.FormatInt(n, 10) + "' AS BIGINT)" }

var infix = map[string]string{
	operators.Equals: "=", operators.NotEquals: "<>", operators.Less: "<", operators.LessEquals: "<=",
	operators.Greater: ">", operators.GreaterEquals: ">=", operators.LogicalAnd: "AND", operators.LogicalOr: "OR",
}

var arithmetic = map[string]string{
	operators.Add: "+", operators.Subtract: "-", operators.Multiply: "*", operators.Divide: "/", operators.Modulo: "%",
}

func (t *translation) call(e ast.Expr, call ast.CallExpr) (string, error) {
	name := call.FunctionName()
	switch name {
	case operators.In:
		return t.in(call.Args()[0], call.Args()[1])
	case overloads.Matches:
		return t.matches(call)
	}
	args := call.Args()
	if call.IsMemberFunction() {
		args = append([]ast.Expr{call.Target()}, args...)
	}
	sql := make([]string, len(args))
	for i, arg := range args {
		if !t.plain(arg) {
			return "", t.unknown(arg, "a value of type "+t.f.tree.GetType(arg.ID()).TypeName())
		}
		var err error
		if sql[i], err = t.expr(arg); err != nil {
			return "", err
		}
	}
	if text, ok := t.join(name, args, sql); ok {
		return text, nil
	}
	return "", t.unknown(e, strings.Trim(name, "_@"))
}

// plain reports whether an expression has a type that columns have.
func (t *translation) plain(e ast.Expr) bool {
	switch t.f.tree.GetType(e.ID()) {
	case types.BoolType, types.IntType, types.StringType:
		return true
	}
	return false
}

// join writes the call of a function. All operands are parenthesized, or calls,
// or literals.
func (t *translation) join(name string, args []ast.Expr, sql []string) (string, bool) {
	d := t.d
	text := func(i int) bool { return t.f.tree.GetType(args[i].ID()) == types.StringType }
	switch len(sql) {
	case 1:
		switch name {
		case operators.LogicalNot:
			return "(NOT " + sql[0] + ")", true
		case operators.Negate:
			t.partial = true
			return d.Arithmetic("-", integer(0), sql[0]), true
		case overloads.Size:
			return d.Size(sql[0]), text(0)
		case overloads.TypeConvertString:
			if d.StringBool != nil && t.f.tree.GetType(args[0].ID()) == types.BoolType {
				return d.StringBool(sql[0]), true
			}
			return d.String(sql[0]), true
		}
	case 2:
		if operator, ok := infix[name]; ok {
			return "(" + sql[0] + " " + operator + " " + sql[1] + ")", true
		}
		if name == operators.Add && text(0) {
			return d.Concat(sql[0], sql[1]), true
		}
		if operator, ok := arithmetic[name]; ok {
			t.partial = true
			return d.Arithmetic(operator, sql[0], sql[1]), true
		}
		switch name {
		case overloads.StartsWith:
			return d.StartsWith(sql[0], sql[1]), true
		case overloads.EndsWith:
			return d.EndsWith(sql[0], sql[1]), true
		case overloads.Contains:
			return d.Contains(sql[0], sql[1]), true
		}
	case 3:
		if name == operators.Conditional {
			// Of a NULL neither is taken: it is NULL.
			return "(CASE " + sql[0] + " WHEN true THEN " + sql[1] + " WHEN false THEN " + sql[2] + " END)", true
		}
	}
	return "", false
}

// in writes "x in [...]" with constants in the list: of others one that fails
// would have to spoil the rest.
func (t *translation) in(x, list ast.Expr) (string, error) {
	v, ok := t.f.constant(list)
	if !ok {
		if list.Kind() == ast.ListKind {
			return "", t.unknown(list, "a list with columns in it")
		}
		return "", t.unknown(list, "what in looks into")
	}
	if types.IsError(v) {
		t.partial = true
		return t.d.NullBool, nil
	}
	values, isList := v.(traits.Lister)
	if !isList || !t.plain(x) {
		return "", t.unknown(list, "what in looks into")
	}
	sql, err := t.expr(x)
	if err != nil {
		return "", err
	}
	if list.Kind() == ast.ListKind && list.AsList().Size() == 0 {
		return "false", nil // whatever x is, and if it is nothing: CEL does not look
	}
	var members []string
	for it := values.Iterator(); it.HasNext() == types.True; {
		member, err := t.value(list, it.Next())
		if err != nil {
			return "", err
		}
		members = append(members, member)
	}
	if len(members) == 0 {
		return "(" + sql + " <> " + sql + ")", nil // false, or NULL
	}
	if t.d.In != nil {
		return t.d.In(sql, members), nil
	}
	return "(" + sql + " IN (" + strings.Join(members, ", ") + "))", nil
}

// matches writes a match with a constant expression, which is known to be one.
func (t *translation) matches(call ast.CallExpr) (string, error) {
	args := call.Args()
	if call.IsMemberFunction() {
		args = append([]ast.Expr{call.Target()}, args...)
	}
	v, ok := t.f.constant(args[1])
	expression, isText := v.(types.String)
	if !ok || !isText {
		return "", t.unknown(args[1], "an expression to match that is not the same for every event")
	}
	if _, err := regexp.Compile(string(expression)); err != nil {
		return "", &Error{Reason: fmt.Sprintf("%q at %s: %v", string(expression), place(t.f.tree.SourceInfo().GetStartLocation(args[1].ID())), err)}
	}
	text, err := t.expr(args[0])
	if err != nil {
		return "", err
	}
	return t.d.Matches(text, string(expression)), nil
}
