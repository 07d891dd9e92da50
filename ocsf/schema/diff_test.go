// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/ocsf/schema"
)

// Each edit of a schema is told, as one change.
func TestDiffTellsEachEdit(t *testing.T) {
	before, err := schema.ReadCompiled(strings.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(kind, path, what, old, now string) schema.Change {
		return schema.Change{Op: "changed", Kind: kind, Path: path, What: what, Old: old, New: now}
	}
	inClass := func(c schema.Change) schema.Change {
		c.Of = "class"
		return c
	}
	for _, c := range []struct {
		old, replaced string
		want          schema.Change
	}{
		{`"caption": "System", "uid": 1`, `"caption": "System", "uid": 2`, changed("category", "system", "uid", "1", "2")},
		{`"caption": "System"`, `"caption": "Systems"`, changed("category", "system", "caption", "System", "Systems")},
		{`"uid": 9`, `"uid": 8`, changed("extension", "acme", "uid", "9", "8")},
		{`"caption": "P"`, `"caption": "Q"`, changed("profile", "acme/p", "caption", "P", "Q")},
		{`"acme/p"`, `"acme/p": {"caption": "P", "extension": "acme"}, "new"`, schema.Change{Op: "added", Kind: "profile", Path: "new", New: "P"}},
		{`[-1, 9]`, `[0, 9]`, changed("type", "level_t", "range", "-1 to 9", "0 to 9")},
		{`"range": [-1, 9], `, ``, changed("type", "level_t", "range", "-1 to 9", "")},
		{`[1, 2.50]`, `[1]`, changed("type", "level_t", "values", "[1,2.50]", "[1]")},
		{`"integer_t": {`, `"any_t": {"caption": "Any"}, "integer_t": {`, schema.Change{Op: "added", Kind: "type", Path: "any_t", New: "Any"}},
		{`"caption": "Go"`, `"caption": "Went"`, changed("class", "go", "caption", "Go", "Went")},
		{`"uid": 1001`, `"uid": 1002`, changed("class", "go", "uid", "1001", "1002")},
		{`"extends": "base"`, `"extends": "top"`, changed("class", "go", "extends", "base", "top")},
		{`"@deprecated": {"message": "<b>`, `"x": {"message": "<b>`, changed("class", "go", "deprecated", "0.9.0", "")},
		{`{"just_one": ["b", "a"]}`, `{}`, changed("class", "go", "constraints", "just_one b a", "")},
		{`"profiles": ["b", "a"],
    "attributes"`, `"profiles": ["b"], "attributes"`, inClass(schema.Change{Op: "removed", Kind: "profile", Path: "go+a"})},
		{`"type": "level_t"`, `"type": "integer_t"`, inClass(changed("attribute", "go.a", "type", "[]level_t", "[]integer_t"))},
		{`"is_array": true, `, ``, inClass(changed("attribute", "go.a", "type", "[]level_t", "level_t"))},
		{`"requirement": "required"`, `"requirement": "optional"`, inClass(changed("attribute", "go.b", "requirement", "required", "optional"))},
		{`"profiles": ["b", "a"], "@dep`, `"profiles": ["b"], "@dep`, inClass(changed("attribute", "go.a", "profiles", "a b", "b"))},
		{`"caption": "B"`, `"caption": "C"`, inClass(changed("attribute", "go.b", "caption", "B", "C"))},
		{`"sibling": "b"`, `"sibling": "c"`, inClass(changed("attribute", "go.a", "sibling", "b", "c"))},
		{`"@deprecated": {"message": "m"`, `"x": {"message": "m"`, inClass(changed("attribute", "go.a", "deprecated", "0.9.0", ""))},
		{`"caption": "B", `, `"caption": "B", "@deprecated": {"since": "1.0.0"}, `, inClass(schema.Change{Op: "deprecated", Kind: "attribute", Path: "go.b", New: "1.0.0"})},
		{`"o": {"caption"`, `"n": {"caption": "N", "type": "object_t", "object_type": "thing", "is_array": true, "profiles": ["a", "b"]}, "o": {"caption"`, inClass(schema.Change{Op: "added", Kind: "attribute", Path: "go.n", New: "[]thing optional, only with a or b"})},
		{`"enum": {"y"`, `"x": {"y"`, inClass(changed("attribute", "go.b", "values", "10 9 y", "any"))},
		{`"9": {"caption": "Z"}`, `"8": {"caption": "Z"}, "9": {"caption": "Z"}`, inClass(schema.Change{Op: "added", Kind: "value", Path: "go.b=8", New: "Z"})},
		{`, "9": {"caption": "Z"}`, ``, inClass(schema.Change{Op: "removed", Kind: "value", Path: "go.b=9", Old: "Z"})},
		{`"caption": "Z"`, `"caption": "W"`, inClass(changed("value", "go.b=9", "caption", "Z", "W"))},
		{`"caption": "Z"`, `"caption": "Z", "@deprecated": {"since": "1"}`, inClass(schema.Change{Op: "deprecated", Kind: "value", Path: "go.b=9", New: "1"})},
		{`"caption": "Thing"`, `"caption": "Things"`, changed("object", "thing", "caption", "Thing", "Things")},
		{`"constraints": {}, "attributes": {}`, `"attributes": {"n": {"type": "string_t"}}`, schema.Change{Op: "added", Kind: "attribute", Of: "object", Path: "thing.n", New: "string_t optional"}},
		{`"thing": {`, `"other": {"caption": "Other", "attributes": {}}, "thing": {`, schema.Change{Op: "added", Kind: "object", Path: "other", New: "Other"}},
		{`"classes": {`, `"classes": {"come": {"caption": "Come", "category": "other", "category_uid": 0, "uid": 7, "attributes": {}}, `, schema.Change{Op: "added", Kind: "class", Path: "come", New: "Come (7)"}},
	} {
		text := strings.Replace(small, c.old, c.replaced, 1)
		if text == small {
			t.Errorf("%s is not in the schema", c.old)
		}
		after, err := schema.ReadCompiled(strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", c.replaced, err)
			continue
		}
		if diff := cmp.Diff([]schema.Change{c.want}, schema.Diff(before, after)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.replaced, diff)
		}
		if n := len(schema.Diff(after, before)); n != 1 {
			t.Errorf("%s: %d changes the other way round", c.replaced, n)
		}
	}
}

// Between versions there are changes that are known, and none in a version.
func TestDiffOfVersions(t *testing.T) {
	for _, version := range schema.Versions() {
		if d := schema.Diff(load(t, version), load(t, version)); len(d) > 0 {
			t.Errorf("%s differs from itself: %v", version, d)
		}
	}
	d := schema.Diff(load(t, "1.8.0"), load(t, "1.9.0"))
	for _, want := range []schema.Change{
		{Op: "deprecated", Kind: "class", Path: "account_change", New: "1.9.0"},
		{Op: "added", Kind: "class", Path: "role_management", New: "Role Management (3008)"},
		{Op: "added", Kind: "profile", Path: "record_integrity", New: "Record Integrity"},
		{Op: "added", Kind: "profile", Of: "class", Path: "base_event+record_integrity"},
		{Op: "added", Kind: "attribute", Of: "class", Path: "base_event.attestation_list", New: "[]attestation optional, only with record_integrity"},
		{Op: "changed", Kind: "attribute", Of: "class", Path: "application_lifecycle.app", What: "requirement", Old: "required", New: "optional"},
		{Op: "added", Kind: "value", Of: "class", Path: "authorize_session.activity_id=3", New: "Assign Roles"},
	} {
		if !slices.Contains(d, want) {
			t.Errorf("nothing is said of %+v", want)
		}
	}
	for _, c := range d {
		if strings.HasPrefix(c.Path, "api_activity.attestation_list") || strings.Contains(c.Path, ".type_uid=3") || c.Path == "api_activity+record_integrity" {
			t.Errorf("%+v follows from another change", c)
		}
	}
}
