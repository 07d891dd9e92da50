// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/grpcproxy"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// A disk that refuses at some moment of an operation: what the service counted,
// what the caller was answered and what the Outcome says, once the disk is well
// again, are the same story. No caller is invited to try again what has run.
func TestAuditUnavailable(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		breakBefore  bool // the operation begins
		breakDuring  bool // the handler runs
		breakAfter   bool // the caller is answered: only post_commit is left

		calls   int
		status  codes.Code // the caller's
		pending bool
		outcome string // status_code of the recorded Outcome
	}{
		{name: "before/release", answer: interceptor.AnswerRelease, breakBefore: true, status: codes.Unavailable, pending: true, outcome: "UNAVAILABLE"},
		{name: "before/withhold", answer: interceptor.AnswerWithhold, breakBefore: true, status: codes.Unavailable, pending: true, outcome: "UNAVAILABLE"},
		{name: "during/release", answer: interceptor.AnswerRelease, breakDuring: true, calls: 1, status: codes.OK, pending: true, outcome: "OK"},
		{name: "during/withhold", answer: interceptor.AnswerWithhold, breakDuring: true, calls: 1, status: codes.Unknown, pending: true, outcome: "OK"},
		{name: "after/release", answer: interceptor.AnswerRelease, breakAfter: true, calls: 1, status: codes.OK, outcome: "OK"},
		{name: "after/withhold", answer: interceptor.AnswerWithhold, breakAfter: true, calls: 1, status: codes.OK, outcome: "OK"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoad(t, tc.answer)
			r.service.during = func() { r.disk.broken.Store(tc.breakDuring) }
			r.disk.broken.Store(tc.breakBefore)

			var trailer metadata.MD
			_, err := r.client.CreateSandbox(t.Context(), &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "web"}}, grpc.Trailer(&trailer))
			if tc.breakAfter {
				r.disk.broken.Store(true)
			}
			close(r.postCommit) // its bindings were waiting: nothing of them is recorded yet

			if got := status.Code(err); got != tc.status {
				t.Errorf("the caller was answered %v, want %v", err, tc.status)
			}
			if got := r.service.calls.Load(); got != int64(tc.calls) {
				t.Errorf("the service was called %d times, want %d", got, tc.calls)
			}
			if pending := len(trailer.Get("docket-audit")) > 0; pending != tc.pending {
				t.Errorf("docket-audit: pending is %t, want %t", pending, tc.pending)
			}
			uid := trailer.Get("docket-operation-uid")
			if len(uid) != 1 {
				t.Fatalf("docket-operation-uid: %q", uid)
			}

			r.disk.broken.Store(false)
			headers := r.recorded(t)
			var outcomes int
			for _, h := range headers {
				if h.OperationUID != uid[0] || h.Kind != profile.KindOutcome {
					continue
				}
				outcomes++
				if h.StatusCode != tc.outcome || h.Ran != (tc.calls > 0) {
					t.Errorf("the outcome says %s, ran %t; want %s, %t", h.StatusCode, h.Ran, tc.outcome, tc.calls > 0)
				}
			}
			if outcomes != 1 {
				t.Errorf("%d outcomes of %d events, want 1", outcomes, len(headers))
			}
		})
	}
}

// A road is everything from the gRPC call to the stream, with a disk that can
// be broken.
type road struct {
	disk       *disk
	service    *countingService
	client     sandboxv1.SandboxesClient
	postCommit chan struct{} // post_commit bindings wait until it is closed
	chain      *interceptor.Chain
	emitter    *emitter.Emitter
	js         jetstream.JetStream
}

func newRoad(t *testing.T, answer string) *road {
	t.Helper()
	broker := natstest.Run(t)
	r := &road{disk: &disk{}, service: &countingService{}, postCommit: make(chan struct{}), js: broker.JetStream(t)}
	if err := stream.Apply(t.Context(), r.js); err != nil {
		t.Fatal(err)
	}
	em, err := emitter.New(emitter.Config{Dir: t.TempDir(), Name: "gateway-0", Conn: broker.Conn(t), FS: r.disk})
	if err != nil {
		t.Fatal(err)
	}
	r.emitter = em
	rec := activity.NewRecorder(func(ctx context.Context, e ocsf.Event) activity.Ack { return em.Emit(ctx, e) })
	watch := interceptor.Func(func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if e.Phase == interceptor.PostCommit {
			select {
			case <-r.postCommit:
			case <-ctx.Done():
			}
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	r.chain, err = interceptor.New(&interceptor.Plan{
		Bindings: []interceptor.Binding{{
			Interceptor: "watch", ID: "all", Impl: watch, Timeout: 30 * time.Second,
			Phases:        []interceptor.Phase{interceptor.Validate, interceptor.PostCommit},
			FailurePolicy: interceptor.FailClosed, PostCommitPolicy: interceptor.Ignore,
		}},
		Unmatched: interceptor.UnmatchedDeny, Audit: interceptor.AuditDurable,
		AuditDeadline: 300 * time.Millisecond, Answer: answer,
	}, rec)
	if err != nil {
		t.Fatal(err)
	}

	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.UnaryInterceptor(grpcproxy.Unary(r.chain)))
	sandboxv1.RegisterSandboxesServer(srv, r.service)
	go srv.Serve(lis)
	t.Cleanup(srv.Stop)
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r.client = sandboxv1.NewSandboxesClient(conn)
	return r
}

// recorded ends the road cleanly and returns what reached the stream, each
// event verified.
func (r *road) recorded(t *testing.T) []profile.Header {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.chain.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.emitter.Close(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := r.js.Stream(ctx, stream.Declared().Stream.Name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var headers []profile.Header
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		msg, err := s.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		h, err := profile.Check(msg.Data)
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, h)
	}
	return headers
}

// countingService counts what reaches it.
type countingService struct {
	sandboxv1.UnimplementedSandboxesServer

	calls  atomic.Int64
	during func()
}

func (s *countingService) CreateSandbox(_ context.Context, r *sandboxv1.CreateSandboxRequest) (*sandboxv1.CreateSandboxResponse, error) {
	s.calls.Add(1)
	s.during()
	return &sandboxv1.CreateSandboxResponse{Sandbox: r.GetSandbox()}, nil
}
