// SPDX-License-Identifier: Apache-2.0

package jsontree

import (
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// bad is returned instead of a position by what has set t.fault. Positions are
// unsigned, so that one comparison says that they are in the text.
const bad = ^uint(0)

// Parse reads text, which must be one JSON value and white space around it. The
// error is a *[SyntaxError]; beside what RFC 8259 forbids, invalid UTF-8, halves
// of surrogate pairs, numbers with a fraction or an exponent beyond 64-bit
// floating point, nesting deeper than [MaxDepth] and more than 2 GiB are
// refused.
func (t *Tree) Parse(text []byte) error {
	t.data, t.text, t.nodes = text, t.text[:0], t.nodes[:0]
	if t.document() == bad {
		fault := t.fault
		return &fault
	}
	return nil
}

func (t *Tree) fail(at uint, reason string) uint {
	t.fault = SyntaxError{Offset: int64(at), Reason: reason}
	return bad
}

func (t *Tree) document() uint {
	if len(t.data) > math.MaxInt32 {
		return t.fail(math.MaxInt32, "longer than 2 GiB")
	}
	// In one sweep, which is many times faster than to look at each string.
	if !utf8.Valid(t.data) {
		return t.fail(invalidUTF8(t.data), "invalid UTF-8")
	}
	p := t.values(t.space(0))
	if p == bad {
		return bad
	}
	if p = t.space(p); p != uint(len(t.data)) {
		return t.fail(p, "nothing more expected after the value")
	}
	return p
}

func invalidUTF8(b []byte) uint {
	at := uint(0)
	for at < uint(len(b)) {
		r, n := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += uint(n)
	}
	return at
}

// space returns the position of the first byte from p on that is not white space.
func (t *Tree) space(p uint) uint {
	for p < uint(len(t.data)) {
		switch t.data[p] {
		case ' ', '\n', '\t', '\r':
			p++
		default:
			return p
		}
	}
	return p
}

// outside is the container that the root is in.
const outside Node = -1

// values reads the value that starts at p with all that is in it, and
// returns the position after it. It goes through the text in one loop, without a
// call for each value: while an object or array is open, next of its node is the
// one around it.
func (t *Tree) values(p uint) uint {
	data := t.data
	self := outside     // the innermost object or array that is open
	last, depth := 0, 0 // the element of self before p, 0: none; how many are open
	object := false     // self is one
	for {
		child := len(t.nodes)
		if child == cap(t.nodes) {
			t.nodes = slices.Grow(t.nodes, 1)
		}
		t.nodes = t.nodes[:child+1]
		n := &t.nodes[child]
		*n = node{}
		if last != 0 {
			t.nodes[last].next = Node(child)
		}
		if object {
			if p = t.name(n, p); p == bad {
				return bad
			}
		}
		if p >= uint(len(data)) {
			return t.fail(uint(len(data)), "value expected, but the text ends")
		}
		n.start = uint32(p)
		switch c := data[p]; {
		case c == '"':
			n.kind = String
			if q := plain(data, p+1); q < uint(len(data)) && data[q] == '"' {
				n.start, n.end, p = uint32(p+1), uint32(q), q+1
			} else if n.start, n.end, p = t.escaped(p+1, q); p == bad {
				return bad
			} else {
				n.inText = true
			}
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return t.fail(p, "nested too deeply")
			}
			if n.kind, object = Array, c == '{'; object {
				n.kind = Object
			}
			if p = t.space(p + 1); p >= uint(len(data)) || data[p] != c+2 { // its bracket
				n.next, n.filled = self, true
				self, last = Node(child), 0
				continue
			}
			depth--
			p++
			n.end = uint32(p)
			object = self != outside && t.nodes[self].kind == Object
		case c == '-' || '0' <= c && c <= '9':
			if n.kind, p = t.number(p); p == bad {
				return bad
			}
			n.end = uint32(p)
		default:
			if n.kind, p = t.literal(p, c); p == bad {
				return bad
			}
			n.end = uint32(p)
		}
		last = child
		// What follows: another value, or the end of self and of those around it.
		for {
			if self == outside {
				return p
			}
			if p < uint(len(data)) && data[p] <= ' ' {
				p = t.space(p)
			}
			if p < uint(len(data)) && data[p] == ',' {
				if p++; p < uint(len(data)) && data[p] <= ' ' {
					p = t.space(p)
				}
				break
			}
			switch {
			case p < uint(len(data)) && object && data[p] == '}', p < uint(len(data)) && !object && data[p] == ']':
			case object:
				return t.fail(p, "comma or closing brace expected")
			default:
				return t.fail(p, "comma or closing bracket expected")
			}
			p++
			depth--
			in := &t.nodes[self]
			in.end = uint32(p)
			last, self, in.next = int(self), in.next, 0
			object = self != outside && t.nodes[self].kind == Object
		}
	}
}

// name reads the name of the member n, which starts at p, and the colon, and
// returns the position of the value or bad.
func (t *Tree) name(n *node, p uint) uint {
	data := t.data
	if p >= uint(len(data)) || data[p] != '"' {
		return t.fail(p, "name of a member expected")
	}
	if q := plain(data, p+1); q < uint(len(data)) && data[q] == '"' {
		n.keyStart, n.keyEnd, p = uint32(p+1), uint32(q), q+1
	} else if n.keyStart, n.keyEnd, p = t.escaped(p+1, q); p == bad {
		return bad
	} else {
		n.keyInText = true
	}
	if p >= uint(len(data)) || data[p] != ':' {
		if p = t.space(p); p >= uint(len(data)) || data[p] != ':' {
			return t.fail(p, "colon expected")
		}
	}
	if p++; p < uint(len(data)) && data[p] <= ' ' {
		p = t.space(p)
	}
	return p
}

// literal reads what starts with c at p, which can only be a word.
func (t *Tree) literal(p uint, c byte) (kind Kind, after uint) {
	var word string
	switch c {
	case 't':
		kind, word = True, "true"
	case 'f':
		kind, word = False, "false"
	case 'n':
		kind, word = Null, "null"
	default:
		return Null, t.fail(p, "value expected")
	}
	end := p + uint(len(word))
	if end > uint(len(t.data)) || string(t.data[p:end]) != word {
		return Null, t.fail(p, "true, false or null expected")
	}
	return kind, end
}

// number reads a number. One with a fraction or an exponent is read as floating
// point by whoever uses it, so one beyond that is refused; integers are not.
func (t *Tree) number(p uint) (kind Kind, after uint) {
	data := t.data
	start := p
	if data[p] == '-' {
		p++
	}
	if p < uint(len(data)) && data[p] == '0' {
		p++
	} else {
		digits := p
		for p < uint(len(data)) && '0' <= data[p] && data[p] <= '9' {
			p++
		}
		if p == digits {
			return Null, t.fail(p, "digit expected")
		}
	}
	if p >= uint(len(data)) || data[p] != '.' && data[p]|0x20 != 'e' {
		return Integer, p
	}
	return Decimal, t.decimal(start, p)
}

// decimal reads on at the fraction or the exponent of a number.
func (t *Tree) decimal(start, p uint) uint {
	exponent := false
	if t.data[p] == '.' {
		end := t.digits(p + 1)
		if end == p+1 {
			return t.fail(end, "digit expected")
		}
		p = end
	}
	if p < uint(len(t.data)) && t.data[p]|0x20 == 'e' {
		exponent = true
		p++
		if p < uint(len(t.data)) && (t.data[p] == '+' || t.data[p] == '-') {
			p++
		}
		end := t.digits(p)
		if end == p {
			return t.fail(end, "digit expected")
		}
		p = end
	}
	const digits = 300 // fewer than the largest float has
	if exponent || p-start > digits {
		if _, err := strconv.ParseFloat(string(t.data[start:p]), 64); err != nil {
			return t.fail(start, "number beyond 64-bit floating point")
		}
	}
	return p
}

// digits returns the position after the digits that start at p.
func (t *Tree) digits(p uint) uint {
	for p < uint(len(t.data)) && '0' <= t.data[p] && t.data[p] <= '9' {
		p++
	}
	return p
}
