// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/structpb"
)

// objectOf returns a Struct that is written as a JSON object says. It is written
// here and now: what is returned holds the encoded fields, and can be sent but
// not be read. A tree of maps and boxed values, made to be encoded once, would
// cost more than all the rest of a call that is not gRPC's.
//
// The text is JSON without blanks around its tokens, as [interceptor.Payload]
// and encoding/json write it.
func objectOf(raw []byte) (*structpb.Struct, error) {
	r := readers.Get().(*objectReader)
	defer r.release()
	r.rest, r.nodes = raw, r.nodes[:0]
	if len(raw) == 0 || raw[0] != '{' {
		return nil, errNotJSON
	}
	size, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if len(r.rest) > 0 {
		return nil, errNotJSON
	}
	w := objectWriter{nodes: r.nodes[1:], out: make([]byte, 0, size)}
	w.members(r.nodes[0].count)
	s := &structpb.Struct{}
	s.ProtoReflect().SetUnknown(w.out)
	return s, nil
}

// maxNesting is how deep objects and lists may lie in one another: protobuf,
// which takes three messages for each of them, goes no deeper.
const maxNesting = 3000

var errNotJSON = errors.New("not JSON as it is expected here")

// A node is one JSON value. Those in an object or a list follow it.
type node struct {
	kind  byte   // { [ " 0 t f n
	name  []byte // in an object
	text  []byte // of a string
	num   float64
	count int // of the values in it
	size  int // of the message that is the value's content: Struct or ListValue
}

// readers keeps the nodes of objects for the next one.
var readers = sync.Pool{New: func() any { return new(objectReader) }}

// An objectReader makes nodes of JSON.
type objectReader struct {
	rest  []byte
	nodes []node
}

// release forgets the texts, and the room of an object that was unusually long.
func (r *objectReader) release() {
	clear(r.nodes)
	if cap(r.nodes) > 1<<12 {
		r.nodes = nil
	}
	r.rest = nil
	readers.Put(r)
}

// value reads a value and returns the size of its content: of the Struct or the
// ListValue for an object or a list, else of the Value itself.
func (r *objectReader) value(depth int) (int, error) {
	if len(r.rest) == 0 {
		return 0, errNotJSON
	}
	at := len(r.nodes)
	r.nodes = append(r.nodes, node{kind: r.rest[0]})
	switch r.rest[0] {
	case '{', '[':
		if depth == maxNesting {
			return 0, fmt.Errorf("more than %d objects and lists lie in one another", maxNesting)
		}
		return r.list(at, depth)
	case '"':
		text, err := r.text()
		if err != nil {
			return 0, err
		}
		r.nodes[at].text = text
		return 1 + protowire.SizeBytes(len(text)), nil
	case 't':
		return 2, r.word("true")
	case 'f':
		return 2, r.word("false")
	case 'n':
		return 2, r.word("null")
	}
	r.nodes[at].kind = '0'
	return 9, r.number(&r.nodes[at])
}

// list reads the object or the list whose node is at that place.
func (r *objectReader) list(at, depth int) (size int, err error) {
	object := r.rest[0] == '{'
	end := byte(']')
	if object {
		end = '}'
	}
	r.rest = r.rest[1:]
	count := 0
	for ; len(r.rest) > 0 && r.rest[0] != end; count++ {
		if count > 0 && !r.skip(',') {
			return 0, errNotJSON
		}
		var name []byte
		if object {
			if name, err = r.text(); err != nil {
				return 0, err
			}
			if !r.skip(':') {
				return 0, errNotJSON
			}
		}
		item := len(r.nodes)
		content, err := r.value(depth + 1)
		if err != nil {
			return 0, err
		}
		in := &r.nodes[item]
		in.name = name
		if in.kind == '{' || in.kind == '[' {
			in.size = content
		}
		content = in.valueSize()
		if object {
			content = entrySize(name, content)
		}
		size += 1 + protowire.SizeBytes(content)
	}
	if !r.skip(end) {
		return 0, errNotJSON
	}
	r.nodes[at].count = count
	return size, nil
}

func (r *objectReader) skip(c byte) bool {
	if len(r.rest) == 0 || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

func (r *objectReader) word(word string) error {
	rest, ok := bytes.CutPrefix(r.rest, []byte(word))
	if !ok {
		return errNotJSON
	}
	r.rest = rest
	return nil
}

// text reads a string. One without escapes is not copied.
func (r *objectReader) text() ([]byte, error) {
	if len(r.rest) == 0 || r.rest[0] != '"' {
		return nil, errNotJSON
	}
	for i := 1; i < len(r.rest); i++ {
		switch r.rest[i] {
		case '"':
			text := r.rest[1:i]
			r.rest = r.rest[i+1:]
			return text, nil
		case '\\':
			return r.escaped(i)
		}
	}
	return nil, errNotJSON
}

// escaped reads a string whose first escape is at from.
func (r *objectReader) escaped(from int) ([]byte, error) {
	for i := from; i < len(r.rest); i++ {
		switch r.rest[i] {
		case '\\':
			i++
		case '"':
			text, err := jsontext.AppendUnquote(nil, r.rest[:i+1])
			r.rest = r.rest[i+1:]
			return text, err
		}
	}
	return nil, errNotJSON
}

func (r *objectReader) number(n *node) error {
	end := bytes.IndexAny(r.rest, ",]}")
	if end < 0 {
		end = len(r.rest)
	}
	num, err := strconv.ParseFloat(string(r.rest[:end]), 64)
	if c := r.rest[0]; c != '-' && (c < '0' || c > '9') || err != nil || math.IsInf(num, 0) {
		return errNotJSON
	}
	n.num, r.rest = num, r.rest[end:]
	return nil
}

// valueSize is the size of a value as a google.protobuf.Value.
func (n *node) valueSize() int {
	switch n.kind {
	case '{', '[':
		return 1 + protowire.SizeBytes(n.size)
	case '"':
		return 1 + protowire.SizeBytes(len(n.text))
	case '0':
		return 9
	}
	return 2
}

// entrySize is the size of a member of an object, an entry of Struct.fields.
func entrySize(name []byte, value int) int {
	return 1 + protowire.SizeBytes(len(name)) + 1 + protowire.SizeBytes(value)
}

// The tags of google/protobuf/struct.proto.
const (
	tagEntry, tagItem       = 1<<3 | 2, 1<<3 | 2 // Struct.fields, ListValue.values
	tagName, tagValue       = 1<<3 | 2, 2<<3 | 2 // of an entry
	tagNull, tagNum, tagStr = 1 << 3, 2<<3 | 1, 3<<3 | 2
	tagBool, tagObj, tagArr = 4 << 3, 5<<3 | 2, 6<<3 | 2
)

// An objectWriter writes nodes.
type objectWriter struct {
	nodes []node // that are not written yet
	out   []byte
}

func (w *objectWriter) open(tag byte, size int) {
	w.out = protowire.AppendVarint(append(w.out, tag), uint64(size))
}

func (w *objectWriter) members(count int) {
	for range count {
		n := &w.nodes[0]
		size := n.valueSize()
		w.open(tagEntry, entrySize(n.name, size))
		w.open(tagName, len(n.name))
		w.out = append(w.out, n.name...)
		w.open(tagValue, size)
		w.value()
	}
}

func (w *objectWriter) value() {
	n := &w.nodes[0]
	w.nodes = w.nodes[1:]
	switch n.kind {
	case '{':
		w.open(tagObj, n.size)
		w.members(n.count)
	case '[':
		w.open(tagArr, n.size)
		for range n.count {
			w.open(tagItem, w.nodes[0].valueSize())
			w.value()
		}
	case '"':
		w.open(tagStr, len(n.text))
		w.out = append(w.out, n.text...)
	case '0':
		w.out = binary.LittleEndian.AppendUint64(append(w.out, tagNum), math.Float64bits(n.num))
	case 't':
		w.out = append(w.out, tagBool, 1)
	case 'f':
		w.out = append(w.out, tagBool, 0)
	default:
		w.out = append(w.out, tagNull, 0)
	}
}
