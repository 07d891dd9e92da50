// SPDX-License-Identifier: Apache-2.0

package strictoml

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

type binding struct {
	Pos
	ID     string   `toml:"id"`
	Phases []string `toml:"phases"`
}

type document struct {
	Pos     Pos
	Gateway *struct {
		Pos       Pos
		Listen    string `toml:"listen"`
		Unmatched string `toml:"unmatched"`
	} `toml:"gateway"`
	Interceptors []struct {
		Pos
		Name     string         `toml:"name"`
		Order    int32          `toml:"order"`
		Insecure bool           `toml:"insecure"`
		Ratio    float64        `toml:"ratio"`
		Timeout  *string        `toml:"timeout"`
		Endpoint string         `toml:"grpc_endpoint"`
		Bindings []binding      `toml:"bindings"`
		Settings map[string]any `toml:"settings"`
	} `toml:"interceptors"`
	Foreign struct {
		Kept string         `toml:"kept"`
		Rest map[string]any `toml:",rest"`
	} `toml:"foreign"`
	Any any `toml:"any"`
}

const good = `# a comment
[gateway]
listen = "127.0.0.1:7070"

[[interceptors]]
name = "a"
order = -3
ratio = 2
timeout = "1s"

  [[interceptors.bindings]]
  id = "one"
  [[interceptors.bindings]]
  id = "two"
  phases = [
    "validate", # why
    "post_commit",
  ]

[[interceptors]]
name = "b"
insecure = true
bindings = [{ id = "three" }, { id = "four", phases = [] }]
settings.free.form = [1, "x"]

[foreign]
kept = "yes"
lost.deep = 1
any = 1
`

func decode(t *testing.T, text string) (*document, error) {
	t.Helper()
	f, err := Parse("f.toml", []byte(text))
	if err != nil {
		return nil, err
	}
	var doc document
	if err := f.Decode(&doc); err != nil {
		return nil, err
	}
	return &doc, nil
}

func TestDecode(t *testing.T) {
	doc, err := decode(t, good)
	if err != nil {
		t.Fatal(err)
	}
	a, b := doc.Interceptors[0], doc.Interceptors[1]
	got := []any{doc.Gateway.Listen, a.Name, a.Order, a.Ratio, *a.Timeout, a.Bindings[1].Phases, b.Insecure, b.Timeout == nil, b.Bindings[0].ID, b.Settings, doc.Foreign.Kept, doc.Foreign.Rest}
	want := []any{
		"127.0.0.1:7070", "a", int32(-3), 2.0, "1s",
		[]string{"validate", "post_commit"},
		true, true, "three",
		map[string]any{"free": map[string]any{"form": []any{int64(1), "x"}}},
		"yes",
		map[string]any{"lost": map[string]any{"deep": int64(1)}, "any": int64(1)},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

func TestPositions(t *testing.T) {
	doc, err := decode(t, good)
	if err != nil {
		t.Fatal(err)
	}
	a, b := doc.Interceptors[0], doc.Interceptors[1]
	for _, c := range []struct {
		got, want string
	}{
		{doc.Gateway.Pos.At("listen"), "f.toml:3"},
		{doc.Gateway.Pos.At("unmatched"), "f.toml:2"},
		{a.At("order"), "f.toml:7"},
		{a.Bindings[0].At("phases"), "f.toml:11"},
		{a.Bindings[1].At("phases"), "f.toml:15"},
		{b.At("name"), "f.toml:21"},
		{b.At("nothing"), "f.toml:20"},
		{b.Bindings[1].At("phases"), "f.toml:23"},
		{b.At("settings"), "f.toml:24"},
		{doc.Pos.At("nothing"), "f.toml"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	if !b.Bindings[1].Has("phases") || b.Bindings[0].Has("phases") {
		t.Error("Has does not tell an empty list from none")
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, text, err, hint string }{
		{"syntax", "a = 1\nb =\n", "f.toml:2: ", "not valid TOML"},
		{"twice", "[gateway]\nlisten=\"a\"\nlisten=\"b\"", "f.toml", "not valid TOML"},
		{"table", "[gatway]\nlisten=\"a\"", `f.toml:1: unknown key "gatway" in the file`, `did you mean "gateway"?`},
		{"key", "[gateway]\nlitsen=\"a\"", `f.toml:2: unknown key "litsen" in gateway`, `did you mean "listen"?`},
		{"far", "[[interceptors]]\nzzzzzzzz=1", `f.toml:2: unknown key "zzzzzzzz"`, "known keys: bindings, grpc_endpoint, insecure"},
		{"part", "[[interceptors]]\nendpoint=\"x\"", `unknown key "endpoint" in interceptors`, `did you mean "grpc_endpoint"?`},
		{"nested", "[[interceptors]]\nname=\"a\"\n[[interceptors.bindings]]\nid=\"x\"\nphase=[]", `f.toml:5: unknown key "phase" in bindings`, `"phases"`},
		{"inline", "[[interceptors]]\nbindings=[{id=\"x\"},{ix=\"y\"}]", `f.toml:2: unknown key "ix" in bindings`, `"id"`},
		{"type", "[[interceptors]]\norder=\"1\"", "f.toml:2: order must be an integer, not a string", ""},
		{"overflow", "[[interceptors]]\norder=4294967296", "order must be an integer of 32 bits, not the integer 4294967296", ""},
		{"not a table", "gateway=1", "f.toml:1: gateway must be a table, not the integer 1", ""},
		{"not a list", "[interceptors]\nname=\"a\"", "interceptors must be an array, not a table", ""},
		{"bool", "[[interceptors]]\ninsecure=1", "insecure must be true or false, not the integer 1", ""},
		{"string", "[[interceptors]]\nname=1.5", "name must be a string, not a float", ""},
		{"date", "[[interceptors]]\nname=2020-01-01", "name must be a string, not a date or time", ""},
		{"element", "[[interceptors]]\nbindings=[{phases=[1]}]", "f.toml:2: phases must be a string", ""},
		{"nan", "[[interceptors]]\nratio=nan", "ratio must be a finite number", ""},
		{"free", "[[interceptors]]\nsettings=1", "settings must be a table", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode(t, c.text)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(e.Error(), c.err) || !strings.Contains(e.Hint(), c.hint) {
				t.Errorf("got %q, hint %q; want %q, hint %q", e.Error(), e.Hint(), c.err, c.hint)
			}
		})
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"name", "order", "timeout", "grpc_endpoint", "failure_policy"}
	for word, want := range map[string]string{
		"nmae": "name", "timeuot": "timeout", "on_failure_policy": "failure_policy", "endpoint": "grpc_endpoint", "x": "", "unrelated": "", "": "",
	} {
		if got := Suggest(word, known); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(good)
	f.Add("[a]\n[a.b]\n[[a.c]]\n[a.c.d]\ne.f={g=1}")
	f.Add("\"quo.ted\" = 'x'\r\n[gateway]\r\nlisten=\"\"\"\n\"\"\"")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		lines := strings.Count(text, "\n") + 1
		for path, line := range file.lines {
			if line < 1 || line > lines {
				t.Errorf("%q is said to be in line %d of %d", path, line, lines)
			}
		}
		var doc document
		if err := file.Decode(&doc); err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 {
				t.Errorf("error without a line: %v", err)
			}
		}
	})
}
