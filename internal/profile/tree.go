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

	shelf
	like uint64
}

const (
	maxMoulds = 16
	maxMould  = 64 << 10 // bytes of an event that is kept
)

// A node is one value. Offsets are of 32 bits: a tree is to fit into a cache.
type node struct {
	name, nameEnd int32 // between the quotes; of an item there is none
	at, end       int32
	after         int32 // which node comes after it and all that is in it
}

// ParseTree is [Parse], and makes t the tree of raw, which MUST not change for as long
// as t is used. The strings of the header are the tree's: they last until t is made
// that of another event, and whoever keeps one for longer MUST clone it.
func ParseTree(raw []byte, t *Tree) (Header, error) {
	h, err := t.parse(raw)
	if err != nil {
		return Header{}, fmt.Errorf("parse event: %w", err)
	}
	return h, nil
}

func (t *Tree) parse(raw []byte) (Header, error) {
	if len(raw) > math.MaxInt32 {
		return Header{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(raw))
	}
	var m *mould
	if len(raw) > maxMould {
		m = new(mould) // none that stays
	} else if m = t.find(raw, nil); m != nil {
		m.take(raw)
		t.use(m)
		return t.cast(m, raw)
	} else {
		m = t.spare(maxMoulds)
	}
	m.reset()
	m.growing = true
	sure, err := m.readOrJudge(raw)
	if err != nil {
		return Header{}, err
	}
	if !sure {
		m.strings(true)
		t.grow(raw)
		t.like = 0
		return m.header()
	}
	m.learn(raw, t.newID())
	if len(raw) <= maxMould {
		t.lead(m)
		t.use(m)
	}
	return t.cast(m, raw)
}

// cast makes t the tree of raw, which is the event of m.
func (t *Tree) cast(m *mould, raw []byte) (Header, error) {
	t.text, t.nodes, t.like = raw, m.nodes, m.id
	t.Loose, t.Escapes, t.Depth = false, m.escapes, m.Depth
	return m.header()
}

// header returns the header of the event that was read, if it is whole.
func (m *mould) header() (Header, error) {
	s := m.s
	m.settle(&s.Header)
	return s.Header, s.complete()
}

// Like is a number that trees have in common which differ in what strings and numbers
// say, and in nothing else that a tree knows: values and names are the same, and so are
// the numbers of nodes, and a short whole number is in the place of one. 0 says that no
// other is known to be like it.
func (t *Tree) Like() uint64 { return t.like }

// A growth is the nodes of what was read so far.
type growth struct {
	flat          bool // what nobody asks for is one value, whatever is in it
	nodes         []node
	name, nameEnd int32 // of the value that is to come
	depth, Depth  int
}

// call says what the value that comes next is called: what is between here and there.
func (s *source) call(name, end int) {
	if s.growing {
		s.name, s.nameEnd = int32(name), int32(end)
	}
}

// leaf adds a value without others in it.
func (s *source) leaf(at, end int) {
	if s.growing {
		s.nodes = append(s.nodes, node{s.name, s.nameEnd, int32(at), int32(end), int32(len(s.nodes)) + 1})
	}
}

// newest is the value that was added last.
func (s *source) newest() int32 { return int32(len(s.nodes)) - 1 }

// begin adds the object or array that begins at b[i], and leave says where it ends.
func (s *source) begin(i int) (n int) {
	if !s.growing {
		return 0
	}
	s.depth++
	s.Depth = max(s.Depth, s.depth)
	s.nodes = append(s.nodes, node{name: s.name, nameEnd: s.nameEnd, at: int32(i)})
	return len(s.nodes) - 1
}

func (s *source) leave(n, end int) {
	if s.growing {
		s.depth--
		s.nodes[n].end, s.nodes[n].after = int32(end), int32(len(s.nodes))
	}
}

// grown is sound for what makes up a tree.
func (s *source) grown(i, depth int) (end int) {
	if c := s.b[i]; c == '{' || c == '[' {
		n := s.begin(i)
		end = s.soundly(i, depth)
		s.leave(n, end)
		return end
	}
	end = s.soundly(i, depth)
	s.leaf(i, end)
	return end
}

// pass is sound for a value that nobody asks for.
func (s *source) pass(i int) (end int) {
	if !s.flat {
		return s.sound(i, 0)
	}
	s.growing = false
	end = s.sound(i, 0)
	s.growing = true
	s.leaf(i, end)
	return end
}

// Event is the text that the tree is of.
func (t *Tree) Event() []byte { return t.text }

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

// grow makes t the tree of raw, which is JSON, but not as it is written here.
func (t *Tree) grow(raw []byte) {
	g := grower{source: source{b: raw, growing: true}}
	g.next()
	t.Escapes = g.slash < len(raw)
	g.value(g.space(0))
	t.text, t.nodes, t.Depth, t.Loose = raw, g.nodes, g.Depth, g.loose
}

// A grower makes a tree of JSON as it may also be written.
type grower struct {
	source
	loose bool
}

// space returns where the next token begins.
func (g *grower) space(i int) int {
	for i < len(g.b) && g.b[i] <= ' ' {
		g.loose = true
		i++
	}
	return i
}

// value adds the value that begins at b[i] and returns where it ends.
func (g *grower) value(i int) int {
	end := i + 1
	switch c := g.b[i]; c {
	case '{', '[':
		n := g.begin(i)
		end = g.within(i, c == '{')
		g.leave(n, end)
		return end
	case '"':
		end, _ = g.quoted(end)
		end++
	default:
		for end < len(g.b) && !ends[g.b[end]] {
			end++
		}
	}
	g.leaf(i, end)
	return end
}

// within adds what is in the object or array that begins at b[i], and returns where
// that ends.
func (g *grower) within(i int, object bool) int {
	i = g.space(i + 1)
	for {
		switch g.b[i] {
		case '}', ']':
			return i + 1
		case ',':
			i = g.space(i + 1)
		}
		g.call(0, 0)
		if object {
			end, _ := g.quoted(i + 1)
			g.call(i+1, end)
			i = g.space(g.space(end+1) + 1)
		}
		i = g.space(g.value(i))
	}
}

// ends are the bytes that end a number or a literal.
var ends = func() (t [256]bool) {
	for _, c := range []byte(" \t\r\n,]}") {
		t[c] = true
	}
	return t
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
