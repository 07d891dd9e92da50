// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"fmt"
	"strings"
)

// likely reads the event, or returns nil: event and its classUID then find out
// what the event is and what is wrong with it. It takes the first class_uid that
// the text has for that of the event, which saves going through the text to find
// it. When reading ends well and has come upon the same number in its place, it
// was that.
func (d *decoder) likely() Event {
	class := d.firstClass()
	if class == ClassBaseEvent {
		return nil // 0, as of an event that has none
	}
	e := New(class)
	if e == nil {
		return nil
	}
	e.decode(d)
	d.finish()
	if d.err != nil || e.Common().ClassUID != class {
		return nil
	}
	return e
}

// firstClass returns the number behind the first "class_uid": of the text, or 0.
func (d *decoder) firstClass() ClassUID {
	// Without its first letter: what is hexadecimal is full of c, and has no l.
	const key = `lass_uid":`
	at := strings.Index(d.s, key)
	if at < 0 {
		return 0
	}
	uid, _ := shortInteger(d.s, blank(d.s, at+len(key)))
	return ClassUID(uid)
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
