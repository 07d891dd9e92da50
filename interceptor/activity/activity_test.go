// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/ocsftest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	raw, fingerprint, err := profile.Seal(e, l.link)
	if err != nil {
		l.t.Errorf("seal %+v: %v", e, err)
		return spooled{err}
	}
	if p := ocsftest.Problems(raw); len(p) > 0 {
		l.t.Errorf("event is not clean: %s\n%s", strings.Join(p, "\n"), raw)
	}
	l.link.Sequence++
	l.link.PrevUID, l.link.PrevFingerprint = e.Common().Metadata.UID, fingerprint
	l.raw, l.events = append(l.raw, raw), append(l.events, e)
	if l.ack != nil {
		return l.ack(e)
	}
	return spooled{}
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

func newStage(t testing.TB, plan *interceptor.Plan) *stage {
	t.Helper()
	c := &clock{t: time.UnixMilli(1793215000000).UTC()}
	l := newLog(t)
	rec := activity.NewRecorder(l.emit, activity.WithGateway("gateway-0"), activity.WithVersion("0.1.0"), activity.WithClock(c.now), activity.WithUIDs(uids("2000")))
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

// story runs four operations: one changed and let through in spite of a
// failure, one denied, one whose handler fails, one that only reads.
func story(t testing.TB) *stage {
	t.Helper()
	s := newStage(t, storyPlan())
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

// TestExamples keeps the events of the story as published examples: what
// Docket writes, byte for byte.
func TestExamples(t *testing.T) {
	s := story(t)
	s.emit(context.Background(), activity.PlanActivated(s.plan(), activity.WithVersion("0.1.0"),
		activity.WithClock(func() time.Time { return time.UnixMilli(1793215001000) }), activity.WithUIDs(func() string { return "0199d0aa-2000-7000-8000-000000000999" })))
	dir := filepath.Join("..", "..", "schemas", "ocsf", "examples", ocsf.Version)
	if *update {
		old, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		for _, f := range old {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	kinds := map[string]bool{}
	for i, raw := range s.raw {
		h, err := profile.Check(raw)
		if err != nil {
			t.Fatal(err)
		}
		kinds[h.Kind] = true
		name := filepath.Join(dir, fmt.Sprintf("%02d_%s_%s.json", i+1, h.Kind, h.Decision))
		if *update {
			if err := os.WriteFile(name, append(raw, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(raw)+"\n"); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if p := ocsftest.Problems(raw); len(p) > 0 {
			t.Errorf("%s is not clean: %v", name, p)
		}
	}
	for _, kind := range profile.Kinds() {
		// Actions are side effects of rules, which do not exist yet.
		if kind != profile.KindAction && !kinds[kind] {
			t.Errorf("the story has no %s", kind)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.json")); len(files) != len(s.raw) {
		t.Errorf("%d examples in %s, the story has %d events", len(files), dir, len(s.raw))
	}
}

// TestRefusal records an operation that nobody could judge: one event, which
// says why, and nothing of the request.
func TestRefusal(t *testing.T) {
	const why = "the request has 9 bytes, a governed one at most 8"
	s := newStage(t, storyPlan())
	op := operation(t, uids("3000")(), "canary", "registry.example/base:1", 1)
	op.Request, op.Refusal = nil, status.New(codes.ResourceExhausted, why)
	s.run(op, created)
	s.close()
	if len(s.raw) != 1 {
		t.Fatalf("%d events", len(s.raw))
	}
	h, err := profile.Check(s.raw[0])
	if err != nil || h.Kind != profile.KindOutcome || h.Decision != profile.DecisionDeny || h.StatusCode != "RESOURCE_EXHAUSTED" || h.StatusDetail != why {
		t.Errorf("header %+v, %v", h, err)
	}
	if p := ocsftest.Problems(s.raw[0]); len(p) > 0 {
		t.Errorf("not clean: %v", p)
	}
	for got, err := range activity.Operations(s.all) {
		if err != nil {
			t.Fatal(err)
		}
		if o := got.Outcome; got.Request != nil || o == nil || o.Ran || o.HandlerStatus != nil || o.Reason != why || len(o.Parts) != 3 || o.Parts[0].Skipped != why {
			t.Errorf("read back: %+v, outcome %+v", got.Operation, o)
		}
	}
}

// TestOperations reads the story back and compares it with what happened.
func TestOperations(t *testing.T) {
	s := story(t)
	var b strings.Builder
	for op, err := range activity.Operations(s.all) {
		if err != nil {
			t.Fatal(err)
		}
		describe(&b, op)
	}
	file := filepath.Join("testdata", "operations.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}

func describe(b *strings.Builder, op *activity.Operation) {
	o := op.Outcome
	fmt.Fprintf(b, "%s %s %s/%s by %v from %v\n", op.UID, op.Tenant, op.Service, op.Method, op.Principal, op.Attributes)
	fmt.Fprintf(b, "  request %s\n", payload(op.Request))
	for _, e := range op.Evaluations {
		raw, _ := e.Payload.JSON()
		fmt.Fprintf(b, "  %s %s/%s %d of %d was shown %s", e.Phase, e.Interceptor, e.Binding, e.Index, e.Count, raw)
		switch {
		case e.Result != nil:
			fmt.Fprintf(b, ": %s %q %s %v %v %v %s\n", e.Result.Decision, e.Result.Reason, e.Result.StatusCode, patches(e.Result.Patches), e.Result.Annotations, e.Result.Warnings, e.Result.Violation)
		case e.Failure != nil:
			fmt.Fprintf(b, ": %s %q %s %s\n", e.Failure.Kind, e.Failure.Detail, e.Failure.Policy, e.Failure.Decision)
		}
	}
	fmt.Fprintf(b, "  outcome %s %q ran %v, handler %v, answered %s, %v, response %s\n", o.Decision, o.Reason, o.Ran, o.HandlerStatus, o.Status.Code(), patches(o.Patches), payload(o.Response))
	for _, p := range o.Parts {
		fmt.Fprintf(b, "    %s %s/%s %s %s", p.Phase, p.Interceptor, p.Binding, p.Evaluation, p.Decision)
		if p.Failure != nil {
			fmt.Fprintf(b, " %s", p.Failure.Kind)
		}
		fmt.Fprintf(b, " %s\n", p.Skipped)
	}
	if o.By != nil {
		fmt.Fprintf(b, "    by %s/%s\n", o.By.Interceptor, o.By.Binding)
	}
}

func payload(m proto.Message) string {
	if m == nil {
		return "unknown"
	}
	raw, err := interceptor.NewPayload(m).JSON()
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func patches(ps []interceptor.Patch) []string {
	var out []string
	for _, p := range ps {
		out = append(out, fmt.Sprintf("%s %s%s=%s", p.Op, p.From, p.Path, p.Value))
	}
	return out
}

// TestMemory runs operations to every kind of end, and sees that nothing of
// them stays, whatever the acknowledgements do.
func TestMemory(t *testing.T) {
	broken := errors.New("disk full")
	for name, ack := range map[string]func(ocsf.Event) activity.Ack{
		"spooled":     func(ocsf.Event) activity.Ack { return spooled{} },
		"refused":     func(ocsf.Event) activity.Ack { return spooled{broken} },
		"never":       func(ocsf.Event) activity.Ack { return never{} },
		"only facts":  func(e ocsf.Event) activity.Ack { return refuse(e, profile.KindOutcome) },
		"only answer": func(e ocsf.Event) activity.Ack { return refuse(e, profile.KindEvaluation) },
		"panics":      func(ocsf.Event) activity.Ack { panic("emit") },
	} {
		for _, audit := range []string{interceptor.AuditDurable, interceptor.AuditBestEffort} {
			t.Run(name+"/"+audit, func(t *testing.T) {
				plan := storyPlan()
				plan.Audit, plan.AuditDeadline = audit, 5*time.Millisecond
				s := newStage(t, plan)
				s.ack = ack
				for i := range 20 {
					s.run(operation(t, "", "Web 7", "registry.example/base:1", float64(i%4)), created)
					s.run(operation(t, "", "Web 7", "evil", 1), created)
					s.run(operation(t, "", "w", "registry.example/base:1", 1), func(context.Context, proto.Message) (proto.Message, error) { panic("handler") })
					gone, cancel := context.WithCancel(context.Background())
					cancel()
					s.chain.Run(gone, operation(t, "", "w", "x", 1), created)
				}
				s.close()
				s.run(operation(t, "", "w", "x", 1), created) // denied: the chain is closed
				if n := s.rec.Open(); n != 0 {
					t.Errorf("the recorder still remembers %d operations", n)
				}
			})
		}
	}
}

type never struct{}

func (never) Spooled(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func refuse(e ocsf.Event, kind string) activity.Ack {
	if e.Common().Metadata.EventCode == kind {
		return spooled{errors.New("no room")}
	}
	return spooled{}
}

// TestBarrier checks what the barriers promise, by outcome.
func TestBarrier(t *testing.T) {
	for _, c := range []struct {
		name    string
		refused string
		ran     bool
		pending bool
	}{
		{"all durable", "", true, false},
		{"an evaluation is lost", profile.KindEvaluation, false, true},
		{"the outcome is lost", profile.KindOutcome, true, true},
		{"the finding is lost", profile.KindFinding, false, true},
	} {
		plan := storyPlan()
		plan.Audit = interceptor.AuditDurable
		s := newStage(t, plan)
		s.ack = func(e ocsf.Event) activity.Ack { return refuse(e, c.refused) }
		out := s.run(operation(t, "", "web", "registry.example/base:1", 2), created)
		if out.Ran != c.ran || out.AuditPending != c.pending {
			t.Errorf("%s: ran %v, pending %v", c.name, out.Ran, out.AuditPending)
		}
		s.close()
	}
	rec := activity.NewRecorder(newLog(t).emit)
	if err := rec.Barrier(context.Background(), "unheard of"); err == nil {
		t.Error("a barrier for an operation without facts promises something")
	}
}
