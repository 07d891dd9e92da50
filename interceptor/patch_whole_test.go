// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/docket-audit/docket/internal/secretwalk"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// A patch may be about the whole of a message that holds no secret.
func TestPatchesOfTheWhole(t *testing.T) {
	for _, tc := range []struct {
		name    string
		patches []Patch
		want    *sandboxv1.Port // nil: refused
	}{
		{"replace", one("replace", "", "", `{"name":"b"}`), &sandboxv1.Port{Name: "b"}},
		{"add", one("add", "", "", `{"number":9}`), &sandboxv1.Port{Number: 9}},
		{"empty", one("replace", "", "", `{}`), &sandboxv1.Port{}},
		{"then a part of it", append(one("replace", "", "", `{"name":"b"}`), one("add", "/number", "", "4")...), &sandboxv1.Port{Name: "b", Number: 4}},
		{"test", append(one("test", "", "", `{"name":"a","number":1}`), one("add", "/name", "", `"c"`)...), &sandboxv1.Port{Name: "c", Number: 1}},
		{"another test", append(one("test", "", "", `{"name":"a"}`), one("add", "/name", "", `"c"`)...), nil},
		{"remove", one("remove", "", "", ""), nil},
		{"no object", one("replace", "", "", `[]`), nil},
		{"null", one("replace", "", "", `null`), nil},
		{"a part in its place", one("copy", "", "/name", ""), nil},
		{"into a part", one("move", "/name", "", ""), nil},
	} {
		m := &sandboxv1.Port{Name: "a", Number: 1}
		m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 900, protowire.VarintType), 5))
		got, err := patched(m, tc.patches, secretwalk.Walk{})
		if tc.want == nil {
			if err == nil {
				t.Errorf("%s: became %v", tc.name, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if tc.name == "test" { // nothing was replaced whole
			tc.want.ProtoReflect().SetUnknown(m.ProtoReflect().GetUnknown())
		}
		if diff := cmp.Diff(proto.Message(tc.want), got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

// What patches add is bounded, all of one candidate's together: what is copied as
// what is written. What is taken away makes room only where it is moved.
func TestACandidateIsBounded(t *testing.T) {
	size := func(value string) int {
		tree, err := parseTree([]byte(value))
		if err != nil {
			t.Fatal(err)
		}
		return sizeOf(tree)
	}
	ten := `"` + strings.Repeat("x", 10) + `"`
	for _, tc := range []struct {
		name    string
		room    int
		patches []Patch
		fits    bool
	}{
		{"add, just", size(ten), one("add", "/b", "", ten), true},
		{"add", size(ten) - 1, one("add", "/b", "", ten), false},
		{"replace, just", size(ten), one("replace", "/a", "", ten), true},
		{"replace", size(ten) - 1, one("replace", "/a", "", ten), false},
		{"replace an item, just", size(ten), one("replace", "/l/0", "", ten), true},
		{"replace an item", size(ten) - 1, one("replace", "/l/0", "", ten), false},
		{"replace the whole", size(`{}`) - 1, one("replace", "", "", `{}`), false},
		{"two", 2*size(ten) - 1, append(one("add", "/b", "", ten), one("add", "/c", "", ten)...), false},
		{"copy, just", size(ten), one("copy", "/b", "/a", ""), true},
		{"copy", size(ten) - 1, one("copy", "/b", "/a", ""), false},
		{"copies of copies", 5 * size(ten), append(one("copy", "/l/-", "/a", ""), append(one("copy", "/m", "/l", ""), one("copy", "/n", "/l", "")...)...), false},
		{"move", 0, one("move", "/b", "/a", ""), true},
		{"move to and fro", 0, append(one("move", "/b", "/a", ""), append(one("move", "/c", "/b", ""), one("move", "/a", "/c", "")...)...), true},
		{"test", 0, one("test", "/a", "", ten), true},
		{"remove", 0, one("remove", "/a", "", ""), true},
		{"remove, then add", size(ten) - 1, append(one("remove", "/a", "", ""), one("add", "/a", "", ten)...), false},
	} {
		root, err := parseTree([]byte(`{"a":` + ten + `,"l":[` + ten + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		doc := &document{root: root, room: tc.room, schema: anything}
		for _, p := range tc.patches {
			if err = doc.apply(p); err != nil {
				break
			}
		}
		if tc.fits != (err == nil) || err != nil && !errors.Is(err, errCandidateSize) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// A place that is not there has no value, not even null.
func TestATestOfNothingFails(t *testing.T) {
	for _, path := range []string{"/sandbox/annotations", "/sandbox/labels/none", "/sandbox/spec/ports/2", "/sandbox/spec/ports/0/name/x"} {
		for _, value := range []string{"null", "{}", `""`} {
			got, err := patched(sandbox(), []Patch{{Op: "test", Path: path, Value: json.RawMessage(value)}}, secretwalk.Walk{})
			if err == nil {
				t.Errorf("%s is %s of %v", path, value, got)
			}
		}
	}
	if _, err := patched(sandbox(), one("test", "/sandbox/spec/ports/1", "", `{"number":2,"name":"two"}`), secretwalk.Walk{}); err != nil {
		t.Error(fmt.Errorf("what is there: %w", err))
	}
}
