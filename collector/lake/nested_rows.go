// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/go-json-experiment/json/jsontext"
)

// A nester reads events into nested columns, for those who check a file: by a
// library, and by nothing that the file was written with. The zero value is
// ready.
type nester struct {
	dec jsontext.Decoder
	raw bytes.Reader
}

func (r *nester) begin(raw []byte) {
	r.raw.Reset(raw)
	// What is not right about it was told when it came, or is for others to tell.
	r.dec.Reset(&r.raw, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// seeValue notes in n what occurs in the value that is next.
func (r *nester) seeValue(n *node, element bool) error {
	switch k := r.dec.PeekKind(); {
	case n.list && !element && k == '[':
		return r.each(func() error { return r.seeValue(n, true) })
	case n.list && !element, n.kind != nodeStruct || k != '{':
		return r.dec.SkipValue()
	}
	return r.members(func(name string) error {
		c, i := n.child(name)
		if c == nil {
			if c = n.attribute(name); c == nil {
				return r.dec.SkipValue()
			}
			n.children = slices.Insert(n.children, i, c)
		}
		return r.seeValue(c, false)
	})
}

// append puts the attributes of an event into the builders of root's children.
// An attribute that has none is an error.
func (r *nester) append(root *node, field func(i int) array.Builder, raw []byte) error {
	r.begin(raw)
	return r.appendObject(root, field)
}

func (r *nester) appendObject(n *node, field func(i int) array.Builder) error {
	done := make([]bool, len(n.children))
	err := r.members(func(name string) error {
		c, i := n.child(name)
		switch {
		case c == nil:
			return r.absent(n, name)
		case done[i]:
			return r.dec.SkipValue()
		}
		done[i] = true
		return r.appendValue(c, false, field(i))
	})
	for i := range done {
		if !done[i] {
			field(i).AppendNull()
		}
	}
	return err
}

// absent passes over a value for which there is no column.
func (r *nester) absent(n *node, name string) error {
	c := n.attribute(name)
	if c == nil {
		return r.dec.SkipValue()
	}
	if err := r.seeValue(c, false); err != nil {
		return err
	}
	if !c.prune() {
		return fmt.Errorf("%w: there is no column for attribute %s, which occurs", ErrCorrupt, name)
	}
	return nil
}

func (r *nester) appendValue(n *node, element bool, b array.Builder) error {
	k := r.dec.PeekKind()
	switch list, isList := b.(*array.ListBuilder); {
	case isList && !element && k == '[':
		list.Append(true)
		return r.each(func() error { return r.appendValue(n, true, list.ValueBuilder()) })
	case isList && !element, k == 'n':
		b.AppendNull()
		return r.dec.SkipValue()
	case n.kind == nodeStruct && k == '{':
		s := b.(*array.StructBuilder)
		s.Append(true)
		return r.appendObject(n, s.FieldBuilder)
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		return err
	}
	if !appendScalar(n.kind, b, v) {
		b.AppendNull()
	}
	return nil
}

// appendScalar reports whether v is a value of the kind.
func appendScalar(kind nodeKind, b array.Builder, v jsontext.Value) bool {
	switch k := v.Kind(); {
	case kind == nodeJSON:
		b.(*array.StringBuilder).Append(string(v))
		return true
	case kind == nodeText && k == '"':
		text, err := jsontext.AppendUnquote(nil, v)
		if err == nil {
			b.(*array.StringBuilder).Append(string(bytes.ToValidUTF8(text, []byte("\uFFFD"))))
		}
		return err == nil
	case kind == nodeInt && k == '0':
		i, err := strconv.ParseInt(string(v), 10, 32)
		if err == nil {
			b.(*array.Int32Builder).Append(int32(i))
		}
		return err == nil
	case kind == nodeLong && k == '0':
		i, err := strconv.ParseInt(string(v), 10, 64)
		if err == nil {
			b.(*array.Int64Builder).Append(i)
		}
		return err == nil
	case kind == nodeFloat && k == '0':
		f, err := strconv.ParseFloat(string(v), 64)
		if err == nil {
			b.(*array.Float64Builder).Append(f)
		}
		return err == nil
	case kind == nodeBool && (k == 't' || k == 'f'):
		b.(*array.BooleanBuilder).Append(k == 't')
		return true
	}
	return false
}

// each reads an array, by value for each of its elements.
func (r *nester) each(value func() error) error {
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for r.dec.PeekKind() != ']' {
		if err := value(); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return err
}

// members reads an object, by value for each of its members.
func (r *nester) members(value func(name string) error) error {
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for r.dec.PeekKind() != '}' {
		name, err := r.dec.ReadToken()
		if err != nil {
			return err
		}
		if err := value(name.String()); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return err
}
