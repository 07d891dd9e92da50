// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// isSure says whether b is one value that is read without the library.
func isSure(b []byte) bool {
	var s source
	return s.open(b) && s.sound(0, 0) == len(b)
}

// isJSON is what the library says of b.
func isJSON(b []byte) bool {
	return jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(false))
}

// TestSound has each kind of text judged: what is sure is JSON, and canonical
// JSON is sure but for what the comments name.
func TestSound(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct {
		text string
		sure bool
	}{
		{`{}`, true},
		{`[]`, true},
		{`[1,[2,{"a":[]}],"x",null,true,false]`, true},
		{`{"a":1,"b":{"a":2,"aa":3,"b":4}}`, true},
		{`{"":0,"a":1}`, true},
		{`"` + strings.Repeat("long", 100) + `"`, true},
		{`"` + strings.Repeat("x", 31) + `\n"`, true},
		{`"\"\\\/\b\f\n\r\t\u001b\u00E9"`, true},
		{`"é 漢 😀 ` + "\x7f" + `"`, true},
		{`0`, true},
		{`-0.5e+10`, true},
		{`1E5`, true},
		{deep(maxSound), true},
		{deep(maxSound + 2), false}, // the library looks deeper

		// JSON that is not canonical, and what is canonical but rare.
		{` {}`, false},
		{`{ }`, false},
		{`[1, 2]`, false},
		{"[1\n]", false},
		{`{"a" :1}`, false},
		{`{"b":1,"a":2}`, false},
		{`{"a":{"b":1,"a":2}}`, false},
		{`{"\u0061":1}`, false},
		{`{"a\"":1}`, false},
		{`"\ud83d\ude00"`, false},
		{`{"😀":1,"":2}`, false}, // in the order of UTF-16, not of UTF-8

		// No JSON, or JSON with duplicate names.
		{`{"a":1,"a":2}`, false},
		{`{"b":{"a":1,"a":2}}`, false},
		{``, false},
		{`{`, false},
		{`{"a"`, false},
		{`{"a":`, false},
		{`{"a":1`, false},
		{`{"a":1,`, false},
		{`{"a":1,}`, false},
		{`{,}`, false},
		{`{1:2}`, false},
		{`[`, false},
		{`[1`, false},
		{`[1,`, false},
		{`[1,]`, false},
		{`[1 2]`, false},
		{`{"a";1}`, false},
		{`"`, false},
		{`"\`, false},
		{`"\"`, false},
		{`"\x"`, false},
		{`"\u12"`, false},
		{`"\u12g4"`, false},
		{`"\ud83d"`, false},
		{"\"a\x1fb\"", false},
		{"\"12345678\x00\"", false},
		{"\"" + strings.Repeat("x", 40) + "\n" + strings.Repeat("x", 40) + "\"", false},
		{"\"\xff\"", false},
		{"\"\xed\xa0\x80\"", false}, // half of a surrogate pair
		{`tru`, false},
		{`nulL`, false},
		{`falsey`, false},
		{`-`, false},
		{`01`, false},
		{`-01`, false},
		{`1.`, false},
		{`.5`, false},
		{`1e`, false},
		{`1e+`, false},
		{`+1`, false},
		{`1 `, false},
		{`\`, false},
		{`{}{}`, false},
	} {
		if got := isSure([]byte(c.text)); got != c.sure {
			t.Errorf("%.60q: sure is %v", c.text, got)
		}
		if c.sure && !isJSON([]byte(c.text)) {
			t.Errorf("%.60q: the library has another opinion", c.text)
		}
	}
}

// recorded are the events of testdata.
func recorded(t testing.TB) [][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.ndjson"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	var all [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Split(bytes.TrimSpace(b), []byte("\n"))...)
	}
	return all
}

// TestEventsAreSure holds that events take the fast way: the other gives the same
// answers, and nobody would notice.
func TestEventsAreSure(t *testing.T) {
	for i, raw := range recorded(t) {
		if err := new(reader).read(raw, false); err != nil {
			t.Errorf("event %d: %v", i, err)
		}
	}
}

// TestSpellings writes events in other ways that mean the same: with white
// space, in another order, with escapes. Their headers are the same.
func TestSpellings(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for i, raw := range recorded(t) {
		want, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			spelled := bytes.TrimSpace(respell(nil, v, r))
			got, err := Parse(spelled)
			if err != nil || got != want {
				t.Fatalf("event %d, seed %d: %v\n%s\n%s", i, seed, err, cmp.Diff(want, got), spelled)
			}
		}
	}
}

// respell writes v in some way.
func respell(b []byte, v any, r *rand.Rand) []byte {
	space := func() {
		for r.IntN(4) == 0 {
			b = append(b, " \t\r\n"[r.IntN(4)])
		}
	}
	space()
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		// What an attestation's own members mean depends on their order: the
		// fingerprint belongs behind chain_uid.
		if v["chain_uid"] == nil {
			r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		}
		b = append(b, '{')
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			space()
			b = append(b, '"')
			b = append(b, name...) // as in Go, names are looked for as they are written
			b = append(b, '"')
			space()
			b = append(b, ':')
			b = respell(b, v[name], r)
		}
		b = append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = respell(b, e, r)
		}
		b = append(b, ']')
	case string:
		b = append(b, '"')
		for _, c := range v {
			switch {
			case c > 0xFFFF:
				b = append(b, string(c)...)
			case c < ' ' || c == '"' || c == '\\' || r.IntN(20) == 0 && !isKeyword(v):
				b = fmt.Appendf(b, `\u%04x`, c)
			default:
				b = append(b, string(c)...)
			}
		}
		b = append(b, '"')
	default:
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		b = append(b, text...)
	}
	space()
	return b
}

// isKeyword says whether v is a text that is only known when written plainly.
func isKeyword(v string) bool {
	_, kind := knownKind([]byte(v))
	return kind || slices.Contains(Versions(), v)
}

// FuzzSound holds that what is sure is JSON, and that sure and judged readers
// read the same.
func FuzzSound(f *testing.F) {
	for _, raw := range recorded(f) {
		f.Add(raw)
	}
	f.Add([]byte(`{"a":[1,2.5e-3,"\u00e9\"",null],"b":{}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if isSure(raw) && !isJSON(raw) {
			t.Errorf("sure of %q", raw)
		}
		sure, judged := new(reader), new(reader)
		if err := sure.read(raw, false); err != nil {
			return
		}
		if err := judge(raw); err != nil {
			t.Fatalf("sure of an event, the library says %v: %q", err, raw)
		}
		if err := judged.read(raw, true); err != nil {
			t.Fatalf("sure of an event, judged: %v: %q", err, raw)
		}
		for _, r := range []*reader{sure, judged} {
			r.strings(r == sure)
			r.settle(&r.s.Header)
		}
		if sure.s != judged.s {
			t.Errorf("read differently:\n%+v\n%+v\n%q", sure.s, judged.s, raw)
		}
	})
}
