// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/ocsf"
	"github.com/docket-audit/docket/ocsf/schema"
)

var modes = []ocsf.Mode{ocsf.ModeServer, ocsf.ModeStrict}

func newValidator(t testing.TB, version string, mode ocsf.Mode, opts ocsf.ValidateOptions) *ocsf.Validator {
	t.Helper()
	v, err := ocsf.NewValidator(version, mode, opts)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestValidateReport(t *testing.T) {
	event := `{"class_uid":6003,"type_uid":600302,"activity_id":1,"category_uid":6,"severity_id":1,"time":1,"status":"ok","status_id":1,
		"metadata":{"uid":"e1","product":{"name":"p"},"version":"1.7.0"},"actor":{"app_name":"a"},"api":{"operation":"o"},"src_endpoint":{"ip":"::1"},"zz":1}`
	got, err := ocsf.Validate([]byte(event), "1.8.0", ocsf.ModeServer)
	if err != nil {
		t.Fatal(err)
	}
	want := &ocsf.Report{
		ClassUID: 6003,
		UID:      "e1",
		Errors: []ocsf.Issue{
			{Severity: ocsf.IssueError, Code: "type_uid_incorrect", Path: "type_uid", Message: "wants class_uid * 100 + activity_id = 600301, found number 600302"},
			{Severity: ocsf.IssueError, Code: "attribute_unknown", Path: "zz", Message: `class "api_activity" has no attribute "zz"`},
		},
		Warnings: []ocsf.Issue{
			{Severity: ocsf.IssueWarning, Code: "version_earlier", Path: "metadata.version", Message: `string "1.7.0" is earlier than the schema, 1.8.0`},
			{Severity: ocsf.IssueWarning, Code: "attribute_enum_sibling_incorrect", Path: "status", Message: `wants "Success", the caption of status_id 1, found string "ok"`},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.Valid() {
		t.Error("it has errors, but is valid")
	}
	if r := (&ocsf.Report{Warnings: want.Warnings}); !r.Valid() {
		t.Error("it has only warnings, but is invalid")
	}
}

func TestValidateRefuses(t *testing.T) {
	var syntax *ocsf.SyntaxError
	if _, err := ocsf.Validate([]byte(`{"class_uid":}`), "1.8.0", ocsf.ModeServer); !errors.As(err, &syntax) || syntax.Offset != 13 {
		t.Errorf("not JSON: %v", err)
	}
	if _, err := ocsf.Validate([]byte(`{"class_uid":1e999}`), "1.8.0", ocsf.ModeServer); !errors.As(err, &syntax) || syntax.Offset != 13 {
		t.Errorf("beyond floating point: %v", err)
	}
	var unknown *schema.UnknownVersionError
	if _, err := ocsf.Validate([]byte(`{}`), "1.5.0", ocsf.ModeServer); !errors.As(err, &unknown) || unknown.Version != "1.5.0" {
		t.Errorf("unknown version: %v", err)
	}
	const want = `new validator: there is no mode "lax"; use server or strict`
	if _, err := ocsf.Validate([]byte(`{}`), "1.8.0", "lax"); err == nil || err.Error() != want {
		t.Errorf("unknown mode: %v, want %s", err, want)
	}
	if _, err := ocsf.NewSchemaValidator(&schema.Schema{}, "lax", ocsf.ValidateOptions{}); err == nil || err.Error() != want {
		t.Errorf("unknown mode: %v, want %s", err, want)
	}
	if _, err := newValidator(t, "1.8.0", ocsf.ModeServer, ocsf.ValidateOptions{}).ValidateBundle([]byte(`{`)); !errors.As(err, &syntax) {
		t.Errorf("not JSON: %v", err)
	}
}

func TestValidateOwnSchema(t *testing.T) {
	s := &schema.Schema{
		Version: "1.0.0",
		Types:   map[string]*schema.Type{"integer_t": {Name: "integer_t"}},
		Classes: map[string]*schema.Class{"mine": {UID: 999001, Item: schema.Item{
			Name:       "mine",
			Attributes: map[string]*schema.Attribute{"class_uid": {Name: "class_uid", Type: "integer_t", Requirement: schema.Required}},
		}}},
	}
	v, err := ocsf.NewSchemaValidator(s, ocsf.ModeServer, ocsf.ValidateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Validate([]byte(`{"class_uid":999001}`))
	if err != nil || !r.Valid() || r.ClassUID != 999001 {
		t.Errorf("%v, %v", r, err)
	}
}

func TestValidateBundle(t *testing.T) {
	v := newValidator(t, "1.8.0", ocsf.ModeServer, ocsf.ValidateOptions{})
	good := minimal(t, mustLoad(t, "1.8.0"), "base_event")
	for text, valid := range map[string]bool{
		`{"events":[]}`:                         true,
		`{"events":[` + good + `],"count":1}`:   true,
		`{"events":[` + good + `],"count":"1"}`: false,
		`{"events":[` + good + `,{}]}`:          false,
		`{}`:                                    false,
		`[]`:                                    false,
	} {
		r, err := v.ValidateBundle([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if r.Valid() != valid {
			t.Errorf("%s: valid %v: %+v", text, r.Valid(), r)
		}
	}
}

// The events that this project records are without fault.
func TestValidateExamples(t *testing.T) {
	for _, dir := range []string{"../schemas/ocsf/examples/", "../../shared/ocsf/examples/"} {
		files, err := filepath.Glob(dir + "1.8.0/*.json")
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 && !strings.Contains(dir, "shared") {
			t.Error("no examples")
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, mode := range modes {
				r, err := ocsf.Validate(text, "1.8.0", mode)
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Errors)+len(r.Warnings) > 0 {
					t.Errorf("%s, %s: %v %v", name, mode, r.Errors, r.Warnings)
				}
			}
		}
	}
}

func mustLoad(t testing.TB, version string) *schema.Schema {
	t.Helper()
	s, err := schema.Load(version)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// minimal returns an event that has what its class requires.
func minimal(t testing.TB, s *schema.Schema, class string) string {
	t.Helper()
	c := s.Classes[class]
	event := minimalItem(t, s, &c.Item)
	activity, err := strconv.Atoi(c.Attributes["activity_id"].Enum[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	event["type_uid"] = c.UID*100 + activity
	event["metadata"].(map[string]any)["version"] = s.Version
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func minimalItem(t testing.TB, s *schema.Schema, i *schema.Item) map[string]any {
	t.Helper()
	event := make(map[string]any)
	for name, a := range i.Attributes {
		if a.Requirement == schema.Required && len(a.Profiles) == 0 {
			event[name] = minimalValue(t, s, a)
		}
	}
	for _, names := range i.Constraints {
		there := slices.ContainsFunc(names, func(name string) bool { _, ok := event[name]; return ok })
		for _, name := range names {
			if !there {
				there = minimalPath(t, s, i, event, name)
			}
		}
	}
	return event
}

// minimalPath adds what a dotted path leads to, if the schema has it.
func minimalPath(t testing.TB, s *schema.Schema, i *schema.Item, event map[string]any, path string) bool {
	t.Helper()
	name, rest, more := strings.Cut(path, ".")
	a := i.Attributes[name]
	if a == nil || len(a.Profiles) > 0 {
		return false
	}
	if event[name] == nil {
		event[name] = minimalValue(t, s, a)
	}
	return !more || minimalPath(t, s, &s.Objects[a.ObjectType].Item, event[name].(map[string]any), rest)
}

func minimalValue(t testing.TB, s *schema.Schema, a *schema.Attribute) any {
	t.Helper()
	var v any
	typ := s.Types[a.Type]
	switch {
	case a.Type == "object_t":
		v = minimalItem(t, s, &s.Objects[a.ObjectType].Item)
	case len(a.Enum) > 0 && a.Type == "string_t":
		v = a.Enum[0].Value
	case len(a.Enum) > 0:
		v = json.Number(a.Enum[0].Value)
	case a.Type == "boolean_t":
		v = true
	case a.Type == "float_t":
		v = json.Number("1.5")
	case a.Type == "integer_t" || a.Type == "long_t" || typ.Super == "integer_t" || typ.Super == "long_t":
		v = 1
	default:
		v = map[string]string{
			"ip_t": "192.0.2.1", "mac_t": "00:00:5e:00:53:01", "uuid_t": "123e4567-e89b-12d3-a456-426614174000",
			"datetime_t": "2024-01-01T00:00:00Z", "email_t": "a@example.com", "file_hash_t": "ab",
		}[a.Type]
		if v == "" {
			v = "s"
		}
	}
	if a.IsArray {
		return []any{v}
	}
	return v
}

// Each version's smallest events are without error in that version; another
// version says that they are of another version, if it has the class at all.
func TestValidateAcrossVersions(t *testing.T) {
	for i, version := range schema.Versions() {
		s := mustLoad(t, version)
		for _, class := range slices.Sorted(maps.Keys(s.Classes)) {
			event := []byte(minimal(t, s, class))
			for k, other := range schema.Versions() {
				for _, mode := range modes {
					r, err := ocsf.Validate(event, other, mode)
					if err != nil {
						t.Fatal(err)
					}
					checkAcross(t, s.Classes[class], mode, i, k, r)
				}
			}
		}
	}
}

// checkAcross checks a report on an event of version i by version k.
func checkAcross(t *testing.T, class *schema.Class, mode ocsf.Mode, i, k int, r *ocsf.Report) {
	t.Helper()
	codes := make(map[string]bool)
	for _, issue := range append(slices.Clone(r.Errors), r.Warnings...) {
		codes[issue.Code] = true
	}
	// Mode server takes paths for names, so that it finds none.
	paths := mode == ocsf.ModeServer && slices.ContainsFunc(class.Constraints["at_least_one"], func(name string) bool { return strings.Contains(name, ".") })
	versions := schema.Versions()
	switch {
	case i == k && paths && len(r.Errors) == 1 && codes["constraint_failed"]:
	case i == k && !r.Valid():
		t.Errorf("%s %s: %v", versions[i], class.Name, r.Errors)
	case codes["class_uid_unknown"]:
	case i < k && !codes["version_earlier"], i > k && !codes["version_incompatible_later"]:
		t.Errorf("%s of %s by %s: %v %v", class.Name, versions[i], versions[k], r.Errors, r.Warnings)
	}
}

func TestValidateMissingRecommended(t *testing.T) {
	event := []byte(minimal(t, mustLoad(t, "1.8.0"), "base_event"))
	for _, mode := range modes {
		for _, missing := range []bool{false, true} {
			r, err := newValidator(t, "1.8.0", mode, ocsf.ValidateOptions{MissingRecommended: missing}).Validate(event)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Valid() || (len(r.Warnings) > 0) != missing {
				t.Errorf("%s, %v: %v %v", mode, missing, r.Errors, r.Warnings)
			}
		}
	}
}

// Many at once find what one finds.
func TestValidateConcurrently(t *testing.T) {
	vectors := readLines[vector](t, vectorFiles["mutations-1.8.0"])
	want := make([]*ocsf.Report, len(vectors))
	for i, v := range vectors {
		r, err := ocsf.Validate(v.Event, "1.8.0", ocsf.ModeStrict)
		if err != nil {
			t.Fatal(err)
		}
		want[i] = r
	}
	var wg sync.WaitGroup
	for start := range 8 {
		wg.Go(func() {
			for k := range vectors {
				i := (k + start*13) % len(vectors)
				r, err := ocsf.Validate(vectors[i].Event, "1.8.0", ocsf.ModeStrict)
				if err != nil || !cmp.Equal(want[i], r) {
					t.Errorf("%s: %v, %v", vectors[i].File, r, err)
				}
			}
		})
		wg.Go(func() {
			for _, version := range schema.Versions() {
				if _, err := ocsf.Validate([]byte(`{"class_uid":0}`), version, ocsf.ModeServer); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
