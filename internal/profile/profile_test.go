// SPDX-License-Identifier: Apache-2.0

package profile_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const epoch = "0199d0aa-1000-7000-8000-00000000e001"

// story is one epoch of a small gateway: it starts, judges one operation that
// is denied, sees a binding fail, and stops.
func story() []ocsf.Event {
	n := 0
	uid := func() string {
		n++
		return "0199d0aa-2000-7000-8000-00000000000" + string(rune('0'+n))
	}
	meta := func(kind, operation string, profiles ...string) ocsf.Metadata {
		return ocsf.Metadata{
			UID: uid(), EventCode: kind, CorrelationUID: operation, TenantUID: "acme",
			Product: &ocsf.Product{Name: "docket", VendorName: "docket", Version: "0.1.0"}, Profiles: profiles,
		}
	}
	const op, ev = "0199d0aa-3000-7000-8000-000000000001", "0199d0aa-4000-7000-8000-000000000001"
	activity := func(kind string, action, disposition int32) *ocsf.APIActivity {
		return &ocsf.APIActivity{
			Base: ocsf.Base{
				ActivityID: 1, Time: 1793215000100, SeverityID: 1, ActionID: action, DispositionID: disposition,
				Metadata: meta(kind, op, "security_control", "trace"),
				Policy:   &ocsf.Policy{UID: "allow-list", Name: "images", Type: "gateway_interceptor/validate", Version: "sha256:ab"},
				Trace:    &ocsf.Trace{UID: "4bf92f3577b34da6a3ce929d0e0e4736"},
			},
			Actor:       &ocsf.Actor{User: &ocsf.User{UID: "alice", Name: "Alice", TypeID: 1}},
			API:         &ocsf.API{Operation: "CreateSandbox", Service: &ocsf.Service{Name: "demo.sandbox.v1.Sandboxes"}, Request: &ocsf.APIRequest{UID: ev}},
			SrcEndpoint: &ocsf.Endpoint{IP: "192.0.2.7", Port: 4711, SvcName: "gateway-0"},
		}
	}
	start := &ocsf.ApplicationLifecycle{Base: ocsf.Base{ActivityID: 3, Time: 1793215000000, SeverityID: 1, Metadata: meta("lifecycle", "")}, App: &ocsf.Product{Name: "docket"}}
	evaluation := activity("evaluation", 3, 17)
	evaluation.Metadata.Tags = []ocsf.KeyValue{{Name: "phase", Value: "validate"}, {Name: "replay_grade", Value: "full"}}
	evaluation.API.Request.Data = map[string]any{
		"proposed_operation": map[string]any{"name": "web-7\u2028", "z": 1.5},
		// What an attacker would send to be taken for the attestation.
		"unmapped": map[string]any{"attestation_list": []any{map[string]any{"chain_uid": epoch, "fingerprint": map[string]any{"algorithm": "SHA-256", "value": strings.Repeat("0", 64)}}}},
	}
	result := activity("result", 2, 2)
	result.StatusID, result.StatusCode, result.StatusDetail = 2, "PERMISSION_DENIED", `image "x" is not on the list`
	failure := activity("failure", 1, 27)
	failure.StatusID, failure.StatusCode, failure.StatusDetail = 2, "DEADLINE_EXCEEDED", "no answer within 500ms\x1b[2J"
	failure.Unmapped = map[string]any{"docket": map[string]any{"failure_kind": "timeout", "failure_policy": "fail_open"}}
	outcome := activity("outcome", 2, 2)
	outcome.StatusID, outcome.StatusCode, outcome.StatusDetail = 2, "PERMISSION_DENIED", `image "x" is not on the list`
	outcome.API.Request.UID = op
	outcome.Duration = ptr(int64(7))
	outcome.Unmapped = map[string]any{"docket": map[string]any{"plan": "sha256:cd", "ran": false}, "aside": []any{1, "two"}}
	stop := &ocsf.ApplicationLifecycle{Base: ocsf.Base{ActivityID: 4, Time: 1793215009000, SeverityID: 1, Message: "stopped", Metadata: meta("lifecycle", "")}, App: &ocsf.Product{Name: "docket"}}
	return []ocsf.Event{start, evaluation, result, failure, outcome, stop}
}

func ptr[T any](v T) *T { return &v }

// sealed returns the story as the emitter would write it.
func sealed(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	link := profile.Link{Emitter: "gateway-0", Epoch: epoch, Sequence: 1}
	for _, e := range story() {
		raw, fingerprint, err := profile.Seal(e, link)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw)
		link.Sequence++
		link.PrevUID, link.PrevFingerprint = e.Common().Metadata.UID, fingerprint
	}
	return all
}

// TestSealGolden pins the bytes: once written, an event's form is for ever.
func TestSealGolden(t *testing.T) {
	got := append(bytes.Join(sealed(t), []byte("\n")), '\n')
	file := filepath.Join("testdata", "epoch.ndjson")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("sealed events (-want +got):\n%s", diff)
	}
}

// TestChain follows the hash chain of the recorded story and, when
// DOCKET_OCSF_EXAMPLES names a directory of events, of those.
func TestChain(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "epoch.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	stories := map[string][][]byte{"testdata": bytes.Split(bytes.TrimSpace(golden), []byte("\n"))}
	if dir := os.Getenv("DOCKET_OCSF_EXAMPLES"); dir != "" {
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no examples in %s: %v", dir, err)
		}
		slices.Sort(files)
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			stories[dir] = append(stories[dir], bytes.TrimSpace(raw))
		}
	}
	for name, events := range stories {
		var prev string
		for i, raw := range events {
			claimed, computed, err := profile.Fingerprint(raw)
			if err != nil || claimed != computed {
				t.Errorf("%s, event %d: claims %s, has %s (%v)", name, i+1, claimed, computed, err)
			}
			h, err := profile.Check(raw)
			if err != nil {
				t.Errorf("%s, event %d: %v", name, i+1, err)
			}
			if h.Sequence != int64(i+1) || h.PrevFingerprint != prev || h.Fingerprint != claimed {
				t.Errorf("%s, event %d: sequence %d after %q, want after %q", name, i+1, h.Sequence, h.PrevFingerprint, prev)
			}
			if c, err := ocsf.Canonicalize(raw); err != nil || !bytes.Equal(c, raw) {
				t.Errorf("%s, event %d is not canonical: %v", name, i+1, err)
			}
			prev = claimed
		}
	}
}

func TestParse(t *testing.T) {
	h, err := profile.Parse(sealed(t)[4])
	if err != nil {
		t.Fatal(err)
	}
	h.Fingerprint, h.PrevFingerprint = "", ""
	want := profile.Header{
		MetadataUID: "0199d0aa-2000-7000-8000-000000000006", Time: 1793215000100, Tenant: "acme", Kind: "outcome", Decision: "deny",
		ClassUID: 6003, TypeUID: 600301, ActivityID: 1, SeverityID: 1, StatusID: 2,
		StatusCode: "PERMISSION_DENIED", StatusDetail: `image "x" is not on the list`,
		OperationUID: "0199d0aa-3000-7000-8000-000000000001", TraceUID: "4bf92f3577b34da6a3ce929d0e0e4736",
		Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox", Principal: "alice", Source: "192.0.2.7",
		Interceptor: "images", Binding: "allow-list", PlanDigest: "sha256:cd", DurationMS: 7,
		Emitter: "gateway-0", Epoch: epoch, Sequence: 5,
	}
	// Event uids are dealt in the order in which the story makes its events.
	want.MetadataUID = h.MetadataUID
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	h, err = profile.Parse(sealed(t)[1])
	if err != nil {
		t.Fatal(err)
	}
	if h.Phase != "validate" || h.ReplayGrade != "full" || h.EvaluationUID == "" || h.PlanDigest != "sha256:ab" || h.Decision != "none" {
		t.Errorf("header of an evaluation: %+v", h)
	}
}

// TestParseRefuses edits one sealed event in one place and expects a typed error.
func TestParseRefuses(t *testing.T) {
	raw := string(sealed(t)[4])
	for _, c := range []struct {
		name, old, new string
		want           error
	}{
		{"not JSON", `{"action"`, `{action`, profile.ErrMalformed},
		{"cut short", `"}]`, ``, profile.ErrMalformed},
		{"an array", raw, `[]`, profile.ErrMalformed},
		{"empty", raw, ``, profile.ErrMalformed},
		{"two values", raw, raw + raw, profile.ErrMalformed},
		{"trailing blank", raw, raw + "\n", profile.ErrMalformed},
		{"time as string", `"time":1793215000100`, `"time":"1793215000100"`, profile.ErrMalformed},
		{"time as fraction", `"time":1793215000100`, `"time":1793215000100.5`, profile.ErrMalformed},
		{"time beyond 2^53", `"time":1793215000100`, `"time":9007199254740994`, profile.ErrMalformed},
		{"class beyond int32", `"class_uid":6003`, `"class_uid":4294973299`, profile.ErrMalformed},
		{"null uid", `"uid":"0199d0aa-3000-7000-8000-000000000001"`, `"uid":null`, profile.ErrMalformed},
		{"object for a string", `"tenant_uid":"acme"`, `"tenant_uid":{}`, profile.ErrMalformed},
		{"string for an object", `"actor":{`, `"actor":"x","a2":{`, profile.ErrMalformed},
		{"object for an array", `"loggers":[{`, `"loggers":{"a":[{`, profile.ErrMalformed},
		{"ran as string", `"ran":false`, `"ran":"false"`, profile.ErrMalformed},
		{"unknown kind", `"event_code":"outcome"`, `"event_code":"verdict"`, profile.ErrMalformed},
		{"duplicate name", `"class_uid":6003`, `"class_uid":6003,"class_uid":6003`, profile.ErrMalformed},
		{"upper-case fingerprint", `"serialization_id":2,"value":"`, `"serialization_id":2,"value":"A`, profile.ErrMalformed},
		{"no tenant", `"tenant_uid":"acme",`, ``, profile.ErrIncomplete},
		{"no sequence", `"sequence":5,`, ``, profile.ErrIncomplete},
		{"no kind", `"event_code":"outcome",`, ``, profile.ErrIncomplete},
		{"another sequence", `"sequence":5`, `"sequence":6`, profile.ErrIncomplete},
		{"another epoch", `"chain_uid":"` + epoch, `"chain_uid":"other`, profile.ErrIncomplete},
		{"no attestation", `"attestation_list"`, `"attestation_lisp"`, profile.ErrIncomplete},
	} {
		edited := strings.Replace(raw, c.old, c.new, 1)
		if edited == raw {
			t.Errorf("%s: %q is not in the event", c.name, c.old)
		}
		if h, err := profile.Parse([]byte(edited)); !errors.Is(err, c.want) || h != (profile.Header{}) {
			t.Errorf("%s: Parse: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestEveryByteCounts changes each byte of an event, one at a time, and adds
// one at each place: none goes unnoticed.
func TestEveryByteCounts(t *testing.T) {
	for n, raw := range sealed(t) {
		for i := range raw {
			flipped := bytes.Clone(raw)
			flipped[i] ^= 1
			if _, err := profile.Check(flipped); err == nil {
				t.Errorf("event %d: a change of byte %d (%q) goes unnoticed", n, i, raw[i])
			}
			longer := slices.Insert(bytes.Clone(raw), i, ' ')
			if _, err := profile.Check(longer); err == nil {
				t.Errorf("event %d: a blank before byte %d (%q) goes unnoticed", n, i, raw[i])
			}
		}
		if _, err := profile.Check(raw); err != nil {
			t.Errorf("event %d: %v", n, err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	good := profile.Link{Emitter: "gateway-0", Epoch: epoch, Sequence: 1}
	event := func(edit func(*ocsf.Base)) ocsf.Event {
		e := story()[0]
		edit(e.Common())
		return e
	}
	nothing := func(*ocsf.Base) {}
	for name, c := range map[string]struct {
		e    ocsf.Event
		link profile.Link
	}{
		"no uid":           {event(func(b *ocsf.Base) { b.Metadata.UID = "" }), good},
		"no tenant":        {event(func(b *ocsf.Base) { b.Metadata.TenantUID = "" }), good},
		"no kind":          {event(func(b *ocsf.Base) { b.Metadata.EventCode = "" }), good},
		"unknown kind":     {event(func(b *ocsf.Base) { b.Metadata.EventCode = "x" }), good},
		"invalid UTF-8":    {event(func(b *ocsf.Base) { b.Message = "\xff" }), good},
		"no epoch":         {event(nothing), profile.Link{Emitter: "g", Sequence: 1}},
		"no emitter":       {event(nothing), profile.Link{Epoch: epoch, Sequence: 1}},
		"no sequence":      {event(nothing), profile.Link{Emitter: "g", Epoch: epoch}},
		"no predecessor":   {event(nothing), profile.Link{Emitter: "g", Epoch: epoch, Sequence: 2}},
		"half predecessor": {event(nothing), profile.Link{Emitter: "g", Epoch: epoch, Sequence: 2, PrevUID: "u"}},
		"bad predecessor":  {event(nothing), profile.Link{Emitter: "g", Epoch: epoch, Sequence: 2, PrevUID: "u", PrevFingerprint: "f"}},
	} {
		if _, _, err := profile.Seal(c.e, c.link); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, raw := range sealed(f) {
		f.Add(raw)
	}
	f.Add([]byte(`{"unmapped":{"attestation_list":[{"fingerprint":{"value":""},"chain_uid":"`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := profile.Check(raw)
		if err != nil {
			return
		}
		if p, err := profile.Parse(raw); err != nil || p != h {
			t.Errorf("Check passes, Parse says %v", err)
		}
		back, err := profile.ParseSubject(profile.Prefix, profile.Subject(profile.Prefix, h))
		if err == nil && (back.Tenant != h.Tenant || back.Service != h.Service || back.Method != h.Method || back.Emitter != h.Emitter) {
			t.Errorf("subject of %+v comes back as %+v", h, back)
		}
		for _, r := range profile.Sentence(h) {
			if r < ' ' {
				t.Errorf("sentence holds control character %q", r)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	raw := sealed(b)[4]
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := profile.Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	raw := sealed(b)[4]
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := profile.Check(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	e := story()[4]
	link := profile.Link{Emitter: "gateway-0", Epoch: epoch, Sequence: 1}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := profile.Seal(e, link); err != nil {
			b.Fatal(err)
		}
	}
}
