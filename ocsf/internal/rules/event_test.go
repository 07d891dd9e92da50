// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClassAndType(t *testing.T) {
	only := func(code string) []string { return []string{"E " + code + " class_uid"} }
	missing, wrong, unknown := only("attribute_required_missing"), only("attribute_wrong_type"), only("class_uid_unknown")
	runRules(t, []ruleTest{
		{name: "no class", edits: []string{"class_uid", "", "foo", "1"}, server: missing},
		{name: "class is null", edits: []string{"class_uid", "null"}, server: wrong, strict: missing},
		{name: "class is a string", edits: []string{"class_uid", `"6003"`}, server: wrong},
		{name: "class is an object", edits: []string{"class_uid", `{}`}, server: wrong},
		{name: "class is too large", edits: []string{"class_uid", "9223372036854775808"}, server: wrong},
		{name: "class is unknown", edits: []string{"class_uid", "9223372036854775807"}, server: unknown},
		{name: "class is negative", edits: []string{"class_uid", "-6003"}, server: unknown},
		{
			name:   "type does not follow",
			edits:  []string{"type_uid", "600302"},
			server: []string{"E type_uid_incorrect type_uid"},
		},
		{
			name:   "type follows from an unknown activity",
			edits:  []string{"activity_id", "50", "type_uid", "600350"},
			server: []string{"E attribute_enum_value_unknown activity_id", "E attribute_enum_value_unknown type_uid"},
		},
		{
			name:   "type follows from a huge activity",
			edits:  []string{"activity_id", "9223372036854775807", "type_uid", "9223372036855376107"},
			server: []string{"E attribute_enum_value_unknown activity_id", "E attribute_enum_value_unknown type_uid"},
			strict: []string{"E attribute_enum_value_unknown activity_id", "E attribute_enum_value_unknown type_uid", "E attribute_wrong_type type_uid"},
		},
		{
			name:   "type is too large",
			edits:  []string{"type_uid", strings.Repeat("9", 5000)},
			server: []string{"E attribute_enum_value_unknown type_uid", "E attribute_wrong_type type_uid", "E type_uid_incorrect type_uid"},
		},
		{
			name:   "type follows from an activity of thousands of digits",
			edits:  []string{"activity_id", strings.Repeat("9", 5000), "type_uid", "1" + strings.Repeat("0", 4994) + "600299"},
			server: []string{"E attribute_enum_value_unknown activity_id", "E attribute_wrong_type activity_id", "E attribute_enum_value_unknown type_uid", "E attribute_wrong_type type_uid"},
		},
		{
			name:   "type cannot be compared",
			edits:  []string{"type_uid", `"600302"`, "activity_id", "2", "activity_name", ""},
			server: []string{"E attribute_wrong_type type_uid"},
		},
		{
			name:   "an extension's class has the category of its base",
			edits:  []string{"class_uid", "201001", "category_uid", "201", "type_uid", "20100101", "api", "", "src_endpoint", "", "resources", "", "device", `{"ip":"::1","type_id":1}`, "reg_key", `{"path":"p"}`},
			server: []string{"E attribute_enum_value_unknown category_uid"},
		},
	})
}

func TestVersions(t *testing.T) {
	const earlier, later = "W version_earlier metadata.version", "E version_incompatible_later metadata.version"
	const initial, prerelease = "E version_incompatible_initial_development metadata.version", "E version_incompatible_prerelease metadata.version"
	tests := []ruleTest{{name: "1.8.0"}, {name: "1.8.0 and a line feed", edits: []string{"metadata.version", `"1.8.0\n"`}}}
	for version, want := range map[string]string{
		"1.7.0": earlier, "1.7.99": earlier, "1.0.0": earlier,
		"": earlier, "v1": earlier, "1.8": earlier, "01.8.0": earlier, "1.08.0": earlier, "1.9.00": earlier, "1.8.0\n\n": earlier, "\n1.8.0": earlier, "1.8.0\r\n": earlier, "1.8.0-\n": earlier, "2.0.0-a\nb": earlier, "\u0661.8.0": earlier, "00.1.0": earlier,
		"1.7.0\n": earlier, "1": earlier, "1.8.0+b1": earlier, "1.8.0-": earlier, "2.0.0 ": earlier, "v1.9.0": earlier, "1.9.0.1": earlier, "1.x.0": earlier,
		"1.8.1": later, "1.9.0": later, "1.10.0": later, "2.0.0-rc.1": later, "1.9.0-d\u00e9v": later, "1.8.1\n": later, "1.9.0-\u2028 ": later, "99999999999999999999.0.0": later,
		"0.9.0": initial, "0.9.0-dev": initial, "0.0.0": initial, "0.9.0-a..b\n": initial, "0.99999999999999999999.0": initial,
		"1.8.0-dev": prerelease, "1.8.0-a..b": prerelease, "1.8.0-a+b": prerelease, "1.8.0--": prerelease, "1.7.9-\r\n": prerelease, "1.8.0-01": prerelease, "1.0.0-rc.2": prerelease,
	} {
		tests = append(tests, ruleTest{name: version, edits: []string{"metadata.version", strconv.Quote(version)}, server: []string{want}})
	}
	runRules(t, append(tests,
		ruleTest{name: "none", edits: []string{"metadata.version", "null"}, server: []string{"E attribute_required_missing metadata.version"}},
		ruleTest{name: "a number", edits: []string{"metadata.version", "1.8"}, server: []string{"E attribute_wrong_type metadata.version"}},
	))
}

// Semantic versions give this order as an example, but for the releases, and
// but for beta.11, which as a text is before beta.2.
func TestVersionOrder(t *testing.T) {
	ascending := []string{
		"0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.11", "1.0.0-beta.2", "1.0.0-rc.1", "1.0.0",
		"1.0.1", "1.2.0", "1.10.0", "2.0.0",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			va, ok := parseVersion(a)
			vb, ok2 := parseVersion(b)
			if !ok || !ok2 {
				t.Fatalf("%s, %s: not versions", a, b)
			}
			want := min(max(i-j, -1), 1)
			if got := va.compare(&vb); got != want {
				t.Errorf("%s to %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestConstraints(t *testing.T) {
	patch := []string{
		"class_uid", "5004", "type_uid", "500401", "category_uid", "5", "activity_name", "", "api", "", "actor", "", "src_endpoint", "", "resources", "",
		"kb_article_list", `[{"uid":"k"}]`,
	}
	session := []string{
		"class_uid", "3003", "type_uid", "300301", "category_uid", "3", "activity_name", "", "api", "", "resources", "",
		"user", `{"name":"u"}`,
	}
	with := func(edits []string, more ...string) []string { return append(slices.Clone(edits), more...) }
	runRules(t, []ruleTest{
		{
			name:   "at least one",
			edits:  []string{"actor", `{}`, "resources", `[{"uid":"x"},{"data":{}}]`, "metadata.product", `{"version":"1"}`},
			server: []string{"E constraint_failed actor", "E constraint_failed metadata.product", "E constraint_failed resources[1]"},
		},
		{name: "null is one", edits: []string{"actor", `{"user":null}`}},
		{name: "just one", edits: with(session, "privileges", `["p"]`)},
		{name: "just one, null too", edits: with(session, "privileges", `["p"]`, "group", "null"), server: []string{"E constraint_failed"}},
		{name: "just one of none", edits: session, server: []string{"E constraint_failed"}},
		{
			name:   "on a path that leads to something",
			edits:  with(patch, "device", `{"type_id":1,"ip":"::1","os":{"name":"o","type_id":100,"version":"1"}}`),
			server: []string{"E constraint_failed"},
			strict: []string{},
		},
		{
			name:   "on a path that leads to nothing",
			edits:  with(patch, "device", `{"type_id":1,"ip":"::1","os":{"name":"o","type_id":100}}`),
			server: []string{"E constraint_failed"},
		},
	})
}

func TestObservables(t *testing.T) {
	const invalid, notFound, notObject = "E observable_name_invalid_reference ", "E observable_path_not_found ", "E observable_path_not_object "
	tests := []ruleTest{}
	for name, want := range map[string][2]string{
		"src_endpoint.ip":           {"", ""},
		"src_endpoint":              {"", ""},
		"resources.uid":             {"", ""},
		"resources[].uid":           {"", ""},
		"resources[*].uid":          {"", ""},
		"resources[1].uid":          {"", ""},
		"resources[2].uid":          {"", notFound},
		"resources[a.b].uid":        {"", invalid},
		"resources[1]":              {"", ""},
		"resources":                 {"", ""},
		"resources.name":            {"", ""}, // the first has one
		"resources[1].name":         {"", notFound},
		"metadata.labels[0]":        {"", ""},
		"metadata.labels[9]":        {"", notFound},
		"time":                      {"", ""},
		"dst_endpoint.ip":           {"", notFound},
		"http_request.uid":          {"", notFound}, // null is nothing
		"actor.process.file.name":   {"", notObject},
		"$.src_endpoint.ip":         {invalid, ""},
		"src_endpoint.ip[0]":        {"", invalid},
		"src_endpoint[0].ip":        {invalid, invalid},
		"src_endpoint.":             {invalid, invalid},
		".src_endpoint":             {invalid, invalid},
		"src_endpoint..ip":          {invalid, invalid},
		"SRC_endpoint.ip":           {invalid, invalid},
		"resources[0.uid":           {invalid, invalid},
		"resources[a[0].uid":        {"", invalid},
		"resources[0]]":             {"", invalid},
		"resources[0][1].uid":       {"", invalid},
		"resources[0]\n.uid":        {"", ""},
		"resources[0]\n":            {"", ""},
		"resources\n[0].uid":        {invalid, invalid},
		"resources[0]x.uid":         {invalid, invalid},
		"resources[\n].uid":         {invalid, invalid},
		"resources[0]\n\n.uid":      {invalid, invalid},
		"resources.uid]":            {invalid, invalid},
		"resources].uid[0]":         {invalid, invalid},
		"src_endpoint.\n":           {invalid, invalid},
		"resources.uid[.x]":         {"", invalid},
		"actor.user[0].name":        {invalid, invalid},
		"[0]resources":              {invalid, invalid},
		"resources]0[.uid":          {invalid, invalid},
		"src_endpoint.ip.x":         {invalid, invalid},
		"api.request.data":          {"", ""},
		"api.request.data.a":        {invalid, invalid},
		"unmapped":                  {"", ""},
		"unmapped.anything":         {invalid, invalid},
		"cloud.region":              {invalid, invalid},
		"time_dt":                   {"", notFound}, // the profile is named, the event has none
		"The host":                  {invalid, invalid},
		"":                          {invalid, invalid},
		"[":                         {invalid, invalid},
		"[]":                        {invalid, invalid},
		strings.Repeat("nope.", 99): {invalid, invalid},
	} {
		tt := ruleTest{name: name, edits: []string{"observables", `[{"type_id":2,"name":` + strconv.Quote(name) + `}]`, "actor.process", `{"pid":1,"file":7}`, "http_request", "null"}}
		for i, list := range []*[]string{&tt.server, &tt.strict} {
			*list = []string{"E attribute_wrong_type actor.process.file"}
			if want[i] != "" {
				*list = append(*list, want[i]+"observables[0].name")
			}
		}
		tests = append(tests, tt)
	}
	value := func(name, value string) []string {
		return []string{"observables", `[{"type_id":2,"name":"` + name + `","value":` + value + `}]`}
	}
	other := []string{"E observable_value_not_found observables[0].value"}
	runRules(t, append(tests, []ruleTest{
		{name: "value", edits: value("src_endpoint.ip", `"192.0.2.1"`)},
		{name: "other value", edits: value("src_endpoint.ip", `"192.0.2.2"`), strict: other},
		{name: "value of a number", edits: value("src_endpoint.port", `"443"`)},
		{name: "value of an element", edits: value("resources.uid", `"y"`)},
		{name: "value of another element", edits: value("resources[0].uid", `"y"`), strict: other},
		{name: "value of an array's element", edits: value("metadata.labels", `"a"`)},
		{name: "value of an object", edits: value("src_endpoint", `"192.0.2.1"`), strict: other},
		{name: "value is null", edits: value("src_endpoint", `null`)},
		{name: "value is a number", edits: value("src_endpoint.port", `443`), server: []string{"E attribute_wrong_type observables[0].value"}},
		{
			name:   "what has no name",
			edits:  []string{"observables", `[{"type_id":2},{"type_id":2,"name":null},{"type_id":2,"name":7},null,"x"]`},
			server: []string{"E attribute_wrong_type observables[2].name", "E attribute_wrong_type observables[3]", "E attribute_wrong_type observables[4]"},
			strict: []string{"E attribute_wrong_type observables[2].name", "E attribute_wrong_type observables[3]", "E attribute_wrong_type observables[4]", "W observable_name_missing observables[0].name", "W observable_name_missing observables[1].name"},
		},
		{
			name:   "no list",
			edits:  []string{"observables", `{"name":"nope"}`},
			server: []string{"E attribute_wrong_type observables"},
		},
	}...))
}

func TestMissingRecommended(t *testing.T) {
	tables := compiled(t, "1.8.0")
	r, err := tables.Event(edit(t, "status_id", "null", "status", ""), Options{MissingRecommended: true})
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for _, f := range r.Warnings {
		if f.Code != "attribute_recommended_missing" && f.Code != "attribute_enum_value_unknown" {
			t.Errorf("unexpected %v", f)
		}
		paths[f.Path] = true
	}
	for path, want := range map[string]bool{"status_id": true, "src_endpoint.hostname": true, "message": true, "severity_id": false, "action_id": false, "cloud": false} {
		if paths[path] != want {
			t.Errorf("%s: warned %v, want %v; there are %v", path, paths[path], want, slices.Sorted(maps.Keys(paths)))
		}
	}
}

// The first of two members counts, and an unknown name is unknown once.
func TestDuplicates(t *testing.T) {
	tables := compiled(t, "1.8.0")
	text := bytes.TrimSuffix(edit(t), []byte("}"))
	for more, want := range map[string][]string{
		`,"time":"x","class_uid":7,"metadata":null,"type_uid":1,"status_id":null}`: {},
		`,"t\u0069me":"x"}`:                                          {},
		`,"count":5,"count":"x"}`:                                    {},
		`,"count":"x","count":5}`:                                    {"E attribute_wrong_type count"},
		`,"foo":1,"foo":2,"\u0066oo":3}`:                             {"E attribute_unknown foo"},
		`,"severity":"no","severity":"Informational"}`:               {"W attribute_enum_sibling_incorrect severity"},
		`,"http_request":{"http_method":"GET","http_method":"get"}}`: {},
		`,"dst_endpoint":{"ip":null,"ip":"x"},"dst_endpoint":null}`:  {},
		`,"observables":[{"type_id":2,"name":"time","name":"nope"}],"observables":[{"type_id":2,"name":"nope"}]}`: {},
	} {
		r, err := tables.Event(append(slices.Clone(text), more...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, facts(r)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", more, diff)
		}
	}
}
