// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Change is one difference between two schemas.
type Change struct {
	// Op is "added", "removed", "deprecated" or "changed". What is added, or
	// removed, is one change with all that is in it.
	Op string
	// Kind says what is different: "category", "extension", "profile", "type",
	// "class", "object", "attribute" or "value".
	Kind string
	// Of is "class" or "object" for what is in one, else empty. A profile of one
	// is a profile that it can have; others are profiles of the schema.
	Of string
	// Path is its name, after the names of what it is in: "api_activity.actor",
	// "api_activity.activity_id=4" for a value, and "api_activity+trace" for a
	// profile of one.
	Path string
	// What is said of it in both schemas, but differently, such as "requirement";
	// only of Op "changed".
	What string
	// Old and New are what the schemas say, as text. Where something is added or
	// removed, one of them describes it; of Op "deprecated" New is since when.
	Old, New string
}

// Diff returns what is different in b, first of classes, then of objects, then
// of the rest, each in the order of paths.
//
// What every class takes from the base event is said of base_event alone, and
// what follows from another change, like the values of type_uid, is not said.
func Diff(a, b *Schema) []Change {
	d := &differ{a: a, b: b}
	both(d, "class", a.Classes, b.Classes, describeClass, d.class)
	both(d, "object", a.Objects, b.Objects, func(o *Object) string { return o.Caption }, func(name string, a, b *Object) {
		d.item("object", name, &a.Item, &b.Item)
		d.profiles("object", name, a.Profiles, b.Profiles, func(string) bool { return false })
		d.attributes("object", name, a.Attributes, b.Attributes, func(string) bool { return false })
	})
	both(d, "category", a.Categories, b.Categories, func(c *Category) string { return c.Caption }, func(name string, a, b *Category) {
		d.texts("category", name, "uid", strconv.Itoa(a.UID), strconv.Itoa(b.UID), "caption", a.Caption, b.Caption)
	})
	both(d, "extension", a.Extensions, b.Extensions, func(e *Extension) string { return e.Caption }, func(name string, a, b *Extension) {
		d.texts("extension", name, "uid", strconv.Itoa(a.UID), strconv.Itoa(b.UID), "caption", a.Caption, b.Caption)
	})
	both(d, "profile", a.Profiles, b.Profiles, func(p *Profile) string { return p.Caption }, func(name string, a, b *Profile) {
		d.texts("profile", name, "caption", a.Caption, b.Caption, "extension", a.Extension, b.Extension)
	})
	both(d, "type", a.Types, b.Types, func(t *Type) string { return t.Caption }, func(name string, a, b *Type) {
		d.texts("type", name, "caption", a.Caption, b.Caption, "super", a.Super, b.Super, "regex", a.Regex, b.Regex,
			"max_len", strconv.Itoa(a.MaxLen), strconv.Itoa(b.MaxLen), "range", rangeText(a), rangeText(b), "values", valuesText(a), valuesText(b))
	})
	return d.changes
}

type differ struct {
	a, b    *Schema
	changes []Change
}

func (d *differ) add(c Change) { d.changes = append(d.changes, c) }

// both tells of tables what is in one only, and calls compare for the rest.
func both[T any](d *differ, kind string, a, b map[string]*T, describe func(*T) string, compare func(name string, a, b *T)) {
	for _, name := range union(a, b) {
		switch {
		case a[name] == nil:
			d.add(Change{Op: "added", Kind: kind, Path: name, New: describe(b[name])})
		case b[name] == nil:
			d.add(Change{Op: "removed", Kind: kind, Path: name, Old: describe(a[name])})
		default:
			compare(name, a[name], b[name])
		}
	}
}

func union[T any](a, b map[string]*T) []string {
	names := maps.Clone(a)
	maps.Copy(names, b)
	return slices.Sorted(maps.Keys(names))
}

func describeClass(c *Class) string { return fmt.Sprintf("%s (%d)", c.Caption, c.UID) }

func rangeText(t *Type) string {
	if t.Range == nil {
		return ""
	}
	return fmt.Sprintf("%d to %d", t.Range[0], t.Range[1])
}

func valuesText(t *Type) string {
	if t.Values == nil {
		return ""
	}
	text, err := json.Marshal(t.Values)
	if err != nil {
		panic(err) // it was JSON
	}
	return string(text)
}

// texts compares what is said: what, old, new, and again.
func (d *differ) texts(kind, path string, said ...string) {
	for i := 0; i < len(said); i += 3 {
		if said[i+1] != said[i+2] {
			d.add(Change{Op: "changed", Kind: kind, Path: path, What: said[i], Old: said[i+1], New: said[i+2]})
		}
	}
}

func (d *differ) deprecation(kind, of, path string, a, b *Deprecation) {
	switch {
	case a == nil && b != nil:
		d.add(Change{Op: "deprecated", Kind: kind, Of: of, Path: path, New: b.Since})
	case a != nil && b == nil:
		d.add(Change{Op: "changed", Kind: kind, Of: of, Path: path, What: "deprecated", Old: a.Since})
	}
}

func (d *differ) item(kind, name string, a, b *Item) {
	d.deprecation(kind, "", name, a.Deprecated, b.Deprecated)
	d.texts(kind, name, "caption", a.Caption, b.Caption, "extends", a.Extends, b.Extends, "extension", a.Extension, b.Extension,
		"constraints", ConstraintsText(a.Constraints), ConstraintsText(b.Constraints))
}

// ConstraintsText returns constraints as people read them, such as
// "at_least_one name uid; just_one a b"; empty when there are none.
func ConstraintsText(constraints map[string][]string) string {
	var parts []string
	for _, keyword := range slices.Sorted(maps.Keys(constraints)) {
		parts = append(parts, strings.Join(append([]string{keyword}, constraints[keyword]...), " "))
	}
	return strings.Join(parts, "; ")
}

func (d *differ) profiles(of, owner string, a, b []string, elsewhere func(string) bool) {
	names := slices.Concat(a, b)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		c := Change{Kind: "profile", Of: of, Path: owner + "+" + name}
		switch old, now := slices.Contains(a, name), slices.Contains(b, name); {
		case old == now || elsewhere(name):
			continue
		case now:
			c.Op = "added"
		default:
			c.Op = "removed"
		}
		d.add(c)
	}
}

func (d *differ) class(name string, a, b *Class) {
	d.item("class", name, &a.Item, &b.Item)
	d.texts("class", name, "uid", strconv.Itoa(a.UID), strconv.Itoa(b.UID), "category", a.Category, b.Category)
	baseA, baseB := d.a.Classes[baseEvent], d.b.Classes[baseEvent]
	base := name != baseEvent && baseA != nil && baseB != nil
	d.profiles("class", name, a.Profiles, b.Profiles, func(profile string) bool {
		return base && slices.Contains(baseA.Profiles, profile) != slices.Contains(baseB.Profiles, profile)
	})
	d.attributes("class", name, a.Attributes, b.Attributes, func(attribute string) bool {
		return base && same(baseA.Attributes[attribute], a.Attributes[attribute]) && same(baseB.Attributes[attribute], b.Attributes[attribute])
	})
}

// same says whether two attributes are the same in all that Diff tells.
func same(a, b *Attribute) bool {
	if a == nil || b == nil {
		return a == b
	}
	return AttributeText(a) == AttributeText(b) && a.Caption == b.Caption && a.Sibling == b.Sibling &&
		(a.Deprecated == nil) == (b.Deprecated == nil) && enumRow(a.Enum) == enumRow(b.Enum)
}

// AttributeText returns type, requirement and profiles as people read them, such
// as "[]attestation optional, only with record_integrity".
func AttributeText(a *Attribute) string {
	text := a.TypeText() + " " + string(a.Requirement)
	if len(a.Profiles) > 0 {
		text += ", only with " + strings.Join(a.Profiles, " or ")
	}
	return text
}

// TypeText returns the type as people read it: the name of the object, if it is
// one, and [] before it for an array. The names of data types end in "_t".
func (a *Attribute) TypeText() string {
	text := a.Type
	if a.Type == objectType {
		text = a.ObjectType
	}
	if a.IsArray {
		text = arrayPrefix + text
	}
	return text
}

// attributes compares those of a class or object; not those that are told
// elsewhere.
func (d *differ) attributes(of, owner string, a, b map[string]*Attribute, elsewhere func(string) bool) {
	for _, name := range union(a, b) {
		path := owner + "." + name
		old, now := a[name], b[name]
		switch {
		case elsewhere(name):
		case old == nil:
			d.add(Change{Op: "added", Kind: "attribute", Of: of, Path: path, New: AttributeText(now)})
		case now == nil:
			d.add(Change{Op: "removed", Kind: "attribute", Of: of, Path: path, Old: AttributeText(old)})
		default:
			d.attribute(of, path, old, now)
			if of != "class" || !slices.Contains(derivable[:], name) {
				d.values(of, path, old, now)
			}
		}
	}
}

func (d *differ) attribute(of, path string, a, b *Attribute) {
	d.deprecation("attribute", of, path, a.Deprecated, b.Deprecated)
	for _, said := range []struct{ what, old, now string }{
		{"type", a.TypeText(), b.TypeText()},
		{"requirement", string(a.Requirement), string(b.Requirement)},
		{"profiles", strings.Join(a.Profiles, " "), strings.Join(b.Profiles, " ")},
		{"caption", a.Caption, b.Caption},
		{"sibling", a.Sibling, b.Sibling},
	} {
		if said.old != said.now {
			d.add(Change{Op: "changed", Kind: "attribute", Of: of, Path: path, What: said.what, Old: said.old, New: said.now})
		}
	}
}

// values compares enums. One that appears or is gone is a change of the
// attribute, because it decides whether other values are allowed.
func (d *differ) values(of, path string, a, b *Attribute) {
	if (a.Enum == nil) != (b.Enum == nil) {
		d.add(Change{Op: "changed", Kind: "attribute", Of: of, Path: path, What: "values", Old: enumText(a.Enum), New: enumText(b.Enum)})
		return
	}
	old, now := valueMap(a.Enum), valueMap(b.Enum)
	var all []EnumValue
	for _, v := range union(old, now) {
		all = append(all, EnumValue{Value: v})
	}
	sortEnum(all)
	for _, v := range all {
		path := path + "=" + v.Value
		switch x, y := old[v.Value], now[v.Value]; {
		case x == nil:
			d.add(Change{Op: "added", Kind: "value", Of: of, Path: path, New: y.Caption})
		case y == nil:
			d.add(Change{Op: "removed", Kind: "value", Of: of, Path: path, Old: x.Caption})
		default:
			d.deprecation("value", of, path, x.Deprecated, y.Deprecated)
			if x.Caption != y.Caption {
				d.add(Change{Op: "changed", Kind: "value", Of: of, Path: path, What: "caption", Old: x.Caption, New: y.Caption})
			}
		}
	}
}

func valueMap(enum []EnumValue) map[string]*EnumValue {
	values := make(map[string]*EnumValue, len(enum))
	for i := range enum {
		values[enum[i].Value] = &enum[i]
	}
	return values
}

func enumText(enum []EnumValue) string {
	if enum == nil {
		return "any"
	}
	values := make([]string, len(enum))
	for i, v := range enum {
		values[i] = v.Value
	}
	return strings.Join(values, " ")
}
