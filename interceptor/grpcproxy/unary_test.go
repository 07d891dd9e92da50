// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"fmt"
	"strings"
	"testing"

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
