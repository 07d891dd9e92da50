// SPDX-License-Identifier: Apache-2.0

package jsontree

import (
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// escaped reads a string whose content starts at p and is plain up to q, where
// something else than a quote is. It returns where in t.text its content is, and
// the position after the closing quote or bad.
func (t *Tree) escaped(p, q uint) (start, end uint32, after uint) {
	from := len(t.text)
	t.text = append(t.text, t.data[p:q]...)
	for q < uint(len(t.data)) && t.data[q] == '\\' {
		if q = t.escape(q); q == bad {
			return 0, 0, bad
		}
		next := plain(t.data, q)
		t.text = append(t.text, t.data[q:next]...)
		q = next
	}
	switch {
	case q >= uint(len(t.data)):
		return 0, 0, t.fail(uint(len(t.data)), "closing quote expected, but the text ends")
	case t.data[q] != '"':
		return 0, 0, t.fail(q, "control character in a string")
	}
	return uint32(from), uint32(len(t.text)), q + 1
}

// plain returns the position of the first quote, backslash or control character
// from p on. It looks at eight bytes at a time: strings are most of an event.
func plain(data []byte, from uint) uint {
	p := int(from)
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; p >= 0 && p <= len(data)-8; p += 8 {
		w := uint64(data[p]) | uint64(data[p+1])<<8 | uint64(data[p+2])<<16 | uint64(data[p+3])<<24 |
			uint64(data[p+4])<<32 | uint64(data[p+5])<<40 | uint64(data[p+6])<<48 | uint64(data[p+7])<<56
		// With bit 1 flipped, quotes and control characters are what is at most a
		// space. Subtracting sets the high bit of a byte that is too small, and of
		// some that are no ASCII, which do not count; a borrow can only spoil the
		// bytes after one that is too small, and the lowest is all that counts.
		hit := (w ^ ones*('"'^' ') - ones*(' '+1)) | (w ^ ones*'\\' - ones)
		if hit &= highs &^ w; hit != 0 {
			return uint(p + bits.TrailingZeros64(hit)>>3)
		}
	}
	for ; p >= 0 && p < len(data); p++ {
		if c := data[p]; c == '"' || c == '\\' || c < ' ' {
			break
		}
	}
	return uint(p)
}

// escape appends to t.text what the escape at p stands for, and returns the
// position after it.
func (t *Tree) escape(p uint) uint {
	if p+1 >= uint(len(t.data)) {
		return t.fail(uint(len(t.data)), "escape expected, but the text ends")
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
func (t *Tree) unicode(p uint) uint {
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

func (t *Tree) hex(p uint) (rune, bool) {
	if p+6 > uint(len(t.data)) || t.data[p] != '\\' || t.data[p+1] != 'u' {
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
