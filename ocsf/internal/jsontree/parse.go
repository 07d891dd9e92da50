// SPDX-License-Identifier: Apache-2.0

package jsontree

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// bad is returned instead of a position by what has set t.fault.
const bad = -1

// Parse reads text, which must be one JSON value and white space around it. The
// error is a *[SyntaxError]; beside what RFC 8259 forbids, invalid UTF-8, halves
// of surrogate pairs, numbers with a fraction or an exponent beyond 64-bit
// floating point, nesting deeper than [MaxDepth] and more than 2 GiB are
// refused.
func (t *Tree) Parse(text []byte) error {
	t.data, t.text, t.nodes = text, t.text[:0], t.nodes[:0]
	p := t.document()
	if p == bad {
		fault := t.fault
		return &fault
	}
	return nil
}

func (t *Tree) fail(at int, reason string) int {
	t.fault = SyntaxError{Offset: int64(at), Reason: reason}
	return bad
}

func (t *Tree) document() int {
	if len(t.data) > math.MaxInt32 {
		return t.fail(math.MaxInt32, "longer than 2 GiB")
	}
	// In one sweep, which is many times faster than to look at each string.
	if !utf8.Valid(t.data) {
		return t.fail(invalidUTF8(t.data), "invalid UTF-8")
	}
	p := t.value(t.space(0), 0)
	if p == bad {
		return bad
	}
	if p = t.space(p); p != len(t.data) {
		return t.fail(p, "nothing more expected after the value")
	}
	return p
}

func invalidUTF8(b []byte) int {
	at := 0
	for at < len(b) {
		r, n := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	return at
}

// space returns the position of the first byte from p on that is not white space.
func (t *Tree) space(p int) int {
	for p < len(t.data) {
		switch t.data[p] {
		case ' ', '\n', '\t', '\r':
			p++
		default:
			return p
		}
	}
	return p
}

// value reads what starts at p into a new node, within depth objects and
// arrays, and returns the position after it.
func (t *Tree) value(p, depth int) int {
	if p >= len(t.data) {
		return t.fail(len(t.data), "value expected, but the text ends")
	}
	switch c := t.data[p]; {
	case c == '"':
		return t.str(p)
	case c == '{':
		return t.object(p, depth+1)
	case c == '[':
		return t.array(p, depth+1)
	case c == '-' || '0' <= c && c <= '9':
		return t.number(p)
	case c == 't':
		return t.literal(p, "true", True)
	case c == 'f':
		return t.literal(p, "false", False)
	case c == 'n':
		return t.literal(p, "null", Null)
	default:
		return t.fail(p, "value expected")
	}
}

func (t *Tree) literal(p int, word string, kind Kind) int {
	end := p + len(word)
	if end > len(t.data) || string(t.data[p:end]) != word {
		return t.fail(p, "true, false or null expected")
	}
	t.nodes = append(t.nodes, node{kind: kind, start: uint32(p), end: uint32(end)})
	return end
}

func (t *Tree) str(p int) int {
	start, end, inText, p := t.quoted(p)
	t.nodes = append(t.nodes, node{kind: String, start: start, end: end, inText: inText})
	return p
}

func (t *Tree) array(p, depth int) int {
	self := len(t.nodes)
	t.nodes = append(t.nodes, node{kind: Array, start: uint32(p)})
	if depth > MaxDepth {
		return t.fail(p, "nested too deeply")
	}
	p = t.space(p + 1)
	if p < len(t.data) && t.data[p] == ']' {
		t.nodes[self].end = uint32(p + 1)
		return p + 1
	}
	t.nodes[self].filled = true
	for last := 0; ; {
		child := len(t.nodes)
		if last != 0 {
			t.nodes[last].next = Node(child)
		}
		if p = t.value(p, depth); p == bad {
			return bad
		}
		last = child
		switch p = t.space(p); {
		case p < len(t.data) && t.data[p] == ',':
			p = t.space(p + 1)
		case p < len(t.data) && t.data[p] == ']':
			t.nodes[self].end = uint32(p + 1)
			return p + 1
		default:
			return t.fail(p, "comma or closing bracket expected")
		}
	}
}

func (t *Tree) object(p, depth int) int {
	self := len(t.nodes)
	t.nodes = append(t.nodes, node{kind: Object, start: uint32(p)})
	if depth > MaxDepth {
		return t.fail(p, "nested too deeply")
	}
	p = t.space(p + 1)
	if p < len(t.data) && t.data[p] == '}' {
		t.nodes[self].end = uint32(p + 1)
		return p + 1
	}
	t.nodes[self].filled = true
	for last := 0; ; {
		if p >= len(t.data) || t.data[p] != '"' {
			return t.fail(p, "name of a member expected")
		}
		keyStart, keyEnd, keyInText, after := t.quoted(p)
		if after == bad {
			return bad
		}
		if p = t.space(after); p >= len(t.data) || t.data[p] != ':' {
			return t.fail(p, "colon expected")
		}
		child := len(t.nodes)
		if last != 0 {
			t.nodes[last].next = Node(child)
		}
		if p = t.value(t.space(p+1), depth); p == bad {
			return bad
		}
		e := &t.nodes[child]
		e.keyStart, e.keyEnd, e.keyInText = keyStart, keyEnd, keyInText
		last = child
		switch p = t.space(p); {
		case p < len(t.data) && t.data[p] == ',':
			p = t.space(p + 1)
		case p < len(t.data) && t.data[p] == '}':
			t.nodes[self].end = uint32(p + 1)
			return p + 1
		default:
			return t.fail(p, "comma or closing brace expected")
		}
	}
}

// number reads a number. One with a fraction or an exponent is read as floating
// point by whoever uses it, so one beyond that is refused; integers are not.
func (t *Tree) number(p int) int {
	start, kind, exponent := p, Integer, false
	if t.data[p] == '-' {
		p++
	}
	switch {
	case p < len(t.data) && t.data[p] == '0':
		p++
	case t.digits(p) > p:
		p = t.digits(p)
	default:
		return t.fail(p, "digit expected")
	}
	if p < len(t.data) && t.data[p] == '.' {
		kind = Decimal
		end := t.digits(p + 1)
		if end == p+1 {
			return t.fail(end, "digit expected")
		}
		p = end
	}
	if p < len(t.data) && (t.data[p] == 'e' || t.data[p] == 'E') {
		kind, exponent = Decimal, true
		p++
		if p < len(t.data) && (t.data[p] == '+' || t.data[p] == '-') {
			p++
		}
		end := t.digits(p)
		if end == p {
			return t.fail(end, "digit expected")
		}
		p = end
	}
	const digits = 300 // fewer than the largest float has
	if exponent || kind == Decimal && p-start > digits {
		if _, err := strconv.ParseFloat(string(t.data[start:p]), 64); err != nil {
			return t.fail(start, "number beyond 64-bit floating point")
		}
	}
	t.nodes = append(t.nodes, node{kind: kind, start: uint32(start), end: uint32(p)})
	return p
}

// digits returns the position after the digits that start at p.
func (t *Tree) digits(p int) int {
	for p < len(t.data) && '0' <= t.data[p] && t.data[p] <= '9' {
		p++
	}
	return p
}
