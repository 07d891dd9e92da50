// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A pattern is a regular expression of the schema. Those are written for PCRE,
// which the server applies to bytes.
type pattern struct {
	re *regexp.Regexp
	// certain says of the usual values, fast, that they match; nil: of none. The
	// rest is up to re.
	certain func(s []byte) bool
}

// compilePattern returns nil if regex is none.
func compilePattern(regex string) *pattern {
	re, err := regexp.Compile(fromPCRE(regex))
	if err != nil {
		return nil
	}
	digest := sha256.Sum256([]byte(regex))
	return &pattern{re: re, certain: certain[hex.EncodeToString(digest[:8])]}
}

// match says whether s contains a match.
func (p *pattern) match(s []byte) bool {
	if p.certain != nil && p.certain(s) {
		return true
	}
	for _, c := range s {
		if c >= utf8.RuneSelf {
			return p.re.MatchString(bytewise(s))
		}
	}
	return p.re.Match(s)
}

// bytewise makes a character of each byte, so that "." matches one byte only,
// as it does for the server.
func bytewise(s []byte) string {
	var b strings.Builder
	b.Grow(2 * len(s))
	for _, c := range s {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// fromPCRE rewrites the two notations that mean more to PCRE than to RE2: "$"
// matches before a final line feed, too, and "\s" matches the vertical tab.
func fromPCRE(regex string) string {
	var b strings.Builder
	class := false // within [ ]
	for i := 0; i < len(regex); i++ {
		c := regex[i]
		switch {
		case c == '\\' && i+1 < len(regex):
			i++
			switch {
			case regex[i] != 's':
				b.WriteString(regex[i-1 : i+1])
			case class:
				b.WriteString(`\t-\r `)
			default:
				b.WriteString(`[\t-\r ]`)
			}
			continue
		case c == '$' && !class:
			b.WriteString(`(?:\n?\z)`)
			continue
		case c == '[':
			// A closing bracket right after the opening one is a member, which no
			// schema makes use of.
			class = true
		case c == ']':
			class = false
		}
		b.WriteByte(c)
	}
	return b.String()
}
