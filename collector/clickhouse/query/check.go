// SPDX-License-Identifier: Apache-2.0

package query

import (
	_ "embed"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/docket-audit/docket/collector/sql"
)

// functionsFile has the functions that a query may call, in lower case: those of
// ClickHouse 26.7 that compute from what they are given. None of them reads a table, a
// dictionary, a file or a setting, tells of the server, its users or its connections,
// asks anybody, sleeps, or shows how columns lie in memory.
//
//go:embed functions.txt
var functionsFile string

var functions = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for f := range strings.Lines(functionsFile) {
		all[strings.TrimSpace(f)] = true
	}
	return all
})

// combinators may stand behind the names of aggregate functions, in any order.
var combinators = []string{
	"if", "array", "map", "distinct", "ornull", "ordefault", "foreach", "resample", "argmin", "argmax", "state", "merge", "tuple",
}

// computes reports whether a function is one that only computes.
func computes(function string) bool {
	function = strings.ToLower(function)
	for range 5 {
		if functions()[function] {
			return true
		}
		cut := false
		for _, c := range combinators {
			if rest, ok := strings.CutSuffix(function, c); ok {
				function, cut = rest, true
				break
			}
		}
		if !cut {
			return false
		}
	}
	return functions()[function]
}

// tableFunctions are those that a query may call.
var tableFunctions = map[string]bool{"numbers": true, "generate_series": true, "generateseries": true}

// kinds are the nodes that a query may be made of, beside those that are looked at.
// Of what is not here there may be none: SETTINGS is a Set.
var kinds = map[string]bool{
	"SelectWithUnionQuery": true, "SelectIntersectExceptQuery": true, "SelectQuery": true, "ExpressionList": true, "WithElement": true,
	"Subquery": true, "Literal": true, "Asterisk": true, "QualifiedAsterisk": true, "ColumnsRegexpMatcher": true, "ColumnsListMatcher": true,
	"QualifiedColumnsRegexpMatcher": true, "QualifiedColumnsListMatcher": true, "ColumnsExceptTransformer": true, "ColumnsReplaceTransformer": true,
	"ColumnsReplaceTransformer::Replacement": true, "ColumnsTransformerList": true, "TablesInSelectQuery": true,
	"TablesInSelectQueryElement": true, "TableExpression": true, "TableJoin": true, "ArrayJoin": true, "OrderByElement": true,
	"InterpolateElement": true, "WindowDefinition": true, "WindowListElement": true, "ExpressionListElement": true,
}

// judge decides whether what the server makes of a query may run: by the lines of
// EXPLAIN AST, of which each is a node: names have no line breaks, see [scan], and in
// texts they are written as escapes.
func judge(lines []string, named map[string]bool) error {
	for i, line := range lines {
		node := strings.TrimLeft(line, " ")
		kind, rest, _ := strings.Cut(node, " ")
		switch {
		case i == 0 && kind != "SelectWithUnionQuery" && kind != "SelectIntersectExceptQuery":
			return sql.Refuse(selectHint, "a statement that is not a SELECT")
		case kind == "Function":
			function := ident(rest)
			if i > 0 && strings.HasPrefix(strings.TrimLeft(lines[i-1], " "), "TableExpression") {
				if !tableFunctions[strings.ToLower(function)] {
					return sql.Refuse("query the views: SHOW TABLES lists them", "table function %.80q", function)
				}
			} else if !computes(function) {
				return sql.Refuse("a query has functions that compute, and none that wait, read or tell of the server: docs/clickhouse.md", "the function %.80q", function)
			}
		case kind == "TableIdentifier":
			// A view is in no database, and so is what a query names itself: a name of two
			// parts is that of a table, whatever else the query calls so.
			if table := ident(rest); !isView(table) && !named[table] || inner(table) || strings.Contains(table, ".") {
				return sql.Refuse("query the views: SHOW TABLES lists them", "table %.80q", table)
			}
		case kind == "Identifier":
			if id := ident(rest); inner(id) {
				return sql.Refuse("query the views: SHOW TABLES lists them", "the name %.80q", id)
			}
		case !kinds[kind]:
			return sql.Refuse(selectHint, "what docket does not know: %.40q", kind)
		}
	}
	return nil
}

// inFunctions are those whose right side may be the name of a table.
var inFunctions = func() map[string]bool {
	all := map[string]bool{}
	for _, global := range []string{"", "global"} {
		for _, not := range []string{"", "not"} {
			for _, null := range []string{"", "null"} {
				all[global+not+null+"in"], all[global+not+null+"inignoreset"] = true, true
			}
		}
	}
	return all
}()

// maybeTables returns the names in a query, by the lines of EXPLAIN AST, that the
// server may take for those of tables of its own, beside the views: a name that is given
// to a common table expression in one place is that of a table in every other, and one
// may stand on the right side of IN.
func maybeTables(lines []string) []string {
	tables, names := map[string]bool{}, map[string]bool{}
	in := false
	for _, line := range lines {
		kind, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
		id := ident(rest)
		switch {
		case kind == "Function":
			in = in || inFunctions[strings.ToLower(id)]
		case kind == "Identifier" && !isView(id):
			names[id] = true
		case kind == "TableIdentifier" && !isView(id):
			tables[id] = true
		}
	}
	if in {
		maps.Copy(tables, names)
	}
	return slices.Sorted(maps.Keys(tables))
}

// ident is the name in a line: what stands before an alias and the count of children.
func ident(rest string) string {
	id, _, _ := strings.Cut(rest, " (")
	return id
}

// inner reports whether a name is one of the store's own tables, or of a schema of the
// server.
func inner(id string) bool {
	parts := strings.Split(strings.ToLower(id), ".")
	for i, part := range parts {
		if strings.HasPrefix(part, "docket_") || part == temporary || i+1 < len(parts) && (part == "system" || part == "information_schema") {
			return true
		}
	}
	return false
}

// isView reports whether a name is one of the views.
func isView(id string) bool {
	_, ok := views()[id]
	return ok
}

// namesOf returns the names that a query gives to common table expressions, and maybe
// more: those with AS ( behind them.
func namesOf(all []token) map[string]bool {
	names := map[string]bool{}
	for i, t := range all {
		if t.kind != word && t.kind != name || i+2 >= len(all) || !all[i+1].is("AS") {
			continue
		}
		if next := all[i+2]; next.is("(") || next.is("MATERIALIZED") {
			names[strings.Trim(t.text, "`\"")] = true
		}
	}
	return names
}

// temporary is the database of what a query has for itself, as a recursive one does.
// No query can name it.
const temporary = "_temporary_and_external_tables"

var (
	resolvedTable    = regexp.MustCompile(`^TABLE id: \d+(?:, alias: \w+)?, table_name: (.*)$`)
	resolvedFunction = regexp.MustCompile(`^TABLE_FUNCTION id: \d+(?:, alias: \w+)?, table_function_name: (\w+)$`)
)

// resolved decides whether what the server reads for a query is what it shall: by the
// lines of EXPLAIN QUERY TREE.
func resolved(lines []string, table string) error {
	for _, line := range lines {
		node := strings.TrimLeft(line, " ")
		if !strings.HasPrefix(node, "TABLE") || node == "TABLE EXPRESSION" || node == "TABLE EXPRESSIONS" {
			continue
		}
		if m := resolvedTable.FindStringSubmatch(node); m != nil && (m[1] == table || m[1] == "system.one" || strings.HasPrefix(m[1], temporary+".")) {
			continue
		}
		if m := resolvedFunction.FindStringSubmatch(node); m != nil && tableFunctions[strings.ToLower(m[1])] {
			continue
		}
		return sql.Refuse("query the views: SHOW TABLES lists them", "a table that is none of the views")
	}
	return nil
}
