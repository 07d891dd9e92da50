// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/ocsf/schema"
	"github.com/docket-audit/docket/schemas/ocsf"
)

func load(t *testing.T, version string) *schema.Schema {
	t.Helper()
	s, err := schema.Load(version)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVersions(t *testing.T) {
	files, err := fs.Glob(ocsf.Catalogs, "catalog/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, file := range files {
		want = append(want, strings.TrimSuffix(strings.TrimPrefix(file, "catalog/"), ".json"))
	}
	versions := schema.Versions()
	if diff := cmp.Diff(want, versions); diff != "" {
		t.Errorf("the files are not the versions (-files +versions):\n%s", diff)
	}
	if last := versions[len(versions)-1]; last != schema.Latest {
		t.Errorf("Latest is %s, the last version %s", schema.Latest, last)
	}
	if load(t, schema.Default) != load(t, schema.Default) {
		t.Error("two schemas of one version")
	}
	_, err = schema.Load("1.5.0")
	var unknown *schema.UnknownVersionError
	if !errors.As(err, &unknown) || unknown.Version != "1.5.0" {
		t.Fatalf("got %v, want an UnknownVersionError", err)
	}
	for _, version := range versions {
		if !strings.Contains(err.Error(), version) {
			t.Errorf("%q does not offer %s", err, version)
		}
	}
}

// What each version has, counted in the published schemas.
func TestCounts(t *testing.T) {
	type counts struct{ Classes, Deprecated, Objects, Types, Profiles, Extensions, Categories int }
	want := map[string]counts{
		"1.6.0": {82, 23, 167, 24, 12, 2, 8},
		"1.7.0": {83, 23, 170, 24, 12, 2, 8},
		"1.8.0": {83, 23, 178, 24, 14, 3, 8},
		"1.9.0": {87, 25, 194, 24, 15, 3, 8},
	}
	for _, version := range schema.Versions() {
		s := load(t, version)
		got := counts{
			Classes: len(s.Classes), Objects: len(s.Objects), Types: len(s.Types), Profiles: len(s.Profiles),
			Extensions: len(s.Extensions), Categories: len(s.Categories),
		}
		for _, c := range s.Classes {
			if c.Deprecated != nil {
				got.Deprecated++
			}
		}
		if diff := cmp.Diff(want[version], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", version, diff)
		}
		if s.Version != version {
			t.Errorf("%s says that it is %s", version, s.Version)
		}
	}
}

// Facts that are easily lost on the way: what the compiler sets, what the
// schema gets wrong, and what only one place has.
func TestFacts(t *testing.T) {
	s := load(t, "1.8.0")
	api := s.ClassByUID(6003)
	windows := s.ClassByUID(201001)
	activity := &schema.Attribute{
		Name: "type_uid", Caption: "Type ID", Type: "long_t", Requirement: schema.Required, Sibling: "type_name",
		Enum: []schema.EnumValue{
			{Value: "600300", Caption: "API Activity: Unknown"},
			{Value: "600301", Caption: "API Activity: Create"},
			{Value: "600302", Caption: "API Activity: Read"},
			{Value: "600303", Caption: "API Activity: Update"},
			{Value: "600304", Caption: "API Activity: Delete"},
			{Value: "600399", Caption: "API Activity: Other"},
		},
	}
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"class by uid", api.Name, "api_activity"},
		{"no class by uid", s.ClassByUID(1), (*schema.Class)(nil)},
		{"derived enum", api.Attributes["type_uid"], activity},
		{"base event", s.ClassByUID(0).Category, "other"},
		{"class of an extension", windows.Name, "registry_key_activity"},
		{"its category is that of the base", windows.Attributes["category_uid"].Enum, []schema.EnumValue{{Value: "1", Caption: "System Activity"}}},
		{"and so is its uid", windows.CategoryUID, 1},
		{"extension", windows.Extension, "win"},
		{"its uid", s.Extensions["win"].UID, 2},
		{"profile of an extension", s.Profiles["linux/linux_users"], &schema.Profile{Name: "linux/linux_users", Caption: "Linux Users", Extension: "linux"}},
		{"dotted constraint", s.Classes["patch_state"].Constraints, map[string][]string{"at_least_one": {"device.os.sp_name", "device.os.sp_ver", "device.os.version"}}},
		{"misspelt class", s.ClassByUID(1008).Name, "event_log_actvity"},
		{"cleared constraints", s.Objects["file"].Constraints, map[string][]string(nil)},
		{"object without attributes", len(s.Objects["object"].Attributes), 0},
		{"array of objects", s.Classes["api_activity"].Attributes["observables"].ObjectType, "observable"},
		{"two profiles", s.Objects["process"].Attributes["euid"].Profiles, []string{"linux/linux_users", "macos/macos_users"}},
		{"attribute freed of its profile", s.ClassByUID(2004).Attributes["is_alert"].Profiles, []string(nil)},
		{"range", s.Types["port_t"].Range, &[2]int64{0, 65535}},
		{"values", s.Types["boolean_t"].Values, []any{false, true}},
		{"primitive", s.Types["json_t"].Super, ""},
		{"texts in an enum", s.Objects["cvss"].Attributes["depth"].Enum, []schema.EnumValue{
			{Value: "Base", Caption: "Base"}, {Value: "Environmental", Caption: "Environmental"}, {Value: "Temporal", Caption: "Temporal"},
		}},
		{"deprecated class", s.ClassByUID(2001).Deprecated, &schema.Deprecation{Since: "1.1.0"}},
		{"deprecated attribute", s.Objects["process"].Attributes["tid"].Deprecated, &schema.Deprecation{Since: "1.6.0"}},
		{"deprecated in the next version", load(t, "1.9.0").ClassByUID(3001).Deprecated, &schema.Deprecation{Since: "1.9.0"}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// Each attribute of each class and object names things that exist.
func TestWhole(t *testing.T) {
	for _, version := range schema.Versions() {
		s := load(t, version)
		items := make(map[string]*schema.Item)
		for name, c := range s.Classes {
			items["class "+name] = &c.Item
			if got := s.ClassByUID(c.UID); got != c {
				t.Errorf("%s: two classes have uid %d", version, c.UID)
			}
		}
		for name, o := range s.Objects {
			items["object "+name] = &o.Item
		}
		for name, it := range items {
			for key, a := range it.Attributes {
				if a.Name != key {
					t.Errorf("%s: %s: %s is called %s", version, name, key, a.Name)
				}
				if object := s.Objects[a.ObjectType]; (a.Type == "object_t") != (object != nil) {
					t.Errorf("%s: %s.%s: no object %q", version, name, key, a.ObjectType)
				}
				for _, profile := range a.Profiles {
					if s.Profiles[profile] == nil {
						t.Errorf("%s: %s.%s: no profile %q", version, name, key, profile)
					}
				}
			}
		}
	}
}
