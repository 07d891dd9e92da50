// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"fmt"
	"strings"
)

// ClickHouse is the dialect of ClickHouse, over the views that package
// collector/clickhouse makes.
var ClickHouse = &Dialect{
	Column:   func(name string) string { return "`" + strings.ReplaceAll(name, "`", "\\`") + "`" },
	Text:     clickText,
	NullBool: "CAST(NULL AS Nullable(Bool))", NullInt: "CAST(NULL AS Nullable(Int64))", NullText: "CAST(NULL AS Nullable(String))",
	Arithmetic: func(operator, left, right string) string {
		left, right = "toInt256("+left+")", "toInt256("+right+")"
		result := left + " " + operator + " " + right
		switch operator {
		case "/":
			result = "if(" + right + " = 0, NULL, intDiv(" + left + ", if(" + right + " = 0, toInt256(1), " + right + ")))"
		case "%":
			// The server's own modulo knows no such wide numbers.
			divisor := "if(" + right + " = 0, toInt256(1), " + right + ")"
			// Of the lowest number and -1 there is no quotient, so that there is no rest.
			none := right + " = 0 OR " + left + " = toInt256('-9223372036854775808') AND " + right + " = -1"
			result = "if(" + none + ", NULL, " + left + " - intDiv(" + left + ", " + divisor + ") * " + divisor + ")"
		}
		return "accurateCastOrNull(" + result + ", 'Int64')"
	},
	Concat: clickCall("concat"), StartsWith: clickCall("startsWith"), EndsWith: clickCall("endsWith"),
	Contains: func(left, right string) string { return "(position(" + left + ", " + right + ") > 0)" },
	Matches: func(text, expression string) string {
		// A dot matches line breaks there, where RE2 itself has to be told.
		return "match(" + text + ", " + clickText("(?-s)"+expression) + ")"
	},
	Size:   func(text string) string { return "CAST(lengthUTF8(" + text + ") AS Int64)" },
	String: func(value string) string { return "toString(" + value + ")" },
}

func clickCall(name string) func(left, right string) string {
	return func(left, right string) string { return name + "(" + left + ", " + right + ")" }
}

// clickText quotes a text. Everything but what is harmless everywhere is written in
// hex.
func clickText(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '/', c == ' ':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02X`, c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
