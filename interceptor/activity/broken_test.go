// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

type done struct{}

func (done) Spooled(context.Context) error { return nil }

// written records facts of one operation and returns the events as they are sealed.
func written(t *testing.T, r *Redactor, op *interceptor.Operation, facts ...interceptor.Fact) []string {
	t.Helper()
	var out []string
	link := profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}
	rec := NewRecorder(func(_ context.Context, e ocsf.Event) Ack {
		raw, h, err := profile.SealHeader(e, link)
		if err != nil {
			t.Fatal(err)
		}
		link.Sequence++
		link.PrevUID, link.PrevFingerprint, link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
		report, err := ocsf.Validate(raw, ocsf.DefaultVersion, ocsf.ModeServer)
		if err != nil || len(report.Errors)+len(report.Warnings) > 0 {
			t.Errorf("not clean: %v, %+v", err, report)
		}
		out = append(out, string(raw))
		return done{}
	}, WithRedactor(r))
	counted := map[string]int{}
	rec.CountRedactions(func(do string, n int) { counted[do] += n })
	for _, f := range facts {
		f.Operation = op
		rec.Record(f)
	}
	if counted[RedactFailed] == 0 || len(counted) > 1 {
		t.Errorf("counted %v, want what failed alone", counted)
	}
	return out
}

// TestARedactorThatFails writes events by rules that panic: the value is
// replaced, the event says so, and nothing of the original is in it.
func TestARedactorThatFails(t *testing.T) {
	const canary = "canary-4711"
	m, err := structpb.NewStruct(map[string]any{"spec": map[string]any{"a": canary}, "b": canary})
	if err != nil {
		t.Fatal(err)
	}
	op := &interceptor.Operation{
		UID: "op", Service: "demo.S", Method: "CreateThing", Request: m,
		Principal: map[string]string{"subject": canary}, Attributes: map[string]string{"user_agent": canary},
	}
	e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Payload: interceptor.NewPayload(m)}
	facts := []interceptor.Fact{
		{Evaluation: e},
		{Evaluation: e, Result: &interceptor.Result{Decision: interceptor.Deny, Reason: canary, Patches: []interceptor.Patch{{Op: "add", Path: "/spec/a", Value: []byte(`"` + canary + `"`)}}}},
		{Evaluation: e, Failure: &interceptor.Failure{Kind: interceptor.Timeout, Detail: canary, Policy: interceptor.FailClosed, Decision: interceptor.Deny}},
		{Outcome: &interceptor.Outcome{Decision: interceptor.Deny, Reason: canary, Status: status.New(codes.PermissionDenied, canary)}},
	}
	r, err := NewRedactor([]Rule{{Name: "r", Regex: "canary", Pointers: []string{"/spec"}, Headers: []string{"user_agent"}, Do: RedactMask}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.rules[0].instead = func(s string) string { panic("no idea what to do with " + s) }
	events := written(t, r, op, facts...)
	if len(events) != len(facts) {
		t.Fatalf("%d events of %d facts", len(events), len(facts))
	}
	for i, raw := range events {
		if strings.Contains(raw, canary) || !strings.Contains(raw, failedText) || !strings.Contains(raw, `"failed":true`) || strings.Contains(raw, `"broken"`) {
			t.Errorf("event %d: %s", i, raw)
		}
	}
	if !strings.Contains(events[0], `"name":"replay_grade","value":"none"`) {
		t.Errorf("grade of %s", events[0])
	}
	// And where writing itself fails: the events say who decided what, and nothing
	// of what anybody wrote.
	kinds := []string{profile.KindEvaluation, profile.KindResult, profile.KindFailure, profile.KindOutcome}
	for i, f := range facts {
		f.Operation = op
		c := newConfig([]Option{WithRedactor(r)})
		f.Time = c.Now()
		event, _ := bare(&f, "", &c, canary)
		raw, h, err := profile.SealHeader(event, profile.Link{Emitter: "g", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1})
		if err != nil || h.Kind != kinds[i] || strings.Contains(string(raw), canary) || !strings.Contains(string(raw), `"broken":"the event could not be written whole: panic of type string"`) {
			t.Errorf("event %d: %v: %s", i, err, raw)
		}
		report, err := ocsf.Validate(raw, ocsf.DefaultVersion, ocsf.ModeServer)
		if err != nil || len(report.Errors)+len(report.Warnings) > 0 {
			t.Errorf("event %d is not clean: %v, %+v", i, err, report)
		}
	}
}

// TestAPlaceWhoseRuleFails fails rules that find by place alone, so that no regex
// comes to the rescue: the value is replaced whole.
func TestAPlaceWhoseRuleFails(t *testing.T) {
	const canary = "canary-4711"
	m, err := structpb.NewStruct(map[string]any{"spec": map[string]any{"a": canary, "n": []any{canary}}, "b": "public"})
	if err != nil {
		t.Fatal(err)
	}
	op := &interceptor.Operation{UID: "op", Service: "demo.S", Method: "CreateThing", Request: m, Attributes: map[string]string{"request.headers.x-note": canary, "user_agent": "public"}}
	e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Payload: interceptor.NewPayload(m)}
	for _, do := range []string{RedactDrop, RedactMask} {
		r, err := NewRedactor([]Rule{{Name: "r", Pointers: []string{"/spec"}, Headers: []string{"x-note"}, Do: do}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.rules[0].instead = func(s string) string { panic("no idea what to do with " + s) }
		for i, raw := range written(t, r, op,
			interceptor.Fact{Evaluation: e},
			interceptor.Fact{Evaluation: e, Result: &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "add", Path: "/spec/a", Value: []byte(`"` + canary + `"`)}}}},
			interceptor.Fact{Outcome: &interceptor.Outcome{Decision: interceptor.Allow, Ran: true}}) {
			if strings.Contains(raw, canary) || !strings.Contains(raw, failedText) || !strings.Contains(raw, `"redacted":{"failed":`) || strings.Contains(raw, `"broken"`) {
				t.Errorf("%s, event %d: %s", do, i, raw)
			}
		}
	}
}

// TestAnEventOfEachFact makes the writing of events panic, by a source of uids
// that does: there is one event all the same, with its finding.
func TestAnEventOfEachFact(t *testing.T) {
	n := 0
	rec := NewRecorder(func(_ context.Context, e ocsf.Event) Ack {
		n++
		if e.Common().Metadata.UID == "" {
			t.Error("an event without a uid")
		}
		return done{}
	}, WithUIDs(func() string { panic("no randomness") }))
	op := &interceptor.Operation{UID: "op", Service: "demo.S", Method: "CreateThing"}
	e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.Validate}
	rec.Record(interceptor.Fact{Operation: op, Evaluation: e})
	rec.Record(interceptor.Fact{Operation: op, Evaluation: e, Failure: &interceptor.Failure{Kind: interceptor.Timeout, Policy: interceptor.FailOpen, Decision: interceptor.Allow}})
	rec.Record(interceptor.Fact{Operation: op, Outcome: &interceptor.Outcome{Decision: interceptor.Allow, Ran: true}})
	if n != 4 || rec.Open() != 0 {
		t.Errorf("%d events, want one per fact and a finding; %d operations remembered", n, rec.Open())
	}
}

// TestAClockThatPanics writes the event of a fact whose time nobody can tell.
func TestAClockThatPanics(t *testing.T) {
	var events []*draft
	rec := NewRecorder(func(_ context.Context, e ocsf.Event) Ack {
		d, _ := e.(*draft)
		events = append(events, d)
		return done{}
	}, WithClock(func() time.Time { panic("no time") }))
	op := &interceptor.Operation{UID: "op", Service: "demo.S", Method: "CreateThing"}
	rec.Record(interceptor.Fact{Operation: op, Outcome: &interceptor.Outcome{Decision: interceptor.Allow, Ran: true}})
	if len(events) != 1 || events[0].Time == 0 || events[0].ours[ownBroken] == nil || rec.Open() != 0 {
		t.Errorf("events %+v; %d operations remembered", events, rec.Open())
	}
}

// TestNothingRefersToABrokenEvent breaks the writing of an evaluation after its
// payload was noted: the next one that is shown the same has it in full.
func TestNothingRefersToABrokenEvent(t *testing.T) {
	m, err := structpb.NewStruct(map[string]any{"a": "b"})
	if err != nil {
		t.Fatal(err)
	}
	var events []*draft
	rec := NewRecorder(func(_ context.Context, e ocsf.Event) Ack {
		d, _ := e.(*draft)
		events = append(events, d)
		return done{}
	})
	op := &interceptor.Operation{UID: "op", Service: "demo.S", Method: "CreateThing"}
	e := &interceptor.Evaluation{UID: "e1", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Payload: interceptor.NewPayload(m), State: interceptor.NewPayload(m)}
	broken := *e
	broken.Metadata = map[string]map[string]any{"ns": {"k": panicking{}}}
	rec.Record(interceptor.Fact{Operation: op, Evaluation: &broken})
	second := *e
	second.UID = "e2"
	rec.Record(interceptor.Fact{Operation: op, Evaluation: &second})
	if len(events) != 2 || events[0].ours[ownBroken] == nil {
		t.Fatalf("events %+v", events)
	}
	if d := events[1].data; d[dataProposed] == nil || d[dataState] == nil {
		t.Errorf("the second evaluation says %v", d)
	}
}

// panicking is metadata that cannot be written.
type panicking struct{}

func (panicking) MarshalJSON() ([]byte, error) { panic("no form") }
