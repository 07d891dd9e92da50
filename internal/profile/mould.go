// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"
)

// Events are alike: those of one kind differ in what some values say, and not in which
// values there are. So whoever reads many keeps the last ones, each of another form, as
// moulds. An event that fits one is not read: what is the same is passed over by sixteen
// bytes at a time, what differs is judged as a reader would judge it, and put in the
// place of what was there. Where there is a doubt it does not fit, and is read.
//
// Those of a [Tree] know each value, and become the event that fits. Those of a
// [Series] stay what they are, and know the values that a reader asks for: in the place
// of the others there may be any.

// A mould is an event that was read, and all that was read of it.
type mould struct {
	reader // of the event; its nodes are those of the tree

	text  []byte
	marks []mark // one of each node
	slots []slot
	id    uint64 // none is like another's; 0 of what is no mould
	used  uint64 // the higher, the later
	next  *mould // which the event after the last one fitted

	asked   uint64 // in which search
	strayed place  // of the event that did not fit it then
	forks   []fork

	changes []change // between the event and one that is held against it
	turned  []int32  // of a series: the slots that say what the last event says
}

// A mark says what was made of a value. Of an object or an array it says nothing.
type mark struct {
	is   marking
	slot int32 // of a value that the header is made of
}

type marking byte

const (
	free   marking = iota // nobody asked for it, but for its type
	steers                // what is read of the event depends on it
	filled                // it is in a slot
	passed                // nobody asked for it, and it may be any value
)

// A slot is where a value went.
type slot struct {
	text   *string
	room   []byte // what text is
	digest bool   // it has to be a SHA-256

	whole *int64
	small *int32

	memory // of a series
}

// A change is a value that differs: where the other is.
type change struct{ node, at, end int32 }

// learn makes m, whose reader has just read raw, a mould.
func (m *mould) learn(raw []byte, id uint64) {
	m.text, m.id, m.next, m.forks = append(m.text[:0], raw...), id, nil, m.forks[:0]
	m.marks = append(m.marks[:0], make([]mark, len(m.nodes))...)
	m.slots = m.slots[:0]
	for _, n := range m.notes {
		switch {
		case n.whole != nil || n.small != nil:
			m.fill(n.node, slot{whole: n.whole, small: n.small})
		default:
			m.marks[n.node].is = n.is
		}
	}
	for i, t := range m.texts {
		if !t.last(m.texts[i+1:]) {
			m.marks[t.node].is = free // another came after it
			continue
		}
		s := slot{text: t.to, digest: t.digest}
		if !m.flat {
			s.say(m.room[t.lo:t.hi])
		}
		m.fill(t.node, s)
	}
}

func (m *mould) fill(node int32, s slot) {
	m.marks[node] = mark{filled, int32(len(m.slots))}
	m.slots = append(m.slots, s)
}

// say makes the slot's text said, in the room that it has.
func (s *slot) say(said []byte) {
	s.room = append(s.room[:0], said...)
	*s.text = unsafe.String(unsafe.SliceData(s.room), len(s.room)) //nolint:gosec // no allocation for each text of each event
}

// fits says whether s is the source of an event of the mould's form, and notes what
// differs; if it is not, where it strayed from that. looked is how much of s it had to
// look at. s was opened.
func (m *mould) fits(s source) (fits bool, looked int) {
	m.changes = m.changes[:0]
	was, is, node := 0, 0, 0 // up to here they are the same, or noted
	for {
		n := alike(m.text[was:], s.b[is:])
		if was+n == len(m.text) {
			m.stray(node, s.b[is+n:])
			return is+n == len(s.b), is + n
		}
		for node+1 < len(m.nodes) && int(m.nodes[node+1].at) <= was+n {
			node++
		}
		v := &m.nodes[node]
		begins, ends := int(v.at), int(v.end)
		if begins < was || was+n > ends {
			m.stray(node, s.b[is+n:]) // it is between values that they differ
			return false, is + n
		}
		at := is + begins - was
		end, may := m.other(node, &s, at)
		if !may || was+n == ends && end-at == ends-begins { // behind the same value
			m.stray(node, s.b[is+n:])
			return false, max(is+n, end)
		}
		m.changes = append(m.changes, change{int32(node), int32(at), int32(end)})
		was, is = ends, end
	}
}

// stray notes that an event does not fit, from a node on or behind it.
func (m *mould) stray(node int, rest []byte) { m.strayed = place{node, glance(rest)} }

// other returns the end of the value at s.b[at], and whether it may be in the place of a
// node. When it may not, or that is not sure, the end is how far it had to look: for a
// value that nobody could be sure of, to the end.
func (m *mould) other(node int, s *source, at int) (end int, may bool) {
	v, k := &m.nodes[node], m.marks[node]
	if k.is == steers || at >= len(s.b) {
		return at, false
	}
	if s.slash < at { // what was passed over has escapes
		s.slash = at
		s.next()
	}
	if k.is == passed {
		if end = s.sound(at, 0); end < 0 {
			return len(s.b), false
		}
		return end, true
	}
	switch c := m.text[v.at]; {
	case c == '"':
		if s.b[at] != '"' {
			return at, false
		}
		end, escapes := s.quoted(at + 1)
		if end < 0 || escapes == escapesOdd {
			return len(s.b), false
		}
		return end + 1, k.is != filled || escapes == escapesNone && (!m.slots[k.slot].digest || isHexSHA256(s.b[at+1:end]))
	case c == '-' || c >= '0' && c <= '9':
		if end = s.number(at); end < 0 {
			return len(s.b), false
		}
		if isShort(m.text[v.at:v.end]) && !isShort(s.b[at:end]) {
			return end, false
		}
		return end, k.is != filled || m.slots[k.slot].takes(s.b[at:end])
	}
	return at, false
}

// takes says whether a number has room in the slot.
func (s *slot) takes(number []byte) bool {
	n, ok := integer(number)
	return ok && (s.small == nil || n <= math.MaxInt32 && n >= math.MinInt32)
}

// isShort says whether a number is a whole one that every integer has room for.
func isShort(number []byte) bool {
	digits := bytes.TrimPrefix(number, []byte("-"))
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(digits) <= 15
}

// count makes the slot's number n.
func (s *slot) count(n int64) {
	if s.whole != nil {
		*s.whole = n
	} else {
		*s.small = int32(n)
	}
}

// take puts raw, which fits, in the place of the event.
func (m *mould) take(raw []byte) {
	for _, c := range m.changes {
		k := m.marks[c.node]
		if k.is != filled {
			continue
		}
		s := &m.slots[k.slot]
		if s.text != nil {
			s.say(raw[c.at+1 : c.end-1])
			continue
		}
		n, _ := integer(raw[c.at:c.end])
		s.count(n)
	}
	m.move()
	m.text = append(m.text[:0], raw...)
}

// move puts the nodes where they are in the other event.
func (m *mould) move() {
	same := true
	for _, c := range m.changes {
		v := &m.nodes[c.node]
		same = same && c.at == v.at && c.end == v.end
	}
	if same {
		return
	}
	// A place is moved by as much as the last value that ends before it. Those of
	// nodes ascend, but for the ends of objects and arrays.
	var by int32
	ends := make([]change, 0, 64) // the end of a value that differs, and by how much is moved what comes behind it
	for _, c := range m.changes {
		ends = append(ends, change{at: m.nodes[c.node].end, end: c.end - m.nodes[c.node].end})
	}
	next := 0
	for i := range m.nodes {
		v := &m.nodes[i]
		for next < len(ends) && ends[next].at <= v.at {
			by = ends[next].end
			next++
		}
		if v.nameEnd > 0 {
			v.name, v.nameEnd = v.name+by, v.nameEnd+by
		}
		at := by
		for j := next; j < len(ends) && ends[j].at <= v.end; j++ {
			at = ends[j].end
		}
		v.at, v.end = v.at+by, v.end+at
	}
}

// alike returns how many bytes a and b begin with alike.
func alike(a, b []byte) int {
	all := len(a)
	for len(a) >= 16 && len(b) >= 16 {
		x := binary.LittleEndian.Uint64(a) ^ binary.LittleEndian.Uint64(b)
		y := binary.LittleEndian.Uint64(a[8:]) ^ binary.LittleEndian.Uint64(b[8:])
		switch {
		case x != 0:
			return all - len(a) + bits.TrailingZeros64(x)>>3
		case y != 0:
			return all - len(a) + 8 + bits.TrailingZeros64(y)>>3
		}
		a, b = a[16:], b[16:]
	}
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	return all - len(a)
}
