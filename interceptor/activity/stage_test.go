// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A clock goes on by one millisecond with each look.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(time.Millisecond)
	return c.t
}

// uids deals UUIDv7-shaped uids in order.
func uids(group string) func() string {
	var mu sync.Mutex
	n := 0
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("0199d0aa-%s-7000-8000-%012d", group, n)
	}
}

// A log keeps the events that a Recorder hands over, sealed as one epoch.
type log struct {
	t      testing.TB
	mu     sync.Mutex
	link   profile.Link
	raw    [][]byte
	events []ocsf.Event
	ack    func(e ocsf.Event) activity.Ack
}

func newLog(t testing.TB) *log {
	t.Helper()
	return &log{t: t, link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
}

// spooled is the Ack of an event that became durable, or did not.
type spooled struct{ err error }

func (s spooled) Spooled(context.Context) error { return s.err }

func (l *log) emit(_ context.Context, e ocsf.Event) activity.Ack {
	l.mu.Lock()
	defer l.mu.Unlock()
	raw, h, err := profile.SealHeader(e, l.link)
	if err != nil {
		l.t.Errorf("seal %+v: %v", e, err)
		return spooled{err}
	}
	clean(l.t, raw, e.Common().Metadata.Version)
	l.link.Sequence++
	l.link.PrevUID, l.link.PrevFingerprint, l.link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
	l.raw, l.events = append(l.raw, raw), append(l.events, e)
	if l.ack != nil {
		return l.ack(e)
	}
	return spooled{}
}

// clean holds an event against the schema: no errors, no warnings.
func clean(t testing.TB, raw []byte, version string) {
	t.Helper()
	for _, mode := range []ocsf.Mode{ocsf.ModeServer, ocsf.ModeStrict} {
		report, err := ocsf.Validate(raw, version, mode)
		if err != nil {
			t.Fatal(err)
		}
		if issues := append(report.Errors, report.Warnings...); len(issues) > 0 {
			t.Fatalf("OCSF %s, %s: %+v\n%s", version, mode, issues, raw)
		}
	}
}

func (l *log) all(yield func([]byte, error) bool) {
	for _, raw := range l.raw {
		if !yield(raw, nil) {
			return
		}
	}
}

// object makes a request of a JSON object.
func object(t testing.TB, m map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The bindings of the story.
var (
	naming = interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if name, _ := e.Payload.Lookup("/name"); name == "Web 7" {
			return &interceptor.Result{
				Decision: interceptor.Modify, Reason: "names are lower-case",
				Patches:     []interceptor.Patch{{Op: "replace", Path: "/name", Value: []byte(`"web-7"`)}},
				Annotations: map[string]string{"rule": "naming-3"},
			}, nil
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	images = interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if image, _ := e.Payload.Lookup("/spec/image"); image != "registry.example/base:1" {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: fmt.Sprintf("image %q is not on the list", image), StatusCode: "OK"}, nil
		}
		return &interceptor.Result{Decision: interceptor.Allow, Warnings: []string{"base:1 retires soon"}}, nil
	})
	quota = interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if n, _ := e.Payload.Lookup("/spec/replicas"); fmt.Sprint(n) == "2" {
			return nil, &interceptor.Failure{Kind: interceptor.Timeout, Detail: "no answer within 500ms"}
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	notary = interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return nil, &interceptor.Failure{Kind: interceptor.Unavailable, Detail: "connection refused"}
	})
)

func storyPlan() *interceptor.Plan {
	both := []interceptor.Phase{interceptor.ModifyOperation}
	return &interceptor.Plan{
		Unmatched: interceptor.UnmatchedAllow,
		Bindings: []interceptor.Binding{
			{Interceptor: "naming", ID: "lower-case", Order: 1, Phases: both, Impl: naming},
			{Interceptor: "images", ID: "allow-list", Order: 2, Phases: []interceptor.Phase{interceptor.Validate}, Impl: images},
			{Interceptor: "quota", ID: "replicas", Order: 3, Phases: []interceptor.Phase{interceptor.Validate}, FailurePolicy: interceptor.FailOpen, Impl: quota},
			{Interceptor: "notary", ID: "stamp", Order: 4, Phases: []interceptor.Phase{interceptor.PostCommit}, PostCommitPolicy: interceptor.Ignore, Impl: notary},
			{Interceptor: "notary", ID: "stamp-again", Order: 5, Phases: []interceptor.Phase{interceptor.PostCommit}, Impl: naming},
		},
	}
}

// A stage is a chain with its recorder and log.
type stage struct {
	*log
	chain *interceptor.Chain
	rec   *activity.Recorder
}

func newStage(t testing.TB, plan *interceptor.Plan, opts ...activity.Option) *stage {
	t.Helper()
	c := &clock{t: time.UnixMilli(1793215000000).UTC()}
	l := newLog(t)
	opts = append([]activity.Option{activity.WithGateway("gateway-0"), activity.WithVersion("0.1.0"), activity.WithClock(c.now), activity.WithUIDs(uids("2000"))}, opts...)
	rec := activity.NewRecorder(l.emit, opts...)
	chain, err := interceptor.New(plan, rec)
	if err != nil {
		t.Fatal(err)
	}
	next := uids("4000")
	chain.Now, chain.NewUID = c.now, func() interceptor.UID { return interceptor.UID(next()) }
	return &stage{log: l, chain: chain, rec: rec}
}

// run takes one operation through the chain and waits for its post_commit.
func (s *stage) run(op *interceptor.Operation, handler interceptor.Handler) *interceptor.Outcome {
	s.t.Helper()
	out := s.chain.Run(context.Background(), op, handler)
	return out
}

func (s *stage) close() {
	s.t.Helper()
	if err := s.chain.Close(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	if n := s.rec.Open(); n != 0 {
		s.t.Errorf("the recorder still remembers %d operations", n)
	}
}

func operation(t testing.TB, uid, name, image string, replicas float64) *interceptor.Operation {
	t.Helper()
	traceID, _ := trace.TraceIDFromHex("4bf92f3577b34da6a3ce929d0e0e4736")
	spanID, _ := trace.SpanIDFromHex("53995c3f42cd8ad8")
	return &interceptor.Operation{
		UID: interceptor.UID(uid), Tenant: "acme", Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox",
		Principal:  map[string]string{"kind": "user", "subject": "alice", "display_name": "Alice", "provider": "oidc", "roles": "dev, ops"},
		Attributes: map[string]string{"source.address": "192.0.2.7:4711", "user_agent": "demo/1"},
		Request:    object(t, map[string]any{"name": name, "spec": map[string]any{"image": image, "replicas": replicas}}),
		Trace:      trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, Remote: true}),
	}
}

func created(_ context.Context, request proto.Message) (proto.Message, error) { return request, nil }

// story runs five operations: one changed and let through in spite of a
// failure, one denied, one whose handler fails, one that only reads, and one by
// an agent.
func story(t testing.TB, opts ...activity.Option) *stage {
	t.Helper()
	s := newStage(t, storyPlan(), opts...)
	uid := uids("3000")
	s.run(operation(t, uid(), "Web 7", "registry.example/base:1", 2), created)
	s.settle(len(s.plan().Bindings))
	s.run(operation(t, uid(), "web-8", "evil.example/miner:9", 1), created)
	s.run(operation(t, uid(), "web-9", "registry.example/base:1", 1), func(context.Context, proto.Message) (proto.Message, error) {
		return nil, status.Error(codes.AlreadyExists, "web-9 is there already")
	})
	read := operation(t, uid(), "web-9", "registry.example/base:1", 1)
	read.Method, read.Tenant, read.Principal, read.Trace = "GetSandbox", "", nil, trace.SpanContext{}
	read.Attributes = nil
	s.run(read, created)
	s.settle(15)
	agent := operation(t, uid(), "web-10", "registry.example/base:1", 1)
	agent.Attributes["agent.id"], agent.Attributes["agent.session"], agent.Attributes["model"] = "agent-42", "agent-session-9", "provider-y/model-x"
	s.run(agent, created)
	s.close()
	return s
}

func (s *stage) plan() *interceptor.Plan { return s.chain.Plan() }

// settle waits until n evaluations have ended, so that what comes after the
// handler keeps its place in the story.
func (s *stage) settle(n int) {
	s.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		s.mu.Lock()
		ends := 0
		for _, e := range s.events {
			if k := e.Common().Metadata.EventCode; k == profile.KindResult || k == profile.KindFailure {
				ends++
			}
		}
		s.mu.Unlock()
		if ends >= n {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d evaluations ended, want %d", ends, n)
		}
		time.Sleep(time.Millisecond)
	}
}
