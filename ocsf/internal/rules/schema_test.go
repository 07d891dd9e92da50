// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/ocsf/schema"
)

// odd is a schema with what those of OCSF have not got: types whose primitives
// have limits, and faults.
func odd() *schema.Schema {
	attributes := map[string]*schema.Attribute{
		"class_uid": {Type: "integer_t", Requirement: schema.Required},
		"metadata":  {Type: "object_t", ObjectType: "metadata", Requirement: schema.Required},
	}
	for _, name := range []string{
		"small_t", "tiny_t", "short_t", "brief_t", "word_t", "letter_t", "choice_t", "chosen_t", "level_t", "yes_t",
		"broken_t", "strange_t", "gone_t", "half_t",
	} {
		attributes[strings.TrimSuffix(name, "_t")] = &schema.Attribute{Type: name, Requirement: schema.Optional}
	}
	attributes["gated"] = &schema.Attribute{Type: "string_t", Requirement: schema.Optional, Profiles: []string{"p", "unlisted"}}
	attributes["behind"] = &schema.Attribute{Type: "object_t", ObjectType: "behind", Requirement: schema.Optional}
	attributes["flag"] = &schema.Attribute{
		Type: "boolean_t", Requirement: schema.Optional,
		Enum: []schema.EnumValue{{Value: "true", Caption: "Yes"}},
	}
	attributes["flags"] = &schema.Attribute{
		Type: "json_t", IsArray: true, Requirement: schema.Optional, Sibling: "flag_names",
		Enum: []schema.EnumValue{{Value: "1", Caption: "One", Deprecated: &schema.Deprecation{Since: "1.1.0"}}},
	}
	return &schema.Schema{
		Version:  "1.8.0-dev.2",
		Profiles: map[string]*schema.Profile{"p": {Name: "p"}},
		Types: map[string]*schema.Type{
			"boolean_t": {}, "json_t": {}, "float_t": {Range: &[2]int64{0, 1}},
			"integer_t": {Range: &[2]int64{0, 100}},
			"long_t":    {Values: []any{float64(1), float64(2)}},
			"string_t":  {MaxLen: 5, Regex: "^[a-z]*$", Values: []any{"a", "b", "c", "a\u00e9", "toolong", "toolonger"}},
			"small_t":   {Super: "integer_t"}, // inherits a range
			"tiny_t":    {Super: "integer_t", Range: &[2]int64{5, 10}},
			"short_t":   {Super: "string_t"}, // inherits all limits
			"brief_t":   {Super: "string_t", MaxLen: 2},
			"word_t":    {Super: "string_t", Regex: "^[A-Z]", Values: []any{"W"}},
			"letter_t":  {Super: "string_t", Values: []any{"x"}, MaxLen: 1},
			"choice_t":  {Super: "long_t"}, // inherits values
			"chosen_t":  {Super: "long_t", Values: []any{float64(7)}},
			"level_t":   {Super: "float_t"},
			"yes_t":     {Super: "boolean_t", Values: []any{true}},
			"broken_t":  {Super: "json_t", Regex: "("},
			"half_t":    {Super: "string_t", Regex: "(", MaxLen: 100, Values: []any{"h"}},
			"strange_t": {Super: "other_t"},
		},
		Classes: map[string]*schema.Class{"c": {UID: 1, Item: schema.Item{
			Name:        "c",
			Attributes:  attributes,
			Constraints: map[string][]string{"all_of": {"small"}, "at_least_one": {"gated", "none.such"}},
		}}},
		// To an event without their profile, the attributes of this object are
		// none, and an object without attributes has any.
		Objects: map[string]*schema.Object{"behind": {Item: schema.Item{
			Name:       "behind",
			Attributes: map[string]*schema.Attribute{"gated": attributes["gated"]},
		}}, "metadata": {Item: schema.Item{
			Name:       "metadata",
			Deprecated: &schema.Deprecation{},
			Attributes: map[string]*schema.Attribute{
				"version":  {Type: "json_t", Requirement: schema.Optional},
				"profiles": {Type: "json_t", Requirement: schema.Optional, IsArray: true},
			},
		}}},
	}
}

func TestOtherSchemas(t *testing.T) {
	tables, err := Compile(odd())
	if err != nil {
		t.Fatal(err)
	}
	const always = "E constraint_unknown"
	for _, tt := range []struct {
		event string
		want  []string
	}{
		{`"gated":"a","metadata":{"profiles":["p"]}`, []string{always, "W object_deprecated metadata"}},
		{`"gated":"a","metadata":{"profiles":["unlisted"]}`, []string{always, "E profile_unknown metadata.profiles[0]", "W object_deprecated metadata"}},
		// Present is what has the name, be it an attribute or not.
		{`"gated":"a","metadata":null`, []string{"E attribute_required_missing metadata", "E attribute_unknown gated", always}},
		{`"none.such":1,"metadata":{"profiles":[null]}`, []string{"E attribute_unknown none.such", always, "W object_deprecated metadata"}},
		{
			`"gated":"a","metadata":{"profiles":["p"]},"small":101,"tiny":4`,
			[]string{"E attribute_value_exceeds_range tiny", "E attribute_value_exceeds_super_type_range small", always, "W object_deprecated metadata"},
		},
		{`"gated":"a","metadata":{"profiles":["p"]},"small":0,"tiny":10,"level":1.0,"choice":2,"chosen":7,"yes":true`, []string{always, "W object_deprecated metadata"}},
		{
			`"gated":"a","metadata":{"profiles":["p"]},"level":1.5,"choice":3,"chosen":1,"yes":false`,
			[]string{"E attribute_value_exceeds_super_type_range level", "E attribute_value_not_in_super_type_values choice", "E attribute_value_not_in_type_values chosen", "E attribute_value_not_in_type_values yes", always, "W object_deprecated metadata"},
		},
		{
			`"gated":"a","metadata":{"profiles":["p"]},"short":"toolong","brief":"toolong","word":"w","letter":"xx"`,
			[]string{
				"E attribute_value_exceeds_max_len brief", "E attribute_value_exceeds_max_len letter", "E attribute_value_exceeds_super_type_max_len short",
				"E attribute_value_not_in_type_values letter", "E attribute_value_not_in_type_values word",
				always, "W attribute_value_regex_not_matched word", "W object_deprecated metadata",
			},
		},
		{
			`"gated":"a\u00e9","metadata":{"profiles":["p"]},"short":"d"`,
			[]string{"E attribute_value_not_in_super_type_values short", always, "W attribute_value_regex_not_matched gated", "W object_deprecated metadata"},
		},
		{
			`"gated":"a","metadata":{"profiles":["p"]},"broken":[1],"half":"h","strange":1,"gone":null`,
			[]string{always, "E schema_bug_primitive_type_unknown strange", "E schema_bug_type_regex_invalid half", "W object_deprecated metadata"},
		},
		{
			`"gated":"a","metadata":{"profiles":["p"]},"gone":1,"flag":true`,
			[]string{always, "E schema_bug_type_missing gone", "W object_deprecated metadata"},
		},
		{
			`"gated":"a","metadata":{"profiles":["p"]},"flags":[1,{},[]],"flag_names":["One"]`,
			[]string{"E attribute_enum_array_value_unknown flags[2]", "E attribute_unknown flag_names", always, "W attribute_enum_array_value_deprecated flags[0]", "W object_deprecated metadata"},
		},
		{
			`"gated":"a","metadata":{"profiles":["p"],"version":"1.8.0-dev.1"},"flag":false`,
			[]string{"E attribute_enum_value_unknown flag", always, "E version_incompatible_prerelease metadata.version", "W object_deprecated metadata"},
		},
		{
			`"gated":"a","metadata":{"profiles":["p"],"version":"1.8.0-dev.10"}`,
			[]string{always, "E version_incompatible_prerelease metadata.version", "W object_deprecated metadata"},
		},
		{
			`"none.such":1,"metadata":{"version":"1.8.0-dev.2"},"behind":{"any":1,"gated":2}`,
			[]string{"E attribute_unknown none.such", always, "W object_deprecated metadata"},
		},
		{
			`"gated":"a","metadata":{"profiles":["p"]},"behind":{"any":1,"gated":2}`,
			[]string{"E attribute_unknown behind.any", "E attribute_wrong_type behind.gated", always, "W object_deprecated metadata"},
		},
		{
			`"gated":"a","metadata":{"profiles":["p"],"version":"1.8.0"}`,
			[]string{always, "E version_incompatible_later metadata.version", "W object_deprecated metadata"},
		},
	} {
		r, err := tables.Event([]byte(`{"class_uid":1,`+tt.event+`}`), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, facts(r)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.event, diff)
		}
	}
}

func TestTooManyProfiles(t *testing.T) {
	s := odd()
	for i := range maxProfiles {
		name := fmt.Sprint("a", i)
		s.Classes["c"].Attributes[name] = &schema.Attribute{Type: "string_t", Profiles: []string{name}}
	}
	_, err := Compile(s)
	want := "compile schema 1.8.0-dev.2: attributes depend on 66 profiles, at most 64 can be told apart"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
