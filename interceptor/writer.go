// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/docket-audit/docket/internal/secretwalk"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A writer writes canonical protobuf JSON without secrets in one go. Package
// protojson would write it in an order that is none, of a copy without the
// secrets, to be parsed, sorted and written once more.
//
// It knows the common shapes, and gives up on all others, and on whatever is an
// error: then the long way is taken, which knows everything and words the error.
// Both give the same bytes.
type writer struct {
	walk secretwalk.Walk
	out  []byte
}

// maxWritten bounds the depth of what a writer writes.
const maxWritten = 200

// members are the fields of a message type as JSON has them: by name in the order
// of RFC 8785, without those marked secret.
type members struct {
	common bool // the type is one that a writer knows
	fields []member
}

type member struct {
	protoreflect.FieldDescriptor
	name   string // quoted, with a colon
	enum   protoreflect.EnumValueDescriptors
	isNull bool // of the enum whose only value is the JSON null
}

// membersOf remembers the members of each message type, as package secretwalk does
// what it knows: an entry never changes and depends on its key alone.
var membersOf sync.Map // membersKey -> *members

type membersKey struct {
	md     protoreflect.MessageDescriptor
	option protowire.Number
}

func (w *writer) members(md protoreflect.MessageDescriptor) *members {
	key := membersKey{md, w.walk.Option}
	if known, ok := membersOf.Load(key); ok {
		return known.(*members)
	}
	known, _ := membersOf.LoadOrStore(key, newMembers(md, w.walk))
	return known.(*members)
}

func newMembers(md protoreflect.MessageDescriptor, walk secretwalk.Walk) *members {
	known := &members{common: !secretwalk.WellKnown(md) && md.ExtensionRanges().Len() == 0}
	fields, names := md.Fields(), map[string]bool{}
	for i := range fields.Len() {
		fd := fields.Get(i)
		name := fd.JSONName()
		if fd.Kind() == protoreflect.GroupKind || !isPlain(name) || names[name] {
			known.common = false
		}
		names[name] = true
		if walk.Secret(fd) {
			continue
		}
		m := member{FieldDescriptor: fd, name: `"` + name + `":`}
		if value := valueOf(fd); value.Enum() != nil {
			m.enum, m.isNull = value.Enum().Values(), value.Enum().FullName() == "google.protobuf.NullValue"
		}
		known.fields = append(known.fields, m)
	}
	slices.SortFunc(known.fields, func(a, b member) int { return strings.Compare(a.JSONName(), b.JSONName()) })
	return known
}

// valueOf describes what a field holds, each item or value of it if it is a list
// or a map.
func valueOf(fd protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	if fd.IsMap() {
		return fd.MapValue()
	}
	return fd
}

// isPlain reports whether a text is written as it is, and sorts like its bytes.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// message writes a message; false when it cannot.
func (w *writer) message(m protoreflect.Message, depth int) bool {
	md := m.Descriptor()
	known := w.members(md)
	switch {
	case depth > maxWritten:
		return false
	case secretwalk.WellKnown(md):
		return w.wellKnown(m, depth)
	case !known.common:
		return false
	}
	w.out = append(w.out, '{')
	first := true
	for i := range known.fields {
		f := &known.fields[i]
		if !m.Has(f.FieldDescriptor) {
			continue
		}
		if !first {
			w.out = append(w.out, ',')
		}
		first = false
		w.out = append(w.out, f.name...)
		if !w.field(f, m.Get(f.FieldDescriptor), depth) {
			return false
		}
	}
	w.out = append(w.out, '}')
	return true
}

func (w *writer) field(f *member, v protoreflect.Value, depth int) bool {
	switch {
	case f.IsMap():
		return w.entries(f, v.Map(), depth)
	case f.IsList():
		w.out = append(w.out, '[')
		list := v.List()
		for i := range list.Len() {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			if !w.value(f, f.Kind(), list.Get(i), depth) {
				return false
			}
		}
		w.out = append(w.out, ']')
		return true
	}
	return w.value(f, f.Kind(), v, depth)
}

// entries writes a map.
func (w *writer) entries(f *member, m protoreflect.Map, depth int) bool {
	type entry struct {
		key   string
		value protoreflect.Value
	}
	var room [8]entry
	all := room[:0]
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		all = append(all, entry{k.String(), v})
		return true
	})
	slices.SortFunc(all, func(a, b entry) int { return compareNames(a.key, b.key) })
	kind := f.MapValue().Kind()
	w.out = append(w.out, '{')
	for i, e := range all {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if !w.text(e.key) {
			return false
		}
		w.out = append(w.out, ':')
		if !w.value(f, kind, e.value, depth) {
			return false
		}
	}
	w.out = append(w.out, '}')
	return true
}

// compareNames compares by UTF-16 code units, as RFC 8785 sorts. They differ from
// bytes only where surrogates meet what lies above them.
func compareNames(a, b string) int {
	above := func(r rune) bool { return r >= 0xe000 }
	if !isPlain(a) && !isPlain(b) && (strings.ContainsFunc(a, above) || strings.ContainsFunc(b, above)) {
		return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
	}
	return strings.Compare(a, b)
}

func (w *writer) value(f *member, kind protoreflect.Kind, v protoreflect.Value, depth int) bool {
	switch kind {
	case protoreflect.BoolKind:
		w.out = strconv.AppendBool(w.out, v.Bool())
	case protoreflect.StringKind:
		return w.text(v.String())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		w.out = strconv.AppendInt(w.out, v.Int(), 10)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		w.out = strconv.AppendUint(w.out, v.Uint(), 10)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		w.out = append(strconv.AppendInt(append(w.out, '"'), v.Int(), 10), '"')
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		w.out = append(strconv.AppendUint(append(w.out, '"'), v.Uint(), 10), '"')
	case protoreflect.FloatKind:
		return w.number(v.Float(), 1<<24) // from here on its shortest digits are not all of them
	case protoreflect.DoubleKind:
		return w.number(v.Float(), 1e15)
	case protoreflect.EnumKind:
		w.enum(f, v.Enum())
	case protoreflect.BytesKind:
		w.out = append(base64.StdEncoding.AppendEncode(append(w.out, '"'), v.Bytes()), '"')
	case protoreflect.MessageKind:
		return w.message(v.Message(), depth+1)
	default:
		return false
	}
	return true
}

func (w *writer) enum(f *member, n protoreflect.EnumNumber) {
	if f.isNull {
		w.out = append(w.out, "null"...)
	} else if v := f.enum.ByNumber(n); v != nil {
		w.out = append(append(append(w.out, '"'), v.Name()...), '"')
	} else {
		w.out = strconv.AppendInt(w.out, int64(n), 10)
	}
}

// number writes a number that is whole, and so small that it is written with all
// its digits.
func (w *writer) number(v float64, below int64) bool {
	n := int64(v)
	if float64(n) != v || n >= below || n <= -below {
		return false
	}
	w.out = strconv.AppendInt(w.out, n, 10)
	return true
}

// text writes a string in the shortest way; false when it is not UTF-8.
func (w *writer) text(s string) bool {
	if isPlain(s) {
		w.out = append(append(append(w.out, '"'), s...), '"')
		return true
	}
	var err error
	w.out, err = jsontext.AppendQuote(w.out, s)
	return err == nil
}

// wellKnown writes a message whose type has a JSON form of its own.
func (w *writer) wellKnown(m protoreflect.Message, depth int) bool {
	fields := m.Descriptor().Fields()
	switch m.Descriptor().FullName() {
	case "google.protobuf.Struct", "google.protobuf.ListValue":
		fd := fields.ByNumber(1)
		if !m.Has(fd) {
			w.out = append(w.out, map[bool]string{true: "{}", false: "[]"}[fd.IsMap()]...)
			return true
		}
		return w.field(&member{FieldDescriptor: fd}, m.Get(fd), depth)
	case "google.protobuf.Value":
		fd := m.WhichOneof(fields.ByNumber(1).ContainingOneof())
		if fd == nil {
			return false
		}
		return w.value(&member{FieldDescriptor: fd, isNull: true}, fd.Kind(), m.Get(fd), depth)
	}
	if isAny(m) && w.walk.Nested(m, maxBoxes) {
		return false
	}
	raw, err := canonicalJSON(w.walk.Redact(m.Interface()), w.walk)
	w.out = append(w.out, raw...)
	return err == nil
}
