// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"fmt"
	"strings"
)

// ClickHouse is the dialect of ClickHouse. Columns are never NULL there.
var ClickHouse = &Dialect{
	Column:   clickName,
	Text:     clickText,
	NullBool: "CAST(NULL AS Nullable(Bool))", NullInt: "CAST(NULL AS Nullable(Int64))", NullText: "CAST(NULL AS Nullable(String))",
	Arithmetic: func(operator, left, right string) string {
		l, r := "toInt128("+left+")", "toInt128("+right+")"
		// Where the result is too large it wraps: so it is computed in a wider type,
		// which is cast back if it can be.
		narrow := func(wide string) string { return "accurateCastOrNull(" + wide + ", 'Int64')" }
		switch operator {
		case "/":
			return narrow("intDivOrZero(" + l + ", nullIf(" + r + ", 0))")
		case "%":
			// The smallest number by -1 has no quotient, and so no rest.
			r = "nullIf(" + r + ", 0)"
			return "if(isNull(" + narrow("intDivOrZero("+l+", "+r+")") + "), NULL, " + narrow("moduloOrZero("+l+", "+r+")") + ")"
		}
		return narrow("(" + l + " " + operator + " " + r + ")")
	},
	Concat:     clickCall("concat"),
	StartsWith: clickCall("startsWith"), EndsWith: clickCall("endsWith"),
	Contains: func(left, right string) string { return "(position(" + left + ", " + right + ") > 0)" },
	Matches: func(text, expression string) string {
		// Without the flag a dot would be a line break too.
		return "match(" + text + ", " + clickText("(?-s)"+expression) + ")"
	},
	Size:   func(text string) string { return "toInt64(lengthUTF8(" + text + "))" },
	String: func(value string) string { return "toString(" + value + ")" },
	// A comparison is a number there.
	StringBool: func(value string) string { return "toString(CAST(" + value + " AS Nullable(Bool)))" },
	In: func(value string, members []string) string {
		// NULL is in no list there, and is not NULL.
		return "if(" + value + " = " + value + ", " + value + " IN (" + strings.Join(members, ", ") + "), NULL)"
	},
}

func clickCall(name string) func(left, right string) string {
	return func(left, right string) string { return name + "(" + left + ", " + right + ")" }
}

func clickName(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

// clickText quotes a text. Everything but what is harmless everywhere is in hex.
func clickText(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(" -_.:/@", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02X`, c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
