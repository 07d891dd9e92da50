// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rivo/uniseg"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/ocsf/schema"
)

func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[ab_]{0,10}|aaaaaaaa[ab_]{0,6}bbbbbbbb`) // of the long ones, all have the same ends
		list := rapid.SliceOfNDistinct(name, 0, 50, rapid.ID).Draw(t, "list")
		n := newNames(list)
		want := make(map[string]int32)
		for i, s := range list {
			want[s] = int32(i)
		}
		for _, s := range append(list, rapid.SliceOfN(name, 20, 20).Draw(t, "others")...) {
			i, ok := want[s]
			if !ok {
				i = -1
			}
			if got := n.find([]byte(s)); got != i {
				t.Fatalf("%q: %d, want %d", s, got, i)
			}
		}
	})
}

// Integral is what is integral as a fraction of big integers.
func TestIntegral(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})((\.[0-9]{1,5}|\.0{1,5})?([eE][+-]?[0-9]{1,2})?)`).Draw(t, "token")
		value, ok := new(big.Rat).SetString(token)
		if !ok {
			t.Fatalf("%s: not a number", token)
		}
		got, integral := appendIntegral(nil, []byte(token))
		if integral != value.IsInt() {
			t.Fatalf("%s: integral: %v", token, integral)
		}
		if want := value.Num().String(); integral && len(want) < maxDigits && string(got) != want {
			t.Fatalf("%s: %s, want %s", token, got, want)
		}
		if integral && len(value.Num().String()) >= maxDigits && len(got) < maxDigits {
			t.Fatalf("%s: %s is too short", token, got)
		}
	})
	for token, want := range map[string]string{
		"0e999999999999999999999999":       "0",
		"-0.000":                           "0",
		"1e-999999999999999999999":         "",
		"1e9999999999999999999999":         "1" + strings.Repeat("0", maxDigits),
		strings.Repeat("7", 100) + ".0e-1": "",
		strings.Repeat("7", 100) + ".0":    strings.Repeat("7", maxDigits),
	} {
		got, ok := appendIntegral(nil, []byte(token))
		if ok != (want != "") || ok && string(got) != want {
			t.Errorf("%s: %s, %v", token, got, ok)
		}
	}
}

// A sum is what it is with big integers.
func TestSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`0|-?[1-9][0-9]{0,25}|-?(9{15,25}|10{15,25})[0-9]{0,7}`).Draw(t, "text")
		n := rapid.Int64Range(0, 1e15).Draw(t, "n")
		value, _ := new(big.Int).SetString(text, 10)
		want := "x" + value.Add(value, big.NewInt(n)).String()
		if got := string(appendSum([]byte("x"), []byte(text), n)); got != want {
			t.Fatalf("%s + %d: %s, want %s", text, n, got, want)
		}
	})
}

// indexed is how the server finds the name and the index of a step.
var indexed = regexp.MustCompile(`^([^\[]+)\[(.*)\]\n?\z`)

// Steps are what splitting at the dots that no closing bracket follows, before
// an opening one, gives.
func TestSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`[a.\[\]\n]{0,12}`).Draw(t, "path")
		var want []steps
		add := func(step string, more bool) {
			s := steps{name: []byte(step), more: more}
			if m := indexed.FindStringSubmatch(step); m != nil {
				s = steps{name: []byte(m[1]), index: []byte(m[2]), indexed: true, more: more}
			}
			want = append(want, s)
		}
		from := 0
		for i, c := range path {
			if c != '.' {
				continue
			}
			if b := strings.IndexAny(path[i:], "[]"); b < 0 || path[i+b] == '[' {
				add(path[from:i], true)
				from = i + 1
			}
		}
		add(path[from:], false)
		var got []steps
		for s, more := newSteps([]byte(path)), true; more; more = s.more {
			s.next()
			got = append(got, steps{name: s.name, index: s.index, indexed: s.indexed, more: s.more})
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(steps{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", path, diff)
		}
	})
}

func TestLonger(t *testing.T) {
	var server, strict walk
	strict.options.Strict = true
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", "e\u0301", "\r\n", "\u1f1e", "\U0001f1e9", "\U0001f469\u200d\U0001f680", "\u200d"})).Draw(t, "s"), "")
		limit := rapid.IntRange(0, 12).Draw(t, "limit")
		if got, want := server.longer([]byte(s), limit), uniseg.GraphemeClusterCount(s) > limit; got != want {
			t.Fatalf("%q has more than %d clusters: %v", s, limit, got)
		}
		if got, want := strict.longer([]byte(s), limit), utf8.RuneCountInString(s) > limit; got != want {
			t.Fatalf("%q has more than %d code points: %v", s, limit, got)
		}
	})
}

func TestNoEvents(t *testing.T) {
	tables := compiled(t, "1.8.0")
	for _, text := range []string{`null`, `[]`, `"x"`, `1.0`, `true`} {
		r, err := tables.Event([]byte(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Errors) != 1 || r.Errors[0].Code != "attribute_wrong_type" || r.Errors[0].Path != "" {
			t.Errorf("%s: %v", text, r)
		}
	}
	if _, err := tables.Event([]byte(`{"class_uid":1`), Options{}); err == nil {
		t.Error("not JSON, but no error")
	}
}

// Reports stay small, whatever the event is like.
func TestLimits(t *testing.T) {
	tables := compiled(t, "1.8.0")
	var unknown strings.Builder
	for i := range 3 * maxFindings {
		fmt.Fprintf(&unknown, `"%d":0,`, i)
	}
	const depth = 900
	deep := strings.Repeat(`"parent_process":{"pid":1,`, depth) + unknown.String() + `"uid":"x"` + strings.Repeat(`}`, depth)
	for name, text := range map[string][]byte{
		"many":        edit(t, "actor.user", `{`+unknown.String()+`"name":"n"}`),
		"wrong types": edit(t, "metadata.labels", `[`+strings.Repeat("0,", 3*maxFindings)+`0]`),
		"long paths":  edit(t, "actor.process", `{"pid":1,`+deep+`}`),
		"observables": edit(t, "resources", `[`+strings.Repeat(`{"uid":"x"},`, 2000)+`{"uid":"y"}]`, "observables", `[`+strings.Repeat(`{"type_id":0,"name":"resources.uid","value":"x"},`, 2000)+`{"type_id":0,"name":"resources.uid"}]`),
	} {
		r, err := tables.Event(text, Options{Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, f := range r.Errors {
			size += len(f.Path) + len(f.Message)
		}
		if !r.Truncated || len(r.Errors) > maxFindings || size > 2*maxText {
			t.Errorf("%s: truncated %v, %d errors of %d bytes", name, r.Truncated, len(r.Errors), size)
		}
	}
}

// Messages show little of the event, and no control characters.
func TestMessages(t *testing.T) {
	tables := compiled(t, "1.8.0")
	long := strings.Repeat("\u00e9\\n\\u001b[31m", 100)
	r, err := tables.Event(edit(t,
		"severity_id", `"`+long+`"`, "status", `"`+long+`"`, "metadata.version", `"`+long+`"`, "metadata.profiles", `["`+long+`"]`,
		"count", strings.Repeat("9", 1000), "time", `"`+long+`"`, "src_endpoint.ip", `"`+long+`"`, long, "1",
		"type_uid", strings.Repeat("8", 1000), "activity_id", strings.Repeat("7", 1000),
		"observables", `[{"type_id":2,"name":"`+long+`"}]`,
	), Options{})
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, f := range append(r.Errors, r.Warnings...) {
		codes[f.Code] = true
		if len(f.Message) > 500 || !utf8.ValidString(f.Message) || strings.ContainsAny(f.Message, "\n\x1b") {
			t.Errorf("%s: %d bytes: %q", f.Code, len(f.Message), f.Message)
		}
	}
	for _, code := range []string{
		"attribute_wrong_type", "attribute_enum_value_unknown", "attribute_enum_sibling_incorrect", "version_earlier", "profile_unknown",
		"attribute_value_regex_not_matched", "attribute_value_exceeds_max_len", "attribute_unknown", "type_uid_incorrect", "observable_name_invalid_reference",
	} {
		if !codes[code] {
			t.Errorf("no %s among %v", code, codes)
		}
	}
}

// A valid event costs no memory but that of its uid. The pool, which may lose
// what it is given, is left out.
func TestAllocations(t *testing.T) {
	w := newWalk(compiled(t, "1.8.0"), Options{})
	text := edit(t)
	allocs := testing.AllocsPerRun(100, func() {
		if err := w.tree.Parse(text); err != nil {
			t.Fatal(err)
		}
		if r := w.take(w.tree.Root(), w.event); len(r.Errors)+len(r.Warnings) > 0 {
			t.Fatal(r)
		}
	})
	if allocs > 1 {
		t.Errorf("%v allocations, want 1", allocs)
	}
}

func TestBundle(t *testing.T) {
	tables := compiled(t, "1.8.0")
	for _, tt := range []struct {
		text   string
		strict bool
		want   string
		events int
	}{
		{`{"events":[]}`, false, "[]", 0},
		{`{"events":[` + string(edit(t)) + `,7,{}],"count":3,"start_time":1,"end_time":9223372036854775808,"start_time_dt":"x","end_time_dt":""}`, false, "[]", 3},
		{`{"events":[],"end_time":9223372036854775808}`, true, "[E attribute_wrong_type end_time]", 0},
		{`{"events":[],"count":1.0}`, true, "[]", 0},
		{
			`{"events":{},"count":1.0,"start_time":null,"end_time":"1","start_time_dt":1,"end_time_dt":[],"foo":null}`, false,
			"[E attribute_unknown foo E attribute_wrong_type count E attribute_wrong_type end_time E attribute_wrong_type end_time_dt E attribute_wrong_type events E attribute_wrong_type start_time E attribute_wrong_type start_time_dt]", 0,
		},
		{`{"events":null}`, false, "[E attribute_wrong_type events]", 0},
		{`{"count":1,"count":"x","events":[],"events":7}`, false, "[]", 0},
		{`{"count":"x","count":1}`, false, "[E attribute_required_missing events E attribute_wrong_type count]", 0},
		{`[]`, false, "[E attribute_wrong_type]", 0},
	} {
		r, events, err := tables.Bundle([]byte(tt.text), Options{Strict: tt.strict})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(facts(r)); got != tt.want || len(events) != tt.events {
			t.Errorf("%.60s: %s and %d events, want %s and %d", tt.text, got, len(events), tt.want, tt.events)
		}
		if tt.events == 3 {
			got := fmt.Sprint(facts(events[0]), facts(events[1]), facts(events[2]))
			if want := "[] [E attribute_wrong_type] [E attribute_required_missing class_uid]"; got != want {
				t.Errorf("events: %s, want %s", got, want)
			}
		}
	}
	if _, _, err := tables.Bundle([]byte(`{"events":[}`), Options{}); err == nil {
		t.Error("not JSON, but no error")
	}
}

func BenchmarkCompile(b *testing.B) {
	s, err := schema.Load("1.8.0")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(s); err != nil {
			b.Fatal(err)
		}
	}
}
