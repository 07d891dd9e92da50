// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// asPlainly holds Read against the plain way: the same fact, or the same error.
func asPlainly(t testing.TB, raw []byte) {
	t.Helper()
	got, err := activity.Read(raw)
	want, wantErr := activity.ReadPlainly(raw)
	var at, wantAt ocsf.DecodeError
	if d := (*ocsf.DecodeError)(nil); errors.As(err, &d) {
		at = *d
	}
	if d := (*ocsf.DecodeError)(nil); errors.As(wantErr, &d) {
		wantAt = *d
	}
	if fmt.Sprint(err) != fmt.Sprint(wantErr) || at.Path != wantAt.Path || at.Offset != wantAt.Offset {
		t.Fatalf("error %v, want %v\n%s", err, wantErr, raw)
	}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Fatalf("(-plainly +got):\n%s\n%s", diff, raw)
	}
}

// same compares facts in all that they consist of, messages by what they say.
var same = cmp.Options{
	cmp.Exporter(func(reflect.Type) bool { return true }),
	cmp.Comparer(func(a, b *interceptor.Payload) bool {
		if a == nil || b == nil {
			return a == b
		}
		return text(a) == text(b) && a.Descriptor() == b.Descriptor()
	}),
	cmp.Comparer(func(a, b proto.Message) bool { return proto.Equal(a, b) }),
	cmp.Comparer(func(a, b *status.Status) bool { return a.String() == b.String() && (a == nil) == (b == nil) }),
	cmp.Comparer(func(a, b map[string]any) bool { return reflect.DeepEqual(a, b) }), // which may be deep
	cmp.Comparer(func(a, b trace.SpanContext) bool { return a.Equal(b) }),
}

// corpus is events of every kind and version, and some with all that an event may say.
func corpus(t testing.TB) [][]byte {
	t.Helper()
	var events [][]byte
	for _, version := range profile.Versions() {
		events = append(events, story(t, activity.WithSchema(version)).raw...)
	}
	old, err := os.ReadFile(filepath.Join("testdata", "recorded.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for event := range bytes.Lines(old) {
		events = append(events, bytes.TrimSpace(event))
	}
	return append(events, rich(t)...)
}

// rich says of an event what few say, in what is free-form.
func rich(t testing.TB) [][]byte {
	t.Helper()
	own := `{"attributes":{"a":"b","x-request-id":"r"},"broken":"b","caller_span":"00f067aa0ba902b7","count":2,"durable":true,"failure_kind":"timeout","failure_policy":"fail_open",` +
		`"handler_status":"NOT_FOUND","index":1,"labels":{"l":"m"},"metadata":{"ns":{"k":[1,"x"]}},"plan":"sha256:00","principal":{"kind":"user","subject":"alice"},"ran":true,` +
		`"redactions":REDACTIONS,"replay":{"grade":"partial","why":"redacted; no state; x"},` +
		`"skipped":[{"binding":"allow-list","interceptor":"images","phase":"validate","why":"w"}],"violations":["v"],"visible":{"attributes":["a"],"namespaces":["ns"]},"would":"deny"}`
	request := `{"committed_response":{"a":[1,-2.5,0.25,true,null,{}],"b":"x\n\"é","c":{"d":1e3}},"current_state":{"s":1},"proposed_operation":{"a":{"b":"c"},"n":3}}`
	response := `{"allowed":false,"dynamic_metadata":{"ns":{"k":1}},"log_annotations":{"a":"b"},"patches":[{"op":"add","path":"/a","value":{"b":[1.50,"\u0041"]}},` +
		`{"from":"/b","op":"move","path":"/c"},{"op":"add","path":"/d","value_text":"x"},{"op":"add","path":"/e","withheld":"rule"},{"op":"test","path":"/f","value":{"g":7}}],"reason":"r","status_code":"NOT_FOUND","warnings":["w",1]}`
	redactions := []string{
		`[{"at":"attributes","n":1,"rule":"r"},{"at":"reason","n":1,"rule":"r"},{"at":"patches","n":1,"rule":"descriptor"}]`,
		`[{"at":"attributes","rule":"credentials"},{"at":"reason","rule":"r"},{"at":"patches","rule":"descriptor"}]`, `[{"at":"attributes"}]`, `[{"at":"patches","rule":"r"}]`, `[1]`, `[]`,
	}
	var events [][]byte
	for i, raw := range story(t).raw {
		own := strings.Replace(own, "REDACTIONS", redactions[i%len(redactions)], 1)
		var tree profile.Tree
		h, err := profile.ParseTree(raw, &tree)
		if err != nil {
			t.Fatal(err)
		}
		if ocsf.ClassUID(h.ClassUID) != ocsf.ClassAPIActivity {
			continue
		}
		var edits []edit
		for n := range tree.Len() {
			switch string(tree.Name(n)) {
			case "unmapped":
				last := tree.Raw(n)[len(tree.Raw(n))-1:]
				e := edit{last, `,"` + profile.Unmapped + `":` + own + `}`}
				for c := n + 1; c < tree.After(n); c = tree.After(c) {
					if tree.Is(c, profile.Unmapped) {
						e = edit{tree.Raw(c), own}
					}
				}
				edits = append(edits, e)
			case "request":
				if data := tree.Raw(n); bytes.HasPrefix(data, []byte(`{"data":`)) {
					edits = append(edits, edit{tree.Raw(n + 1), request})
				}
			case "data":
				if tree.Kind(n) == '{' && bytes.HasPrefix(tree.Raw(n), []byte(`{"allowed":`)) {
					edits = append(edits, edit{tree.Raw(n), response})
				}
			}
		}
		events = append(events, edited(raw, edits...))
	}
	return events
}

// An edit puts with in the place of a part of an event.
type edit struct {
	part []byte
	with string
}

func edited(raw []byte, edits ...edit) []byte {
	var out []byte
	at := 0
	for _, e := range edits {
		start := cap(raw) - cap(e.part)
		out = append(append(out, raw[at:start]...), e.with...)
		at = start + len(e.part)
	}
	return append(out, raw[at:]...)
}

// TestReadAsPlainly reads events of every kind, and each again with something in it
// that is of another type, too large, called otherwise, or not there.
func TestReadAsPlainly(t *testing.T) {
	values := []string{
		`null`, `true`, `false`, `0`, `-0`, `-1`, `1.5`, `7.0`, `1e2`, `1e999`, `12345678901234567`, `12345678901234567890`, `"x"`, `""`, `"\u0041"`, `"allow"`, `{}`, `[]`,
		`[1]`, `["x"]`, `[null]`, `[{}]`, `{"a":1}`, `{"a":"b"}`, `{"same_as":"x"}`, `{"data":{"digest":null}}`, `{"docket":null}`, ` { "a" : 1 , "b" : [ 1 ] } `, `{"b":1,"a":1}`, `{"é":1}`,
		strings.Repeat(`[`, 980) + strings.Repeat(`]`, 980), strings.Repeat(`{"a":`, 1050) + `1` + strings.Repeat(`}`, 1050),
	}
	seen := map[string]bool{}
	for i, raw := range corpus(t) {
		asPlainly(t, raw)
		var tree profile.Tree
		if _, err := profile.ParseTree(raw, &tree); err != nil {
			t.Fatal(err)
		}
		for n := range tree.Len() {
			// What was found out of a place once is not found out again of every event.
			place := fmt.Sprint(tree.Kind(n), string(tree.Name(n)), n > 0 && i%7 == n%7)
			if seen[place] && i > 0 {
				continue
			}
			seen[place] = true
			for _, v := range values {
				asPlainly(t, edited(raw, edit{tree.Raw(n), v}))
			}
			asPlainly(t, append([]byte("\n "), edited(raw, edit{tree.Raw(n), "[7]"})...)) // errors say where
			if name := tree.Name(n); len(name) > 0 {
				asPlainly(t, edited(raw, edit{name, fmt.Sprintf(`\u%04x`, name[0]) + string(name[1:])}))
				asPlainly(t, edited(raw, edit{name, "zz"}))
				asPlainly(t, edited(raw, edit{name, `A":1,"` + string(name)}))
				asPlainly(t, edited(raw, edit{name, `cloud":1,"` + string(name)})) // which the schema knows, and is no number
			}
		}
	}
}

// TestUsual: what is written here is of the shapes that are known here, so that
// reading it takes the short way.
func TestUsual(t *testing.T) {
	events := 0
	for _, raw := range corpus(t) {
		if h, err := profile.Parse(raw); err != nil || ocsf.ClassUID(h.ClassUID) != ocsf.ClassAPIActivity {
			continue
		}
		if events++; !activity.Usual(raw) {
			t.Errorf("unusual: %s", raw)
		}
	}
	if events < 50 {
		t.Errorf("%d events", events)
	}
}

// TestReadKeepsNothing: a fact outlives the memory that its event was in.
func TestReadKeepsNothing(t *testing.T) {
	for _, raw := range corpus(t) {
		want, err := activity.ReadPlainly(raw)
		if err != nil {
			continue
		}
		mine := slices.Clone(raw)
		got, err := activity.Read(mine)
		if err != nil {
			t.Fatal(err)
		}
		for i := range mine {
			mine[i] = '#'
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// TestOperationsAsPlainly puts operations together, in order and backwards, of events
// that all come in the same piece of memory.
func TestOperationsAsPlainly(t *testing.T) {
	for _, events := range [][][]byte{corpus(t), history(t, 20, 20)} {
		for range 2 {
			slices.Reverse(events)
			want := activity.OperationsPlainly(events)
			var memory []byte
			var got []*activity.Operation
			for op, err := range activity.Operations(func(yield func([]byte, error) bool) {
				for _, raw := range events {
					clear(memory[:cap(memory)])
					memory = append(memory[:0], raw...)
					if !yield(memory, nil) {
						return
					}
				}
			}) {
				if err == nil {
					got = append(got, op)
				}
			}
			clear(memory[:cap(memory)])
			if diff := cmp.Diff(want, got, same); diff != "" || len(got) < 5 {
				t.Fatalf("%d operations (-plainly +got):\n%s", len(got), diff)
			}
		}
	}
}

// TestManyEvaluations reads an operation of more bindings than are looked for one by one.
func TestManyEvaluations(t *testing.T) {
	const bindings = 20
	for op, err := range activity.Operations(each(history(t, 3, bindings))) {
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range op.Evaluations {
			if e.Index != i || e.Result == nil || e.Missing != "" || e.Payload == nil {
				t.Errorf("evaluation %d: %+v", i, e)
			}
		}
		if len(op.Evaluations) != bindings || len(op.Outcome.Parts) != bindings {
			t.Errorf("%d evaluations and %d parts", len(op.Evaluations), len(op.Outcome.Parts))
		}
	}
}

func FuzzReadAsPlainly(f *testing.F) {
	for _, raw := range corpus(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) { asPlainly(t, raw) })
}
