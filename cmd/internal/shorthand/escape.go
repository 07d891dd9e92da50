// SPDX-License-Identifier: Apache-2.0

package shorthand

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxReason  = 256 // bytes; also of values in context
	maxMessage = 120
)

// cut shortens a text to most bytes at a character's boundary.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "..."
}

// oneLine is what OpenShell makes of reasons and messages.
func oneLine(s string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(s) }

// hostile characters move a terminal, turn text around or cannot be seen.
func hostile(r rune) bool {
	return unicode.IsControl(r) || r == utf8.RuneError || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

func code(b *strings.Builder, r rune) {
	b.WriteString(`\u{`)
	b.WriteString(strconv.FormatInt(int64(r), 16))
	b.WriteByte('}')
}

// escaped escapes what is hostile, backslashes and brackets, and what also says.
func escaped(s string, also func(rune) bool) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\' || r == '[' || r == ']':
			b.WriteByte('\\')
			b.WriteRune(r)
		case hostile(r) || also(r):
			code(&b, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// word is a name, an address, or anything else that has no spaces.
func word(s string) string { return escaped(s, unicode.IsSpace) }

// prose may have spaces, of the plain kind.
func prose(s string) string {
	return escaped(s, func(r rune) bool { return r != ' ' && unicode.IsSpace(r) })
}

// address is a word in which brackets are a part of the grammar.
func address(s string) string {
	return strings.NewReplacer(`\[`, "[", `\]`, "]", `\\`, `\\`).Replace(word(s))
}

// quoted is what stands between quotation marks.
func quoted(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '\\', '"':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if hostile(r) {
				code(&b, r)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}
