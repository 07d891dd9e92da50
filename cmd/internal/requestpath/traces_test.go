// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"encoding/json"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// A tracedEvent is what the test reads of an event.
type tracedEvent struct {
	Metadata struct {
		UID            string `json:"uid"`
		EventCode      string `json:"event_code"`
		CorrelationUID string `json:"correlation_uid"`
	} `json:"metadata"`
	API struct {
		Request struct {
			UID string `json:"uid"`
		} `json:"request"`
	} `json:"api"`
	Trace struct {
		UID  string `json:"uid"`
		Span struct {
			UID       string `json:"uid"`
			ParentUID string `json:"parent_uid"`
		} `json:"span"`
	} `json:"trace"`
}

func (j *journal) traced(t *testing.T) []tracedEvent {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []tracedEvent
	for _, raw := range j.events {
		var e tracedEvent
		if err := json.Unmarshal([]byte(raw), &e); err != nil {
			t.Fatal(err)
		}
		switch e.Metadata.EventCode {
		case "evaluation", "result", "failure", "outcome":
			all = append(all, e)
		}
	}
	return all
}

// A trail is the spans that were made, by id.
type trail struct {
	t    *testing.T
	byID map[trace.SpanID]sdktrace.ReadOnlySpan
}

func trailOf(t *testing.T, rec *tracetest.SpanRecorder) trail {
	t.Helper()
	made := trail{t, map[trace.SpanID]sdktrace.ReadOnlySpan{}}
	for _, s := range rec.Ended() {
		made.byID[s.SpanContext().SpanID()] = s
	}
	if len(rec.Started()) != len(made.byID) {
		t.Errorf("%d spans began, %d ended", len(rec.Started()), len(made.byID))
	}
	return made
}

// with returns the one span whose attribute has the value.
func (m trail) with(key, value string) sdktrace.ReadOnlySpan {
	m.t.Helper()
	var found sdktrace.ReadOnlySpan
	for _, s := range m.byID {
		if text(s, key) == value {
			if found != nil {
				m.t.Errorf("two spans have %s %s", key, value)
			}
			found = s
		}
	}
	if found == nil {
		m.t.Fatalf("no span has %s %s", key, value)
	}
	return found
}

// called checks that a traceparent names a call of the gateway within parent.
func (m trail) called(traceparent string, parent sdktrace.ReadOnlySpan) {
	m.t.Helper()
	parts := strings.Split(traceparent, "-")
	if len(parts) != 4 || parts[3] != "01" {
		m.t.Errorf("%q is no traceparent of a trace that is sampled", traceparent)
		return
	}
	id, err := trace.SpanIDFromHex(parts[2])
	s := m.byID[id]
	if err != nil || s == nil || s.SpanKind() != trace.SpanKindClient || s.Parent().SpanID() != parent.SpanContext().SpanID() || parts[1] != parent.SpanContext().TraceID().String() {
		m.t.Errorf("called within %s, which is no call within %q", traceparent, parent.Name())
	}
}

func text(s sdktrace.ReadOnlySpan, key string) string {
	for _, a := range s.Attributes() {
		if a.Key == attribute.Key(key) {
			return a.Value.AsString()
		}
	}
	return ""
}

// Each operation is one span within the caller's trace, each evaluation one
// within the operation's. Events name their spans and spans their events;
// interceptors and the service are called within the span that they are called
// for. Who fails has failed in its span as well.
func TestSpansAndEventsNameEachOther(t *testing.T) {
	const callerTrace, callerSpan = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	h, j, rec := &heard{got: map[string]string{}}, &journal{}, tracetest.NewSpanRecorder()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
	runTraced(t, j, serveTraced(t, h), nil, traces, func(_ *Path, c sandboxv1.SandboxesClient) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-"+callerTrace+"-"+callerSpan+"-01")
		if _, err := c.CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "s"}}); err != nil {
			t.Error(err)
		}
		if _, err := c.DeleteSandbox(ctx, &sandboxv1.DeleteSandboxRequest{Name: "s"}); status.Code(err) != codes.Internal {
			t.Error(err)
		}
		if _, err := c.GetSandbox(ctx, &sandboxv1.GetSandboxRequest{Name: "s"}); err != nil {
			t.Error(err)
		}
	})
	made, events := trailOf(t, rec), j.traced(t)
	kinds := map[string]int{}
	operations := map[string]sdktrace.ReadOnlySpan{}
	for _, e := range events {
		kinds[e.Metadata.EventCode]++
		if e.Metadata.EventCode == "outcome" {
			operations[e.Metadata.CorrelationUID] = made.with("docket.event_uid", e.Metadata.UID)
		}
	}
	// Of the call that succeeded: three evaluations that allow, one that fails; of
	// the other one less, since nothing was committed.
	if kinds["outcome"] != 2 || kinds["evaluation"] != 7 || kinds["result"] != 5 || kinds["failure"] != 2 {
		t.Fatalf("events: %v", kinds)
	}
	for _, e := range events {
		key := "docket.event_uid"
		if e.Metadata.EventCode == "evaluation" {
			key = "docket.evaluation_event_uid"
		}
		s, op := made.with(key, e.Metadata.UID), operations[e.Metadata.CorrelationUID]
		if e.Trace.UID != callerTrace || e.Trace.UID != s.SpanContext().TraceID().String() || e.Trace.Span.UID != s.SpanContext().SpanID().String() || e.Trace.Span.ParentUID != s.Parent().SpanID().String() {
			t.Errorf("the %s has trace %+v, its span is %s within %s", e.Metadata.EventCode, e.Trace, s.SpanContext().SpanID(), s.Parent().SpanID())
		}
		if text(s, "docket.operation_uid") != e.Metadata.CorrelationUID {
			t.Errorf("span %s is of operation %s", s.Name(), text(s, "docket.operation_uid"))
		}
		if e.Metadata.EventCode == "outcome" {
			continue
		}
		if text(s, "docket.evaluation_uid") != e.API.Request.UID || s.Parent().SpanID() != op.SpanContext().SpanID() {
			t.Errorf("span %s is not that of evaluation %s within the operation", s.Name(), e.API.Request.UID)
		}
		if failed := s.Status().Code == otelcodes.Error; failed != strings.HasSuffix(s.Name(), "/fails") {
			t.Errorf("span %s has status %v", s.Name(), s.Status())
		}
		made.called(h.got[e.Metadata.CorrelationUID+strings.TrimPrefix(s.Name(), "p/")+text(s, "docket.phase")], s)
	}
	for _, s := range operations {
		method := s.Name()[strings.Index(s.Name(), "/")+1:]
		server := made.byID[s.Parent().SpanID()]
		if server == nil || server.SpanKind() != trace.SpanKindServer || server.Parent().SpanID().String() != callerSpan || !server.Parent().IsRemote() {
			t.Errorf("span %s is not within a span of the server within the caller's", s.Name())
		}
		if failed := s.Status().Code == otelcodes.Error; failed != (method == "DeleteSandbox") {
			t.Errorf("span %s has status %v", s.Name(), s.Status())
		}
		made.called(h.got[method], s)
	}
	// What passes ungoverned is no operation, and is traced all the same.
	for _, s := range made.byID {
		if s.SpanKind() == trace.SpanKindServer && strings.HasSuffix(s.Name(), "/GetSandbox") {
			made.called(h.got["GetSandbox"], s)
			return
		}
	}
	t.Error("the call that passed ungoverned has no span")
}

// Without traces nobody is told of spans that nobody makes: what the caller sent
// goes on to the service, and to interceptors as the trace that it is.
func TestWithoutTraces(t *testing.T) {
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	h, j := &heard{got: map[string]string{}}, &journal{}
	runTraced(t, j, serveTraced(t, h), nil, nil, func(_ *Path, c sandboxv1.SandboxesClient) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceparent)
		if _, err := c.CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "s"}}); err != nil {
			t.Error(err)
		}
	})
	if len(h.got) != 5 {
		t.Errorf("%d were called", len(h.got))
	}
	for who, got := range h.got {
		if got != traceparent {
			t.Errorf("%s was called within %q", who, got)
		}
	}
}
