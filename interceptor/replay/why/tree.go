// SPDX-License-Identifier: Apache-2.0

package why

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// Bounds of what is looked at of one request. What is deeper is changed as a
// whole, what is more is not changed.
const (
	maxDepth  = 64
	maxPlaces = 20_000
)

// A step leads from a value to one within it.
type step struct {
	name string // of a member; "" of an item
	item int    // of a list; -1 of a member
}

// A place is one value of a request, or where one could be.
type place struct {
	path    []step
	pointer string // RFC 6901
	general string // with an asterisk for each place in a list
	value   *structpb.Value
	leaf    bool // it has nothing in it that is a place of its own
	leaves  int  // in it; 1 of a leaf
}

func (p *place) item() bool { return p.path[len(p.path)-1].item >= 0 }

// inside says whether p is at q or within it.
func (p *place) inside(q *place) bool {
	return len(p.path) >= len(q.path) && slices.Equal(p.path[:len(q.path)], q.path)
}

// escapes makes a member's name a token of a JSON Pointer (RFC 6901).
var escapes = strings.NewReplacer("~", "~0", "/", "~1")

// places are those of one request, in the order of their names and items.
type places struct {
	all    []*place // without the root
	fields int      // leaves
	more   bool     // there are more, or deeper ones
}

// objectOf returns a recorded request as the object that it is, which may have
// come as its JSON; false when the record has none.
func objectOf(request proto.Message) (*structpb.Struct, bool) {
	if request == nil {
		return nil, false
	}
	s, ok := request.ProtoReflect().Interface().(*structpb.Struct)
	return s, ok
}

// placesOf returns the places of a request.
func placesOf(root *structpb.Struct) *places {
	m := &places{}
	m.within(structpb.NewStructValue(root), nil, "", "")
	return m
}

// within adds what is in v, and returns how many leaves that is.
func (m *places) within(v *structpb.Value, path []step, pointer, general string) int {
	n := 0
	add := func(s step, token, generalToken string, inner *structpb.Value) {
		if len(m.all) >= maxPlaces {
			m.more = true
			return
		}
		p := &place{path: append(slices.Clone(path), s), pointer: pointer + "/" + token, general: general + "/" + generalToken, value: inner}
		m.all = append(m.all, p)
		switch {
		case !holds(inner):
			p.leaf = true
		case len(p.path) >= maxDepth:
			p.leaf, m.more = true, true
		default:
			p.leaves = m.within(inner, p.path, p.pointer, p.general)
			n += p.leaves
			return
		}
		p.leaves = 1
		m.fields++
		n++
	}
	switch k := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		fields := k.StructValue.GetFields()
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			token := escapes.Replace(name)
			add(step{name: name, item: -1}, token, token, fields[name])
		}
	case *structpb.Value_ListValue:
		for i, item := range k.ListValue.GetValues() {
			add(step{item: i}, strconv.Itoa(i), "*", item)
		}
	}
	return n
}

// holds says whether a value has values in it.
func holds(v *structpb.Value) bool {
	return len(v.GetStructValue().GetFields()) > 0 || len(v.GetListValue().GetValues()) > 0
}

// An edit puts another value at a place, or, with nil, takes away what is there.
type edit struct {
	at *place
	to *structpb.Value

	seen   int // allowed operations that had the value here
	limit  string
	beyond *structpb.Value
	rank   rank
}

// key tells edits apart.
func (e *edit) key() string {
	if e.to == nil {
		return e.at.pointer + "\x00"
	}
	return e.at.pointer + "\x01" + string(textOf(e.to))
}

// apply returns a request with the edits made. It shares with root what they
// leave alone. They are of places that are not within each other.
func apply(root *structpb.Struct, edits []edit) *structpb.Struct {
	v := structpb.NewStructValue(root)
	for _, e := range inOrder(edits) {
		v = put(v, e.at.path, e.to)
	}
	return v.GetStructValue()
}

// inOrder returns edits so that each can be made after the ones before it: of the
// items of a list the last comes first.
func inOrder(edits []edit) []edit {
	out := slices.Clone(edits)
	slices.SortStableFunc(out, func(a, b edit) int {
		for i := range min(len(a.at.path), len(b.at.path)) {
			x, y := a.at.path[i], b.at.path[i]
			if x.item != y.item {
				return y.item - x.item
			}
			if c := strings.Compare(x.name, y.name); c != 0 {
				return c
			}
		}
		return len(a.at.path) - len(b.at.path)
	})
	return out
}

// put returns v with another value at path, nil for none. What is missing on the
// way to a member is made.
func put(v *structpb.Value, path []step, to *structpb.Value) *structpb.Value {
	if len(path) == 0 {
		return to
	}
	s := path[0]
	if s.item >= 0 {
		items := slices.Clone(v.GetListValue().GetValues())
		switch {
		case s.item >= len(items):
		case len(path) == 1 && to == nil:
			items = slices.Delete(items, s.item, s.item+1)
		default:
			items[s.item] = put(items[s.item], path[1:], to)
		}
		return structpb.NewListValue(&structpb.ListValue{Values: items})
	}
	fields := maps.Clone(v.GetStructValue().GetFields())
	if fields == nil {
		fields = map[string]*structpb.Value{}
	}
	if len(path) == 1 && to == nil {
		delete(fields, s.name)
	} else {
		fields[s.name] = put(fields[s.name], path[1:], to)
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: fields})
}

// find returns the value at a path; nil when none is there.
func find(root *structpb.Struct, path []step) *structpb.Value {
	v := structpb.NewStructValue(root)
	for _, s := range path {
		if s.item >= 0 {
			items := v.GetListValue().GetValues()
			if s.item >= len(items) {
				return nil
			}
			v = items[s.item]
			continue
		}
		var ok bool
		if v, ok = v.GetStructValue().GetFields()[s.name]; !ok {
			return nil
		}
	}
	return v
}

// patchesOf returns the edits as a JSON Patch of root.
func patchesOf(root *structpb.Struct, edits []edit) []interceptor.Patch {
	out := make([]interceptor.Patch, 0, len(edits))
	at := root
	for _, e := range inOrder(edits) {
		switch {
		case e.to == nil:
			out = append(out, interceptor.Patch{Op: "remove", Path: e.at.pointer})
		case find(at, e.at.path) != nil:
			out = append(out, interceptor.Patch{Op: "replace", Path: e.at.pointer, Value: textOf(e.to)})
		default:
			out = append(out, addition(at, e))
		}
		at = apply(at, []edit{e})
	}
	return out
}

// addition returns the patch that adds a member, with the objects that are
// missing on the way to it.
func addition(at *structpb.Struct, e edit) interceptor.Patch {
	n := len(e.at.path)
	for n > 1 && find(at, e.at.path[:n-1]) == nil {
		n--
	}
	value := put(nil, e.at.path[n:], e.to)
	return interceptor.Patch{Op: "add", Path: pointerOf(e.at.path[:n]), Value: textOf(value)}
}

func pointerOf(path []step) string {
	var b strings.Builder
	for _, s := range path {
		b.WriteByte('/')
		if s.item >= 0 {
			b.WriteString(strconv.Itoa(s.item))
		} else {
			b.WriteString(escapes.Replace(s.name))
		}
	}
	return b.String()
}

// textOf returns the JSON of a value, canonical if it has such a form; null for
// nil.
func textOf(v *structpb.Value) json.RawMessage {
	if v == nil {
		return json.RawMessage("null")
	}
	raw, err := v.MarshalJSON()
	if err != nil {
		return json.RawMessage("null") // a number that JSON does not have
	}
	if c, err := ocsf.Canonicalize(raw); err == nil {
		return c
	}
	return raw
}
