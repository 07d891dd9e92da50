// SPDX-License-Identifier: Apache-2.0

package eventfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// maxDepth bounds how deep an event may nest: no decoder of JSON in Go goes
// further.
const maxDepth = 10_000

// scanned is how far an object was looked at, and what was found.
type scanned struct {
	n      int // bytes from r.start on: the object, or what is before the fault
	how    ending
	reason string
	long   bool // longer than is allowed, so that its beginning may be gone

	// Where the object begins; r itself moves on in one that is too long.
	line, offset int64
	indent       int
}

type ending int

const (
	unfinished ending = iota // more of it has to be read
	whole                    // to its last bracket
	bundle                   // to the bracket with which the events of a bundle begin
	broken                   // before a bracket or an end of line that does not fit
	cut                      // by the end of what could be read
)

// scan finds the end of the object that begins at r.start or, when what is
// around a bundle's events is begun, the end of that.
func (r *Reader) scan(around []byte) scanned {
	s := scanned{line: r.line, offset: r.offset, indent: r.indent}
	m := marks{stack: r.stack[:0], key: -1, most: r.opts.MaxEvent, plain: len(r.open) >= maxOpen}
	if around != nil {
		m.stack, m.prev, m.plain = append(m.stack, '{'), ']', true
	}
	for p, gone := 0, len(around); ; {
		s.n, s.how, s.reason = m.read(r.buf[r.start:r.end], p)
		if s.long = gone+s.n > r.opts.MaxEvent; s.how != unfinished {
			break
		}
		p = s.n
		if s.long { // its bytes are of no use any more
			r.take(p)
			gone, p, m.plain, m.key = gone+p, 0, true, -1
		}
		if !r.fill() {
			s.n, s.how, s.reason = p, cut, "the event never ends: the input is cut off"
			break
		}
	}
	r.stack = m.stack
	return s
}

// marks is what has to be known of an object so far to find its end. It is told
// by brackets and strings, and by one thing more: a line that begins with a
// bracket where no value can begin is the next event, and the one before it was
// cut off. What else a line that was cut off seems to contain, skip gives back.
type marks struct {
	stack           []byte // the brackets that are open
	prev            byte   // the last byte that is not white space
	fresh           bool   // nothing else was in the line so far
	quoted, escaped bool   // in a string, behind a backslash
	plain           bool   // not a bundle, whatever it holds
	most            int    // of bytes before the events of a bundle
	key             int    // where the name began that is being read, or -1
	events          bool   // the last name was "events"
}

// read goes on at p in the bytes of the object from its beginning on. It returns
// how far it came and why it ended.
func (m *marks) read(b []byte, p int) (int, ending, string) {
	for ; p < len(b); p++ {
		c := b[p]
		if m.quoted {
			for !m.escaped && p+1 < len(b) && inString[c] {
				p++
				c = b[p]
			}
			switch {
			case c == '\n':
				return p, broken, "a string never ends: the line is cut off"
			case m.escaped:
				m.escaped = false
			case c == '\\':
				m.escaped = true
			case c == '"':
				m.quoted = false
				m.named(b, p)
			}
			continue
		}
		switch c {
		case ' ', '\t', '\r':
			continue
		case '\n':
			m.fresh = true
			continue
		case '"':
			m.quoted, m.key = true, -1
			if len(m.stack) == 1 && !m.plain && (m.prev == '{' || m.prev == ',') {
				m.key = p
			}
		case '{', '[':
			if why := m.begins(); why != "" {
				return p, broken, why
			}
			if c == '[' && m.events && m.prev == ':' && len(m.stack) == 1 && !m.plain && p < m.most {
				return p + 1, bundle, ""
			}
			m.stack = append(m.stack, c)
		case '}', ']':
			if m.stack[len(m.stack)-1] != c-2 { // in ASCII the two are two apart
				return p, broken, fmt.Sprintf("%q ends what begins with %q", c, m.stack[len(m.stack)-1])
			}
			if m.stack = m.stack[:len(m.stack)-1]; len(m.stack) == 0 {
				return p + 1, whole, ""
			}
		}
		m.prev, m.fresh = c, false
	}
	return p, unfinished, ""
}

// inString is what strings consist of, but for what ends or escapes.
var inString = func() (t [256]bool) {
	for i := range t {
		t[i] = i != '"' && i != '\\' && i != '\n'
	}
	return t
}()

// named looks at a name of the outermost object, which ends at p.
func (m *marks) named(b []byte, p int) {
	if m.key < 0 {
		return
	}
	name := string(b[m.key+1 : p])
	const most = len(`\u0000`) * len("class_uid") // bytes of a name that matters
	if len(name) <= most && strings.Contains(name, `\`) && json.Unmarshal(b[m.key:p+1], &name) != nil {
		name = "" // no name; who reads the event says so
	}
	m.events = name == "events"
	m.plain = name == "class_uid" // then it is an event, whatever else it has
}

// begins says why no bracket can begin here, if it cannot.
func (m *marks) begins() string {
	n := len(m.stack)
	switch {
	case n >= maxDepth:
		return fmt.Sprintf("the event nests deeper than %d", maxDepth)
	case m.fresh && m.prev != ':' && m.prev != '[' && (m.prev != ',' || m.stack[n-1] != '['):
		return "the event never ends: another one begins where it should go on"
	}
	return ""
}

// skip leaves what scan found to be broken: the rest of its line and, of what
// spans lines, those up to one that may begin an event. That is searched for
// from the second line on, for when the first was one that was cut off, all
// others are events. So as not to look at the same bytes for ever, that costs
// credit, which comes from bytes taken.
func (r *Reader) skip(s scanned) {
	first := bytes.IndexByte(r.buf[r.start:r.start+s.n], '\n') + 1
	again := int64(s.n - first)
	switch {
	case first == 0 && !s.long: // the fault is in the first line
		r.restOfLine()
	case !s.long && again <= r.credit:
		r.credit -= again
		r.take(first)
		r.toBracket(s.indent)
	default:
		r.take(s.n)
		if !r.lead { // else it begins with what may be an event
			r.restOfLine()
		}
		r.toBracket(s.indent)
	}
	if s.how == cut {
		r.open, r.loose = nil, true
	}
	for n := len(r.open); n > 0 && r.open[n-1].line == s.line; n-- {
		r.open, r.loose = r.open[:n-1], true // its line was cut off, and it with that
	}
	if n := len(r.open); n > 0 {
		r.open[n-1].expect = whatever
	}
}

// toBracket takes whole lines until one begins with a bracket and no more white
// space than indent: those within an event that is laid out have more.
func (r *Reader) toBracket(indent int) {
	for r.space() {
		if r.lead && r.indent <= indent && slices.Contains([]byte("{[]"), r.buf[r.start]) {
			return
		}
		r.restOfLine()
	}
}
