// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// sandboxes is a server in whose own process the chain runs.
type sandboxes struct {
	sandboxv1.UnimplementedSandboxesServer
	got *sandboxv1.CreateSandboxRequest
	uid []string
}

func (s *sandboxes) CreateSandbox(ctx context.Context, in *sandboxv1.CreateSandboxRequest) (*sandboxv1.CreateSandboxResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	s.got, s.uid = in, md.Get("docket-operation-uid")
	if in.GetSandbox().GetName() == "taken" {
		return nil, status.Error(codes.AlreadyExists, "taken")
	}
	return &sandboxv1.CreateSandboxResponse{Sandbox: in.GetSandbox()}, nil
}

func (s *sandboxes) GetSandbox(ctx context.Context, _ *sandboxv1.GetSandboxRequest) (*sandboxv1.GetSandboxResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	s.uid = md.Get("docket-operation-uid")
	return &sandboxv1.GetSandboxResponse{}, nil
}

func inProcess(t *testing.T, chain *interceptor.Chain) (*sandboxes, sandboxv1.SandboxesClient) {
	t.Helper()
	s := &sandboxes{}
	srv := grpc.NewServer(grpc.UnaryInterceptor(Unary(chain)))
	sandboxv1.RegisterSandboxesServer(srv, s)
	lis := bufconn.Listen(1 << 20)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, sandboxv1.NewSandboxesClient(dial(t, lis))
}

func TestUnary(t *testing.T) {
	rec := &recorder{}
	chain := newChain(t, rec, nil, bind(create, func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if name, _ := e.Payload.Lookup("/sandbox/name"); name == "bad" {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "bad name"}, nil
		}
		return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "add", Path: "/sandbox/labels", Value: []byte(`{"by":"test"}`)}}}, nil
	}))
	s, client := inProcess(t, chain)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "docket-operation-uid", "forged")

	var trailer metadata.MD
	in := &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "good", Spec: &sandboxv1.SandboxSpec{Credentials: &sandboxv1.Credentials{Token: "canary"}}}}
	out, err := client.CreateSandbox(ctx, in, grpc.Trailer(&trailer))
	if err != nil || out.GetSandbox().GetLabels()["by"] != "test" || s.got.GetSandbox().GetSpec().GetCredentials().GetToken() != "canary" {
		t.Errorf("%v, %v, %v", out, s.got, err)
	}
	if uid := trailer.Get("docket-operation-uid"); len(uid) != 1 || len(s.uid) != 1 || uid[0] != s.uid[0] || uid[0] == "forged" {
		t.Errorf("trailer %v, the handler saw %v", trailer, s.uid)
	}

	s.got, trailer = nil, nil
	_, err = client.CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "bad"}}, grpc.Trailer(&trailer))
	if status.Code(err) != codes.PermissionDenied || s.got != nil || len(trailer.Get("docket-operation-uid")) != 1 {
		t.Errorf("%v, the handler got %v, trailer %v", err, s.got, trailer)
	}
	if _, err = client.CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "taken"}}); status.Code(err) != codes.AlreadyExists {
		t.Errorf("the handler's own error: %v", err)
	}
	s.got, trailer = nil, nil
	big := &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: strings.Repeat("x", 1<<20)}}
	if _, err = client.CreateSandbox(ctx, big, grpc.Trailer(&trailer)); status.Code(err) != codes.ResourceExhausted || s.got != nil {
		t.Errorf("a great request: %v", err)
	}
	op, outcome := rec.newest(t)
	if uid := trailer.Get("docket-operation-uid"); len(uid) != 1 || uid[0] != string(op.UID) {
		t.Errorf("trailer %v, operation %s", trailer, op.UID)
	}
	if want := fmt.Sprintf("the request has %d bytes, a governed one at most %d", proto.Size(big), 1<<20); outcome.Decision != interceptor.Deny || outcome.Ran || outcome.Reason != want || op.Request != nil {
		t.Errorf("outcome %+v", outcome)
	}
	if _, err = client.GetSandbox(ctx, &sandboxv1.GetSandboxRequest{}); err != nil || len(s.uid) != 0 {
		t.Errorf("ungoverned: %v, the handler saw %v", err, s.uid)
	}
}

func TestUnarySelectsByLabels(t *testing.T) {
	b := bind(create, denying)
	b.Labels = map[string]string{"env": "prod"}
	_, client := inProcess(t, newChain(t, nil, nil, b))
	for env, want := range map[string]codes.Code{"prod": codes.PermissionDenied, "test": codes.OK} {
		in := &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Labels: map[string]string{"env": env}}}
		if _, err := client.CreateSandbox(t.Context(), in); status.Code(err) != want {
			t.Errorf("%s: %v", env, err)
		}
	}
}

func TestUnaryUnmatchedDenied(t *testing.T) {
	chain := newChain(t, nil, func(p *interceptor.Plan) { p.Unmatched = interceptor.UnmatchedDeny }, bind(create, allowing))
	_, client := inProcess(t, chain)
	if _, err := client.GetSandbox(t.Context(), &sandboxv1.GetSandboxRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("got %v", err)
	}
}

func TestUnaryWithoutProtobuf(t *testing.T) {
	rec := &recorder{}
	f := Unary(newChain(t, rec, nil, bind(create, allowing)))
	handler := func(context.Context, any) (any, error) { return "text", nil }
	if _, err := f(t.Context(), "text", &grpc.UnaryServerInfo{FullMethod: create}, handler); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("request: %v", err)
	}
	if op, outcome := rec.newest(t); outcome.Decision != interceptor.Deny || outcome.Ran || !strings.Contains(outcome.Reason, "not a protobuf message") || op.UID == "" {
		t.Errorf("operation %+v, outcome %+v", op, outcome)
	}
	if _, err := f(t.Context(), proto.Message(&sandboxv1.CreateSandboxRequest{}), &grpc.UnaryServerInfo{FullMethod: create}, handler); status.Code(err) != codes.Internal {
		t.Errorf("response: %v", err)
	}
	if _, err := f(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "x"}, handler); status.Code(err) != codes.Unimplemented {
		t.Errorf("method: %v", err)
	}
}

// Whatever an outcome looks like, a deny is no success.
func TestStatus(t *testing.T) {
	ok, unavailable := status.New(codes.OK, ""), status.New(codes.Unavailable, "x")
	for _, c := range []struct {
		o    interceptor.Outcome
		want codes.Code
	}{
		{interceptor.Outcome{}, codes.PermissionDenied},
		{interceptor.Outcome{Status: ok}, codes.PermissionDenied},
		{interceptor.Outcome{Status: unavailable}, codes.Unavailable},
		{interceptor.Outcome{Ran: true}, codes.Unknown},
		{interceptor.Outcome{Ran: true, Status: ok}, codes.OK},
	} {
		if got := Status(&c.o).Code(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.o, got, c.want)
		}
	}
}

// An upstream's answer is known by its content type, wherever that is; what gRPC
// says here by itself is told without the upstream's address.
func TestUnreached(t *testing.T) {
	answered := metadata.Pairs("content-type", "application/grpc")
	away := status.Error(codes.Unavailable, "dial tcp 10.0.0.7:1")
	for name, c := range map[string]struct {
		err             error
		header, trailer metadata.MD
		want            string
		hidden          bool
	}{
		"nobody there":     {away, nil, nil, "upstream unavailable", true},
		"answered":         {away, answered, nil, "dial tcp 10.0.0.7:1", false},
		"answered at once": {away, nil, answered, "dial tcp 10.0.0.7:1", false},
		"another code":     {status.Error(codes.Aborted, "x"), nil, nil, "x", false},
	} {
		err, hidden := unreached(c.err, c.header, c.trailer)
		if s := status.Convert(err); s.Message() != c.want || s.Code() != status.Code(c.err) || hidden != c.hidden {
			t.Errorf("%s: %v, %v", name, err, hidden)
		}
	}
}

// The span of the server itself is the caller's trace context, else what came
// with the call.
func TestTraceOf(t *testing.T) {
	md := metadata.Pairs("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	own := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	if got := traceOf(trace.ContextWithSpanContext(t.Context(), own), md); !got.Equal(own) {
		t.Errorf("of the server's span came %v", got)
	}
	if got := traceOf(t.Context(), md); got.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" || got.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("of the traceparent came %v", got)
	}
	for _, bad := range []metadata.MD{nil, metadata.Pairs("traceparent", "x"), metadata.Join(md, md)} {
		if got := traceOf(t.Context(), bad); got.IsValid() {
			t.Errorf("of %v came %v", bad, got)
		}
	}
}

func TestUnaryAuditPending(t *testing.T) {
	rec := &recorder{barrier: func(ctx context.Context, recorded bool) error {
		if recorded {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}
	for answer, want := range map[string]codes.Code{interceptor.AnswerRelease: codes.OK, interceptor.AnswerWithhold: codes.Unknown} {
		chain := newChain(t, rec, func(p *interceptor.Plan) { p.Answer, p.AuditDeadline = answer, 20*time.Millisecond }, bind(create, allowing))
		s, client := inProcess(t, chain)
		var trailer metadata.MD
		_, err := client.CreateSandbox(t.Context(), &sandboxv1.CreateSandboxRequest{}, grpc.Trailer(&trailer))
		if status.Code(err) != want || s.got == nil || len(trailer.Get("docket-operation-uid")) != 1 || strings.Join(trailer.Get("docket-audit"), "") != "pending" {
			t.Errorf("%s: %v, trailer %v", answer, err, trailer)
		}
	}
}
