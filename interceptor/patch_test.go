// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/docket-audit/docket/internal/secretwalk"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

func sandbox() *sandboxv1.CreateSandboxRequest {
	return &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{
		Name: "a", ResourceVersion: 7, Labels: map[string]string{"team": "x", "a/b": "slash"}, Paused: proto.Bool(false),
		Spec: &sandboxv1.SandboxSpec{
			Image: "debian", Replicas: 5, Tier: sandboxv1.Tier_TIER_SMALL,
			Credentials: &sandboxv1.Credentials{Token: "canary", TokenHint: "hint", Secrets: map[string]string{"k": "canary"}},
			Ports:       []*sandboxv1.Port{{Number: 1, Name: "one"}, {Number: 2, Name: "two"}},
		},
	}}
}

// anything is the schema of free JSON.
var anything = schema{md: (&structpb.Struct{}).ProtoReflect().Descriptor()}

func one(op, path, from, value string) []Patch {
	p := Patch{Op: op, Path: path, From: from}
	if value != "" {
		p.Value = json.RawMessage(value)
	}
	return []Patch{p}
}

func TestPatches(t *testing.T) {
	for _, tc := range []struct {
		name    string
		patches []Patch
		want    func(*sandboxv1.Sandbox)
	}{
		{"replace", one("replace", "/sandbox/spec/image", "", `"alpine"`), func(s *sandboxv1.Sandbox) { s.Spec.Image = "alpine" }},
		{"add a label", one("add", "/sandbox/labels/a~1c", "", `"v"`), func(s *sandboxv1.Sandbox) { s.Labels["a/c"] = "v" }},
		{"remove a label", one("remove", "/sandbox/labels/a~1b", "", ""), func(s *sandboxv1.Sandbox) { delete(s.Labels, "a/b") }},
		{"add a map", one("add", "/sandbox/annotations", "", `{"k":"v"}`), func(s *sandboxv1.Sandbox) { s.Annotations = map[string]string{"k": "v"} }},
		{"append", one("add", "/sandbox/spec/ports/-", "", `{"number":3}`), func(s *sandboxv1.Sandbox) { s.Spec.Ports = append(s.Spec.Ports, &sandboxv1.Port{Number: 3}) }},
		{"insert", one("add", "/sandbox/spec/ports/0", "", `{"number":3}`), func(s *sandboxv1.Sandbox) {
			s.Spec.Ports = append([]*sandboxv1.Port{{Number: 3}}, s.Spec.Ports...)
		}},
		{"move a label", one("move", "/sandbox/labels/crew", "/sandbox/labels/team", ""), func(s *sandboxv1.Sandbox) { delete(s.Labels, "team"); s.Labels["crew"] = "x" }},
		{"copy", one("copy", "/sandbox/name", "/sandbox/spec/image", ""), func(s *sandboxv1.Sandbox) { s.Name = "debian" }},
		{"null clears", one("replace", "/sandbox/name", "", `null`), func(s *sandboxv1.Sandbox) { s.Name = "" }},
		{"presence stays", nil, func(*sandboxv1.Sandbox) {}},
		{"test number as float", one("test", "/sandbox/spec/replicas", "", `5.0`), func(*sandboxv1.Sandbox) {}},
		{"test number with exponent", one("test", "/sandbox/spec/replicas", "", `0.5e1`), func(*sandboxv1.Sandbox) {}},
		{"test object", one("test", "/sandbox/spec/ports/0", "", `{"name":"one","number":1}`), func(*sandboxv1.Sandbox) {}},
		{"test 64 bit", one("test", "/sandbox/resourceVersion", "", `"7"`), func(*sandboxv1.Sandbox) {}},
		{"test 64 bit as number", one("test", "/sandbox/resourceVersion", "", `7`), func(*sandboxv1.Sandbox) {}},
		{"test 64 bit in other digits", one("test", "/sandbox/resourceVersion", "", `"0.7e1"`), func(*sandboxv1.Sandbox) {}},
		{"public sibling of a secret", one("replace", "/sandbox/spec/credentials/tokenHint", "", `"h"`), func(s *sandboxv1.Sandbox) { s.Spec.Credentials.TokenHint = "h" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			given, want := sandbox(), sandbox()
			tc.want(want.Sandbox)
			got, err := patched(given, tc.patches, secretwalk.Walk{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(sandbox(), given, protocmp.Transform()); diff != "" {
				t.Errorf("the original changed: %s", diff)
			}
		})
	}
}

// TestRule6BadPatches also shows that a candidate is all or nothing: each bad
// patch follows a good one.
func TestRule6BadPatches(t *testing.T) {
	secret := "omitted secret field"
	for _, tc := range []struct {
		name, op, path, from, value, want string
	}{
		{"unknown op", "merge", "/sandbox/name", "", `1`, "unknown op"},
		{"no slash", "remove", "sandbox", "", "", "must begin with /"},
		{"bad escape", "remove", "/sandbox/a~2", "", "", "after ~"},
		{"lone tilde", "remove", "/sandbox/a~", "", "", "after ~"},
		{"absent value", "add", "/sandbox/name", "", "", "value is absent"},
		{"value is no JSON", "add", "/sandbox/name", "", `{`, "value"},
		{"value with a name twice", "add", "/sandbox/labels", "", `{"a":"1","a":"2"}`, "value"},
		{"absent from", "copy", "/sandbox/name", "", "", "from is absent"},
		{"nothing there", "remove", "/sandbox/annotations/x", "", "", "nothing is there"},
		{"replace nothing", "replace", "/sandbox/labels/x", "", `"1"`, "nothing is there"},
		{"below a plain value", "add", "/sandbox/name/x", "", `1`, "plain value"},
		{"index out of range", "add", "/sandbox/spec/ports/3", "", `{}`, "out of range"},
		{"index with zero", "remove", "/sandbox/spec/ports/01", "", "", "no array index"},
		{"negative index", "remove", "/sandbox/spec/ports/-1", "", "", "no array index"},
		{"dash where something must be", "remove", "/sandbox/spec/ports/-", "", "", "no array index"},
		{"into itself", "move", "/sandbox/labels/x/y", "/sandbox/labels", "", "into itself"},
		{"test fails", "test", "/sandbox/spec/replicas", "", `5.5`, "test failed"},
		{"unknown field", "add", "/sandbox/colour", "", `"red"`, "not a valid demo.sandbox.v1.CreateSandboxRequest"},
		{"wrong type", "replace", "/sandbox/name", "", `5`, "not a valid"},
		{"bad enum", "replace", "/sandbox/spec/tier", "", `"TIER_HUGE"`, "not a valid"},
		{"out of 32 bits", "replace", "/sandbox/spec/replicas", "", `3000000000`, "not a valid"},
		{"schema name", "add", "/sandbox/resource_version", "", `"8"`, `which is "resourceVersion"`},
		{"schema name in from", "copy", "/sandbox/name", "/sandbox/resource_version", "", `which is "resourceVersion"`},
		{"test fails on 64 bits", "test", "/sandbox/resourceVersion", "", `"8"`, "test failed"},
		{"a text is no 64-bit number", "test", "/sandbox/resourceVersion", "", `"7x"`, "test failed"},
		{"32 bits are no text", "test", "/sandbox/spec/replicas", "", `"5"`, "test failed"},

		{"secret", "replace", "/sandbox/spec/credentials/token", "", `"mine"`, secret},
		{"under a secret", "add", "/sandbox/spec/credentials/secrets/k", "", `"mine"`, secret},
		{"contains a secret", "replace", "/sandbox/spec/credentials", "", `{}`, secret},
		{"contains one further up", "remove", "/sandbox", "", "", secret},
		{"contains all", "replace", "", "", `{}`, secret},
		{"test is an oracle", "test", "/sandbox/spec/credentials/token", "", `"canary"`, secret},
		{"copied out", "copy", "/sandbox/name", "/sandbox/spec/credentials/token", "", secret},
		{"moved out", "move", "/sandbox/labels", "/sandbox/spec/credentials/secrets", "", secret},
		{"copied in", "copy", "/sandbox/spec/credentials/token", "/sandbox/name", "", secret},
		{"escaped", "remove", "/sandbox/spec/credentials/secrets/~0~1", "", "", secret},
	} {
		t.Run(tc.name, func(t *testing.T) {
			given := sandbox()
			list := append(one("replace", "/sandbox/name", "", `"good"`), Patch{Op: tc.op, Path: tc.path, From: tc.from})
			if tc.value != "" {
				list[1].Value = json.RawMessage(tc.value)
			}
			got, err := patched(given, list, secretwalk.Walk{})
			if err == nil || !strings.Contains(err.Error(), tc.want) || got != nil {
				t.Errorf("got %v, error %v; want an error with %q", got, err, tc.want)
			}
			if diff := cmp.Diff(sandbox(), given, protocmp.Transform()); diff != "" {
				t.Errorf("the original changed: %s", diff)
			}
		})
	}
}

func TestRule5SecretsAreMatchedByProtoNameToo(t *testing.T) {
	// A response, whose secret has two names: accessToken and access_token.
	m := &sandboxv1.CreateSandboxResponse{Session: &sandboxv1.Session{Id: "s", AccessToken: "canary"}}
	for _, name := range []string{"accessToken", "access_token"} {
		if _, err := patched(m, one("add", "/session/"+name, "", `"mine"`), secretwalk.Walk{}); err == nil || !strings.Contains(err.Error(), "omitted secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCopiesCannotGrowWithoutBound(t *testing.T) {
	m := sandbox()
	m.Sandbox.Labels = map[string]string{"l": strings.Repeat("x", 1<<20)}
	var list []Patch
	for i := range 32 {
		list = append(list, Patch{Op: "copy", From: "/sandbox/labels/l", Path: fmt.Sprintf("/sandbox/labels/l%d", i)})
	}
	if _, err := patched(m, list, secretwalk.Walk{}); err == nil || !strings.Contains(err.Error(), errCandidateSize.Error()) {
		t.Errorf("error %v", err)
	}
}

// unknown is one field of a newer schema.
func unknown(text string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 900, protowire.BytesType), text)
}

func TestRule5UnknownFieldsSurvivePatching(t *testing.T) {
	build := func() *sandboxv1.CreateSandboxRequest {
		m := sandbox()
		m.ProtoReflect().SetUnknown(unknown("root"))
		m.Sandbox.ProtoReflect().SetUnknown(unknown("sandbox"))
		m.Sandbox.Spec.ProtoReflect().SetUnknown(unknown("spec"))
		m.Sandbox.Spec.Credentials.ProtoReflect().SetUnknown(unknown("credentials"))
		m.Sandbox.Spec.Ports[0].ProtoReflect().SetUnknown(unknown("one"))
		m.Sandbox.Spec.Ports[1].ProtoReflect().SetUnknown(unknown("two"))
		return m
	}
	for name, tc := range map[string]struct {
		patches []Patch
		want    func(*sandboxv1.SandboxSpec)
	}{
		"elsewhere": {one("replace", "/sandbox/name", "", `"a"`), func(*sandboxv1.SandboxSpec) {}},
		"item inserted before": {one("add", "/sandbox/spec/ports/0", "", `{"number":9}`), func(s *sandboxv1.SandboxSpec) {
			s.Ports = append([]*sandboxv1.Port{{Number: 9}}, s.Ports...)
		}},
		"item removed before": {one("remove", "/sandbox/spec/ports/0", "", ""), func(s *sandboxv1.SandboxSpec) { s.Ports = s.Ports[1:] }},
		"item moved": {one("move", "/sandbox/spec/ports/0", "/sandbox/spec/ports/1", ""), func(s *sandboxv1.SandboxSpec) {
			s.Ports[0], s.Ports[1] = s.Ports[1], s.Ports[0]
		}},
		"item copied": {one("copy", "/sandbox/spec/ports/-", "/sandbox/spec/ports/0", ""), func(s *sandboxv1.SandboxSpec) {
			s.Ports = append(s.Ports, proto.CloneOf(s.Ports[0]))
		}},
		"item changed": {one("replace", "/sandbox/spec/ports/1/number", "", `5`), func(s *sandboxv1.SandboxSpec) { s.Ports[1].Number = 5 }},
		// What a patch replaces whole is gone, with its unknown fields.
		"item replaced": {one("replace", "/sandbox/spec/ports/1", "", `{"number":5}`), func(s *sandboxv1.SandboxSpec) { s.Ports[1] = &sandboxv1.Port{Number: 5} }},
		"list replaced": {one("replace", "/sandbox/spec/ports", "", `[{"number":5}]`), func(s *sandboxv1.SandboxSpec) { s.Ports = []*sandboxv1.Port{{Number: 5}} }},
		"list added over": {one("add", "/sandbox/spec/ports", "", `[{"number":5},{"number":6}]`), func(s *sandboxv1.SandboxSpec) {
			s.Ports = []*sandboxv1.Port{{Number: 5}, {Number: 6}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			want := build()
			tc.want(want.Sandbox.Spec)
			got, err := patched(build(), tc.patches, secretwalk.Walk{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			// The same with a type that is known at run time only.
			dynamic := dynamicpb.NewMessage(build().ProtoReflect().Descriptor())
			proto.Merge(dynamic, mustDecode(t, dynamic, build()))
			if got, err = patched(dynamic, tc.patches, secretwalk.Walk{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("dynamic: %s", diff)
			}
		})
	}
}

func mustDecode(t *testing.T, as, m proto.Message) proto.Message {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	c := as.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(raw, c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNumbersAreEqualByValue(t *testing.T) {
	equal := [][2]string{{"5", "5.0"}, {"5", "50e-1"}, {"0", "-0.00e9"}, {"1e2", "100"}, {"-1.50", "-15E-1"}, {"18446744073709551615", "1.8446744073709551615e19"}}
	other := [][2]string{{"5", "-5"}, {"5", "5.0000000000000000000001"}, {"18446744073709551615", "18446744073709551616"}, {"1e400", "1e401"}, {"0", "1e-400"}, {"1", "10"}}
	for _, p := range equal {
		if !equalNumbers(p[0], p[1]) || !equalNumbers(p[1], p[0]) {
			t.Errorf("%s and %s are one number", p[0], p[1])
		}
	}
	for _, p := range other {
		if equalNumbers(p[0], p[1]) || equalNumbers(p[1], p[0]) {
			t.Errorf("%s and %s are two numbers", p[0], p[1])
		}
	}
}

// TestPatchesAgreeWithAnother compares with an independent implementation of
// RFC 6902, in what both take.
func TestPatchesAgreeWithAnother(t *testing.T) {
	paths := []string{"/a", "/b", "/l", "/l/0", "/l/1", "/l/-", "/o", "/o/x", "/o/y", "/o/a~1b", "/l/2/z", "/missing/x"}
	values := []string{`1`, `"s"`, `null`, `[1,2]`, `{"x":{"y":true}}`}
	rapid.Check(t, func(rt *rapid.T) {
		doc := `{"a":1,"b":"two","l":[1,{"k":2},{"z":3}],"o":{"x":{"deep":[0]},"a/b":false}}`
		root, err := parseTree([]byte(doc))
		if err != nil {
			rt.Fatal(err)
		}
		ours := &document{root: root, room: maxCandidateBytes, schema: anything}
		for range rapid.IntRange(1, 5).Draw(rt, "patches") {
			p := Patch{Op: rapid.SampledFrom([]string{"add", "remove", "replace", "move", "copy", "test"}).Draw(rt, "op"), Path: rapid.SampledFrom(paths).Draw(rt, "path")}
			switch p.Op {
			case "move", "copy":
				p.From = rapid.SampledFrom(paths).Draw(rt, "from")
			case "remove":
			default:
				p.Value = json.RawMessage(rapid.SampledFrom(values).Draw(rt, "value"))
			}
			before := string(appendTree(nil, ours.root))
			mine := ours.apply(p)
			raw, err := json.Marshal([]Patch{p})
			if err != nil {
				rt.Fatal(err)
			}
			theirs, err := jsonpatch.DecodePatch(raw)
			if err != nil {
				rt.Skip("the other does not read it")
			}
			after, err := theirs.ApplyWithOptions([]byte(before), &jsonpatch.ApplyOptions{})
			if (err == nil) != (mine == nil) {
				if mine != nil && strings.Contains(mine.Error(), "into itself") || p.Op == "test" || strings.Contains(p.Path+p.From, "-") {
					return // known to be laxer
				}
				rt.Fatalf("%s on %s: we say %v, the other %v", raw, before, mine, err)
			}
			if mine != nil {
				return
			}
			other, err := parseTree(after)
			if err != nil || !ours.schema.equal(place{}, ours.root, other) {
				rt.Fatalf("%s on %s: we get %s, the other %s (%v)", raw, before, appendTree(nil, ours.root), after, err)
			}
		}
	})
}

func FuzzPatch(f *testing.F) {
	f.Add("add", "/sandbox/labels/x", "", []byte(`"y"`))
	f.Add("move", "/sandbox/labels/x", "/sandbox/labels/team", []byte(nil))
	f.Add("copy", "/sandbox/name", "/sandbox/spec/credentials/token", []byte(nil))
	f.Add("replace", "", "", []byte(`{"sandbox":{"spec":{"credentials":{"token":"x"}}}}`))
	f.Fuzz(func(t *testing.T, op, path, from string, value []byte) {
		got, err := patched(sandbox(), []Patch{{Op: op, Path: path, From: from, Value: value}}, secretwalk.Walk{})
		if err != nil {
			return
		}
		c := got.(*sandboxv1.CreateSandboxRequest).GetSandbox().GetSpec().GetCredentials()
		if c.GetToken() != "canary" || len(c.GetSecrets()) != 1 || c.GetSecrets()["k"] != "canary" {
			t.Errorf("a patch reached a secret: %v", c)
		}
		c.Token, c.Secrets = "", nil
		if raw, err := protojson.Marshal(got); err != nil || strings.Contains(string(raw), "canary") {
			t.Errorf("a secret got out: %s %v", raw, err)
		}
	})
}

// A patch cannot bring a secret in where the schema does not see it: inside an
// Any, however deep, that it adds or puts in another's place. A secret Any that
// was there goes on being there.
func TestNoSecretThroughAnAny(t *testing.T) {
	box := func(m proto.Message) *anypb.Any {
		b, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	given := &spb.Status{Details: []*anypb.Any{box(wrapperspb.String("x"))}}
	secret := `{"@type":"type.googleapis.com/demo.sandbox.v1.Credentials","token":"t"}`
	for name, tc := range map[string]struct {
		given  *spb.Status
		patch  []Patch
		failed bool
	}{
		"added":              {given, one("add", "/details/-", "", secret), true},
		"in another's place": {given, one("replace", "/details/0", "", secret), true},
		"with the list":      {given, one("replace", "/details", "", "["+secret+"]"), true},
		"in an Any in it":    {given, one("add", "/details/-", "", `{"@type":"x/google.protobuf.Any","value":`+secret+`}`), true},
		"none set":           {given, one("add", "/details/-", "", `{"@type":"type.googleapis.com/demo.sandbox.v1.Credentials","tokenHint":"h"}`), false},
		"there before":       {&spb.Status{Details: []*anypb.Any{box(&sandboxv1.Credentials{Token: "canary"})}}, one("add", "/message", "", `"m"`), false},
	} {
		got, err := patched(tc.given, tc.patch, secretwalk.Walk{})
		if (err != nil) != tc.failed || err != nil && !strings.Contains(err.Error(), "omitted secret field") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if name == "there before" && !proto.Equal(got.(*spb.Status).Details[0], tc.given.Details[0]) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What patches make of a small answer takes no more memory than a large one may:
// each value counts, however short it is written.
func TestPatchesOfManyValues(t *testing.T) {
	m := &structpb.Struct{}
	list := "[" + strings.Repeat("[],", 150_000) + "[]]"
	if _, err := patched(m, one("add", "/a", "", list), secretwalk.Walk{}); err != nil {
		t.Errorf("one list: %v", err)
	}
	twice := append(one("add", "/a", "", list), one("copy", "/b", "/a", "")...)
	if _, err := patched(m, twice, secretwalk.Walk{}); !errors.Is(err, errCandidateSize) {
		t.Errorf("two of them: %v", err)
	}
	deep := strings.Repeat(`{"@type":"x/google.protobuf.Any","value":`, 17) + "{}" + strings.Repeat("}", 17)
	if _, err := patched(&anypb.Any{}, one("replace", "", "", deep), secretwalk.Walk{}); err == nil || !strings.Contains(err.Error(), "more than 16") {
		t.Errorf("an Any too deep: %v", err)
	}
}
