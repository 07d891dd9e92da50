// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
)

// TestCaptureIsOfAllInput captures nothing, or digests, of a payload, a state, and a
// patch whose value is no JSON: no byte of them is in an event.
func TestCaptureIsOfAllInput(t *testing.T) {
	for _, mode := range []string{interceptor.CaptureNone, interceptor.CaptureDigest} {
		op, f := evaluated(t, map[string]any{"a": canary})
		f.Binding = &interceptor.Binding{Interceptor: "i", ID: "b", Capture: mode}
		f.Evaluation.State = interceptor.NewPayload(object(t, map[string]any{"s": canary}))
		end := f
		end.Result = &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{
			{Op: "add", Path: "/a", Value: []byte(canary)}, {Op: "add", Path: "/a", Value: []byte(`"` + canary + `"`)},
		}}
		all := strings.Join(recorded(t, "1.8.0", nil, nil, op, f, end), "\n")
		if digests := strings.Count(all, `_digest":"sha256:`); strings.Contains(all, canary) || digests != map[string]int{interceptor.CaptureDigest: 4}[mode] {
			t.Errorf("%s: %d digests: %s", mode, digests, all)
		}
	}
}

// TestOutcomesKeepAsLittleAsTheStrictest records the patches of bindings that are
// captured differently, in both orders.
func TestOutcomesKeepAsLittleAsTheStrictest(t *testing.T) {
	none := interceptor.Binding{Interceptor: "i", ID: "none", Capture: interceptor.CaptureNone}
	digest := interceptor.Binding{Interceptor: "i", ID: "digest", Capture: interceptor.CaptureDigest}
	full := interceptor.Binding{Interceptor: "i", ID: "full"}
	for want, of := range map[string][]interceptor.Binding{
		`"withheld":"capture"}`: {none, digest, full}, `"withheld":"capture"},`: {digest, none}, `"value_digest":`: {full, digest}, `"value":"x"`: {full},
	} {
		out := &interceptor.Outcome{Decision: interceptor.Modify, Ran: true, Patches: []interceptor.Patch{{Op: "add", Path: "/a", Value: []byte(`"x"`)}, {Op: "add", Path: "/b", Value: []byte(`"x"`)}}}
		for _, b := range of {
			out.Parts = append(out.Parts, interceptor.Part{Interceptor: b.Interceptor, Binding: b.ID, Phase: interceptor.ModifyOperation, Decision: interceptor.Modify})
		}
		op, _ := evaluated(t, map[string]any{})
		events := recorded(t, "1.8.0", nil, &interceptor.Plan{Bindings: of}, op, interceptor.Fact{Outcome: out})
		if !strings.Contains(events[0], want) || strings.Contains(events[0], "value_digest") != (want == `"value_digest":`) {
			t.Errorf("%d bindings: no %s in %s", len(of), want, events[0])
		}
	}
}

// TestGradesAreLoweredByWhatIsRedacted redacts one part of what a binding judges by
// at a time: the evaluation cannot be replayed in full.
func TestGradesAreLoweredByWhatIsRedacted(t *testing.T) {
	for part, hide := range map[string]func(*interceptor.Operation, *interceptor.Evaluation){
		"nothing": func(*interceptor.Operation, *interceptor.Evaluation) {},
		"payload": func(_ *interceptor.Operation, e *interceptor.Evaluation) {
			e.Payload = interceptor.NewPayload(object(t, map[string]any{"a": canary}))
		},
		"state": func(_ *interceptor.Operation, e *interceptor.Evaluation) {
			e.State = interceptor.NewPayload(object(t, map[string]any{"a": canary}))
		},
		"metadata": func(_ *interceptor.Operation, e *interceptor.Evaluation) {
			e.Metadata = map[string]map[string]any{"ns": {"k": canary}}
		},
		"principal": func(op *interceptor.Operation, _ *interceptor.Evaluation) {
			op.Principal = map[string]string{"subject": canary}
		},
		"attributes": func(op *interceptor.Operation, e *interceptor.Evaluation) {
			op.Attributes = map[string]string{"user_agent": canary}
			e.Attributes = op.Attributes
		},
	} {
		op, f := evaluated(t, map[string]any{"a": sibling})
		hide(op, f.Evaluation)
		events := recorded(t, "1.8.0", redactor(t, activity.Rule{Name: "r", Regex: canary, Do: activity.RedactMask}), nil, op, f)
		h, err := profile.Parse([]byte(events[0]))
		if err != nil {
			t.Fatal(err)
		}
		want := activity.GradePartial
		if part == "nothing" {
			want = activity.GradeFull
		}
		if h.ReplayGrade != want || strings.Contains(events[0], canary) {
			t.Errorf("%s: grade %s, want %s: %s", part, h.ReplayGrade, want, events[0])
		}
	}
}

// TestLargeMetadata keeps no more of metadata than is captured.
func TestLargeMetadata(t *testing.T) {
	op, f := evaluated(t, map[string]any{})
	f.Binding = &interceptor.Binding{Interceptor: "i", ID: "b", CaptureMax: 100}
	f.Evaluation.Metadata = map[string]map[string]any{"ns": {"k": strings.Repeat(canary, 20)}}
	events := recorded(t, "1.8.0", nil, nil, op, f)
	if strings.Contains(events[0], canary) || !strings.Contains(events[0], "metadata: 23") || !strings.Contains(events[0], `"is_truncated":true`) {
		t.Errorf("event: %s", events[0])
	}
}

// TestErrorsAreRedactedToo records a payload whose error quotes it.
func TestErrorsAreRedactedToo(t *testing.T) {
	op, f := evaluated(t, map[string]any{})
	f.Evaluation.Payload = interceptor.NewPayload(&anypb.Any{TypeUrl: "type.example/" + canary, Value: []byte("x")})
	if _, err := f.Evaluation.Payload.JSON(); err == nil || !strings.Contains(err.Error(), canary) {
		t.Fatalf("the error does not quote it: %v", err)
	}
	events := recorded(t, "1.8.0", redactor(t, activity.Rule{Name: "r", Regex: canary, Do: activity.RedactMask}), nil, op, f)
	if strings.Contains(events[0], canary) || !strings.Contains(events[0], "***") {
		t.Errorf("event: %s", events[0])
	}
}

// TestLabelsAreOfThePayload records labels, which are a copy of what the payload
// holds, where a binding that was called captures it, or could have.
func TestLabelsAreOfThePayload(t *testing.T) {
	full, none, digest := interceptor.CaptureFull, interceptor.CaptureNone, interceptor.CaptureDigest
	for name, tc := range map[string]struct {
		first, second string
		skipped       [2]bool
		want          bool
	}{
		"one captures":                 {none, full, [2]bool{}, true},
		"none captures":                {none, digest, [2]bool{}, false},
		"who captures was skipped":     {none, full, [2]bool{false, true}, false},
		"nobody was called, one would": {none, full, [2]bool{true, true}, true},
		"nobody was called, or would":  {none, digest, [2]bool{true, true}, false},
	} {
		plan := &interceptor.Plan{Bindings: []interceptor.Binding{{Interceptor: "i", ID: "1", Capture: tc.first}, {Interceptor: "i", ID: "2", Capture: tc.second}}}
		out := &interceptor.Outcome{Decision: interceptor.Allow}
		for i, b := range plan.Bindings {
			part := interceptor.Part{Interceptor: "i", Binding: b.ID, Phase: interceptor.Validate, Decision: interceptor.Allow}
			if tc.skipped[i] {
				part.Skipped, part.Decision = "why", interceptor.None
			}
			out.Parts = append(out.Parts, part)
		}
		op, _ := evaluated(t, map[string]any{})
		op.Labels = map[string]string{"team": canary}
		events := recorded(t, "1.8.0", nil, plan, op, interceptor.Fact{Outcome: out})
		if got := strings.Contains(events[0], canary); got != tc.want {
			t.Errorf("%s: labels are recorded: %t", name, got)
		}
	}
}
