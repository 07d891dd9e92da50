// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"math/bits"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// plain reads a string if one comes next that is not empty and ASCII without
// escapes: most are. Else it reads nothing and returns "".
func (d *decoder) plain() string {
	s, at := d.s, d.i
	if at < 0 || at >= len(s) || s[at] != '"' {
		return ""
	}
	at++
	for i := at; i <= len(s)-8; i += 8 {
		hit := special(load(s, i)) & highs
		if hit == 0 {
			continue
		}
		i += bits.TrailingZeros64(hit) / 8
		if i >= len(s) || s[i] != '"' || i == at {
			break
		}
		d.i = i + 1
		return s[at:i]
	}
	return ""
}

// string reads a string; the next byte is its quote.
func (d *decoder) string() string {
	d.i++
	start := d.i
	ascii := true
	for d.i = skipPlain(d.s, d.i); d.i < len(d.s); d.i = skipPlain(d.s, d.i+1) {
		c := d.s[d.i]
		switch {
		case c == '"':
			s := d.s[start:d.i]
			if !ascii && !utf8.ValidString(s) {
				d.syntax(ErrUTF8.Error())
				return ""
			}
			d.i++
			return s
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			d.syntax("control character in a string")
			return ""
		case c >= utf8.RuneSelf:
			d.i, ascii = lastHigh(d.s, d.i), false
		}
	}
	d.syntax("unexpected end in a string")
	return ""
}

// skipPlain returns the index, from i on, up to which s is ASCII that needs no
// escape: that of the first byte which is not, or the end.
func skipPlain(s string, i int) int {
	rest := s[min(i, len(s)):]
	for ; len(rest) >= 8; rest = rest[8:] {
		if at := special(load(rest, 0)) & highs; at != 0 {
			return len(s) - len(rest) + bits.TrailingZeros64(at)/8
		}
	}
	i = max(i, len(s)-len(rest))
	for i < len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
		i++
	}
	return i
}

// lastHigh returns the last of the bytes that are no ASCII, of which s[i] is one.
func lastHigh(s string, i int) int {
	for i+1 < len(s) && s[i+1] >= utf8.RuneSelf {
		i++
	}
	return i
}

// escaped reads a string that has escapes; start is behind its quote.
func (d *decoder) escaped(start int) string {
	for d.i < len(d.s) && d.s[d.i] != '"' {
		if d.s[d.i] == '\\' {
			d.i++
		}
		d.i++
	}
	if d.i >= len(d.s) {
		d.i = len(d.s)
		d.syntax("unexpected end in a string")
		return ""
	}
	d.i++
	b, err := jsontext.AppendUnquote(nil, d.s[start-1:d.i])
	if err != nil {
		d.i = start
		d.syntax("invalid escape, control character or UTF-8 in a string")
		return ""
	}
	return string(b)
}
