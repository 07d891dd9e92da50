// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"github.com/google/go-cmp/cmp"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// tracer makes spans and keeps them.
type tracer struct {
	noop.Tracer
	mu    sync.Mutex
	spans []*span
}

type span struct {
	noop.Span
	tracer *tracer
	name   string
	parent trace.SpanContext
	own    trace.SpanContext
	status otelcodes.Code
	ends   int
}

func (t *tracer) Start(ctx context.Context, name string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &span{tracer: t, name: name, parent: trace.SpanContextFromContext(ctx)}
	id := trace.SpanID{}
	binary.BigEndian.PutUint64(id[:], uint64(len(t.spans)+1))
	traceID := s.parent.TraceID()
	if !traceID.IsValid() {
		traceID = trace.TraceID{0xff}
	}
	s.own = trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: id})
	t.spans = append(t.spans, s)
	return trace.ContextWithSpan(ctx, s), s
}

func (s *span) SpanContext() trace.SpanContext { return s.own }

func (s *span) SetStatus(code otelcodes.Code, _ string) {
	s.tracer.mu.Lock()
	defer s.tracer.mu.Unlock()
	s.status = code
}

func (s *span) End(...trace.SpanEndOption) {
	s.tracer.mu.Lock()
	defer s.tracer.mu.Unlock()
	s.ends++
}

// Each operation is a span within the caller's, each evaluation one within the
// operation's; facts come with the span that they are about.
func TestSpans(t *testing.T) {
	caller := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	for name, given := range map[string]trace.SpanContext{"the caller has a trace": caller, "it has none": {}} {
		t.Run(name, func(t *testing.T) {
			traces, rec := &tracer{}, &memory{}
			var evaluations []trace.SpanContext
			looks := interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
				evaluations = append(evaluations, e.Trace)
				return &interceptor.Result{Decision: interceptor.Allow}, nil
			})
			failing := bind("failing", breaks)
			failing.FailurePolicy = interceptor.FailOpen
			chain := start(t, planOf(bind("a", looks, interceptor.ModifyOperation, interceptor.PostCommit), failing), rec)
			chain.Tracer = traces
			op := operation()
			op.Trace = given
			var handled trace.SpanContext
			out := chain.Run(t.Context(), op, func(ctx context.Context, _ proto.Message) (proto.Message, error) {
				handled = trace.SpanContextFromContext(ctx)
				return &sandboxv1.CreateSandboxResponse{}, nil
			})
			if err := chain.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			spans := traces.spans
			if len(spans) != 4 || out.Decision != interceptor.Allow {
				t.Fatalf("%d spans, outcome %+v", len(spans), out)
			}
			operationSpan := spans[0]
			if operationSpan.parent.SpanID() != given.SpanID() || given.IsValid() && operationSpan.own.TraceID() != given.TraceID() || !op.Trace.Equal(given) {
				t.Errorf("the operation's span %v within %v", operationSpan.own, operationSpan.parent)
			}
			if !handled.Equal(operationSpan.own) || !op.Span.Equal(operationSpan.own) {
				t.Errorf("the handler ran within %v, the operation has %v", handled, op.Span)
			}
			var names []string
			for i, s := range spans {
				names = append(names, s.name)
				if s.ends != 1 || (s.status == otelcodes.Error) != (s.name == "i/failing") {
					t.Errorf("span %s ended %d times, status %s", s.name, s.ends, s.status)
				}
				if i > 0 && !s.parent.Equal(operationSpan.own) {
					t.Errorf("span %s within %v", s.name, s.parent)
				}
			}
			if diff := cmp.Diff([]string{create, "i/a", "i/failing", "i/a"}, names); diff != "" {
				t.Error(diff)
			}
			if len(evaluations) != 2 || !evaluations[0].Equal(spans[1].own) || !evaluations[1].Equal(spans[3].own) {
				t.Errorf("bindings were shown %v", evaluations)
			}
			want := []*span{spans[1], spans[1], spans[2], spans[2], spans[0], spans[3], spans[3]}
			for i, f := range rec.facts {
				if f.Span != trace.Span(want[i]) {
					t.Errorf("fact %s has span %v", rec.story()[i], f.Span)
				}
			}
		})
	}
}

// A span ends, with an error, also when the run does not come to its end. A
// deny is no error.
func TestSpansEndWhateverHappens(t *testing.T) {
	for name, tc := range map[string]struct {
		impl    interceptor.Interceptor
		clock   int
		handler error
		want    []otelcodes.Code
	}{
		"deny":                  {denies, 0, nil, []otelcodes.Code{otelcodes.Unset, otelcodes.Unset}},
		"clock":                 {allows, 3, nil, []otelcodes.Code{otelcodes.Error, otelcodes.Error}},
		"handler fails":         {allows, 0, status.Error(codes.Internal, "x"), []otelcodes.Code{otelcodes.Error, otelcodes.Unset}},
		"handler finds nothing": {allows, 0, status.Error(codes.NotFound, "x"), []otelcodes.Code{otelcodes.Unset, otelcodes.Unset}},
	} {
		traces, h := &tracer{}, &handler{err: tc.handler}
		chain := start(t, planOf(bind("b", tc.impl)), &memory{})
		chain.Tracer, chain.Now = traces, ticking(tc.clock)
		chain.Run(t.Context(), operation(), h.handle)
		var got []otelcodes.Code
		for _, s := range traces.spans {
			got = append(got, s.status)
			if s.ends != 1 {
				t.Errorf("%s: span %s ended %d times", name, s.name, s.ends)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
