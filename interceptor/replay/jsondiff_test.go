// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"encoding/json"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/interceptor"
)

// TestJSONDiff applies the patches: they make the one document of the other,
// whatever is in them.
func TestJSONDiff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := document(t, "a"), document(t, "b")
		patches := jsonDiff(a, b)
		if same := string(canonical(a)) == string(canonical(b)); same != (len(patches) == 0) {
			t.Fatalf("%d patches from %s to %s", len(patches), a, b)
		}
		if len(patches) == 0 {
			return
		}
		var m structpb.Struct
		if err := protojson.Unmarshal(a, &m); err != nil {
			t.Fatal(err)
		}
		made, err := interceptor.NewPayload(&m).Patched(patches)
		if err != nil {
			t.Fatalf("%v: %s to %s by %v", err, a, b, patches)
		}
		got, err := made.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if string(canonical(got)) != string(canonical(b)) {
			t.Fatalf("%s and %v make %s, want %s", a, patches, got, b)
		}
	})
}

// document draws an object, as payloads are.
func document(t *rapid.T, label string) []byte {
	key := rapid.SampledFrom([]string{"a", "b", "", "~", "/", "~1", "m/n", "0", "-"})
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		leaf := rapid.SampledFrom([]any{nil, true, false, "", "x", 0, 1, -1.5, 1e21})
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(value(depth-1), 0, 4), func(s []any) any { return s }),
			rapid.Map(rapid.MapOfN(key, value(depth-1), 0, 4), func(m map[string]any) any { return m }))
	}
	raw, err := json.Marshal(rapid.MapOfN(key, value(2), 0, 5).Draw(t, label))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestGeneral(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{`1`, `2`, "[]"},
		{`{"a":{"b":1}}`, `{"a":{"b":2},"a1":3}`, "[/a/b /a1]"},
		{`{"a":[{"b":1}]}`, `{"a":[{"b":2},3]}`, "[/a/*/b /a/*]"},
		{`[1,2,3]`, `[1]`, "[/* /*]"},
		{`{"12":1,"-":1,"a/0":1}`, `{"12":2,"-":2,"a/0":2}`, "[/- /12 /a~10]"}, // names all of them
		{`{"ports":{"22":["closed"],"443":["open"]}}`, `{"ports":{"22":["open"],"443":["open"]}}`, "[/ports/22/*]"},
	} {
		var got []string
		for _, change := range jsonChanges([]byte(c.a), []byte(c.b)) {
			got = append(got, change.general)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s, %s: %v, want %s", c.a, c.b, got, c.want)
		}
	}
}
