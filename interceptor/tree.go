// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A tree is one JSON value: nil, bool, string, number, *array or *object, any of
// them in a *kept at times. The containers are pointers, so that one that a patch
// moves stays the one it was.
type tree any

// number is a JSON number as it was written, so that none loses precision.
type number string

type array struct{ items []tree }

type object struct {
	members map[string]tree

	// origin is the message that the object was written from; nil for one that
	// came with a patch. What JSON cannot hold of it is grafted back.
	origin protoreflect.Message
}

// A kept is the value of a well-known type, whose message holds more than its
// JSON form says, see graft.
type kept struct {
	value  tree
	origin protoreflect.Message
}

func unkept(t tree) tree {
	for {
		k, ok := t.(*kept)
		if !ok {
			return t
		}
		t = k.value
	}
}

// parseTree reads one JSON value. Names given twice and texts that are not
// UTF-8 are errors.
func parseTree(raw []byte) (tree, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(raw))
	t, err := readTree(decoder)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return t, nil
}

func readTree(decoder *jsontext.Decoder) (tree, error) {
	token, err := decoder.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return token.Bool(), nil
	case '"':
		return token.String(), nil
	case '0':
		return number(token.String()), nil
	case '[':
		a := &array{}
		for decoder.PeekKind() != ']' {
			item, err := readTree(decoder)
			if err != nil {
				return nil, err
			}
			a.items = append(a.items, item)
		}
		_, err := decoder.ReadToken()
		return a, err
	case '{':
		o := &object{members: map[string]tree{}}
		for decoder.PeekKind() != '}' {
			name, err := decoder.ReadToken()
			if err != nil {
				return nil, err
			}
			key := name.String()
			if o.members[key], err = readTree(decoder); err != nil {
				return nil, err
			}
		}
		_, err := decoder.ReadToken()
		return o, err
	}
	return nil, fmt.Errorf("unexpected JSON token %s", token.Kind())
}

// appendTree writes a tree as JSON. Every text in it came out of JSON, so it
// can be written.
func appendTree(b []byte, t tree) []byte {
	switch t := unkept(t).(type) {
	case bool:
		return strconv.AppendBool(b, t)
	case string:
		b, _ = jsontext.AppendQuote(b, t)
		return b
	case number:
		return append(b, t...)
	case *array:
		b = append(b, '[')
		for i, item := range t.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendTree(b, item)
		}
		return append(b, ']')
	case *object:
		b = append(b, '{')
		first := true
		for name, member := range t.members {
			if !first {
				b = append(b, ',')
			}
			first = false
			b, _ = jsontext.AppendQuote(b, name)
			b = append(b, ':')
			b = appendTree(b, member)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

// cloneTree copies a tree. What the copied messages held besides JSON is copied
// with them.
func cloneTree(t tree) tree {
	switch t := t.(type) {
	case *kept:
		return &kept{value: cloneTree(t.value), origin: t.origin}
	case *array:
		c := &array{items: make([]tree, len(t.items))}
		for i, item := range t.items {
			c.items[i] = cloneTree(item)
		}
		return c
	case *object:
		c := &object{members: make(map[string]tree, len(t.members)), origin: t.origin}
		for name, member := range t.members {
			c.members[name] = cloneTree(member)
		}
		return c
	}
	return t
}

// valueBytes is what a value takes beside its text: two bytes of JSON can be a
// list, and a message of their own.
const valueBytes = 64

// sizeOf is about what a tree takes: its JSON, and valueBytes for each value.
func sizeOf(t tree) int {
	n := valueBytes
	switch t := unkept(t).(type) {
	case string:
		n += len(t)
	case number:
		n += len(t)
	case *array:
		for _, item := range t.items {
			n += sizeOf(item)
		}
	case *object:
		for name, member := range t.members {
			n += len(name) + sizeOf(member)
		}
	}
	return n
}

// boxes returns how deep a tree nests objects that name a type, as those of a
// google.protobuf.Any do.
func boxes(t tree) int {
	deepest := 0
	switch t := unkept(t).(type) {
	case *array:
		for _, item := range t.items {
			deepest = max(deepest, boxes(item))
		}
	case *object:
		for _, member := range t.members {
			deepest = max(deepest, boxes(member))
		}
		if _, ok := t.members["@type"]; ok {
			deepest++
		}
	}
	return deepest
}

// equal compares as RFC 6902 wants `test` to: numbers by value, objects without
// regard to order. Where the schema has 64-bit integers it compares these by
// value too, whether they are written as numbers or as strings.
func (s schema) equal(at place, a, b tree) bool {
	a = unkept(a) // b came with a patch
	if at.is64() {
		a, b = integer(a), integer(b)
	}
	switch a := a.(type) {
	case number:
		b, ok := b.(number)
		return ok && equalNumbers(string(a), string(b))
	case *array:
		b, ok := b.(*array)
		if !ok || len(a.items) != len(b.items) {
			return false
		}
		item, _, _ := at.member(s.walk, "")
		for i := range a.items {
			if !s.equal(item, a.items[i], b.items[i]) {
				return false
			}
		}
		return true
	case *object:
		b, ok := b.(*object)
		if !ok || len(a.members) != len(b.members) {
			return false
		}
		for name, member := range a.members {
			other, ok := b.members[name]
			if !ok {
				return false
			}
			if in, _, _ := at.member(s.walk, name); !s.equal(in, member, other) {
				return false
			}
		}
		return true
	}
	return a == b
}

// integer returns the number that a string holds, or t if it holds none.
func integer(t tree) tree {
	if s, ok := t.(string); ok {
		if v := jsontext.Value(s); v.Kind() == '0' && v.IsValid() {
			return number(strings.TrimSpace(s))
		}
	}
	return t
}

// equalNumbers compares two JSON numbers exactly: 5, 5.0 and 0.5e1 are one. It
// never expands an exponent, however large.
func equalNumbers(a, b string) bool {
	an, ad, ae := decimal(a)
	bn, bd, be := decimal(b)
	if ad == "" || bd == "" {
		return ad == bd // zero has no sign
	}
	return an == bn && ad == bd && ae == be
}

// decimal splits a JSON number into its sign, its digits without zeros at
// either end, and the power of ten of the last digit. Zero has no digits.
func decimal(s string) (negative bool, digits string, exponent int64) {
	s, negative = strings.CutPrefix(s, "-")
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		// Out of range ParseInt gives the nearest value, which is still no
		// number anyone writes.
		exponent, _ = strconv.ParseInt(strings.TrimPrefix(s[i+1:], "+"), 10, 48)
		s = s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	exponent -= int64(len(fraction))
	digits = strings.TrimLeft(whole+fraction, "0")
	trimmed := strings.TrimRight(digits, "0")
	exponent += int64(len(digits) - len(trimmed))
	return negative, trimmed, exponent
}
