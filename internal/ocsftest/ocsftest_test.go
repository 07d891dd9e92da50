// SPDX-License-Identifier: Apache-2.0

package ocsftest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/ocsf"
)

var update = flag.Bool("update", false, "rewrite the catalog from the schema that DOCKET_OCSF_SCHEMA names")

// types are the classes that package ocsf can write.
var types = map[string]reflect.Type{
	"api_activity":          reflect.TypeFor[ocsf.APIActivity](),
	"detection_finding":     reflect.TypeFor[ocsf.DetectionFinding](),
	"application_lifecycle": reflect.TypeFor[ocsf.ApplicationLifecycle](),
	"entity_management":     reflect.TypeFor[ocsf.EntityManagement](),
	"application_error":     reflect.TypeFor[ocsf.ApplicationError](),
}

// A schema is the official compiler's output, as far as it is needed here.
type schema struct {
	Version  string                `json:"version"`
	Profiles map[string]any        `json:"profiles"`
	Classes  map[string]schemaItem `json:"classes"`
	Objects  map[string]schemaItem `json:"objects"`
}

type schemaItem struct {
	UID         int                 `json:"uid"`
	CategoryUID int                 `json:"category_uid"`
	Constraints map[string][]string `json:"constraints"`
	Attributes  map[string]struct {
		Type        string                              `json:"type"`
		ObjectType  string                              `json:"object_type"`
		IsArray     bool                                `json:"is_array"`
		Requirement string                              `json:"requirement"`
		Profiles    []string                            `json:"profiles"`
		Sibling     string                              `json:"sibling"`
		Enum        map[string]struct{ Caption string } `json:"enum"`
	} `json:"attributes"`
}

// TestCatalog takes the catalog from the schema anew, when there is one at hand.
func TestCatalog(t *testing.T) {
	file := os.Getenv("DOCKET_OCSF_SCHEMA")
	if file == "" {
		if c := load(); c.Version != ocsf.Version || len(c.Classes) != len(types) {
			t.Errorf("catalog of version %s with %d classes", c.Version, len(c.Classes))
		}
		return
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	c := catalog{Version: s.Version, Classes: map[string]object{}, Objects: map[string]object{}}
	for p := range s.Profiles {
		c.Profiles = append(c.Profiles, p)
	}
	slices.Sort(c.Profiles)
	for name, typ := range types {
		item := s.Classes[name]
		o := take(s, c.Objects, item, typ)
		o.Category = item.CategoryUID
		uid, _ := json.Marshal(item.UID)
		c.Classes[string(uid)] = o
	}
	got, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("catalog-1.8.0.json", append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(bytes.TrimSpace(catalogJSON)), string(got)); diff != "" {
		t.Errorf("catalog (-kept +schema):\n%s", diff)
	}
}

// take copies of item what typ can write and what is required.
func take(s schema, objects map[string]object, item schemaItem, typ reflect.Type) object {
	fields := map[string]reflect.Type{}
	if typ != nil {
		for _, f := range reflect.VisibleFields(typ) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				fields[name] = f.Type
			}
		}
	}
	o := object{AtLeastOne: item.Constraints["at_least_one"], JustOne: item.Constraints["just_one"], Attributes: map[string]attribute{}}
	for name, a := range item.Attributes {
		of, written := fields[name]
		if !written && a.Requirement != "required" {
			continue
		}
		out := attribute{
			Type: strings.TrimSuffix(a.Type, "_t"), Array: a.IsArray, Required: a.Requirement == "required",
			Profiles: a.Profiles, Sibling: a.Sibling,
		}
		switch a.Type {
		case "object_t":
			out.Type = "object:" + a.ObjectType
		case "timestamp_t":
			out.Type = "long"
		case "username_t", "hostname_t", "resource_uid_t", "file_hash_t", "url_t":
			out.Type = "string"
		}
		if a.Enum != nil {
			out.Enum = map[string]string{}
			for v, e := range a.Enum {
				out.Enum[v] = e.Caption
			}
		}
		o.Attributes[name] = out
		// Objects that are not written need no entry: writing one is an error.
		if a.ObjectType == "" || !written {
			continue
		}
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct {
			of = nil
		}
		sub := take(s, objects, s.Objects[a.ObjectType], of)
		if of == nil {
			sub = object{} // free-form
		}
		if old, ok := objects[a.ObjectType]; !ok || len(old.Attributes) < len(sub.Attributes) {
			objects[a.ObjectType] = sub
		}
	}
	return o
}

func TestProblems(t *testing.T) {
	const clean = `{"activity_id":1,"actor":{"user":{"uid":"alice","type_id":1,"type":"User"}},"api":{"operation":"Create"},"category_uid":6,"class_uid":6003,` +
		`"metadata":{"product":{"name":"docket"},"profiles":["security_control"],"version":"1.8.0"},"action_id":1,"action":"Allowed","severity_id":1,` +
		`"src_endpoint":{"ip":"192.0.2.7"},"time":1793215000100,"type_uid":600301,"unmapped":{"any":["thing"]}}`
	if p := Problems([]byte(clean)); len(p) > 0 {
		t.Errorf("a clean event: %v", p)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"actor":{"user":{"uid":"alice","type_id":1,"type":"User"}},`, ``, "actor: required, not there"},
		{`"actor":{"user":{"uid":"alice","type_id":1,"type":"User"}}`, `"actor":{}`, "actor.: needs at least one of"},
		{`"type":"User"`, `"type":"Admin"`, `actor.user.type_id: 1 is "User", not Admin`},
		{`"type_uid":600301`, `"type_uid":600302`, "type_uid: "},
		{`"profiles":["security_control"]`, `"profiles":[]`, "action: unknown attribute"},
		{`"profiles":["security_control"]`, `"profiles":["x"]`, "metadata.profiles: no profile x"},
		{`"action_id":1`, `"action_id":7`, "action_id: no such value: 7"},
		{`"time":1793215000100`, `"time":"now"`, "time: not of type long: now"},
		{`"192.0.2.7"`, `"somewhere"`, "src_endpoint.ip: not of type ip: somewhere"},
		{`"severity_id":1`, `"severity_id":1,"colour":"red"`, "colour: unknown attribute"},
		{`"class_uid":6003`, `"class_uid":1`, "class_uid: no class 1 in the catalog"},
		{`"version":"1.8.0"`, `"version":"1.7.0"`, "metadata.version: "},
		{`{"operation":"Create"}`, `[]`, "api: not an object: []"},
		{`{`, `[`, "invalid character"},
	} {
		p := Problems([]byte(strings.Replace(clean, c.old, c.new, 1)))
		if !slices.ContainsFunc(p, func(s string) bool { return strings.HasPrefix(s, c.want) }) {
			t.Errorf("%s for %s: %v, want %s", c.new, c.old, p, c.want)
		}
	}
}
