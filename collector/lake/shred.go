// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/collector/store"
)

// A shredder puts the attributes of events into the columns of a public file,
// as Parquet has them: of each leaf the values that are there, and for each
// place where there could be one how much of its path is. It reads the bytes
// once, and by itself; whoever checks a file has [nester], which does neither.
// Not for concurrent use.
type shredder struct {
	text
	root  *branch
	bytes []byte // texts that had escapes, without them
}

// A branch is an attribute that has columns.
type branch struct {
	node     *node
	leaf     *chunk    // of what is no struct
	leaves   []*chunk  // all of it
	children []*branch // of a struct, by name
	members  []limb    // of a struct, by name: what occurred

	// Levels, in the words of Parquet: of definition where the attribute is not
	// there, and where its value (each of its elements) is; of repetition where an
	// element follows another one.
	absent, present, again int16

	object uint64 // how many objects of this struct were begun
	within uint64 // in which one of the parent's the attribute was last
}

// A limb is a name that occurs in an object.
type limb struct {
	name      string
	to        *branch // nil: there are no columns
	attribute bool    // the catalog has it
}

// newShredder returns one for columns, which are those of the attributes of root
// in their order.
func newShredder(root *node, columns []chunk) *shredder {
	s := &shredder{root: &branch{node: root}}
	s.root.grow(columns)
	return s
}

// grow makes the branches of what occurs in b. It returns the columns that are
// left.
func (b *branch) grow(columns []chunk) []chunk {
	for _, m := range b.node.members {
		c, _ := b.node.child(m.name)
		if c == nil {
			b.members = append(b.members, limb{m.name, nil, m.node != nil})
			continue
		}
		sub := &branch{node: c, absent: b.present, present: b.present + 1, again: b.again}
		if c.list {
			sub.present, sub.again = b.present+3, b.again+1
		}
		if c.kind == nodeStruct {
			columns = sub.grow(columns)
		} else {
			sub.leaf, sub.leaves = &columns[0], []*chunk{&columns[0]}
			columns = columns[1:]
		}
		b.children = append(b.children, sub)
		b.members = append(b.members, limb{m.name, sub, true})
		b.leaves = append(b.leaves, sub.leaves...)
	}
	return columns
}

// missing notes that of b and all in it there is nothing but what def says.
func (b *branch) missing(rep, def int16) {
	for _, c := range b.leaves {
		c.place(rep, def)
	}
}

// member takes the name that is next in an object of b, and returns what there is
// for it, nil when nobody knows; see [text.member]. The name is gone with the next
// one.
func (s *shredder) member(b *branch, at int) (m *limb, name []byte, next int) {
	s.peek()
	for i := at; i < min(len(b.members), at+nearMembers); i++ {
		if s.called(b.members[i].name) {
			return &b.members[i], nil, i + 1
		}
	}
	name, ok := s.name()
	if !ok {
		return nil, nil, at
	}
	i, found := slices.BinarySearchFunc(b.members, string(name), func(m limb, name string) int { return cmp.Compare(m.name, name) })
	if !found {
		return nil, name, i
	}
	return &b.members[i], name, i + 1
}

// shred puts the attributes of an event, which is JSON, into the columns. The
// bytes of e MUST stay as they are until these are flushed.
func (s *shredder) shred(e *store.Entry) error {
	s.open(e.Raw)
	s.peek()
	err := cmp.Or(s.object(s.root, 0), s.err())
	if err != nil {
		return fmt.Errorf("row %d of commit %d: %w", e.Pos, e.Commit, err)
	}
	return nil
}

// flushed forgets what the columns referred to.
func (s *shredder) flushed() { s.bytes = s.bytes[:0] }

// object reads the object that is next. Of members of the same name the first
// counts.
func (s *shredder) object(b *branch, rep int16) error {
	b.object++
	at := 0 // in the members
	for more := s.begin('}'); more; more = s.more('}') {
		m, name, next := s.member(b, at)
		at = next
		switch {
		case s.bad:
		case m == nil:
			if err := s.stray(b.node, string(name)); err != nil {
				return err
			}
		case m.to == nil && m.attribute:
			if err := s.stray(b.node, m.name); err != nil {
				return err
			}
		case m.to == nil, m.to.within == b.object:
			s.value()
		default:
			m.to.within = b.object
			if err := s.attribute(m.to, rep); err != nil {
				return err
			}
		}
	}
	for _, c := range b.children {
		if c.within != b.object {
			c.missing(rep, c.absent)
		}
	}
	return nil
}

// stray passes over a value of n for which there is no column. Nothing may
// occur in it.
func (s *shredder) stray(n *node, name string) error {
	c := n.attribute(name)
	if c == nil {
		s.value()
		return nil
	}
	s.seeValue(c, false)
	if !c.prune() {
		return fmt.Errorf("%w: there is no column for attribute %s, which occurs", ErrCorrupt, name)
	}
	return nil
}

// attribute reads the value of b.
func (s *shredder) attribute(b *branch, rep int16) error {
	k := s.peek()
	switch {
	case !b.node.list:
		return s.element(b, k, rep)
	case k != '[':
		s.value()
		b.missing(rep, b.absent)
		return nil
	}
	more := s.begin(']')
	if !more {
		b.missing(rep, b.absent+1)
	}
	for ; more; more = s.more(']') {
		if err := s.element(b, s.peek(), rep); err != nil {
			return err
		}
		rep = b.again
	}
	return nil
}

// element reads a value of b, or one of them, which begins with k.
func (s *shredder) element(b *branch, k byte, rep int16) error {
	if b.leaf == nil {
		if k == '{' {
			return s.object(b, rep)
		}
		s.value()
		b.missing(rep, b.present-1)
		return nil
	}
	if k == '"' && b.node.kind == nodeText {
		// Most values are texts, and few have escapes.
		start := s.at
		if escaped := s.quoted(); !escaped && !s.bad {
			b.leaf.texts = append(b.leaf.texts, s.b[start+1:s.at-1])
			b.leaf.place(rep, b.present)
			return nil
		}
		s.at = start
	}
	v := s.value()
	if k == 'n' || !s.scalar(b.node.kind, b.leaf, k, v) {
		b.missing(rep, b.present-1)
		return nil
	}
	b.leaf.place(rep, b.present)
	return nil
}

// scalar reports whether v, which begins with k, is a value of the kind, and
// puts it into c then.
func (s *shredder) scalar(kind nodeKind, c *chunk, k byte, v []byte) bool {
	number := k == '-' || '0' <= k && k <= '9'
	switch {
	case kind == nodeJSON:
		c.texts = append(c.texts, v)
		return true
	case kind == nodeText && k == '"' && len(v) >= 2:
		start := len(s.bytes)
		var err error
		if s.bytes, err = jsontext.AppendUnquote(s.bytes, v); err == nil {
			c.texts = append(c.texts, s.bytes[start:])
		}
		return err == nil
	case kind == nodeInt && number:
		i, err := strconv.ParseInt(string(v), 10, 32)
		if err == nil {
			c.ints = append(c.ints, int32(i))
		}
		return err == nil
	case kind == nodeLong && number:
		i, err := strconv.ParseInt(string(v), 10, 64)
		if err == nil {
			c.longs = append(c.longs, i)
		}
		return err == nil
	case kind == nodeFloat && number:
		f, err := strconv.ParseFloat(string(v), 64)
		if err == nil {
			c.floats = append(c.floats, f)
		}
		return err == nil
	case kind == nodeBool && (k == 't' || k == 'f'):
		c.bools = append(c.bools, k == 't')
		return true
	}
	return false
}
