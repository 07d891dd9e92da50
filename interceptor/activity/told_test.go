// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
)

// TestRule3FailOpenRaisesAFinding lets an operation pass a binding that failed:
// the finding names the failure's event, and neither shadows nor post_commit,
// which pass nothing, raise one.
func TestRule3FailOpenRaisesAFinding(t *testing.T) {
	for name, c := range map[string]struct {
		binding interceptor.Binding
		want    int
	}{
		"fail_open":   {interceptor.Binding{Phases: []interceptor.Phase{interceptor.Validate}, FailurePolicy: interceptor.FailOpen}, 1},
		"fail_closed": {interceptor.Binding{Phases: []interceptor.Phase{interceptor.Validate}}, 0},
		"shadow":      {interceptor.Binding{Phases: []interceptor.Phase{interceptor.Validate}, FailurePolicy: interceptor.FailOpen, Shadow: true}, 0},
		"post_commit": {interceptor.Binding{Phases: []interceptor.Phase{interceptor.PostCommit}}, 1}, // whose default is fail_open
		"ignore":      {interceptor.Binding{Phases: []interceptor.Phase{interceptor.PostCommit}, PostCommitPolicy: interceptor.Ignore}, 0},
	} {
		c.binding.Interceptor, c.binding.ID, c.binding.Impl = "notary", "n", notary
		s := newStage(t, &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{c.binding}})
		s.run(operation(t, "", "web", "x", 1), created)
		s.close()
		findings, failure := 0, ""
		for _, raw := range s.raw {
			h, err := profile.Check(raw)
			if err != nil {
				t.Fatal(err)
			}
			switch h.Kind {
			case profile.KindFailure:
				failure = h.MetadataUID
			case profile.KindFinding:
				if findings++; !strings.Contains(string(raw), `"related_events":[{`) || !strings.Contains(string(raw), failure) {
					t.Errorf("%s: the finding does not name %s: %s", name, failure, raw)
				}
			}
		}
		if findings != c.want || failure == "" {
			t.Errorf("%s: %d findings, want %d", name, findings, c.want)
		}
	}
}

// TestShadowsAreTold records shadows that would have denied, changed, and failed:
// nothing is said to have been decided, and what would have been is read back.
func TestShadowsAreTold(t *testing.T) {
	for _, version := range profile.Versions() {
		validate := []interceptor.Phase{interceptor.Validate}
		s := newStage(t, &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{
			{Interceptor: "naming", ID: "n", Phases: []interceptor.Phase{interceptor.ModifyOperation}, Shadow: true, Impl: naming},
			{Interceptor: "images", ID: "n", Order: 1, Phases: validate, Shadow: true, Impl: images},
			{Interceptor: "closed", ID: "n", Order: 2, Phases: validate, Shadow: true, Impl: notary},
			{Interceptor: "open", ID: "n", Order: 3, Phases: validate, Shadow: true, FailurePolicy: interceptor.FailOpen, Impl: notary},
			{Interceptor: "others", ID: "n", Order: 4, Phases: validate, Principals: []string{"sandbox"}, Impl: notary},
			{Interceptor: "team", ID: "n", Order: 5, Phases: validate, Labels: map[string]string{"team": "a"}, Impl: notary},
		}}, activity.WithSchema(version))
		op := operation(t, "", "Web 7", "evil", 1)
		op.Labels = map[string]string{"team": "b"}
		want := s.run(op, created)
		s.close()
		for got, err := range activity.Operations(s.all) {
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Parts, got.Outcome.Parts); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
			if got.Outcome.Decision != interceptor.Allow || len(got.Outcome.Patches) > 0 || got.Labels["team"] != "b" {
				t.Errorf("outcome: %+v", got.Outcome)
			}
			would := []interceptor.Decision{interceptor.Modify, interceptor.Deny, interceptor.Deny, interceptor.Allow}
			for i, e := range got.Evaluations {
				if !e.Shadow || e.Would != would[i] || e.Result != nil && e.Result.Decision != would[i] || e.Failure != nil && e.Failure.Decision != interceptor.None {
					t.Errorf("evaluation %d: %+v", i, e)
				}
			}
		}
		for _, raw := range s.raw[:len(s.raw)-1] {
			if h, err := profile.Check(raw); err != nil || h.Decision != profile.DecisionNone {
				t.Errorf("a shadow decides: %+v, %v", h, err)
			}
		}
	}
}

// TestGrantsAreTold records who was shown which attributes and metadata, what a
// binding set, and that another set what it may not.
func TestGrantsAreTold(t *testing.T) {
	sets := func(ns string) interceptor.Interceptor {
		return interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Allow, Metadata: map[string]map[string]any{ns: {"score": 7.0}}}, nil
		})
	}
	validate := []interceptor.Phase{interceptor.Validate}
	for _, version := range profile.Versions() {
		s := newStage(t, &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{
			{Interceptor: "risk", ID: "b", Phases: validate, Attributes: []string{"source.*"}, Reads: []string{"route"}, Writes: []string{"risk"}, Impl: sets("risk")},
			{Interceptor: "gate", ID: "b", Order: 1, Phases: validate, Reads: []string{"risk", "route"}, FailurePolicy: interceptor.FailOpen, Impl: sets("route")},
			{Interceptor: "blind", ID: "b", Order: 2, Phases: validate, Impl: images},
		}}, activity.WithSchema(version))
		op := operation(t, "", "web", "registry.example/base:1", 1)
		op.RequestID = "req-1"
		op.Metadata = map[string]map[string]any{"route": {"name": "a", "tags": []any{"x", true}}}
		s.run(op, created)
		s.close()
		for got, err := range activity.Operations(s.all) {
			if err != nil {
				t.Fatal(err)
			}
			risk := map[string]any{"score": 7.0}
			type shown struct {
				Attributes map[string]string
				Metadata   map[string]map[string]any
			}
			want := []shown{
				{map[string]string{"source.address": "192.0.2.7:4711"}, op.Metadata},
				{nil, map[string]map[string]any{"route": op.Metadata["route"], "risk": risk}},
				{},
			}
			for i, e := range got.Evaluations {
				if diff := cmp.Diff(want[i], shown{e.Attributes, e.Metadata}); diff != "" || e.Missing != "" || e.Redacted || e.RequestID != "req-1" {
					t.Errorf("evaluation %d, missing %q (-want +got):\n%s", i, e.Missing, diff)
				}
			}
			if diff := cmp.Diff(map[string]map[string]any{"risk": risk}, got.Evaluations[0].Result.Metadata); diff != "" {
				t.Errorf("what it set (-want +got):\n%s", diff)
			}
			if f := got.Evaluations[1].Failure; f == nil || f.Kind != interceptor.Scope {
				t.Errorf("a namespace that is not granted: %+v", f)
			}
		}
	}
}

// A tracer makes spans that keep their attributes.
type tracer struct {
	embedded.Tracer
	spans []*span
}

type span struct {
	noop.Span
	context, parent trace.SpanContext
	attributes      map[string]string
}

func (s *span) SpanContext() trace.SpanContext { return s.context }
func (s *span) SetAttributes(kv ...attribute.KeyValue) {
	for _, a := range kv {
		s.attributes[string(a.Key)] = a.Value.String()
	}
}

func (t *tracer) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	s := &span{attributes: map[string]string{}, parent: trace.SpanContextFromContext(ctx)}
	id := trace.SpanContextConfig{TraceID: s.parent.TraceID()}
	if !s.parent.HasTraceID() {
		id.TraceID = trace.TraceID{15: byte(len(t.spans) + 1)}
	}
	binary.BigEndian.PutUint64(id.SpanID[:], uint64(len(t.spans)+1))
	s.context = trace.NewSpanContext(id)
	t.spans = append(t.spans, s)
	return trace.ContextWithSpan(ctx, s), s
}

// TestSpansAndEventsNameEachOther traces operations, with and without a trace of
// the caller's: each event has the span that it is of, and that span the event.
func TestSpansAndEventsNameEachOther(t *testing.T) {
	for _, version := range profile.Versions() {
		for _, called := range []bool{true, false} {
			s := newStage(t, &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{
				{Interceptor: "images", ID: "b", Phases: []interceptor.Phase{interceptor.Validate}, Impl: images},
				{Interceptor: "notary", ID: "b", Order: 1, Phases: []interceptor.Phase{interceptor.Validate}, FailurePolicy: interceptor.FailOpen, Impl: notary},
			}}, activity.WithSchema(version))
			traces := &tracer{}
			s.chain.Tracer = traces
			op := operation(t, "", "web", "registry.example/base:1", 1)
			if !called {
				op.Trace = trace.SpanContext{}
			}
			s.run(op, created)
			s.close()
			byID := map[string]*span{}
			for _, sp := range traces.spans {
				byID[sp.context.SpanID().String()] = sp
			}
			for got, err := range activity.Operations(s.all) {
				if err != nil {
					t.Fatal(err)
				}
				own := byID[got.Span.SpanID().String()]
				if own == nil || own.attributes["docket.event_uid"] == "" || got.Trace.IsValid() != called || called && got.Trace.SpanID() != op.Trace.SpanID() {
					t.Fatalf("operation: span %v, caller %v, %+v", got.Span.SpanID(), got.Trace.SpanID(), own)
				}
				for _, e := range got.Evaluations {
					sp := byID[e.Trace.SpanID().String()]
					if sp == nil || sp.parent.SpanID() != got.Span.SpanID() || sp.context.TraceID() != e.Trace.TraceID() || sp.attributes["docket.evaluation_event_uid"] == "" {
						t.Fatalf("evaluation: span %v, %+v", e.Trace.SpanID(), sp)
					}
				}
			}
			for _, raw := range s.raw {
				h, err := profile.Check(raw)
				if err != nil {
					t.Fatal(err)
				}
				name := "docket.event_uid"
				switch h.Kind {
				case profile.KindFinding:
					continue
				case profile.KindEvaluation:
					name = "docket.evaluation_event_uid"
				}
				named := 0
				for id, sp := range byID {
					if sp.attributes[name] == h.MetadataUID && strings.Contains(string(raw), `"uid":"`+id+`"`) {
						named++
					}
				}
				if named != 1 {
					t.Errorf("%d spans name the %s event and are named by it: %s", named, h.Kind, raw)
				}
			}
		}
	}
}
