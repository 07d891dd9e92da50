// SPDX-License-Identifier: Apache-2.0

package jsontree

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads the string whose opening quote is at p. It returns where its
// content is, and the position after the closing quote or bad.
func (t *Tree) quoted(p int) (start, end uint32, inText bool, after int) {
	p++
	q := t.plain(p)
	if q < len(t.data) && t.data[q] == '"' {
		return uint32(p), uint32(q), false, q + 1
	}
	from := len(t.text)
	t.text = append(t.text, t.data[p:q]...)
	for q < len(t.data) && t.data[q] == '\\' {
		if q = t.escape(q); q == bad {
			return 0, 0, false, bad
		}
		next := t.plain(q)
		t.text = append(t.text, t.data[q:next]...)
		q = next
	}
	switch {
	case q >= len(t.data):
		return 0, 0, false, t.fail(len(t.data), "closing quote expected, but the text ends")
	case t.data[q] != '"':
		return 0, 0, false, t.fail(q, "control character in a string")
	}
	return uint32(from), uint32(len(t.text)), true, q + 1
}

// plain returns the position of the first quote, backslash or control character
// from p on. It looks at eight bytes at a time: strings are most of an event.
func (t *Tree) plain(p int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; p+8 <= len(t.data); p += 8 {
		w := binary.LittleEndian.Uint64(t.data[p:])
		// A byte of x is zero where w has the character. Subtracting one from it
		// sets its high bit; a borrow can only spoil the bytes after it, and the
		// lowest is all that counts.
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		hit := (quote-ones)&^quote | (slash-ones)&^slash | (w-ones*0x20)&^w
		if hit &= highs; hit != 0 {
			return p + bits.TrailingZeros64(hit)/8
		}
	}
	for ; p < len(t.data); p++ {
		if c := t.data[p]; c == '"' || c == '\\' || c < 0x20 {
			break
		}
	}
	return p
}

// escape appends to t.text what the escape at p stands for, and returns the
// position after it.
func (t *Tree) escape(p int) int {
	if p+1 >= len(t.data) {
		return t.fail(len(t.data), "escape expected, but the text ends")
	}
	c := t.data[p+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return t.unicode(p)
	default:
		return t.fail(p, "unknown escape")
	}
	t.text = append(t.text, c)
	return p + 2
}

// unicode is escape for \uXXXX, and for two of them that make a surrogate pair.
func (t *Tree) unicode(p int) int {
	r, ok := t.hex(p)
	if !ok {
		return t.fail(p, "four hexadecimal digits expected after \\u")
	}
	p += 6
	if utf16.IsSurrogate(r) {
		low, ok := t.hex(p)
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return t.fail(p-6, "half of a surrogate pair")
		}
		p += 6
	}
	t.text = utf8.AppendRune(t.text, r)
	return p
}

func (t *Tree) hex(p int) (rune, bool) {
	if p+6 > len(t.data) || t.data[p] != '\\' || t.data[p+1] != 'u' {
		return 0, false
	}
	r := rune(0)
	for _, c := range t.data[p+2 : p+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
