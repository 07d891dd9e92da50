// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"fmt"
	"math"

	"github.com/go-json-experiment/json/jsontext"
)

// A Tree is the values of an event's text in the order in which they begin: each
// before those within it. It is for those who need more of an event than its header,
// many events one after the other, and cannot afford to have each decoded.
//
// A Tree knows where values are and nothing of what they mean. The first is the
// event itself.
type Tree struct {
	text  []byte
	nodes []node
	// Loose says that there is white space between values.
	Loose bool
	// Escapes says that there is a backslash somewhere.
	Escapes bool
	// Depth is how deep values are within one another: 1 is that of an event
	// without objects and arrays in it.
	Depth int
}

// A node is one value. Offsets are of 32 bits: a tree is to fit into a cache.
type node struct {
	name, nameEnd int32 // between the quotes; of an item there is none
	at, end       int32
	after         int32 // which node comes after it and all that is in it
}

// ParseTree is [ParseShared], and makes t the tree of raw, which MUST not change for
// as long as t is used.
func ParseTree(raw []byte, t *Tree) (Header, error) {
	h, err := ParseShared(raw)
	if err != nil {
		return Header{}, err
	}
	if len(raw) > math.MaxInt32 {
		return Header{}, fmt.Errorf("parse event: %w: %d bytes", ErrMalformed, len(raw))
	}
	t.grow(raw)
	return h, nil
}

// Len is how many values there are.
func (t *Tree) Len() int { return len(t.nodes) }

// Kind is the first byte of value n: one of {["tfn, a digit, or a minus sign.
func (t *Tree) Kind(n int) byte { return t.text[t.nodes[n].at] }

// Raw is the text of value n.
func (t *Tree) Raw(n int) []byte { return t.text[t.nodes[n].at:t.nodes[n].end] }

// Name is the name of value n, with its escapes; "" when it is no member.
func (t *Tree) Name(n int) []byte { return t.text[t.nodes[n].name:t.nodes[n].nameEnd] }

// After is the value that follows n and all that is in it. The values in n are
// n+1, what is After that, and so on, up to After(n).
func (t *Tree) After(n int) int { return int(t.nodes[n].after) }

// grow makes t the tree of raw, which is JSON.
func (t *Tree) grow(raw []byte) {
	s := source{b: raw}
	s.next()
	*t = Tree{text: raw, nodes: t.nodes[:0], Escapes: s.slash < len(raw)}
	g := grower{source: s, Tree: t}
	g.value(g.space(0), 0, 0, 1)
}

// A grower makes a tree.
type grower struct {
	source
	*Tree
}

// space returns where the next token begins.
func (g *grower) space(i int) int {
	if i < len(g.b) && g.b[i] > ' ' {
		return i
	}
	for i < len(g.b) && g.b[i] <= ' ' {
		g.Loose = true
		i++
	}
	return i
}

// value adds the value that begins at b[i], with its name, and returns where it ends.
func (g *grower) value(i, name, nameEnd, depth int) int {
	n := len(g.nodes)
	g.nodes = append(g.nodes, node{name: int32(name), nameEnd: int32(nameEnd), at: int32(i)})
	end := i + 1
	switch c := g.b[i]; c {
	case '"':
		end, _ = g.quoted(end)
		end++
	case '{', '[':
		g.Depth = max(g.Depth, depth)
		end = g.within(i, c == '{', depth)
	default:
		for end < len(g.b) && !ends[g.b[end]] {
			end++
		}
	}
	g.nodes[n].end, g.nodes[n].after = int32(end), int32(len(g.nodes))
	return end
}

// within adds what is in the object or array that begins at b[i].
func (g *grower) within(i int, object bool, depth int) int {
	i = g.space(i + 1)
	for {
		switch g.b[i] {
		case '}', ']':
			return i + 1
		case ',':
			i = g.space(i + 1)
		}
		name, nameEnd := 0, 0
		if object {
			name = i + 1
			nameEnd, _ = g.quoted(name)
			i = g.space(g.space(nameEnd+1) + 1)
		}
		i = g.space(g.value(i, name, nameEnd, depth+1))
	}
}

// ends are the bytes that end a number or a literal.
var ends = func() (ends [256]bool) {
	for _, c := range []byte(" \t\r\n,]}") {
		ends[c] = true
	}
	return ends
}()

// Is says whether the name of value n is name.
func (t *Tree) Is(n int, name string) bool {
	said := t.Name(n)
	return string(said) == name || t.escaped(said) && string(unquoted(said)) == name
}

// Said is the name of value n without escapes.
func (t *Tree) Said(n int) []byte {
	if said := t.Name(n); !t.escaped(said) {
		return said
	}
	return unquoted(t.Name(n))
}

// Text is what value n says, without escapes; false when it is no string.
func (t *Tree) Text(n int) ([]byte, bool) {
	if t.Kind(n) != '"' {
		return nil, false
	}
	inside := t.text[t.nodes[n].at+1 : t.nodes[n].end-1]
	if t.escaped(inside) {
		inside = unquoted(inside)
	}
	return inside, true
}

func (t *Tree) escaped(inside []byte) bool {
	return t.Escapes && bytes.IndexByte(inside, '\\') >= 0
}

// unquoted returns what stands between quotes without its escapes.
func unquoted(inside []byte) []byte {
	quoted := append(append([]byte{'"'}, inside...), '"')
	said, _ := jsontext.AppendUnquote(nil, quoted) // it is JSON: it cannot fail
	return said
}
