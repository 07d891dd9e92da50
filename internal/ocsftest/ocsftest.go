// SPDX-License-Identifier: Apache-2.0

// Package ocsftest checks, in tests, that an event is what OCSF 1.8.0 allows.
//
// It judges by a catalog of facts taken from the published schema: the classes
// that Docket writes, with those attributes that package ocsf can write and
// those that are required. An attribute outside of the catalog is an error, so
// the check is stricter than the schema and never laxer.
package ocsftest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
)

//go:embed catalog-1.8.0.json
var catalogJSON []byte

// A catalog is what the schema says of classes, by uid, and objects, by name.
type catalog struct {
	Version  string            `json:"version"`
	Profiles []string          `json:"profiles"`
	Classes  map[string]object `json:"classes"`
	Objects  map[string]object `json:"objects"`
}

type object struct {
	Category   int                  `json:"category,omitempty"`
	AtLeastOne []string             `json:"at_least_one,omitempty"`
	JustOne    []string             `json:"just_one,omitempty"`
	Attributes map[string]attribute `json:"attributes"`
}

type attribute struct {
	Type     string            `json:"type"` // the basic type, or object:<name>
	Array    bool              `json:"array,omitempty"`
	Required bool              `json:"required,omitempty"`
	Profiles []string          `json:"profiles,omitempty"`
	Enum     map[string]string `json:"enum,omitempty"` // value to caption
	Sibling  string            `json:"sibling,omitempty"`
}

var load = sync.OnceValue(func() catalog {
	var c catalog
	if err := json.Unmarshal(catalogJSON, &c); err != nil {
		panic(err)
	}
	return c
})

// Problems returns what is wrong with an event, each with the path of the
// attribute; nothing when it is a clean event of the schema.
func Problems(raw []byte) []string {
	var event map[string]any
	if err := json.Unmarshal(raw, &event); err != nil {
		return []string{err.Error()}
	}
	k := &check{catalog: load()}
	k.event(event)
	slices.Sort(k.problems)
	return k.problems
}

type check struct {
	catalog  catalog
	profiles []string
	problems []string
}

func (k *check) fail(path, format string, args ...any) {
	k.problems = append(k.problems, path+": "+fmt.Sprintf(format, args...))
}

func (k *check) event(e map[string]any) {
	uid, _ := e["class_uid"].(float64)
	class, ok := k.catalog.Classes[strconv.Itoa(int(uid))]
	if !ok {
		k.fail("class_uid", "no class %v in the catalog", e["class_uid"])
		return
	}
	metadata, _ := e["metadata"].(map[string]any)
	if version := metadata["version"]; version != k.catalog.Version {
		k.fail("metadata.version", "%v, not %s", version, k.catalog.Version)
	}
	profiles, _ := metadata["profiles"].([]any)
	for _, p := range profiles {
		name, _ := p.(string)
		if !slices.Contains(k.catalog.Profiles, name) {
			k.fail("metadata.profiles", "no profile %v", p)
		}
		k.profiles = append(k.profiles, name)
	}
	activity, _ := e["activity_id"].(float64)
	if e["type_uid"] != uid*100+activity {
		k.fail("type_uid", "%v does not follow from class and activity", e["type_uid"])
	}
	if e["category_uid"] != float64(class.Category) {
		k.fail("category_uid", "%v, not %d", e["category_uid"], class.Category)
	}
	k.object("", e, class)
}

// in says whether an attribute exists under the event's profiles.
func (k *check) in(a attribute) bool {
	return len(a.Profiles) == 0 || slices.ContainsFunc(a.Profiles, func(p string) bool { return slices.Contains(k.profiles, p) })
}

func (k *check) object(path string, m map[string]any, o object) {
	for name, a := range o.Attributes {
		if v, ok := m[name]; a.Required && k.in(a) && (!ok || v == nil) {
			k.fail(path+name, "required, not there")
		}
	}
	present := func(name string) bool { _, ok := m[name]; return ok }
	if len(o.AtLeastOne) > 0 && !slices.ContainsFunc(o.AtLeastOne, present) {
		k.fail(path, "needs at least one of %v", o.AtLeastOne)
	}
	if n := len(slices.DeleteFunc(slices.Clone(o.JustOne), func(name string) bool { return !present(name) })); len(o.JustOne) > 0 && n != 1 {
		k.fail(path, "needs just one of %v", o.JustOne)
	}
	for name, v := range m {
		a, ok := o.Attributes[name]
		if !ok || !k.in(a) {
			k.fail(path+name, "unknown attribute")
			continue
		}
		k.attribute(path+name, v, a)
		k.enum(path+name, v, a, m)
	}
}

func (k *check) enum(path string, v any, a attribute, m map[string]any) {
	if a.Enum == nil {
		return
	}
	caption, ok := a.Enum[fmt.Sprint(v)]
	if !ok {
		k.fail(path, "no such value: %v", v)
		return
	}
	sibling, there := m[a.Sibling]
	switch {
	case !there:
	case v == 99.0 && sibling == caption:
		k.fail(path, "other, without saying what: %v", sibling)
	case v != 99.0 && sibling != caption:
		k.fail(path, "%v is %q, not %v", v, caption, sibling)
	}
}

func (k *check) attribute(path string, v any, a attribute) {
	if !a.Array {
		k.value(path, v, a)
		return
	}
	list, ok := v.([]any)
	if !ok {
		k.fail(path, "not an array: %v", v)
		return
	}
	for i, item := range list {
		k.value(fmt.Sprintf("%s[%d]", path, i), item, a)
	}
}

func (k *check) value(path string, v any, a attribute) {
	const objectPrefix = "object:"
	if len(a.Type) > len(objectPrefix) && a.Type[:len(objectPrefix)] == objectPrefix {
		m, ok := v.(map[string]any)
		o, known := k.catalog.Objects[a.Type[len(objectPrefix):]]
		switch {
		case !ok:
			k.fail(path, "not an object: %v", v)
		case !known:
			k.fail(path, "the catalog lacks %s", a.Type)
		case len(o.Attributes) > 0: // an object without attributes is free-form
			k.object(path+".", m, o)
		}
		return
	}
	ok := true
	switch a.Type {
	case "string":
		_, ok = v.(string)
	case "boolean":
		_, ok = v.(bool)
	case "integer", "long":
		f, is := v.(float64)
		ok = is && f == float64(int64(f))
	case "port":
		f, is := v.(float64)
		ok = is && f == float64(uint16(f))
	case "ip":
		s, _ := v.(string)
		_, err := netip.ParseAddr(s)
		ok = err == nil
	case "json":
	default:
		k.fail(path, "the check knows no type %s", a.Type)
	}
	if !ok {
		k.fail(path, "not of type %s: %v", a.Type, v)
	}
}
