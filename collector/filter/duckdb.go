// SPDX-License-Identifier: Apache-2.0

package filter

import "strings"

// DuckDB is the dialect of DuckDB.
var DuckDB = &Dialect{
	Column:   func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` },
	Text:     duckText,
	NullBool: "CAST(NULL AS BOOLEAN)", NullInt: "CAST(NULL AS BIGINT)", NullText: "CAST(NULL AS VARCHAR)",
	Arithmetic: func(operator, left, right string) string {
		switch operator {
		case "/":
			operator, right = "//", "NULLIF("+right+", 0)"
		case "%":
			right = "NULLIF(" + right + ", 0)"
		}
		// Not TRY_CAST of a wider type: in a comparison the engine moves that to
		// the other side, and forgets what it was there for.
		return "TRY(CAST(" + left + " AS BIGINT) " + operator + " CAST(" + right + " AS BIGINT))"
	},
	Concat:     func(left, right string) string { return "(" + left + " || " + right + ")" },
	StartsWith: duckCall("starts_with"), EndsWith: duckCall("ends_with"), Contains: duckCall("contains"),
	Matches: func(text, expression string) string {
		return "regexp_matches(" + text + ", " + duckText(expression) + ")"
	},
	Size:   func(text string) string { return "length(" + text + ")" },
	String: func(value string) string { return "CAST(" + value + " AS VARCHAR)" },
}

func duckCall(name string) func(left, right string) string {
	return func(left, right string) string { return name + "(" + left + ", " + right + ")" }
}

// duckText quotes a text. A zero byte would end the query for DuckDB's parser.
func duckText(s string) string {
	quoted := "'" + strings.ReplaceAll(strings.ReplaceAll(s, "'", "''"), "\x00", "' || chr(0) || '") + "'"
	if strings.Contains(s, "\x00") {
		return "(" + quoted + ")"
	}
	return quoted
}
