// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// raw reads a free-form value: nothing of it is decoded, all of it is checked.
func (d *decoder) raw() Raw {
	if d.err != nil {
		return nil
	}
	c, start := d.peek(), d.i
	switch c {
	case '"':
		d.string()
	case '{', '[':
		if end := sound(d.s, start, d.depth); end > start {
			d.i = end
			return Raw(d.s[start:end])
		}
		d.pass()
		value := Raw(d.s[start:d.i])
		d.check(value, start)
		return value
	case 't':
		d.literal("true")
	case 'f':
		d.literal("false")
	case 'n':
		d.literal("null")
	default:
		d.digits("a value")
	}
	return Raw(d.s[start:d.i])
}

// sound returns where the value ends that starts at s[i] and is depth levels
// down. It returns 0 if there is none, and for what it leaves to check, which also
// knows what is wrong: nesting that is too deep, names with escapes, halves of
// surrogate pairs, and many names in no order.
func sound(s string, i, depth int) int {
	if i >= len(s) {
		return 0
	}
	switch s[i] {
	case '"':
		return soundText(s, i)
	case '{', '[':
		if depth++; depth > MaxDepth {
			return 0
		}
		return soundMembers(s, i, depth)
	case 't':
		return soundWord(s, i, "true")
	case 'f':
		return soundWord(s, i, "false")
	case 'n':
		return soundWord(s, i, "null")
	}
	if _, end := shortInteger(s, i); end > i {
		return end
	}
	end := i
	for end < len(s) && !delimits(s[end]) {
		end++
	}
	if _, ok := isNumber(s[i:end]); !ok {
		return 0
	}
	return end
}

// soundMembers is sound for an object or array.
func soundMembers(s string, i, depth int) int {
	object := s[i] == '{'
	end := s[i] + 2 // its bracket
	if i = blank(s, i+1); i < len(s) && s[i] == end {
		return i + 1
	}
	var names distinct
	for {
		if object {
			start := i
			if i = soundText(s, i); i == 0 || !names.add(s[start+1:i-1]) {
				return 0
			}
			if i = blank(s, i); i >= len(s) || s[i] != ':' {
				return 0
			}
			i = blank(s, i+1)
		}
		if i = sound(s, i, depth); i == 0 {
			return 0
		}
		if i = blank(s, i); i >= len(s) {
			return 0
		}
		switch s[i] {
		case end:
			return i + 1
		case ',':
			i = blank(s, i+1)
		default:
			return 0
		}
	}
}

// distinct finds out that names are all different. Where they are in order, as in
// canonical text, it does not have to know but the last.
type distinct struct {
	first    [8]string
	n        int
	greatest string
}

// add says whether name is another than those before: false may be that it cannot
// tell.
func (d *distinct) add(name string) bool {
	if strings.IndexByte(name, '\\') >= 0 {
		return false
	}
	switch {
	case d.n == 0 || name > d.greatest:
		d.greatest = name
	case d.n > len(d.first) || slices.Contains(d.first[:d.n], name):
		return false
	}
	if d.n < len(d.first) {
		d.first[d.n] = name
	}
	d.n++
	return true
}

// soundText is sound for a string.
func soundText(s string, i int) int {
	if i >= len(s) || s[i] != '"' {
		return 0
	}
	start, ascii := i+1, true
	for i = skipPlain(s, i+1); i < len(s); i = skipPlain(s, i+1) {
		switch c := s[i]; {
		case c == '"':
			if !ascii && !utf8.ValidString(s[start:i]) {
				return 0
			}
			return i + 1
		case c == '\\':
			if i = soundEscape(s, i); i == 0 {
				return 0
			}
		case c < ' ':
			return 0
		default:
			i, ascii = lastHigh(s, i), false
		}
	}
	return 0
}

// soundEscape returns the last byte of the escape that starts at s[i], 0 if there
// is none or it has half of a surrogate pair.
func soundEscape(s string, i int) int {
	if i++; i >= len(s) {
		return 0
	}
	switch s[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		if i+4 < len(s) {
			if r, err := strconv.ParseUint(s[i+1:i+5], 16, 16); err == nil && !utf16.IsSurrogate(rune(r)) {
				return i + 4
			}
		}
	}
	return 0
}

func soundWord(s string, i int, word string) int {
	if !strings.HasPrefix(s[i:], word) {
		return 0
	}
	return i + len(word)
}

// blank returns where the white space ends that starts at s[i].
func blank(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r') {
		i++
	}
	return i
}

// check checks the object or array that has been passed since start.
func (d *decoder) check(value Raw, start int) {
	if depthOf(value)+d.depth > MaxDepth {
		d.fail(ErrDepth)
		return
	}
	if jsontext.Value(value).IsValid() {
		return
	}
	dec := jsontext.NewDecoder(bytes.NewReader(value))
	_, err := dec.ReadValue()
	if err == nil {
		_, err = dec.ReadToken()
	}
	d.fail(syntaxError(err, start))
}

// depthOf returns how deep the JSON value s is nested.
func depthOf[T ~string | ~[]byte](s T) int {
	depth, deepest := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}
