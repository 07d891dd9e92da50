// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

const (
	canary  = "canary-4711"
	sibling = "public-sibling"
)

var redactKey = []byte("0123456789abcdef")

func redactor(t testing.TB, rules ...activity.Rule) *activity.Redactor {
	t.Helper()
	r, err := activity.NewRedactor(rules, redactKey)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// recorded records facts, each as its own event, and returns what was written.
func recorded(t testing.TB, version string, r *activity.Redactor, plan *interceptor.Plan, op *interceptor.Operation, facts ...interceptor.Fact) []string {
	t.Helper()
	l := newLog(t)
	rec := activity.NewRecorder(l.emit, activity.WithRedactor(r), activity.WithSchema(version))
	for _, f := range facts {
		f.Operation, f.Plan = op, plan
		rec.Record(f)
	}
	var out []string
	for _, raw := range l.raw {
		if _, err := activity.Read(raw); err != nil {
			t.Errorf("read back: %v", err)
		}
		out = append(out, string(raw))
	}
	if len(out) != len(facts) {
		t.Errorf("%d events of %d facts", len(out), len(facts))
	}
	return out
}

// everywhere returns an operation and facts of it that hold a text wherever
// there is room for one.
func everywhere(t testing.TB, s string) (*interceptor.Operation, []interceptor.Fact) {
	t.Helper()
	message := object(t, map[string]any{"spec": map[string]any{"environment": map[string]any{"KEY": s, "list": []any{"a " + s + " b"}}, "name": sibling}, s: sibling})
	metadata := map[string]map[string]any{"ns": {"k": s, s: sibling}}
	op := &interceptor.Operation{
		UID: "op", Service: "demo.S", Method: "CreateThing", Request: message, RequestID: s,
		Principal:  map[string]string{"kind": "user", "subject": s, "display_name": s, s: sibling},
		Attributes: map[string]string{"source.address": s, "user_agent": s, "request.headers.x-note": s, s: sibling, "agent.id": s, "model": s},
		Labels:     map[string]string{"team": s, s: sibling},
	}
	e := &interceptor.Evaluation{
		UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Count: 1,
		Payload: interceptor.NewPayload(message), State: interceptor.NewPayload(object(t, map[string]any{"s": s})),
		Attributes: map[string]string{"user_agent": s, s: sibling}, Metadata: metadata,
	}
	quoted, _ := json.Marshal(s)
	result := &interceptor.Result{
		Decision: interceptor.Deny, Reason: s, StatusCode: s, Violation: s, Warnings: []string{s}, Annotations: map[string]string{"k": s, s: sibling}, Metadata: metadata,
		Patches: []interceptor.Patch{
			{Op: "add", Path: "/spec/x", Value: quoted},
			{Op: "add", Path: "/" + s, From: "/" + s, Value: []byte(`{"k":` + string(quoted) + `}`)},
			{Op: "add", Path: "/y", Value: []byte(s)},
		},
	}
	return op, []interceptor.Fact{
		{Evaluation: e},
		{Evaluation: e, Result: result},
		{Evaluation: e, Failure: &interceptor.Failure{Kind: interceptor.Timeout, Detail: s, Policy: interceptor.FailClosed, Decision: interceptor.Deny}},
		{Outcome: &interceptor.Outcome{Decision: interceptor.Deny, Reason: s, Status: status.New(codes.PermissionDenied, s), Parts: []interceptor.Part{{Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Skipped: s}}}},
		{Outcome: &interceptor.Outcome{Decision: interceptor.Modify, Ran: true, Status: status.New(codes.NotFound, s), HandlerStatus: status.New(codes.NotFound, s), Patches: result.Patches}},
	}
}

// TestRedaction leaves a text out wherever an event has room for one, by each
// kind of rule, and says so: it is in no byte of any event.
func TestRedaction(t *testing.T) {
	for _, version := range profile.Versions() {
		for _, do := range []string{activity.RedactDrop, activity.RedactMask, activity.RedactHMAC} {
			op, facts := everywhere(t, canary)
			events := recorded(t, version, redactor(t, activity.Rule{Name: "numbers", Regex: `canary-\d+`, Do: do}), nil, op, facts...)
			for i, raw := range events {
				if strings.Contains(raw, canary) || !strings.Contains(raw, `"redactions":[`) || !strings.Contains(raw, `"rule":"numbers"`) {
					t.Errorf("%s, event %d: %s", do, i, raw)
				}
				if (do == activity.RedactHMAC) != strings.Contains(raw, "hmac-sha256:") {
					t.Errorf("%s, event %d has a keyed digest, or none: %s", do, i, raw)
				}
			}
			if !strings.Contains(events[0], sibling) || !strings.Contains(events[0], `"name":"replay_grade","value":"partial"`) || !strings.Contains(events[0], `"why":"redacted"`) {
				t.Errorf("%s: %s", do, events[0])
			}
		}
	}
}

// TestRedactionPlaces leaves out what headers and pointers find, and nothing else.
func TestRedactionPlaces(t *testing.T) {
	request := func() *structpb.Struct {
		return object(t, map[string]any{
			"spec":  map[string]any{"environment": map[string]any{"A": canary, "B": canary}, "name": sibling},
			"items": []any{map[string]any{"api_key": canary, "id": sibling}, map[string]any{"apiKey": canary}},
			"card":  4711000011112222,
		})
	}
	for name, c := range map[string]struct {
		rule    activity.Rule
		payload string
	}{
		"every member": {
			activity.Rule{Pointers: []string{"/spec/environment/*", "/items/*/apiKey"}, Do: activity.RedactMask},
			`{"card":4711000011112222,"items":[{"api_key":"***","id":"public-sibling"},{"apiKey":"***"}],"spec":{"environment":{"A":"***","B":"***"},"name":"public-sibling"}}`,
		},
		"the whole": {
			activity.Rule{Pointers: []string{"/spec/environment", "/items/0", "/items/1/api_key"}, Do: activity.RedactDrop},
			`{"card":4711000011112222,"items":[null,{}],"spec":{"name":"public-sibling"}}`,
		},
		"numbers": {
			activity.Rule{Regex: `\b4711\d{12}\b|canary-\d+`, Do: activity.RedactMask},
			`{"card":"***","items":[{"api_key":"***","id":"public-sibling"},{"apiKey":"***"}],"spec":{"environment":{"A":"***","B":"***"},"name":"public-sibling"}}`,
		},
	} {
		c.rule.Name = "r"
		m := request()
		e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.ModifyOperation, Payload: interceptor.NewPayload(m)}
		secret := []byte(`"` + canary + `"`)
		patches := []interceptor.Patch{
			{Op: "add", Path: "/spec/environment/A", Value: secret},
			{Op: "replace", Path: "/spec/environment", Value: []byte(`{"A":` + string(secret) + `}`)},
			{Op: "add", Path: "/items/-", Value: []byte(`{"apiKey":` + string(secret) + `}`)},
			{Op: "replace", Path: "/items/0/api_key/x", Value: secret},
			{Op: "replace", Path: "", Value: []byte(`{"spec":{"environment":{"A":` + string(secret) + `}},"items":[{"api_key":` + string(secret) + `}]}`)},
			{Op: "replace", Path: "/spec/environment/A", Value: []byte(canary)}, // no JSON
			{Op: "replace", Path: "/spec/name", Value: []byte(`"` + sibling + `"`)},
		}
		if name == "the whole" {
			patches = append(patches[:3:3], patches[5:]...)
			patches[2].Path = "/items/0"
		}
		op := &interceptor.Operation{UID: "op", Service: "demo.S", Method: "CreateThing", Request: m}
		events := recorded(t, "1.8.0", redactor(t, c.rule), nil, op,
			interceptor.Fact{Evaluation: e}, interceptor.Fact{Evaluation: e, Result: &interceptor.Result{Decision: interceptor.Modify, Patches: patches}})
		if strings.Contains(strings.Join(events, ""), canary) || !strings.Contains(events[0], c.payload) || !strings.Contains(events[1], sibling) {
			t.Errorf("%s:\n%s", name, strings.Join(events, "\n"))
		}
		for _, raw := range events {
			if r, err := activity.Read([]byte(raw)); err != nil || !r.Redacted {
				t.Errorf("%s: redacted is not read back: %v\n%s", name, err, raw)
			}
		}
	}
	headers := redactor(t, activity.Rule{Name: "h", Headers: []string{"X-Note"}, Do: activity.RedactDrop, RPCs: []string{"demo.S/Create*"}})
	for method, want := range map[string]bool{"CreateThing": false, "GetThing": true} {
		op, facts := everywhere(t, sibling)
		op.Attributes = map[string]string{"request.headers.x-note": canary, "request.headers.x-api-key": "credential-1", "auth-token": "credential-1"}
		op.Method = method
		events := recorded(t, "1.9.0", headers, nil, op, facts[3])
		if strings.Contains(events[0], canary) != want || strings.Contains(events[0], "credential-1") || !strings.Contains(events[0], `"rule":"credentials"`) {
			t.Errorf("%s: %s", method, events[0])
		}
	}
}

// TestRedactionOfSecrets says which fields were left out because their schema
// marks them; that lowers no grade, since no binding saw them.
func TestRedactionOfSecrets(t *testing.T) {
	s := newStage(t, &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{
		{Interceptor: "naming", ID: "n", Phases: []interceptor.Phase{interceptor.Validate}, Impl: naming},
	}})
	s.run(&interceptor.Operation{Service: "s.S", Method: "CreateM", Request: withSecret(t, sibling, canary)}, created)
	s.close()
	raw := string(s.raw[0])
	if !strings.Contains(raw, `"redactions":[{"at":"proposed_operation","do":"drop","n":1,"pointer":"/token","rule":"descriptor"}]`) || !strings.Contains(raw, `"value":"full"`) {
		t.Errorf("event: %s", raw)
	}
	if r, err := activity.Read(s.raw[0]); err != nil || r.Redacted || r.Missing != "" {
		t.Errorf("read back: %+v, %v", r, err)
	}
}

// TestCapturePerBinding keeps as much of payloads and patches as each binding says.
func TestCapturePerBinding(t *testing.T) {
	m := object(t, map[string]any{"name": canary})
	patches := []interceptor.Patch{{Op: "replace", Path: "/name", Value: []byte(`"` + canary + `"`)}}
	for _, c := range []struct {
		capture    string
		max        int
		payload    string
		patch, why string
		grade      string
	}{
		{"", 0, `{"proposed_operation":{"name":"canary-4711"}}`, `"value":"canary-4711"`, "", activity.GradeFull},
		{interceptor.CaptureFull, 0, `{"proposed_operation":{"name":"canary-4711"}}`, `"value":"canary-4711"`, "", activity.GradeFull},
		{interceptor.CaptureFull, 10, `"proposed_operation_digest":"sha256:`, `"value":"canary-4711"`, "at most 10 are captured", activity.GradeNone},
		{interceptor.CaptureDigest, 0, `"proposed_operation_digest":"sha256:`, `"value_digest":"sha256:`, "capture = digest", activity.GradeNone},
		{interceptor.CaptureNone, 0, `"data":{}`, `"withheld":"capture"`, "capture = none", activity.GradeNone},
		{"some word of a later version", 0, `"data":{}`, `"withheld":"capture"`, "capture = none", activity.GradeNone},
	} {
		b := &interceptor.Binding{Interceptor: "i", ID: "b", Capture: c.capture, CaptureMax: c.max}
		e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.ModifyOperation, Payload: interceptor.NewPayload(m)}
		parts := []interceptor.Part{{Interceptor: "i", Binding: "b", Phase: interceptor.ModifyOperation, Decision: interceptor.Modify}}
		events := recorded(t, "1.8.0", nil, &interceptor.Plan{Bindings: []interceptor.Binding{*b}}, &interceptor.Operation{UID: "op", Service: "demo.S", Method: "CreateThing", Request: m},
			interceptor.Fact{Binding: b, Evaluation: e}, interceptor.Fact{Binding: b, Evaluation: e, Result: &interceptor.Result{Decision: interceptor.Modify, Patches: patches}},
			interceptor.Fact{Outcome: &interceptor.Outcome{Decision: interceptor.Modify, Ran: true, Patches: patches, Parts: parts}})
		h, err := profile.Parse([]byte(events[0]))
		if err != nil || h.ReplayGrade != c.grade || !strings.Contains(events[0], c.payload) || !strings.Contains(events[0], c.why) {
			t.Errorf("%q: grade %s, %v: %s", c.capture, h.ReplayGrade, err, events[0])
		}
		for _, raw := range events[1:] {
			if !strings.Contains(raw, c.patch) {
				t.Errorf("%q: %s, want %s", c.capture, raw, c.patch)
			}
		}
		if all := strings.Join(events, ""); known(c.capture) != strings.Contains(all, canary) {
			t.Errorf("%q: %s", c.capture, all)
		}
	}
}

func known(capture string) bool { return capture == "" || capture == interceptor.CaptureFull }

// TestRulesThatCannotBe refuses what would leave out nothing, or everything.
func TestRulesThatCannotBe(t *testing.T) {
	ok := activity.Rule{Name: "r", Regex: "x", Do: activity.RedactHMAC}
	if _, err := activity.NewRedactor([]activity.Rule{ok}, redactKey); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*activity.Rule) (key []byte){
		"no name":     func(r *activity.Rule) []byte { r.Name = ""; return redactKey },
		"taken":       func(r *activity.Rule) []byte { r.Name = "descriptor"; return redactKey },
		"finds":       func(r *activity.Rule) []byte { r.Regex = ""; return redactKey },
		"do":          func(r *activity.Rule) []byte { r.Do = "hide"; return redactKey },
		"key":         func(r *activity.Rule) []byte { return redactKey[:15] },
		"regex":       func(r *activity.Rule) []byte { r.Regex = "("; return redactKey },
		"empty text":  func(r *activity.Rule) []byte { r.Regex = "x*"; return redactKey },
		"slash":       func(r *activity.Rule) []byte { r.Pointers = []string{"spec"}; return redactKey },
		"header name": func(r *activity.Rule) []byte { r.Headers = []string{""}; return redactKey },
	} {
		bad := ok
		key := change(&bad)
		if _, err := activity.NewRedactor([]activity.Rule{bad}, key); err == nil {
			t.Errorf("%s: accepted: %+v", name, bad)
		}
	}
	if _, err := activity.NewRedactor([]activity.Rule{ok, ok}, redactKey); err == nil || !strings.Contains(err.Error(), "rule 2") {
		t.Errorf("two rules of one name: %v", err)
	}
}

// FuzzRedact records any text under each kind of rule: what a rule finds is in
// no event, and each fact has exactly one, which is valid.
func FuzzRedact(f *testing.F) {
	f.Add("prefix ", " suffix", byte(0))
	f.Add("canary-", "canary-4711", byte(1))
	f.Add("\xff", "/~0~1*", byte(2))
	f.Add("can", "ary-4711", byte(0))
	f.Fuzz(func(t *testing.T, before, after string, how byte) {
		do := []string{activity.RedactDrop, activity.RedactMask, activity.RedactHMAC}[how%3]
		r := redactor(t, activity.Rule{Name: "r", Regex: canary, Do: do}, activity.Rule{Name: "p", Pointers: []string{"/spec/*"}, Do: do})
		op, facts := everywhere(t, strings.ToValidUTF8(before+canary+after, ""))
		l := newLog(t)
		rec := activity.NewRecorder(func(ctx context.Context, e ocsf.Event) activity.Ack { return l.emit(ctx, e) }, activity.WithRedactor(r))
		for i, fact := range facts {
			fact.Operation = op
			rec.Record(fact)
			if len(l.raw) != i+1 {
				t.Fatalf("fact %d: %d events", i, len(l.raw))
			}
			if raw := string(l.raw[i]); strings.Contains(raw, canary) || strings.Contains(raw, `"broken"`) {
				t.Fatalf("fact %d: %s", i, raw)
			}
		}
	})
}

// TestMetadataWithoutAForm records that metadata was shown that JSON has no form of.
func TestMetadataWithoutAForm(t *testing.T) {
	op, facts := everywhere(t, sibling)
	facts[0].Evaluation.Metadata = map[string]map[string]any{"ns": {"f": func() {}}}
	events := recorded(t, "1.8.0", nil, nil, op, facts[0])
	if !strings.Contains(events[0], "metadata: no JSON form") {
		t.Errorf("event: %s", events[0])
	}
}

// An operation's labels are a copy of a part of its request: a rule that withholds
// that part, or what is around it, withholds them.
func TestRedactionOfLabels(t *testing.T) {
	for pointer, want := range map[string]string{
		"/sandbox/labels/owner": `"labels":{"owner":"***","team":"blue"}`,
		"/labels/owner":         `"labels":{"owner":"***","team":"blue"}`,
		"/sandbox/labels/*":     `"labels":{"owner":"***","team":"***"}`,
		"/sandbox/labels":       `"labels":{"owner":"***","team":"***"}`,
		"/sandbox":              `"labels":{"owner":"***","team":"***"}`,
		"/sandbox/name":         `"labels":{"owner":"ann","team":"blue"}`,
		"/a/b/labels/owner":     `"labels":{"owner":"ann","team":"blue"}`,
	} {
		op := &interceptor.Operation{UID: "op", Service: "demo.S", Method: "CreateThing", Labels: map[string]string{"owner": "ann", "team": "blue"}}
		events := recorded(t, "1.8.0", redactor(t, activity.Rule{Name: "r", Pointers: []string{pointer}, Do: activity.RedactMask}), nil, op,
			interceptor.Fact{Outcome: &interceptor.Outcome{Decision: interceptor.Allow}})
		raw := events[0]
		if said := strings.Contains(raw, `"at":"labels"`); !strings.Contains(raw, want) || said != strings.Contains(want, "***") {
			t.Errorf("%s: no %s in %s", pointer, want, raw)
		}
	}
}
