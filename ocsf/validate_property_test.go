// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/ocsf"
	"github.com/docket-audit/docket/ocsf/schema"
)

// checkReport checks what holds for every report.
func checkReport(t interface{ Fatalf(string, ...any) }, r *ocsf.Report) {
	for severity, issues := range map[ocsf.IssueSeverity][]ocsf.Issue{ocsf.IssueError: r.Errors, ocsf.IssueWarning: r.Warnings} {
		for i, issue := range issues {
			if issue.Severity != severity || issue.Code == "" || issue.Message == "" {
				t.Fatalf("not a %s: %+v", severity, issue)
			}
			if i == 0 {
				continue
			}
			last := issues[i-1]
			if last == issue || cmp.Or(cmp.Compare(last.Path, issue.Path), cmp.Compare(last.Code, issue.Code)) > 0 {
				t.Fatalf("%+v before %+v", last, issue)
			}
		}
	}
	if r.Valid() != (len(r.Errors) == 0) {
		t.Fatalf("valid %v with %v", r.Valid(), r.Errors)
	}
}

// jsonText draws JSON in all its forms.
func jsonText(t *rapid.T, depth int) string {
	forms := 6
	if depth > 0 {
		forms = 8
	}
	switch rapid.IntRange(0, forms-1).Draw(t, "form") {
	case 0:
		return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "word")
	case 1, 2:
		return rapid.SampledFrom([]string{
			"0", "-0", "1", "99", "6003", "600301", "-1", "1.0", "99.0", "1e0", "1E300", "65536", "9223372036854775807", "9223372036854775808",
			"-9223372036854775809", "18446744073709551616", "170141183460469231731687303715884105728", "0.1", "-1.5e-7",
		}).Draw(t, "number")
	case 3:
		return strconv.Itoa(rapid.Int().Draw(t, "integer"))
	case 4:
		text, _ := json.Marshal(rapid.String().Draw(t, "string"))
		return string(text)
	case 5:
		return rapid.SampledFrom([]string{`""`, `"1"`, `"99"`, `"Other"`, `"1.8.0"`, `"1.0.0-rc.2"`, `"192.0.2.1\n"`, `"\ud83d\ude00"`, `"security_control"`, `"x.y[0].z"`}).Draw(t, "text")
	case 6:
		return "[" + strings.Join(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return jsonText(t, depth-1) }), 0, 4).Draw(t, "elements"), ",") + "]"
	default:
		return "{" + strings.Join(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return strconv.Quote(memberNames.Draw(t, "name")) + ":" + jsonText(t, depth-1)
		}), 0, 6).Draw(t, "members"), ",") + "}"
	}
}

var memberNames = rapid.SampledFrom([]string{
	"class_uid", "metadata", "profiles", "version", "uid", "type_uid", "activity_id", "observables", "name", "value", "type_id", "actor", "process",
	"parent_process", "api", "src_endpoint", "ip", "port", "status", "status_id", "unmapped", "flag_ids", "flags", "answers", "foo", "", "a.b",
})

func TestValidateAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := jsonText(t, 5)
		version := rapid.SampledFrom(schema.Versions()).Draw(t, "version")
		for _, mode := range modes {
			r, err := ocsf.Validate([]byte(text), version, mode)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			checkReport(t, r)
		}
	})
}

// A mutation is a vector with something in it dropped or replaced.
func mutation(t *rapid.T, vectors []vector) any {
	v := rapid.SampledFrom(vectors).Draw(t, "vector")
	var event any
	dec := json.NewDecoder(bytes.NewReader(v.Event))
	dec.UseNumber()
	if err := dec.Decode(&event); err != nil {
		t.Fatal(err)
	}
	for range rapid.IntRange(1, 3).Draw(t, "changes") {
		event = mutate(t, event)
	}
	return event
}

// mutate changes v or something in it.
func mutate(t *rapid.T, v any) any {
	deeper := rapid.IntRange(0, 9).Draw(t, "deeper") > 0
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 || !deeper {
			break
		}
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(v))).Draw(t, "member")
		switch rapid.IntRange(0, 6).Draw(t, "what") {
		case 0:
			delete(v, name)
		case 1:
			v[memberNames.Draw(t, "name")] = v[name]
		default:
			v[name] = mutate(t, v[name])
		}
		return v
	case []any:
		if len(v) == 0 || !deeper {
			break
		}
		i := rapid.IntRange(0, len(v)-1).Draw(t, "element")
		v[i] = mutate(t, v[i])
		return v
	}
	return json.RawMessage(jsonText(t, 2))
}

// render writes v with the members of objects in this or that order, and twice
// if asked: again with other values, which do not count.
func render(b *bytes.Buffer, v any, reverse, twice bool) {
	switch v := v.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		if reverse {
			slices.Reverse(names)
		}
		b.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			key, _ := json.Marshal(name)
			b.Write(key)
			b.WriteByte(':')
			render(b, v[name], reverse, twice)
			if twice {
				b.WriteByte(',')
				b.Write(key)
				b.WriteString(`:{"x":[true]}`)
			}
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			render(b, e, reverse, twice)
		}
		b.WriteByte(']')
	default:
		text, _ := json.Marshal(v)
		b.Write(text)
	}
}

// Of an event the order of members does not matter, nor that they are repeated.
func TestValidateMutations(t *testing.T) {
	vectors := slices.DeleteFunc(readVectors(t), func(v vector) bool { return len(v.Event) > 4000 })
	rapid.Check(t, func(t *rapid.T) {
		event := mutation(t, vectors)
		var text, reversed, repeated bytes.Buffer
		render(&text, event, false, false)
		render(&reversed, event, true, false)
		render(&repeated, event, false, true)
		for _, mode := range modes {
			want, err := ocsf.Validate(text.Bytes(), "1.8.0", mode)
			if err != nil {
				t.Fatalf("%s: %v", text.Bytes(), err)
			}
			checkReport(t, want)
			for _, other := range []*bytes.Buffer{&reversed, &repeated} {
				got, err := ocsf.Validate(other.Bytes(), "1.8.0", mode)
				if err != nil {
					t.Fatalf("%s: %v", other.Bytes(), err)
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Fatalf("%s (-want +got):\n%s", other.Bytes(), diff)
				}
			}
		}
	})
}

func FuzzValidate(f *testing.F) {
	for _, v := range readVectors(f) {
		if len(v.Event) < 4000 {
			f.Add([]byte(v.Event))
		}
	}
	validators := []*ocsf.Validator{}
	for _, version := range schema.Versions() {
		for _, mode := range modes {
			validators = append(validators, newValidator(f, version, mode, ocsf.ValidateOptions{MissingRecommended: version == schema.Latest}))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, v := range validators {
			r, err := v.Validate(text)
			var syntax *ocsf.SyntaxError
			switch {
			case errors.As(err, &syntax):
				if syntax.Offset < 0 || syntax.Offset > int64(len(text)) || syntax.Reason == "" {
					t.Fatalf("%+v of %d bytes", syntax, len(text))
				}
			case err != nil:
				t.Fatalf("%T: %v", err, err)
			case !json.Valid(text):
				t.Fatal("not JSON, but no error")
			default:
				checkReport(t, r)
			}
			bundle, err := v.ValidateBundle(text)
			if err != nil {
				continue
			}
			for _, r := range bundle.Events {
				checkReport(t, r)
			}
		}
	})
}

// BenchmarkValidate validates an event of 1.6 kB.
func BenchmarkValidate(b *testing.B) {
	text, err := os.ReadFile("testdata/validate/benchmark.json")
	if err != nil {
		b.Fatal(err)
	}
	for _, mode := range modes {
		b.Run(string(mode), func(b *testing.B) {
			v := newValidator(b, "1.8.0", mode, ocsf.ValidateOptions{})
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if r, err := v.Validate(text); err != nil || len(r.Errors)+len(r.Warnings) > 0 {
					b.Fatal(r, err)
				}
			}
		})
	}
}
