// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sameTree compares what is known of an event by a tree that has had many with what
// is known by one of its own, and by no tree.
func sameTree(t interface {
	Helper()
	Fatalf(string, ...any)
}, raw []byte, many *Tree,
) {
	t.Helper()
	var own Tree
	h, err := ParseTree(raw, many)
	want, wantErr := ParseTree(raw, &own)
	plain, plainErr := Parse(raw)
	if h != want || h != plain || fmt.Sprint(err) != fmt.Sprint(wantErr) || fmt.Sprint(err) != fmt.Sprint(plainErr) {
		t.Fatalf("%s\n%+v, %v\n%+v, %v\n%+v, %v", raw, h, err, want, wantErr, plain, plainErr)
	}
	if err != nil {
		return
	}
	if !slices.Equal(own.nodes, many.nodes) || own.Loose != many.Loose || own.Escapes != many.Escapes || own.Depth != many.Depth || string(many.Event()) != string(raw) {
		t.Fatalf("%s\nown: %+v\nmany: %+v", raw, own, many)
	}
}

func exampleEvents(t interface {
	Helper()
	Fatalf(string, ...any)
},
) [][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "schemas", "ocsf", "examples", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var all [][]byte
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v", err)
		}
		all = append(all, raw[:len(raw)-1])
	}
	return all
}

// otherwise is what may be put in the place of a value.
var otherwise = []string{
	`""`, `"x"`, `"a longer text than what was there, whatever that was, by far and more"`, `"é"`, `"\n\"\\"`, `"\ud83d\ude00"`, `"\u0041"`, `"\ud83d"`,
	`"evaluation"`, `"outcome"`, `"phase"`, `"replay_grade"`, `"1.8.0"`, `"1.9.0"`,
	`"accb6acd2751a56afe61adabfc8a37135466511da4428070a30d259b19daf261"`, `"ACCB6acd2751a56afe61adabfc8a37135466511da4428070a30d259b19daf261"`,
	`0`, `1`, `-1`, `12`, `6003`, `2147483648`, `-2147483649`, `999999999999999`, `1234567890123456`, `9007199254740992`, `1.5`, `1e2`, `01`, `-`, `1.`,
	`true`, `false`, `null`, `nul`, `{}`, `[]`, `[1]`, `{"a":1}`, ` 1`, `"`, ``,
}

// TestMoulds reads events of which some values were changed, each after many others:
// what is known of it does not depend on those.
func TestMoulds(t *testing.T) {
	events := exampleEvents(t)
	var hits, reads int
	rapid.Check(t, func(r *rapid.T) {
		var many Tree
		for range rapid.IntRange(2, 12).Draw(r, "events") {
			raw := slices.Clone(rapid.SampledFrom(events[:6]).Draw(r, "event"))
			for range rapid.IntRange(0, 4).Draw(r, "changes") {
				var tree Tree
				if _, err := ParseTree(raw, &tree); err != nil {
					break
				}
				n := rapid.IntRange(0, tree.Len()-1).Draw(r, "value")
				v := tree.nodes[n]
				value := rapid.SampledFrom(otherwise).Draw(r, "other")
				if rapid.Bool().Draw(r, "of the same kind") && tree.Kind(n) == '"' {
					value = rapid.SampledFrom(otherwise[:8]).Draw(r, "text")
				}
				raw = slices.Concat(raw[:v.at], []byte(value), raw[v.end:])
			}
			learned := many.ids
			sameTree(r, raw, &many)
			reads++
			if many.Like() != 0 && many.ids == learned {
				hits++
			}
		}
	})
	if hits < reads/10 {
		t.Errorf("of %d events %d fitted a mould", reads, hits)
	}
}

// TestEachValueOfMould changes each value of an example of each kind, on its own and back.
func TestEachValueOfMould(t *testing.T) {
	seen := map[string]bool{}
	for _, raw := range exampleEvents(t) {
		var tree, many Tree
		h, err := ParseTree(raw, &tree)
		if err != nil {
			t.Fatal(err)
		}
		if seen[h.Kind] {
			continue
		}
		seen[h.Kind] = true
		for n := range tree.Len() {
			v := tree.nodes[n]
			for i, value := range otherwise {
				if (i+n)%7 != 0 { // each value some, and each kind of them all
					continue
				}
				sameTree(t, raw, &many)
				sameTree(t, slices.Concat(raw[:v.at], []byte(value), raw[v.end:]), &many)
			}
		}
	}
}

// TestLike: events that differ in texts and numbers alone are like each other, and are
// not read but for those.
func TestLike(t *testing.T) {
	for _, raw := range exampleEvents(t) {
		var tree Tree
		h, err := ParseTree(raw, &tree)
		if err != nil {
			t.Fatal(err)
		}
		like := tree.Like()
		if like == 0 {
			t.Fatalf("is no mould: %s", raw)
		}
		text := strings.ReplaceAll(string(raw), h.MetadataUID, "01a22d99-594a-7a0a-85a9-743690e54800")
		text = strings.Replace(text, fmt.Sprintf(`"time":%d`, h.Time), `"time":1`, 1)
		other, err := ParseTree([]byte(text), &tree)
		if err != nil || tree.Like() != like || other.MetadataUID != "01a22d99-594a-7a0a-85a9-743690e54800" || other.Time != 1 || other.Kind != h.Kind {
			t.Errorf("like %d, want %d: %+v, %v", tree.Like(), like, other, err)
		}
		if _, err := ParseTree([]byte(strings.Replace(text, `{"`, `{"A":1,"`, 1)), &tree); err != nil || tree.Like() == like {
			t.Errorf("another form is like it: %v", err)
		}
	}
}

// TestMouldsAreFew: neither many forms of events nor a giant make a tree large.
func TestMouldsAreFew(t *testing.T) {
	var tree Tree
	raw := string(exampleEvents(t)[0])
	for i := range 10 * maxMoulds {
		sameTree(t, []byte(strings.Replace(raw, `{"`, fmt.Sprintf(`{"A%03d":1,"`, i), 1)), &tree)
		if i%7 == 0 || i == 10*maxMoulds-1 {
			sameTree(t, []byte(strings.Replace(raw, `{"`, `{"A":"`+strings.Repeat("x", maxMould)+`","`, 1)), &tree)
		}
	}
	if n := len(tree.moulds); n != maxMoulds {
		t.Errorf("%d moulds", n)
	}
	for _, m := range tree.moulds {
		if cap(m.text) > maxMould {
			t.Errorf("a mould of %d bytes", cap(m.text))
		}
		if m.next != nil && !slices.Contains(tree.moulds, m.next) {
			t.Errorf("a mould keeps one of %d bytes that does not stay", len(m.next.text))
		}
	}
	if !slices.Contains(tree.moulds, tree.last) {
		t.Errorf("the last mould does not stay, of %d bytes", len(tree.last.text))
	}
}

// FuzzMould: an event is read as on its own after any other.
func FuzzMould(f *testing.F) {
	all := exampleEvents(f)
	for i, raw := range all {
		f.Add(raw, []byte(strings.ReplaceAll(string(raw), `"`+ProfileRecordIntegrity, `"x`)))
		f.Add(raw, all[(i+1)%len(all)])
	}
	f.Fuzz(func(t *testing.T, before, raw []byte) {
		var many Tree
		_, _ = ParseTree(before, &many)
		sameTree(t, raw, &many)
		sameTree(t, raw, &many)
	})
}
