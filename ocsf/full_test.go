// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/ocsf"
	"github.com/docket-audit/docket/ocsf/schema"
)

// TestEveryClass takes an event of each class of each version through the codec
// that has all attributes of the class and of the objects in it, those of all
// profiles among them; and every object of the version, wherever it is deeper
// down, once. Each attribute has its field, so that nothing is kept in Extra.
func TestEveryClass(t *testing.T) {
	for _, version := range schema.Versions() {
		s := mustLoad(t, version)
		had := map[string]bool{}
		for _, name := range slices.Sorted(maps.Keys(s.Classes)) {
			class := s.Classes[name]
			event := fullItem(t, s, &class.Item, 0, had)
			event["class_uid"] = class.UID
			event["metadata"].(map[string]any)["version"] = version
			text, err := json.Marshal(event)
			if err != nil {
				t.Fatal(err)
			}
			at := version + " " + name
			lossless(t, at, text)
			e, err := ocsf.Decode(text)
			if err != nil {
				continue // lossless has said so
			}
			if int(e.Class()) != class.UID {
				t.Errorf("%s is read as %T", at, e)
			}
			typed(t, at, e)
		}
		const all = 150 // fewer than any version has
		if len(had) < all {
			t.Errorf("%s: %d objects, want %d and more", version, len(had), all)
		}
	}
}

// typed fails on what is kept in Extra, for want of a field.
func typed(t testing.TB, at string, e ocsf.Event) {
	t.Helper()
	for _, path := range extras(reflect.ValueOf(e), "") {
		t.Errorf("%s has no field for %s", at, path)
	}
}

// extras returns the paths of all members of v that are in an Extra, but for the
// zeros of fields, such as the class_uid of a base event.
func extras(v reflect.Value, path string) (all []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return extras(v.Elem(), path)
		}
	case reflect.Slice:
		if extra, ok := v.Interface().(ocsf.Extra); ok {
			for _, m := range extra {
				if string(m.Value) != "0" {
					all = append(all, strings.TrimPrefix(path+"."+m.Name, "."))
				}
			}
			return all
		}
		for i := range v.Len() {
			all = append(all, extras(v.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
		}
	case reflect.Struct:
		for field, value := range v.Fields() {
			inner := path
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" && name != "" {
				inner += "." + name
			}
			all = append(all, extras(value, inner)...)
		}
	}
	return all
}

// fullItem returns an object with all attributes that i has; depth levels down,
// beyond the objects of a class, without the objects that were had before.
func fullItem(t testing.TB, s *schema.Schema, i *schema.Item, depth int, had map[string]bool) map[string]any {
	t.Helper()
	o := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(i.Attributes)) {
		a := i.Attributes[name]
		switch object := s.Objects[a.ObjectType]; {
		case a.Type != "object_t":
			o[name] = nonzero(minimalValue(t, s, a))
			continue
		case len(object.Attributes) == 0:
			o[name] = map[string]any{"a": 1}
		case depth > 0 && had[object.Name]:
			continue
		default:
			had[object.Name] = true
			o[name] = fullItem(t, s, &object.Item, depth+1, had)
		}
		if a.IsArray {
			o[name] = []any{o[name]}
		}
	}
	return o
}

// nonzero returns v, or another value than the zero that fields leave out.
func nonzero(v any) any {
	if v == json.Number("0") {
		return json.Number("99")
	}
	return v
}
