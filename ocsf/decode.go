// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"errors"
	"math/bits"
	"strconv"
)

// Decode reads one event of any class of any version. It is lossless: what the
// fields of the class's type cannot tell is kept in [Extra], free-form values
// are [Raw], and the event is [Base.Verbatim], so that [Append] writes the
// same JSON value again. Strings of the event share one copy of b.
//
// It does not validate: see [Validate]. But it fails where a value does not
// fit its Go type, with a [*DecodeError] that holds a [*TypeError]; on a class
// that this package does not know, with [ErrUnknownClass]; and on what is not
// JSON as RFC 8259 has it, with a [*SyntaxError]: duplicate names, invalid UTF-8
// and nesting deeper than [MaxDepth] among it.
func Decode(b []byte) (Event, error) {
	d := decoder{s: string(b)}
	if e := d.likely(); e != nil {
		e.Common().Verbatim = true
		return e, nil
	}
	d = decoder{s: d.s}
	e, err := d.event()
	if err == nil {
		e.decode(&d)
		d.finish()
		err = d.err
	}
	if err != nil {
		var syntax *SyntaxError
		if errors.As(err, &syntax) {
			d.i = int(syntax.Offset)
		}
		return nil, &DecodeError{Path: pathAt(b[:min(d.i, len(b))]), Offset: int64(d.i), Err: err}
	}
	e.Common().Verbatim = true
	return e, nil
}

// A decoder reads one event. Its methods are what the generated decode methods
// are made of. After the first error nothing is read any more.
type decoder struct {
	s     string
	i     int // where the next byte to read is
	err   error
	depth int
	name  string // of the member being read
}

// members is the state of reading one object.
type members struct {
	seen  [2]uint64 // attributes that have been there, by their index
	some  bool
	extra Extra
	names map[string]struct{} // of extra, once there are many
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) syntax(reason string) {
	d.fail(&SyntaxError{Offset: int64(d.i), Reason: reason})
}

// peek passes white space and returns the byte behind it, 0 at the end.
func (d *decoder) peek() byte {
	if d.i < len(d.s) && d.s[d.i] > ' ' {
		return d.s[d.i]
	}
	return d.space()
}

func (d *decoder) space() byte {
	for d.i < len(d.s) {
		switch c := d.s[d.i]; c {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return c
		}
	}
	return 0
}

// want reads one byte of punctuation that begins what.
func (d *decoder) want(c byte, what string) bool {
	if d.err != nil {
		return false
	}
	if got := d.peek(); got != c {
		d.mismatch(what, got)
		return false
	}
	d.i++
	return true
}

// mismatch says that a value is not what, or that it is no value at all.
func (d *decoder) mismatch(what string, got byte) {
	if kind := kindOf(got); kind != "" {
		d.fail(&TypeError{Want: what, Got: kind})
		return
	}
	d.syntax("want " + what)
}

func kindOf(c byte) string {
	switch {
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == 't', c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	case c == '-', '0' <= c && c <= '9':
		return "a number"
	}
	return ""
}

// finish says that nothing may follow.
func (d *decoder) finish() {
	if d.err == nil && d.peek() != 0 || d.i < len(d.s) {
		d.syntax("more than one value")
	}
}

// open begins an object.
func (d *decoder) open() {
	if d.depth++; d.depth > MaxDepth {
		d.fail(ErrDepth)
	}
	d.want('{', "an object")
}

// next reads up to the next member's value; at the object's end it returns false.
// A plain name without white space around it, as canonical text has them, is read
// here, everything else by member.
func (d *decoder) next(m *members) bool {
	s, at := d.s, d.i
	if d.err != nil || at < 0 || at >= len(s) {
		return d.member(m)
	}
	c := s[at]
	if c == '}' {
		d.i++
		d.depth--
		return false
	}
	if m.some {
		if at++; c != ',' || at >= len(s) {
			return d.member(m)
		}
		c = s[at]
	}
	if c != '"' {
		return d.member(m)
	}
	at++
	for i := at; i <= len(s)-8; i += 8 {
		hit := special(load(s, i)) & highs
		if hit == 0 {
			continue
		}
		i += bits.TrailingZeros64(hit) / 8
		if i+1 >= len(s) || s[i] != '"' || s[i+1] != ':' {
			break
		}
		d.name, d.i, m.some = s[at:i], i+2, true
		return true
	}
	return d.member(m)
}

// member is next for whatever text.
func (d *decoder) member(m *members) bool {
	if d.err != nil {
		return false
	}
	c := d.peek()
	if c == '}' {
		d.i++
		d.depth--
		return false
	}
	if m.some {
		if c != ',' {
			d.syntax("want , or }")
			return false
		}
		d.i++
		c = d.peek()
	}
	m.some = true
	if c != '"' {
		d.syntax("want a name")
		return false
	}
	d.name = d.string()
	if d.err == nil && d.peek() != ':' {
		d.syntax("want :")
	}
	if d.err != nil {
		return false
	}
	d.i++
	return true
}

// once notes that attribute i of the type has been there.
func (d *decoder) once(m *members, i uint) {
	if m.seen[i/64]&(1<<(i%64)) != 0 {
		d.duplicate()
	}
	m.seen[i/64] |= 1 << (i % 64)
}

func (d *decoder) duplicate() { d.syntax("duplicate name " + strconv.QuoteToASCII(d.name)) }

// keep keeps the member being read, whose value starts at start and has been
// read, beside the fields.
func (d *decoder) keep(m *members, start int) {
	if d.err == nil {
		m.extra = append(m.extra, Member{Name: d.name, Value: Raw(d.s[start:d.i])})
	}
}

// unknown reads a member that the type has no field for.
func (d *decoder) unknown(m *members) {
	const few = 16
	switch {
	case len(m.extra) < few:
		if m.extra.Get(d.name) != nil {
			d.duplicate()
		}
	case m.names == nil:
		m.names = make(map[string]struct{}, 2*few)
		for _, x := range m.extra {
			m.names[x.Name] = struct{}{}
		}
		fallthrough
	default:
		if _, ok := m.names[d.name]; ok {
			d.duplicate()
		}
		m.names[d.name] = struct{}{}
	}
	name, value := d.name, d.raw()
	if d.err == nil {
		m.extra = append(m.extra, Member{Name: name, Value: value})
	}
}
