// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
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

// event makes the event that is to be read: it looks for class_uid ahead.
func (d *decoder) event() (Event, error) {
	uid, ok := d.classUID()
	if d.err != nil {
		return nil, d.err
	}
	if !ok { // or it is not JSON at all
		d.raw()
		d.finish()
		if d.err != nil {
			return nil, d.err
		}
		return nil, fmt.Errorf("%w: no class_uid", ErrUnknownClass)
	}
	if e := New(ClassUID(uid)); e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("%w: class_uid %d", ErrUnknownClass, uid)
}

// classUID reads no more of the event than it has to; what it passes by is
// checked when it is read in earnest.
func (d *decoder) classUID() (uid int64, ok bool) {
	defer func() {
		if d.err == nil {
			d.i, d.depth = 0, 0
		}
	}()
	d.want('{', "an object")
	for d.err == nil {
		if d.peek() != '"' {
			return 0, false // the end, or no JSON: reading will tell
		}
		start := d.i
		d.pass()
		name := d.s[start:d.i]
		if strings.IndexByte(name, '\\') >= 0 {
			d.i = start
			name = `"` + d.string() + `"`
		}
		if d.peek() != ':' {
			return 0, false
		}
		d.i++
		if name == `"class_uid"` {
			d.peek()
			return d.integer(), d.err == nil
		}
		d.pass()
		if d.peek() != ',' {
			return 0, false
		}
		d.i++
	}
	return 0, false
}

// pass goes behind the value that begins next, without a look at what is in it.
func (d *decoder) pass() {
	depth := 0
	for c := d.peek(); d.i < len(d.s); c = d.peek() {
		switch c {
		case '"':
			for d.i = skipPlain(d.s, d.i+1); d.i < len(d.s) && d.s[d.i] != '"'; d.i = skipPlain(d.s, d.i+1) {
				if d.s[d.i] == '\\' {
					d.i++
				}
			}
			d.i++
		case '{', '[':
			depth++
			d.i++
		case '}', ']':
			depth--
			d.i++
		case ',', ':':
			d.i++
		default:
			for d.i < len(d.s) && !delimits(d.s[d.i]) {
				d.i++
			}
		}
		if depth <= 0 {
			break
		}
	}
	d.i = min(d.i, len(d.s))
}

func delimits(c byte) bool {
	switch c {
	case ',', ':', '}', ']', '{', '[', '"', ' ', '\t', '\n', '\r':
		return true
	}
	return false
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
func (d *decoder) next(m *members) bool {
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
