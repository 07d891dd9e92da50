// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/ocsf/schema"
)

// small is a compiled schema with prose and keys that mean nothing here, as a
// real one has them.
const small = `{
  "compile_version": 1,
  "version": "1.0.0",
  "categories": {"caption": "Categories", "description": "prose", "attributes": {
    "system": {"caption": "System", "uid": 1, "description": "prose"}
  }},
  "dictionary": {"attributes": {"x": {"type": "y"}}, "types": {"attributes": {
    "integer_t": {"caption": "Integer", "observable": 3},
    "string_t": {"caption": "String"},
    "level_t": {"caption": "Level", "type": "integer_t", "type_name": "Integer", "range": [-1, 9], "values": [1, 2.50]}
  }}},
  "extensions": {"acme": {"name": "acme", "caption": "Acme", "uid": 9, "version": "3", "platform_extension?": true}},
  "profiles": {"acme/p": {"name": "p", "caption": "P", "extension": "acme", "meta": "profile"}},
  "classes": {"go": {
    "name": "go", "caption": "Go", "category": "system", "category_uid": 1, "uid": 1001, "extends": "base",
    "@deprecated": {"message": "<b>prose</b>", "since": "0.9.0", "superseded_by": ["x"]},
    "references": [{"url": "u"}], "associations": {}, "constraints": {"just_one": ["b", "a"]}, "profiles": ["b", "a"],
    "attributes": {
      "a": {"caption": "A: & \"b\"", "type": "level_t", "is_array": true, "group": "primary", "sibling": "b",
        "profiles": ["b", "a"], "@deprecated": {"message": "m", "since": "0.9.0"},
        "enum": {"10": {"caption": "ten", "description": "prose"}, "9": {"caption": "nine", "@deprecated": {"since": "0.8.0"}}}},
      "b": {"caption": "B", "type": "string_t", "requirement": "required", "profiles": null,
        "enum": {"y": {"caption": "Y"}, "10": {"caption": "X"}, "9": {"caption": "Z"}}},
      "o": {"caption": "O", "type": "object_t", "object_type": "thing", "object_name": "Thing", "requirement": "recommended"}
    }
  }},
  "objects": {"thing": {"name": "thing", "caption": "Thing", "constraints": {}, "attributes": {}}}
}`

func TestReadCompiled(t *testing.T) {
	got, err := schema.ReadCompiled(strings.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	old := &schema.Deprecation{Since: "0.9.0"}
	if diff := cmp.Diff(old, got.Classes["go"].Deprecated); diff != "" {
		t.Error(diff)
	}
	want := map[string]*schema.Attribute{
		"a": {
			Name: "a", Caption: `A: & "b"`, Type: "level_t", IsArray: true, Requirement: schema.Optional,
			Sibling: "b", Profiles: []string{"a", "b"}, Deprecated: old,
			Enum: []schema.EnumValue{{Value: "9", Caption: "nine", Deprecated: &schema.Deprecation{Since: "0.8.0"}}, {Value: "10", Caption: "ten"}},
		},
		"b": {
			Name: "b", Caption: "B", Type: "string_t", Requirement: schema.Required,
			Enum: []schema.EnumValue{{Value: "10", Caption: "X"}, {Value: "9", Caption: "Z"}, {Value: "y", Caption: "Y"}},
		},
		"o": {Name: "o", Caption: "O", Type: "object_t", ObjectType: "thing", Requirement: schema.Recommended},
	}
	if diff := cmp.Diff(want, got.Classes["go"].Attributes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string][]string{"just_one": {"b", "a"}}, got.Classes["go"].Constraints); diff != "" {
		t.Error(diff)
	}
	roundTrip(t, got)
}

func TestInvalidCompiled(t *testing.T) {
	for _, c := range []struct{ old, replaced, path, problem string }{
		{`"compile_version": 1,`, ``, "compile_version", "missing"},
		{`"compile_version": 1`, `"compile_version": 2`, "compile_version", "2 is not supported"},
		{`"version": "1.0.0",`, ``, "version", "missing"},
		{`"version": "1.0.0"`, `"version": 1`, "version", "a JSON number"},
		{`"classes"`, `"klasses"`, "classes", "missing"},
		{`"uid": 1,`, ``, "categories.attributes.system.uid", "missing"},
		{`"uid": 1001`, `"uid": "1001"`, "classes.go.uid", "a JSON string"},
		{`"category_uid": 1,`, ``, "classes.go.category_uid", "missing"},
		{`"category": "system"`, `"category": "none"`, "classes.go.category", `no category "none"`},
		{`"type": "level_t",`, ``, "classes.go.attributes.a.type", "missing"},
		{`"type": "level_t"`, `"type": "what_t"`, "classes.go.attributes.a.type", `no type "what_t"`},
		{`"object_type": "thing"`, `"object_type": "nothing"`, "classes.go.attributes.o.object_type", `no object "nothing"`},
		{`"object_type": "thing",`, ``, "classes.go.attributes.o.object_type", "missing"},
		{`"required"`, `"must"`, "classes.go.attributes.b.requirement", `"must"`},
		{`"type": "integer_t"`, `"type": "number_t"`, "dictionary.types.attributes.level_t.type", `no type "number_t"`},
		{`"type": "integer_t"`, `"type": "level_t"`, "dictionary.types.attributes.level_t.type", "not a primitive"},
		{`[-1, 9]`, `[9]`, "dictionary.types.attributes.level_t.range", "1 numbers"},
		{`"classes": {`, `"classes": {"again": {"category": "system", "category_uid": 1, "uid": 1001, "attributes": {}}, `, "classes.go.uid", "the uid of again"},
		{`"profiles": ["b", "a"],
    "attributes"`, `"profiles": ["a b"], "attributes"`, "classes.go.profiles[0]", `"a b" cannot be a name`},
		{`"attributes": {}`, `"attributes": null`, "objects.thing.attributes", "missing"},
		{`"sibling": "b"`, `"sibling": "b c"`, "classes.go.attributes.a.sibling", `"b c" cannot be a name`},
		{`["b", "a"]}`, `null}`, "classes.go.constraints.just_one", "no list"},
		{`"enum": {"y"`, `"enum": [], "_": {"y"`, "classes.go.attributes.b.enum", "a JSON array"},
		{`"compile_version"`, `compile_version`, "", "invalid character"},
	} {
		text := strings.Replace(small, c.old, c.replaced, 1)
		if text == small {
			t.Errorf("%s is not in the schema", c.old)
		}
		_, err := schema.ReadCompiled(strings.NewReader(text))
		wantInvalid(t, err, c.path, c.problem)
	}
	if _, err := schema.ReadCompiled(iotest.ErrReader(io.ErrNoProgress)); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want what reading failed with", err)
	}
}

func wantInvalid(t *testing.T, err error, path, problem string) {
	t.Helper()
	var wrong *schema.InvalidError
	if !errors.As(err, &wrong) {
		t.Errorf("got %v, want an InvalidError at %q", err, path)
		return
	}
	if wrong.Path != path || !strings.Contains(wrong.Problem, problem) {
		t.Errorf("got %v, want %q at %q", err, problem, path)
	}
}

func TestInvalidCatalog(t *testing.T) {
	s, err := schema.ReadCompiled(strings.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	catalog := write(t, s)
	for _, c := range []struct{ old, replaced, path, problem string }{
		{`"catalog": 1`, `"catalog": 2`, "catalog", "version 2"},
		{`"catalog": 1`, `"catalog": 1e3`, "", "expected a comma"},
		{`"version": "1.0.0",`, ``, "version", "missing"},
		{`"types"`, `"kinds"`, "kinds", "no such member"},
		{`"uid":1001`, `"uid":x`, "classes.go.uid", "expected a whole number"},
		{`"uid":1001`, `"uidd":1001`, "classes.go.uidd", "no such member"},
		{`enum=a`, `enum=none`, "attributes.a", `no enum "none"`},
		{`"values":["9","nine",`, `"values":["9",`, "enums.a", "no caption"},
		{`"values":["9"`, `"values":[9`, "enums.a.values", "expected a string"},
		{`string_t required`, `string_t needed`, "attributes.b", `"needed" means nothing`},
		{`: O"`, `"`, "attributes.o", "no caption"},
		{`object:thing`, `object:some`, "attributes.o.object_type", `no object "some"`},
		{`"a b o"`, `"a b x"`, "classes.go.attributes", `no attribute "x"`},
		{`"attributes":"a b o"`, `"like":"come","attributes":"a b o"`, "classes.go.like", `"come" cannot be a model`},
		{`"thing": {`, `"thing": {"like":"thing",`, "objects.thing.like", "only classes"},
		{"}\n}\n", "}\n", "", "expected a comma"},
		{"}\n}\n", "}\n}\n}", "", "expected the end"},
		{"1.0.0", "\xff", "", "UTF-8"},
	} {
		text := strings.Replace(catalog, c.old, c.replaced, 1)
		if text == catalog {
			t.Errorf("%s is not in the catalog:\n%s", c.old, catalog)
		}
		_, err := schema.Read(strings.NewReader(text))
		wantInvalid(t, err, c.path, c.problem)
	}
	if _, err := schema.Read(iotest.ErrReader(io.ErrNoProgress)); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want what reading failed with", err)
	}
	if err := schema.Write(failingWriter{}, s); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v, want what writing failed with", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func write(t *testing.T, s *schema.Schema) string {
	t.Helper()
	var out strings.Builder
	if err := schema.Write(&out, s); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// roundTrip writes a schema and reads it.
func roundTrip(t *testing.T, s *schema.Schema) {
	t.Helper()
	catalog := write(t, s)
	again, err := schema.Read(strings.NewReader(catalog))
	if err != nil {
		t.Fatalf("%v\n%s", err, catalog)
	}
	if diff := cmp.Diff(s, again); diff != "" {
		t.Fatalf("a catalog lost something (-before +after):\n%s\n%s", diff, catalog)
	}
}

// What can be read can be written, and is read again as what it was.
func FuzzReadCompiled(f *testing.F) {
	f.Add([]byte(small))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := schema.ReadCompiled(strings.NewReader(string(text)))
		if err == nil {
			roundTrip(t, s)
		}
	})
}

func FuzzRead(f *testing.F) {
	s, err := schema.ReadCompiled(strings.NewReader(small))
	if err != nil {
		f.Fatal(err)
	}
	var catalog strings.Builder
	if err := schema.Write(&catalog, s); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(catalog.String()))
	f.Add([]byte(strings.ReplaceAll(catalog.String(), "object:thing", `level_t enum=*`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := schema.Read(strings.NewReader(string(text)))
		if err == nil {
			roundTrip(t, s)
		}
	})
}
