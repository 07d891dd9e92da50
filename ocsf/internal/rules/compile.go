// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docket-audit/docket/ocsf/internal/jsontree"
	"github.com/docket-audit/docket/ocsf/schema"
)

// Tables are a schema, made ready for validation. They do not change and can be
// used by many at once.
type Tables struct {
	version  string
	parsed   version // of version; false when it is malformed
	classes  map[int64]*item
	profiles profiles
	empty    []jsontree.Node // as many zeros as the largest item has slots
}

// An item is a class or an object.
type item struct {
	title       string // as messages call it: class "api_activity"
	deprecation string // how messages end: "deprecated since 1.5.0"; empty: it is in use
	// An item without attributes may have any. Whether it is without them can
	// depend on the event's profiles: always says that one needs no profile, and
	// gates are the profiles that bring in the others.
	always bool
	gates  uint64
	names  names
	// attrs are of the first names. The names after them are no attributes, but
	// a constraint or a sibling speaks of them, and whether an event has them
	// matters all the same.
	attrs       []attr
	required    []int32
	recommended []int32
	constraints []constraint
}

type attr struct {
	name        string
	gate        uint64 // the profiles that bring it in; 0: it is always there
	array       bool
	deprecation string
	object      *item // what it holds if that is objects, else nil
	typ         *typ  // what it holds if that is not objects
	enum        *enum // nil: any value
	sibling     int32 // index of the attribute with the captions; -1: none
	// easy are the kinds of values about which there is nothing to say but what
	// an enumeration says, with a bit each.
	easy uint8
}

type enum struct {
	texts  names
	values []enumValue // by the index of their text
}

type enumValue struct {
	caption     string
	deprecation string
}

type constraint struct {
	keyword string
	names   []string
	slots   []int32 // of names
	least   bool    // the keyword is at_least_one
}

// maxProfiles is how many bits there are.
const maxProfiles = 64

// Compile makes tables. Faults of the schema itself that the server reports
// when an event meets them (a type without a definition, a pattern that is
// none, an unknown constraint) are found in events, not here; the error is only
// for what the tables cannot express.
func Compile(s *schema.Schema) (*Tables, error) {
	c := &compiler{
		schema:  s,
		types:   make(map[string]*typ),
		attrs:   make(map[*schema.Attribute]attr),
		objects: make(map[string]*item, len(s.Objects)),
		tables:  &Tables{version: s.Version, classes: make(map[int64]*item, len(s.Classes))},
		bits:    make(map[string]uint64),
	}
	t := c.tables
	t.parsed, _ = parseVersion(s.Version)
	for name := range s.Objects {
		c.objects[name] = new(item) // filled below: objects refer to each other
	}
	for _, name := range slices.Sorted(maps.Keys(s.Objects)) {
		c.item(c.objects[name], fmt.Sprintf("object %q", name), &s.Objects[name].Item)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Classes)) {
		it := new(item)
		c.item(it, fmt.Sprintf("class %q", name), &s.Classes[name].Item)
		t.classes[int64(s.Classes[name].UID)] = it
	}
	if len(c.bits) > maxProfiles {
		return nil, fmt.Errorf("compile schema %s: attributes depend on %d profiles, at most %d can be told apart", s.Version, len(c.bits), maxProfiles)
	}
	t.profiles = newProfiles(c.bits, s)
	return t, nil
}

type compiler struct {
	schema  *schema.Schema
	tables  *Tables
	types   map[string]*typ
	objects map[string]*item
	// bits has one bit for each profile that brings attributes in.
	bits map[string]uint64
	// attrs and enums are made once of what several items share.
	attrs map[*schema.Attribute]attr
}

func (c *compiler) item(it *item, title string, s *schema.Item) {
	it.title = title
	it.deprecation = deprecation(s.Deprecated)
	list := slices.Sorted(maps.Keys(s.Attributes))
	slots := make(map[string]int32, len(list))
	for i, name := range list {
		slots[name] = int32(i)
	}
	// slot returns the index of a name, a new one if it has none.
	slot := func(name string) int32 {
		i, ok := slots[name]
		if !ok {
			i = int32(len(list))
			slots[name] = i
			list = append(list, name)
		}
		return i
	}
	it.attrs = make([]attr, len(list))
	for i, name := range list {
		it.attrs[i] = c.attr(name, s.Attributes[name])
		it.always = it.always || it.attrs[i].gate == 0
		it.gates |= it.attrs[i].gate
		if sibling := s.Attributes[name].Sibling; sibling != "" {
			it.attrs[i].sibling = slot(sibling)
		}
		switch s.Attributes[name].Requirement {
		case schema.Required:
			it.required = append(it.required, int32(i))
		case schema.Recommended:
			it.recommended = append(it.recommended, int32(i))
		case schema.Optional:
		}
	}
	for _, keyword := range slices.Sorted(maps.Keys(s.Constraints)) {
		k := constraint{keyword: keyword, names: s.Constraints[keyword], least: keyword == "at_least_one"}
		for _, name := range k.names {
			k.slots = append(k.slots, slot(name))
		}
		it.constraints = append(it.constraints, k)
	}
	it.names = newNames(list)
	if n := len(list); n > len(c.tables.empty) {
		c.tables.empty = make([]jsontree.Node, n)
	}
}

func (c *compiler) attr(name string, s *schema.Attribute) attr {
	if a, ok := c.attrs[s]; ok && a.name == name {
		return a
	}
	a := attr{name: name, array: s.IsArray, deprecation: deprecation(s.Deprecated), sibling: -1}
	for _, profile := range s.Profiles {
		a.gate |= c.bit(profile)
	}
	if s.Type == objectType {
		a.object = c.objects[s.ObjectType]
	}
	if a.object == nil {
		a.typ = c.typ(s.Type)
	}
	if s.Enum != nil {
		texts := make([]string, len(s.Enum))
		a.enum = &enum{values: make([]enumValue, len(s.Enum))}
		for i, v := range s.Enum {
			texts[i] = v.Value
			a.enum.values[i] = enumValue{caption: v.Caption, deprecation: deprecation(v.Deprecated)}
		}
		a.enum.texts = newNames(texts)
	}
	if !a.array && a.object == nil && a.deprecation == "" {
		a.easy = a.typ.easy()
	}
	c.attrs[s] = a
	return a
}

// find returns the value with a text, nil if there is none.
func (e *enum) find(text []byte) *enumValue {
	i := e.texts.find(text)
	if i < 0 {
		return nil
	}
	return &e.values[i]
}

// objectType is the type of attributes that hold an object.
const objectType = "object_t"

func (c *compiler) bit(profile string) uint64 {
	bit, ok := c.bits[profile]
	if !ok {
		bit = 1 << (len(c.bits) % maxProfiles)
		c.bits[profile] = bit
	}
	return bit
}

// Profiles are what an event can name as such.
type profiles struct {
	names names
	known []bool   // the schema has it
	bits  []uint64 // 0: it brings no attributes in
}

func newProfiles(bits map[string]uint64, s *schema.Schema) profiles {
	all := slices.Sorted(maps.Keys(bits))
	for _, name := range slices.Sorted(maps.Keys(s.Profiles)) {
		if _, ok := bits[name]; !ok {
			all = append(all, name)
		}
	}
	p := profiles{names: newNames(all)}
	for _, name := range all {
		_, known := s.Profiles[name]
		p.known, p.bits = append(p.known, known), append(p.bits, bits[name])
	}
	return p
}

func deprecation(d *schema.Deprecation) string {
	switch {
	case d == nil:
		return ""
	case d.Since == "":
		return "deprecated"
	default:
		return "deprecated since " + d.Since
	}
}

// quoteAll lists names for a message.
func quoteAll(names []string) string {
	return `"` + strings.Join(names, `", "`) + `"`
}
