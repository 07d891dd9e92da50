// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/ocsf"
	"github.com/docket-audit/docket/ocsf/schema"
)

// A maker draws valid events of one version of the schema.
type maker struct {
	*schema.Schema
	t        *rapid.T
	profiles []string
}

// event draws an event of a class.
func (m *maker) event(c *schema.Class) map[string]any {
	all := slices.Sorted(maps.Keys(m.Profiles))
	m.profiles = slices.DeleteFunc(all, func(string) bool { return rapid.IntRange(0, 3).Draw(m.t, "profile") > 0 })
	e := m.item(&c.Item, 0)
	e["metadata"].(map[string]any)["version"] = m.Version
	e["metadata"].(map[string]any)["profiles"] = m.profiles
	activity, err := strconv.Atoi(string(e["activity_id"].(json.Number)))
	if err != nil {
		m.t.Fatal(err)
	}
	e["type_uid"] = c.UID*100 + activity
	if _, ok := e["type_name"]; ok {
		for _, v := range c.Attributes["type_uid"].Enum {
			if v.Value == strconv.Itoa(c.UID*100+activity) {
				e["type_name"] = v.Caption
			}
		}
	}
	return e
}

func (m *maker) item(i *schema.Item, depth int) map[string]any {
	o := map[string]any{}
	possible := map[string]*schema.Attribute{}
	for _, name := range slices.Sorted(maps.Keys(i.Attributes)) {
		a := i.Attributes[name]
		if len(a.Profiles) > 0 && !slices.ContainsFunc(a.Profiles, func(p string) bool { return slices.Contains(m.profiles, p) }) {
			continue
		}
		possible[name] = a
		if a.Requirement == schema.Required || m.likes(a, depth) {
			o[name] = m.value(a, depth)
		}
	}
	m.siblings(i, o)
	m.constrain(i, o, possible, depth)
	return o
}

// likes decides on an attribute that need not be.
func (m *maker) likes(a *schema.Attribute, depth int) bool {
	switch {
	case a.Name == "observables": // their names have to resolve
		return false
	case a.Type == "object_t":
		return depth < 2 && rapid.IntRange(0, 5).Draw(m.t, a.Name) == 0
	}
	return rapid.IntRange(0, 2+depth).Draw(m.t, a.Name) == 0
}

func (m *maker) constrain(i *schema.Item, o map[string]any, possible map[string]*schema.Attribute, depth int) {
	for _, keyword := range []string{"at_least_one", "just_one"} {
		names := slices.DeleteFunc(slices.Clone(i.Constraints[keyword]), func(n string) bool { return possible[n] == nil })
		if len(names) == 0 {
			continue
		}
		have := slices.ContainsFunc(names, func(n string) bool { return o[n] != nil })
		if keyword == "at_least_one" && have {
			continue
		}
		// The plainest one, so that recursive objects end.
		one := slices.MinFunc(names, func(x, y string) int { return strings.Compare(possible[y].Type, possible[x].Type) })
		if keyword == "just_one" {
			for _, n := range names {
				if possible[n].Requirement != schema.Required {
					delete(o, n)
				}
			}
		}
		o[one] = m.value(possible[one], depth)
	}
}

// siblings writes captions where the drawing has put any text.
func (m *maker) siblings(i *schema.Item, o map[string]any) {
	for name, a := range i.Attributes {
		if a.Sibling == "" || len(a.Enum) == 0 {
			continue
		}
		delete(o, a.Sibling)
		v, ok := o[name].(json.Number)
		if !ok || rapid.Bool().Draw(m.t, a.Sibling) {
			continue
		}
		for _, e := range a.Enum {
			if e.Value == string(v) && v != "99" {
				o[a.Sibling] = e.Caption
			}
		}
	}
}

func (m *maker) value(a *schema.Attribute, depth int) any {
	if a.IsArray {
		l := []any{}
		for range rapid.IntRange(0, 2).Draw(m.t, "n") {
			l = append(l, m.one(a, depth))
		}
		return l
	}
	return m.one(a, depth)
}

func (m *maker) one(a *schema.Attribute, depth int) any {
	if len(a.Enum) > 0 {
		v := rapid.SampledFrom(a.Enum).Draw(m.t, a.Name).Value
		if a.Type == "string_t" {
			return v
		}
		return json.Number(v)
	}
	switch t := m.Types[a.Type]; {
	case a.Type == "object_t":
		o := m.Objects[a.ObjectType]
		if len(o.Attributes) == 0 {
			return rapid.MapOfN(texts(), values(1), 0, 3).Draw(m.t, a.Name)
		}
		return m.item(&o.Item, depth+1)
	case a.Type == "boolean_t":
		return rapid.Bool().Draw(m.t, a.Name)
	case a.Type == "float_t":
		return json.Number(strconv.FormatFloat(float64(rapid.IntRange(-1000, 1000).Draw(m.t, a.Name))/8, 'f', 3, 64))
	case a.Type == "json_t":
		return values(1).Filter(func(v any) bool { return v != nil }).Draw(m.t, a.Name)
	case a.Type == "port_t":
		return rapid.IntRange(0, 65535).Draw(m.t, a.Name)
	case a.Type == "integer_t", t.Super == "integer_t", a.Type == "long_t", t.Super == "long_t":
		return rapid.Int64Range(-1<<53, 1<<53).Draw(m.t, a.Name)
	}
	if s, ok := map[string]string{
		"bytestring_t": "QUJD", "datetime_t": "2026-11-20T10:00:00Z", "email_t": "a@example.com", "ip_t": "192.0.2.1",
		"mac_t": "00:00:5e:00:53:01", "subnet_t": "192.0.2.0/24", "uuid_t": "0199d0aa-2000-7000-8000-000000000002",
	}[a.Type]; ok {
		return s
	}
	return texts().Draw(m.t, a.Name)
}

// TestProperties draws valid events of every version and class.
func TestProperties(t *testing.T) {
	for _, version := range schema.Versions() {
		s, err := schema.Load(version)
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(s.Classes))
		t.Run(version, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				m := &maker{Schema: s, t: rt}
				class := s.Classes[rapid.SampledFrom(names).Draw(rt, "class")]
				event, err := json.Marshal(m.event(class))
				if err != nil {
					rt.Skip() // a map key that encoding/json refuses
				}
				checkProperties(rt, version, class, event)
			})
		})
	}
}

// checkProperties takes a valid event through decoding and encoding, as it is and
// as somebody would write it who leaves to the package what it derives.
func checkProperties(t *rapid.T, version string, class *schema.Class, event []byte) {
	valid(t, version, class, event)
	e, err := ocsf.Decode(event)
	if err != nil {
		t.Fatalf("%v: %s", err, event)
	}
	if int(e.Class()) != class.UID || e.Class().String() != class.Caption {
		t.Fatalf("decoded as %v", e.Class())
	}
	lossless(t, class.Name, event)

	ocsf.Edit(e)
	b := e.Common()
	b.TypeUID, b.ClassUID, b.CategoryUID = 0, 0, 0
	derived, err := ocsf.Encode(e)
	if err != nil {
		t.Fatalf("%v: %s", err, event)
	}
	valid(t, version, class, derived)
	lossless(t, class.Name, derived)
}

// valid fails on what the official validator would call invalid. It is never
// satisfied with a class whose constraint has dotted paths.
func valid(t *rapid.T, version string, class *schema.Class, event []byte) {
	report, err := ocsf.Validate(event, version, ocsf.ModeServer)
	if err != nil {
		t.Fatalf("%v: %s", err, event)
	}
	for _, issue := range report.Errors {
		if strings.Contains(strings.Join(class.Constraints["at_least_one"], ""), ".") && issue.Code == "constraint_failed" && issue.Path == "" {
			continue
		}
		t.Fatalf("%s at %q: %s\n%s", issue.Code, issue.Path, issue.Message, event)
	}
}
