// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"cmp"
	"slices"
)

// A member is a name that occurred in an object, and the attribute that it is
// the name of; nil when there is none.
type member struct {
	name string
	node *node
}

// maxMembers bounds what is kept of names that are no attributes. Whoever makes
// names up has them looked up each time.
const maxMembers = 1024

// member returns the attribute of a name that occurs, nil when there is none. Events of a
// class have the same names in the same order, more or less: what follows the
// member before is looked at first, from i on. next is where to look for the name
// after this one.
func (n *node) member(name []byte, i int) (c *node, next int) {
	for ; i < len(n.members); i++ {
		m := &n.members[i]
		if string(name) == m.name {
			return m.node, i + 1
		}
		if string(name) < m.name {
			break
		}
	}
	return n.lookUp(string(name))
}

// lookUp is member for a name that is not where it should be, or is new.
func (n *node) lookUp(name string) (c *node, next int) {
	i, found := slices.BinarySearchFunc(n.members, name, func(m member, name string) int { return cmp.Compare(m.name, name) })
	if found {
		return n.members[i].node, i + 1
	}
	c = n.attribute(name)
	if c == nil && len(n.members) >= maxMembers {
		return nil, i
	}
	n.members = slices.Insert(n.members, i, member{name, c})
	if c != nil {
		_, place := n.child(name)
		n.children = slices.Insert(n.children, place, c)
	}
	return c, i + 1
}

// see notes in root the attributes that occur in an event. It takes for JSON
// what is told to be, or not, when the event is written.
func (t *text) see(root *node, raw []byte) error {
	t.open(raw)
	t.seeValue(root, false)
	return t.err()
}

func (t *text) seeValue(n *node, element bool) {
	switch k := t.peek(); {
	case n.list && !element && k == '[':
		for more := t.begin(']'); more; more = t.more(']') {
			t.seeValue(n, true)
		}
		return
	case n.list && !element, n.kind != nodeStruct || k != '{':
		t.value()
		return
	}
	at := 0 // in the members
	for more := t.begin('}'); more; more = t.more('}') {
		name, ok := t.name()
		if !ok {
			return
		}
		var c *node
		if c, at = n.member(name, at); c == nil {
			t.value()
			continue
		}
		t.seeValue(c, false)
	}
}
