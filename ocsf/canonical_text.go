// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"strings"
	"unicode/utf8"
)

func appendString(b []byte, s string) ([]byte, error) { return appendText(append(b, '"'), s) }

// appendText writes a string behind its opening quote.
func appendText(b []byte, s string) ([]byte, error) {
	if isPlain(s) {
		return append(append(b, s...), '"'), nil
	}
	return appendEscaped(b, s)
}

// isPlain says whether s is ASCII that needs no escape, as most text is.
func isPlain(s string) bool {
	var found uint64
	switch {
	case len(s) >= 8:
		for i := 0; i < len(s)-8; i += 8 {
			found |= special(load(s, i))
		}
		found |= special(load(s, len(s)-8))
	case len(s) >= 4:
		found = special(uint64(load4(s, 0)) | uint64(load4(s, len(s)-4))<<32)
	case len(s) > 0:
		found = special(uint64(s[0]) | uint64(s[len(s)>>1])<<8 | uint64(s[len(s)-1])<<16 | spaces<<24)
	}
	return found&highs == 0
}

// appendEscaped writes a string that may need escapes, and its closing quote.
func appendEscaped(b []byte, s string) ([]byte, error) {
	const hex = "0123456789abcdef"
	if !utf8.ValidString(s) {
		return nil, ErrUTF8
	}
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		if at := strings.IndexByte("\"\\\b\f\n\r\t", c); at >= 0 {
			b = append(b, '\\', `"\bfnrt`[at])
		} else {
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, s[start:]...), '"'), nil
}
