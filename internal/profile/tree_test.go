// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// value is what a tree says that value n is, in the types of package json.
func value(t *testing.T, tree *Tree, n int) any {
	t.Helper()
	switch tree.Kind(n) {
	case '{':
		m := map[string]any{}
		for c := n + 1; c < tree.After(n); c = tree.After(c) {
			name := string(tree.Said(c))
			if !tree.Is(c, name) || tree.Is(c, name+"x") {
				t.Errorf("%q is not its name", name)
			}
			m[name] = value(t, tree, c)
		}
		return m
	case '[':
		list := []any{}
		for c := n + 1; c < tree.After(n); c = tree.After(c) {
			if len(tree.Name(c)) > 0 {
				t.Errorf("an item called %s", tree.Name(c))
			}
			list = append(list, value(t, tree, c))
		}
		return list
	case '"':
		said, ok := tree.Text(n)
		if !ok {
			t.Errorf("no text: %s", tree.Raw(n))
		}
		return string(said)
	}
	if said, ok := tree.Text(n); ok {
		t.Errorf("%s is the text %s", tree.Raw(n), said)
	}
	var v any
	if err := json.Unmarshal(tree.Raw(n), &v); err != nil {
		t.Errorf("value %d: %v", n, err)
	}
	return v
}

// TestTree makes the trees of events as they are written here, and as they may be
// written otherwise: each has all values of the event, with their names.
func TestTree(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "schemas", "ocsf", "examples", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var tree Tree
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw = raw[:len(raw)-1]
		loose := jsontext.Value(append([]byte(" \n"), raw...))
		if err := loose.Indent(); err != nil {
			t.Fatal(err)
		}
		odd := append([]byte(`{"\u007a\"":"\ud83d\ude00\\ \/","z":[[],{},[{}],-1.5e3,null,"",{"":[0]}],`), raw[1:]...)
		for i, text := range [][]byte{raw, loose, odd} {
			h, err := ParseTree(text, &tree)
			if want, wantErr := Parse(text); h != want || !errors.Is(err, wantErr) {
				t.Fatalf("%s: header %+v, %v, want %+v, %v", file, h, err, want, wantErr)
			}
			if tree.Loose != (i == 1) || tree.Escapes != bytes.Contains(text, []byte(`\`)) || tree.Depth < 4 {
				t.Errorf("%s: loose %v, escapes %v, depth %d", file, tree.Loose, tree.Escapes, tree.Depth)
			}
			var want any
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, value(t, &tree, 0)); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", file, diff)
			}
		}
	}
}

// TestTreeOfNone: what is no event has no tree either, and the same error.
func TestTreeOfNone(t *testing.T) {
	var tree Tree
	for _, raw := range []string{"", "{", "[]", `{"time":1}`, `{"time":"x"}`, `{"a":1,"a":2}`} {
		_, err := ParseTree([]byte(raw), &tree)
		if _, want := Parse([]byte(raw)); err == nil || err.Error() != want.Error() {
			t.Errorf("%s: %v, want %v", raw, err, want)
		}
	}
}

// FuzzTree: where there is a tree, it is that of the text, however it was made.
func FuzzTree(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("..", "..", "schemas", "ocsf", "examples", "*", "*.json"))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw[:len(raw)-1])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var tree, slow Tree
		if _, err := ParseTree(raw, &tree); err != nil {
			return
		}
		slow.grow(raw)
		if diff := cmp.Diff(slow, tree, cmp.AllowUnexported(Tree{}, node{}), cmpopts.IgnoreFields(Tree{}, "shelf", "like")); diff != "" {
			t.Fatalf("(-slow +quick):\n%s", diff)
		}
	})
}
