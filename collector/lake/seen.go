// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"cmp"
	"slices"
	"strings"
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

// nearMembers is how many names are tried where the next one should be, before it
// is looked for among all.
const nearMembers = 8

// member takes the name that is next in an object of n, and returns the attribute
// that it is the name of; nil when there is none. Events of a class have the same
// names in the same order, more or less: those behind the name before are tried
// first, from at on. next is where to begin with the name after this one.
func (t *text) member(n *node, at int) (c *node, next int, ok bool) {
	t.peek()
	for i := at; i < min(len(n.members), at+nearMembers); i++ {
		if t.called(n.members[i].name) {
			return n.members[i].node, i + 1, true
		}
	}
	name, ok := t.name()
	if !ok {
		return nil, at, false
	}
	c, next = n.lookUp(string(name))
	return c, next, true
}

// lookUp returns the attribute of a name that occurs, and the place behind it.
func (n *node) lookUp(name string) (c *node, next int) {
	i, found := slices.BinarySearchFunc(n.members, name, func(m member, name string) int { return cmp.Compare(m.name, name) })
	if found {
		return n.members[i].node, i + 1
	}
	c = n.attribute(name)
	if c == nil && (len(n.members) >= maxMembers || strings.ContainsAny(name, `"\`)) {
		return nil, i // a name that has these is never written as it is; see called
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
		c, next, ok := t.member(n, at)
		if !ok {
			return
		}
		if at = next; c == nil {
			t.value()
			continue
		}
		t.seeValue(c, false)
	}
}
