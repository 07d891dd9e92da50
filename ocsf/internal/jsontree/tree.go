// SPDX-License-Identifier: Apache-2.0

package jsontree

import "unsafe"

// MaxDepth is how deep objects and arrays may be nested.
const MaxDepth = 1000

// A Kind says what a value is. Numbers are told apart by how they are written.
type Kind uint8

// The kinds.
const (
	Null    Kind = iota
	False        // a boolean
	True         // a boolean
	Integer      // a number of digits only, perhaps with a minus: 5, -0
	Decimal      // a number with a fraction or an exponent: 5.0, 1e3
	String
	Array
	Object
)

// String returns what the kind is called in prose, with its article.
func (k Kind) String() string {
	return [...]string{
		"null", "a boolean", "a boolean", "an integer", "a number with a fraction or an exponent",
		"a string", "an array", "an object",
	}[k]
}

// A Node names a value in its tree. Zero is the root; as the answer to a
// question for another node, which the root cannot be, it means "none".
type Node int32

// A Tree is a parsed text. Its zero value is ready for [Tree.Parse]. It refers
// to the text, which must stay as it is while the tree is in use. A tree is for
// one goroutine.
type Tree struct {
	data  []byte
	text  []byte // of strings and names that had escapes, without them
	nodes []node
	fault SyntaxError // set when a method of the parser returned bad
}

// A node's positions are in data, or in text when the flag says so.
type node struct {
	keyStart, keyEnd uint32 // the member's name, without its quotes
	start, end       uint32 // a string's content, a number's token, or the whole text of other values
	next             Node   // 0 for the last
	kind             Kind
	keyInText        bool
	inText           bool
	filled           bool // an object or array that has elements
}

// Root returns the value that the text is.
func (t *Tree) Root() Node { return 0 }

// Kind returns what n is.
func (t *Tree) Kind(n Node) Kind { return t.nodes[n].kind }

// Key returns the name of n, which must be a member of an object. It is valid
// until the next Parse and must not be changed.
func (t *Tree) Key(n Node) []byte {
	e := &t.nodes[n]
	if e.keyInText {
		return t.text[e.keyStart:e.keyEnd]
	}
	return t.data[e.keyStart:e.keyEnd]
}

// Text returns the content of a string, without quotes and escapes, or else the
// JSON text of n as it was written. It is valid until the next Parse and must
// not be changed.
func (t *Tree) Text(n Node) []byte {
	e := &t.nodes[n]
	if e.inText {
		return t.text[e.start:e.end]
	}
	return t.data[e.start:e.end]
}

// Len returns the length of Text.
func (t *Tree) Len(n Node) int { return int(t.nodes[n].end - t.nodes[n].start) }

// Member returns Key, Kind, Len and Next of a member of an object, which costs
// little more than one of them.
func (t *Tree) Member(n Node) (key []byte, kind Kind, length int, next Node) {
	e, from := &t.nodes[n], t.data
	if e.keyInText {
		from = t.text
	}
	return from[e.keyStart:e.keyEnd], e.kind, int(e.end - e.start), e.next
}

// First returns the first element or member of n, 0 if there is none.
func (t *Tree) First(n Node) Node {
	if t.nodes[n].filled {
		return n + 1
	}
	return 0
}

// Next returns the element or member after n, 0 if n is the last.
func (t *Tree) Next(n Node) Node { return t.nodes[n].next }

// Find returns the first member of that name, 0 if there is none or n is no
// object.
func (t *Tree) Find(n Node, name string) Node {
	if t.nodes[n].kind != Object {
		return 0
	}
	for m := t.First(n); m != 0; m = t.Next(m) {
		if string(t.Key(m)) == name {
			return m
		}
	}
	return 0
}

// Size returns how many bytes the tree has room for beside the text, so that a
// pool can let go of those that one large text has grown.
func (t *Tree) Size() int { return cap(t.nodes)*int(unsafe.Sizeof(node{})) + cap(t.text) }

// Release lets go of the text.
func (t *Tree) Release() { t.data = nil }
