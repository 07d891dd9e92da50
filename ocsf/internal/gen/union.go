// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/ocsf/schema"
)

// A union is all versions of the schema in one. What a name means has never
// changed between them, so that one Go type serves all; newUnion refuses a
// schema where it would not.
type union struct {
	versions []string // oldest first; a set of them is a bit mask
	all      uint8
	base     *container   // what every class has, in the same way
	classes  []*container // without what base has; by uid
	objects  []*container // by name
	enums    []*enum      // by Go name
}

// A container is a class, an object, or the attributes that all classes share.
type container struct {
	name, goName, caption  string
	extends                string
	uid, category          int
	categoryCaption        string
	in                     uint8
	deprecated             string // since when
	deprecatedIn           uint8
	atLeastOne, justOne    []string
	isClass                bool
	attrs                  []*attr // by name
	activities, statuses   *enum   // of a class
	activityAttr, statusOf *attr
	requires               []string // fields of base that it requires and others do not
}

// An attr is one attribute of a container.
type attr struct {
	name, field, caption string
	base                 string // boolean_t, integer_t, long_t, float_t, string_t, json_t or object_t
	kind                 string // the type as the schema names it, such as timestamp_t
	object               string
	array                bool
	in, required         uint8
	requirement          schema.Requirement // in the newest version
	profiles             []string           // in the newest version
	deprecated           string             // since when
	deprecatedIn         uint8
	sibling              string
	values               []value
	enum                 *enum
	siblingOf            *attr // the enum whose captions this attribute holds
}

// A value is one of an enum's values; one whose caption changed is there once for each.
type value struct {
	value, caption string
	in             uint8
}

// An enum is a Go type with constants.
type enum struct {
	goName, prefix string
	text           bool // of strings
	values         []value
	users          []string // Go fields, for the comment
}

func newUnion(schemas []*schema.Schema) (*union, error) {
	u := &union{base: &container{name: "base", goName: "Base"}}
	classes, objects := map[string]*container{}, map[string]*container{}
	for i, s := range schemas {
		u.versions = append(u.versions, s.Version)
		bit := uint8(1) << i
		u.all |= bit
		for name, c := range s.Classes {
			k := merged(classes, name)
			k.isClass, k.uid, k.category = true, c.UID, c.CategoryUID
			k.categoryCaption = "Uncategorized"
			if cat, ok := s.Categories[c.Category]; ok {
				k.categoryCaption = cat.Caption
			}
			if err := k.merge(s, &c.Item, bit); err != nil {
				return nil, err
			}
		}
		for name, o := range s.Objects {
			if len(o.Attributes) == 0 {
				continue // free form: it has no type of its own
			}
			if err := merged(objects, name).merge(s, &o.Item, bit); err != nil {
				return nil, err
			}
		}
	}
	u.classes = slices.SortedFunc(maps.Values(classes), func(a, b *container) int { return cmp.Compare(a.uid, b.uid) })
	u.objects = slices.SortedFunc(maps.Values(objects), func(a, b *container) int { return cmp.Compare(a.name, b.name) })
	const most = 128 // that a decoder's members can note
	for _, c := range slices.Concat(u.classes, u.objects) {
		if len(c.attrs) > most {
			return nil, fmt.Errorf("%s has %d attributes, more than %d", c.name, len(c.attrs), most)
		}
		c.finish()
	}
	if err := u.name(); err != nil {
		return nil, err
	}
	if err := u.nameEnums(); err != nil {
		return nil, err
	}
	u.share()
	return u, nil
}

func merged(in map[string]*container, name string) *container {
	if in[name] == nil {
		in[name] = &container{name: name, goName: camel(name)}
	}
	return in[name]
}

// merge adds what one version says of a class or object.
func (c *container) merge(s *schema.Schema, item *schema.Item, bit uint8) error {
	c.in |= bit
	c.caption, c.extends, c.deprecated = item.Caption, item.Extends, since(item.Deprecated)
	if item.Deprecated != nil {
		c.deprecatedIn |= bit
	}
	c.atLeastOne, c.justOne = item.Constraints["at_least_one"], item.Constraints["just_one"]
	for name, from := range item.Attributes {
		a := c.attr(name)
		if a == nil {
			a = &attr{name: name, field: camel(name)}
			c.attrs = append(c.attrs, a)
		}
		base := from.Type
		if t, ok := s.Types[from.Type]; ok && t.Super != "" {
			base = t.Super
		}
		if a.in != 0 && (a.base != base || a.object != from.ObjectType || a.array != from.IsArray) {
			return fmt.Errorf("%s.%s is %s in %s and %s before: one Go type cannot be both", c.name, name, base+from.ObjectType, s.Version, a.base+a.object)
		}
		a.in |= bit
		a.base, a.kind, a.object, a.array = base, from.Type, from.ObjectType, from.IsArray
		a.caption, a.requirement, a.profiles = from.Caption, from.Requirement, from.Profiles
		a.sibling, a.deprecated = from.Sibling, since(from.Deprecated)
		if from.Deprecated != nil {
			a.deprecatedIn |= bit
		}
		if from.Requirement == schema.Required && len(from.Profiles) == 0 {
			a.required |= bit
		}
		for _, v := range from.Enum {
			a.value(v, bit)
		}
	}
	return nil
}

func since(d *schema.Deprecation) string {
	if d == nil {
		return ""
	}
	return d.Since
}

func (c *container) attr(name string) *attr {
	for _, a := range c.attrs {
		if a.name == name {
			return a
		}
	}
	return nil
}

func (a *attr) value(v schema.EnumValue, bit uint8) {
	for i := range a.values {
		if a.values[i].value == v.Value && a.values[i].caption == v.Caption {
			a.values[i].in |= bit
			return
		}
	}
	a.values = append(a.values, value{v.Value, v.Caption, bit})
}

// finish puts attributes and values in order and ties siblings together.
func (c *container) finish() {
	slices.SortFunc(c.attrs, func(a, b *attr) int { return strings.Compare(a.name, b.name) })
	for _, a := range c.attrs {
		slices.SortFunc(a.values, func(x, y value) int {
			m, _ := strconv.ParseInt(x.value, 10, 64)
			n, _ := strconv.ParseInt(y.value, 10, 64)
			return cmp.Or(cmp.Compare(m, n), strings.Compare(x.value, y.value), -cmp.Compare(x.in, y.in))
		})
		if s := c.attr(a.sibling); s != nil && len(a.values) > 0 {
			s.siblingOf = a
		}
	}
}

// name checks that no two types share a Go name.
func (u *union) name() error {
	seen := map[string]string{"Base": "base", "Event": "", "Raw": "", "Canonical": "", "Extra": "", "Member": "", "Mode": "", "Report": "", "Issue": "", "Validator": "", "IssueSeverity": ""}
	for _, c := range slices.Concat(u.classes, u.objects) {
		if was, ok := seen[c.goName]; ok {
			return fmt.Errorf("%s and %s are both called %s in Go", was, c.name, c.goName)
		}
		seen[c.goName] = c.name
		for _, a := range c.attrs {
			if len(a.text()) >= sizeOfKey {
				return fmt.Errorf("%s.%s: the name is longer than the encoder's keys", c.name, a.name)
			}
		}
		// The encoder writes type_name as it is.
		for _, text := range append(captionsOf(c.attr("activity_id")), c.caption) {
			if quoted, err := json.Marshal(text); c.isClass && (err != nil || string(quoted) != `"`+text+`"`) {
				return fmt.Errorf("%s: the caption %q needs escapes in JSON", c.name, text)
			}
		}
	}
	return nil
}

func captionsOf(a *attr) (texts []string) {
	if a != nil {
		for _, v := range a.values {
			texts = append(texts, v.caption)
		}
	}
	return texts
}

// share moves to base what all classes have with the same Go type.
func (u *union) share() {
	for _, a := range u.classes[0].attrs {
		shared := &attr{}
		*shared = *a
		shared.in, shared.required = u.all, u.all
		same := true
		for _, c := range u.classes {
			b := c.attr(a.name)
			if b == nil || b.base != a.base || b.object != a.object || b.array != a.array || b.enum != a.enum {
				same = false
				break
			}
			shared.in &= b.in | ^c.in
			shared.required &= b.required | ^c.in
		}
		if same {
			u.base.attrs = append(u.base.attrs, shared)
		}
	}
	for _, a := range u.base.attrs {
		if a.siblingOf != nil {
			a.siblingOf = u.base.attr(a.siblingOf.name) // nil where each class has its own
		}
		if base := u.classes[0]; base.name == "base_event" {
			a.requirement, a.profiles = base.attr(a.name).requirement, base.attr(a.name).profiles
		}
	}
	u.base.in = u.all
	for _, c := range u.classes {
		for _, a := range c.attrs {
			shared := u.base.attr(a.name)
			if shared != nil && !a.derived() && a.requirement == schema.Required && len(a.profiles) == 0 && shared.requirement != schema.Required {
				c.requires = append(c.requires, a.field)
			}
		}
		c.activityAttr, c.statusOf = c.attr("activity_id"), c.attr("status_id")
		c.activities, c.statuses = c.activityAttr.enum, c.statusOf.enum
		c.attrs = slices.DeleteFunc(c.attrs, func(a *attr) bool { return u.base.attr(a.name) != nil })
	}
}
