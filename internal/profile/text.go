// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"unicode/utf8"
)

// A source is an event's text as it is read without a library, once or twice on
// each step of its way. Text as an emitter writes it is judged here, by methods
// that accept less than JSON: no white space, names in ascending order and
// without escapes, no surrogates as escapes. Whoever is told no asks the library,
// which knows what is JSON, and what is wrong with what is not.
type source struct {
	b []byte
	// slash is where the next backslash is, len(b) when there is none. Strings are
	// read in order, and there are no backslashes elsewhere.
	slash   int
	escapes bool // there is a backslash

	growing bool // what is read makes up a tree
	growth
}

// errUnsure says that text is other JSON than that, or none.
var errUnsure = errors.New("not canonical JSON, or no JSON")

// open begins to read b, and says whether all of it is UTF-8 without control
// characters, which canonical JSON has only as escapes.
func (s *source) open(b []byte) bool {
	s.b, s.slash = b, 0
	s.next()
	s.escapes = s.slash < len(b)
	// Eight bytes at a time: the high bit of one that is no ASCII is set, and so it
	// is of one that is below a space once that is taken away.
	const spaces, highs = ' ' * 0x0101010101010101, 0x8080808080808080
	var w uint64
	for ; len(b) >= 32; b = b[32:] {
		w0, w1 := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		w2, w3 := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
		w |= w0 | (w0 - spaces) | w1 | (w1 - spaces) | w2 | (w2 - spaces) | w3 | (w3 - spaces)
	}
	for _, c := range b {
		w |= uint64(c) | uint64(c-' ')
	}
	return w&highs == 0 || s.openRare()
}

// openRare is open for text that is not all ASCII.
func (s *source) openRare() bool {
	for _, c := range s.b {
		if c < ' ' {
			return false
		}
	}
	return utf8.Valid(s.b)
}

// next looks for the next backslash, from slash on.
func (s *source) next() {
	if n := bytes.IndexByte(s.b[s.slash:], '\\'); n >= 0 {
		s.slash += n
		return
	}
	s.slash = len(s.b)
}

// Which escapes a string has.
const (
	escapesNone = iota
	escapesSome
	escapesOdd // halves of surrogate pairs among them, which only make sense together
)

// quoted returns where the quote is that ends the string whose text begins at
// b[i], or -1.
func (s *source) quoted(i int) (end, escapes int) {
	end = s.quote(i)
	if end < s.slash {
		return end, escapesNone
	}
	return s.escaped(end)
}

// quote returns where the next quote is, from b[i] on, or -1. Most are near.
func (s *source) quote(i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for range 5 {
		if i+8 > len(s.b) {
			break
		}
		w := binary.LittleEndian.Uint64(s.b[i:]) ^ '"'*ones
		if w = (w - ones) &^ w & highs; w != 0 {
			return i + bits.TrailingZeros64(w)>>3
		}
		i += 8
	}
	if n := bytes.IndexByte(s.b[i:], '"'); n >= 0 {
		return i + n
	}
	return -1
}

// escaped is quoted for a string with escapes; the next quote is at b[end].
func (s *source) escaped(end int) (at, escapes int) {
	escapes = escapesSome
	for end > s.slash {
		i := s.slash + 1
		switch s.b[i] { // there is one: the quote is behind the backslash
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i++
		case 'u':
			unit, ok := hex4(s.b, i+1)
			if !ok {
				return -1, escapes
			}
			if unit>>11 == 0xD800>>11 {
				escapes = escapesOdd
			}
			i += 5
		default:
			return -1, escapes
		}
		s.slash = i
		s.next()
		if end < i { // that quote was escaped
			if end = s.quote(i); end < 0 {
				return -1, escapes
			}
		}
	}
	return end, escapes
}

func hex4(b []byte, i int) (unit uint16, ok bool) {
	if i+4 > len(b) {
		return 0, false
	}
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		unit = unit<<4 | uint16(c)
	}
	return unit, true
}

// maxSound is how deep sound looks. Deeper text is for the library.
const maxSound = 1100 // ocsf.MaxDepth, and what is around a payload

// sound returns the index behind the value that begins at b[i], or -1 where it
// is not sure that there is one. Where it is, the value is JSON, without a
// duplicate name on any level, if open said yes.
func (s *source) sound(i, depth int) int {
	if i >= len(s.b) || depth > maxSound {
		return -1
	}
	if s.growing {
		return s.grown(i, depth)
	}
	return s.soundly(i, depth)
}

func (s *source) soundly(i, depth int) int {
	switch s.b[i] {
	case '"':
		end, escapes := s.quoted(i + 1)
		if end < 0 || escapes == escapesOdd {
			return -1
		}
		return end + 1
	case '{':
		return s.soundObject(i, depth)
	case '[':
		return s.soundArray(i, depth)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	}
	return s.number(i)
}

func (s *source) soundObject(i, depth int) int {
	if i+1 < len(s.b) && s.b[i+1] == '}' {
		return i + 2
	}
	var before []byte // the name before
	for first := true; ; first = false {
		i++
		if i >= len(s.b) || s.b[i] != '"' {
			return -1
		}
		end, escapes := s.quoted(i + 1)
		if end < 0 || escapes != escapesNone || end+1 >= len(s.b) || s.b[end+1] != ':' {
			return -1
		}
		name := s.b[i+1 : end]
		if !first && !ascend(before, name) {
			return -1
		}
		before = name
		s.call(i+1, end)
		i = s.sound(end+2, depth+1)
		if i < 0 || i >= len(s.b) {
			return -1
		}
		if s.b[i] == '}' {
			return i + 1
		}
		if s.b[i] != ',' {
			return -1
		}
	}
}

func (s *source) soundArray(i, depth int) int {
	if i+1 < len(s.b) && s.b[i+1] == ']' {
		return i + 2
	}
	for {
		s.call(0, 0)
		i = s.sound(i+1, depth+1)
		if i < 0 || i >= len(s.b) {
			return -1
		}
		if s.b[i] == ']' {
			return i + 1
		}
		if s.b[i] != ',' {
			return -1
		}
	}
}

// ascend says whether name may follow before. Most names differ in their first
// letter.
func ascend(before, name []byte) bool {
	if len(before) > 0 && len(name) > 0 && before[0] != name[0] {
		return before[0] < name[0]
	}
	return bytes.Compare(before, name) < 0
}

func (s *source) literal(i int, want string) int {
	if len(s.b)-i < len(want) || string(s.b[i:i+len(want)]) != want {
		return -1
	}
	return i + len(want)
}

// number returns the index behind the number at b[i], or -1.
func (s *source) number(i int) int {
	b := s.b
	if i < len(b) && b[i] == '-' {
		i++
	}
	start := i
	if i = digits(b, i); i == start || b[start] == '0' && i > start+1 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		start = i + 1
		if i = digits(b, start); i == start {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start = i
		if i = digits(b, start); i == start {
			return -1
		}
	}
	return i
}

func digits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

// over returns the index behind the value that begins at b[i], which is known to
// be JSON.
func (s *source) over(i int) int {
	for depth := 0; i < len(s.b); {
		switch s.b[i] {
		case '"':
			end, _ := s.quoted(i + 1)
			if end < 0 {
				return len(s.b) // cannot be
			}
			i = end
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ' ', '\t', '\n', '\r', ',', ':':
		default:
			for i+1 < len(s.b) && s.b[i+1] > ' ' && s.b[i+1] != ',' && s.b[i+1] != '}' && s.b[i+1] != ']' {
				i++ // of a number or a literal
			}
		}
		i++
		if depth == 0 {
			return i
		}
	}
	return i
}
