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

// story is one epoch of a small gateway, in a version of OCSF: it starts, judges
// one operation that is denied, sees a binding fail, and stops.
func story(version string) []ocsf.Event {
	n := 0
	uid := func() string {
		n++
		return "0199d0aa-2000-7000-8000-00000000000" + string(rune('0'+n))
	}
	meta := func(kind, operation string, profiles ...string) ocsf.Metadata {
		return ocsf.Metadata{
			Version: version, UID: uid(), EventCode: kind, CorrelationUID: operation, TenantUID: "acme",
			Product: &ocsf.Product{Name: "docket", VendorName: "docket", Version: "0.1.0"}, Profiles: profiles,
		}
	}
	const op, ev = "0199d0aa-3000-7000-8000-000000000001", "0199d0aa-4000-7000-8000-000000000001"
	activity := func(kind string, action ocsf.ActionID, disposition ocsf.DispositionID) *ocsf.APIActivity {
		return &ocsf.APIActivity{
			Base: ocsf.Base{
				Time: 1793215000100, SeverityID: ocsf.SeverityInformational, ActionID: action, DispositionID: disposition,
				Metadata: meta(kind, op, "security_control", "trace"),
				Policy:   &ocsf.Policy{UID: "allow-list", Name: "images", Type: "gateway_interceptor/validate", Version: "sha256:ab"},
				Actor:    &ocsf.Actor{User: &ocsf.User{UID: "alice", Name: "Alice", TypeID: ocsf.UserTypeUser}},
				API:      &ocsf.API{Operation: "CreateSandbox", Service: &ocsf.Service{Name: "demo.sandbox.v1.Sandboxes"}, Request: &ocsf.Request{UID: ev}},
			},
			ActivityID:  ocsf.APIActivityCreate,
			Trace:       &ocsf.Trace{UID: "4bf92f3577b34da6a3ce929d0e0e4736"},
			SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.7", Port: 4711, SvcName: "gateway-0"},
		}
	}
	lifecycle := func(activity ocsf.ApplicationLifecycleActivityID, time int64, message string) *ocsf.ApplicationLifecycle {
		e := &ocsf.ApplicationLifecycle{
			Base:       ocsf.Base{Time: time, SeverityID: ocsf.SeverityInformational, Message: message, Metadata: meta("lifecycle", "")},
			ActivityID: activity,
		}
		if version == "1.9.0" {
			e.Application = &ocsf.Application{Name: "docket"}
		} else {
			e.App = &ocsf.Product{Name: "docket"}
		}
		return e
	}
	start := lifecycle(ocsf.ApplicationLifecycleStart, 1793215000000, "")
	evaluation := activity("evaluation", ocsf.ActionObserved, ocsf.DispositionLogged)
	evaluation.Metadata.Tags = []ocsf.KeyValueObject{{Name: "phase", Value: "validate"}, {Name: "replay_grade", Value: "full"}}
	evaluation.API.Request.Data = map[string]any{
		"proposed_operation": map[string]any{"name": "web-7\u2028", "z": 1.5},
		// What an attacker would send to be taken for the attestation.
		"unmapped":         map[string]any{"attestation_list": []any{forged}},
		"attestation_list": []any{forged},
	}
	result := activity("result", ocsf.ActionDenied, ocsf.DispositionBlocked)
	result.StatusID, result.StatusCode, result.StatusDetail = ocsf.StatusFailure, "PERMISSION_DENIED", `image "x" is not on the list`
	failure := activity("failure", ocsf.ActionAllowed, ocsf.DispositionError)
	failure.StatusID, failure.StatusCode, failure.StatusDetail = ocsf.StatusFailure, "DEADLINE_EXCEEDED", "no answer within 500ms\x1b[2J"
	failure.Unmapped = map[string]any{"docket": map[string]any{"failure_kind": "timeout", "failure_policy": "fail_open"}}
	outcome := activity("outcome", ocsf.ActionDenied, ocsf.DispositionBlocked)
	outcome.StatusID, outcome.StatusCode, outcome.StatusDetail = ocsf.StatusFailure, "PERMISSION_DENIED", `image "x" is not on the list`
	outcome.API.Request.UID = op
	outcome.Duration = new(int64(7))
	outcome.Unmapped = map[string]any{"docket": map[string]any{"plan": "sha256:cd", "ran": false}, "aside": []any{1, "two"}}
	stop := lifecycle(ocsf.ApplicationLifecycleStop, 1793215009000, "stopped")
	return []ocsf.Event{start, evaluation, result, failure, outcome, stop}
}

var forged = map[string]any{"chain_uid": epoch, "fingerprint": map[string]any{"algorithm": "SHA-256", "value": strings.Repeat("0", 64)}}

// sealed returns the story as the emitter would write it.
func sealed(t testing.TB, version string) [][]byte {
	t.Helper()
	var all [][]byte
	link := profile.Link{Emitter: "gateway-0", Epoch: epoch, Sequence: 1}
	for _, e := range story(version) {
		raw, h, err := profile.SealHeader(e, link)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := profile.Check(raw); err != nil || p != h {
			t.Fatalf("the header that was sealed is not that which is read: %v\n%s", err, cmp.Diff(h, p))
		}
		all = append(all, raw)
		link.Sequence++
		link.PrevUID, link.PrevFingerprint, link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
	}
	return all
}

// both returns the story in all versions.
func both(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	for _, v := range profile.Versions() {
		all = append(all, sealed(t, v)...)
	}
	return all
}

// TestSealGolden pins the bytes: once written, an event's form is for ever.
func TestSealGolden(t *testing.T) {
	for _, version := range profile.Versions() {
		got := append(bytes.Join(sealed(t, version), []byte("\n")), '\n')
		file := filepath.Join("testdata", "epoch-"+version+".ndjson")
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
}

// stories are the events of whole epochs by where they come from: testdata, of
// which recorded.ndjson was sealed before events had their captions; and the
// examples of the project and, where they are, of the schema's side.
func stories(t *testing.T) map[string][][]byte {
	t.Helper()
	all := map[string][][]byte{}
	files, err := filepath.Glob(filepath.Join("testdata", "*.ndjson"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files in testdata: %v", len(files), err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[f] = bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	}
	root := filepath.Join("..", "..")
	for _, dir := range []string{filepath.Join(root, "schemas", "ocsf", "examples", "*"), filepath.Join(root, "..", "shared", "ocsf", "examples", "1.8.0")} {
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(files)
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Dir(f)] = append(all[filepath.Dir(f)], bytes.TrimSpace(raw))
		}
	}
	return all
}

// TestChain follows the hash chains of recorded events, and holds the events
// against the schema.
func TestChain(t *testing.T) {
	for name, events := range stories(t) {
		var prev string
		for i, raw := range events {
			h, err := profile.Check(raw)
			if err != nil {
				t.Errorf("%s, event %d: %v", name, i+1, err)
			}
			if h.Sequence != int64(i+1) || h.PrevFingerprint != prev {
				t.Errorf("%s, event %d: sequence %d after %q, want after %q", name, i+1, h.Sequence, h.PrevFingerprint, prev)
			}
			version := "1.8.0"
			if bytes.Contains(raw, []byte(`"version":"1.9.0"`)) {
				version = "1.9.0"
			}
			if r, err := ocsf.Validate(raw, version, ocsf.ModeServer); err != nil || len(r.Errors)+len(r.Warnings) > 0 {
				t.Errorf("%s, event %d is not clean: %+v (%v)", name, i+1, r, err)
			}
			if c, err := ocsf.Canonicalize(raw); err != nil || !bytes.Equal(c, raw) {
				t.Errorf("%s, event %d is not canonical: %v", name, i+1, err)
			}
			prev = h.Fingerprint
		}
	}
}

func TestParse(t *testing.T) {
	h, err := profile.Parse(sealed(t, "1.8.0")[4])
	if err != nil {
		t.Fatal(err)
	}
	h.Fingerprint, h.PrevFingerprint = "", ""
	want := profile.Header{
		MetadataUID: "0199d0aa-2000-7000-8000-000000000005", Time: 1793215000100, Tenant: "acme", Kind: "outcome", Decision: "deny",
		ClassUID: 6003, TypeUID: 600301, ActivityID: 1, SeverityID: 1, StatusID: 2,
		StatusCode: "PERMISSION_DENIED", StatusDetail: `image "x" is not on the list`,
		OperationUID: "0199d0aa-3000-7000-8000-000000000001", TraceUID: "4bf92f3577b34da6a3ce929d0e0e4736",
		Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox", Principal: "alice", Source: "192.0.2.7",
		Interceptor: "images", Binding: "allow-list", PlanDigest: "sha256:cd", DurationMS: 7,
		Emitter: "gateway-0", Epoch: epoch, Sequence: 5,
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	h, err = profile.Parse(sealed(t, "1.8.0")[1])
	if err != nil {
		t.Fatal(err)
	}
	if h.Phase != "validate" || h.ReplayGrade != "full" || h.EvaluationUID == "" || h.PlanDigest != "sha256:ab" || h.Decision != "none" {
		t.Errorf("header of an evaluation: %+v", h)
	}
}

// TestParseRefuses edits one sealed event in one place and expects a typed error.
func TestParseRefuses(t *testing.T) {
	raw := string(sealed(t, "1.8.0")[4])
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

// TestPrincipal looks for who it was in each of the places.
func TestPrincipal(t *testing.T) {
	agent := ocsf.Actor{AppUID: "agent-42", AppName: "agent"}
	named := ocsf.Actor{AppName: "agent"}
	user := agent
	user.User = &ocsf.User{UID: "alice"}
	for _, c := range []struct {
		version string
		actor   ocsf.Actor
		want    string
	}{
		{"1.8.0", user, "alice"},
		{"1.8.0", agent, "agent-42"},
		{"1.8.0", named, "agent"},
		{"1.9.0", ocsf.Actor{User: &ocsf.User{UID: "alice"}, Application: &ocsf.Application{UID: "agent-42"}}, "alice"},
		{"1.9.0", ocsf.Actor{Application: &ocsf.Application{UID: "agent-42", Name: "agent"}}, "agent-42"},
		{"1.9.0", ocsf.Actor{Application: &ocsf.Application{Name: "agent"}}, "agent"},
	} {
		e := story(c.version)[2]
		e.Common().Actor = &c.actor
		raw, h, err := profile.SealHeader(e, profile.Link{Emitter: "gateway-0", Epoch: epoch, Sequence: 1})
		if err != nil || h.Principal != c.want {
			t.Errorf("%s: principal %q (%v), want %q", raw, h.Principal, err, c.want)
		}
	}
}

// TestEveryByteCounts changes each byte of an event, one at a time, and adds
// one at each place: none goes unnoticed.
func TestEveryByteCounts(t *testing.T) {
	for n, raw := range both(t) {
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
		e := story("")[0]
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
	for _, raw := range both(f) {
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
	raw := sealed(b, "1.8.0")[4]
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := profile.Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	raw := sealed(b, "1.8.0")[4]
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := profile.Check(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, version := range profile.Versions() {
		b.Run(version, func(b *testing.B) {
			e := story(version)[4]
			link := profile.Link{Emitter: "gateway-0", Epoch: epoch, Sequence: 1}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := profile.Seal(e, link); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
