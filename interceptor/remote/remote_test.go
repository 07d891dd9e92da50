// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves until the test ends and returns the endpoint.
func serve(t testing.TB, network string, run func(ctx context.Context, lis net.Listener) error) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "docket") // t.TempDir is too long a name for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		address = filepath.Join(dir, "i.sock")
	}
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, lis) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	if network == "unix" {
		return "unix://" + address
	}
	return "http://" + lis.Addr().String()
}

func serveInterceptor(t testing.TB, network string, i interceptor.Interceptor) string {
	t.Helper()
	return serve(t, network, func(ctx context.Context, lis net.Listener) error { return remote.Serve(ctx, lis, i) })
}

func dial(t testing.TB, endpoint string, opts ...remote.Option) *remote.Client {
	t.Helper()
	c, err := remote.Dial(t.Context(), endpoint, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// request is an operation with a secret in it.
func request() *sandboxv1.CreateSandboxRequest {
	return &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{
		Name: "a", ResourceVersion: 1 << 60, Spec: &sandboxv1.SandboxSpec{Replicas: 5, Credentials: &sandboxv1.Credentials{Token: "canary", TokenHint: "hint"}},
	}}
}

func evaluation() *interceptor.Evaluation {
	return &interceptor.Evaluation{
		UID: "e-1", Operation: "01977420-dc7b-7000-8000-000000000000", Interceptor: "configured", Binding: "b", Phase: interceptor.Validate,
		Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox", Principal: map[string]string{"kind": "user", "subject": "alice"},
		Payload: interceptor.NewPayload(request()),
		Trace:   trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled, Remote: true}),
	}
}

// fake is an interceptor of functions.
type fake struct {
	interceptor.Func
	manifest *interceptor.Manifest
}

func (f fake) Describe(context.Context) (*interceptor.Manifest, error) { return f.manifest, nil }

func TestRoundTrip(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			var seen *interceptor.Evaluation
			var incoming metadata.MD
			var deadline time.Time
			answer := &interceptor.Result{Decision: interceptor.Allow}
			client := dial(t, serveInterceptor(t, network, interceptor.Func(func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
				seen = e
				incoming, _ = metadata.FromIncomingContext(ctx)
				deadline, _ = ctx.Deadline()
				return answer, nil
			})))
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "authorization", "canary"), time.Minute)
			defer cancel()
			for _, phase := range []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate, interceptor.PostCommit} {
				e := evaluation()
				e.Phase = phase
				if phase == interceptor.Validate {
					e.State = interceptor.NewPayload(&sandboxv1.Sandbox{})
				}
				got, err := client.Evaluate(ctx, e)
				if err != nil || got.Decision != interceptor.Allow {
					t.Fatalf("result %+v, %v", got, err)
				}
				if seen.Phase != phase || seen.Operation != e.Operation || seen.Interceptor != e.Interceptor || seen.Binding != e.Binding ||
					seen.Service != e.Service || seen.Method != e.Method || !seen.Trace.Equal(e.Trace) || (seen.State == nil) != (e.State == nil) {
					t.Errorf("the interceptor saw %+v", seen)
				}
				if diff := cmp.Diff(e.Principal, seen.Principal); diff != "" {
					t.Error(diff)
				}
				sent, _ := e.Payload.JSON()
				if arrived, err := seen.Payload.JSON(); err != nil || string(arrived) != string(sent) || strings.Contains(string(arrived), "canary") {
					t.Errorf("payload %s became %s, %v", sent, arrived, err)
				}
			}
			if len(incoming.Get("authorization")) > 0 || incoming.Get("traceparent")[0] != "00-01020000000000000000000000000000-0300000000000000-01" {
				t.Errorf("metadata %v", incoming)
			}
			if want, _ := ctx.Deadline(); deadline.IsZero() || deadline.After(want.Add(time.Second)) {
				t.Errorf("the interceptor's deadline is %s; the caller's %s", deadline, want)
			}
		})
	}
}

func TestResultsTravel(t *testing.T) {
	null, deep := json.RawMessage("null"), json.RawMessage(`{"a":[1,"x",true,null]}`)
	for name, want := range map[string]*interceptor.Result{
		"allow": {Decision: interceptor.Allow, Reason: "fine", Annotations: map[string]string{"k": "v"}, Warnings: []string{"soon"}},
		"deny":  {Decision: interceptor.Deny, Reason: "no", StatusCode: "FAILED_PRECONDITION"},
		"modify": {Decision: interceptor.Modify, Patches: []interceptor.Patch{
			{Op: "add", Path: "/a", Value: deep}, {Op: "replace", Path: "/b", Value: null}, {Op: "remove", Path: "/c"}, {Op: "move", Path: "/d", From: "/e"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			client := dial(t, serveInterceptor(t, "unix", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { return want, nil })))
			got, err := client.Evaluate(t.Context(), evaluation())
			if err != nil {
				t.Fatal(err)
			}
			for i := range got.Patches {
				if v := got.Patches[i].Value; v != nil {
					got.Patches[i].Value = compact(t, v)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func compact(t *testing.T, raw json.RawMessage) json.RawMessage {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// rude is a server that answers the contract's calls as it likes.
type rude struct {
	wire.UnimplementedGatewayInterceptorServer
	answer   *wire.InterceptorResult
	manifest *wire.InterceptorManifest
}

func (r *rude) Evaluate(context.Context, *wire.InterceptorEvaluation) (*wire.InterceptorResult, error) {
	return r.answer, nil
}

func (r *rude) Describe(context.Context, *wire.DescribeRequest) (*wire.InterceptorManifest, error) {
	return r.manifest, nil
}

func serveWire(t testing.TB, impl wire.GatewayInterceptorServer, opts ...grpc.ServerOption) string {
	t.Helper()
	return serve(t, "unix", func(ctx context.Context, lis net.Listener) error {
		server := grpc.NewServer(opts...)
		wire.RegisterGatewayInterceptorServer(server, impl)
		stop := context.AfterFunc(ctx, server.Stop)
		defer stop()
		return server.Serve(lis)
	})
}

// TestFailures goes through a chain, which gives each failure its kind.
func TestFailures(t *testing.T) {
	f := func(f func(ctx context.Context) (*interceptor.Result, error)) string {
		return serveInterceptor(t, "unix", interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) { return f(ctx) }))
	}
	fails := func(err error) string {
		return f(func(context.Context) (*interceptor.Result, error) { return nil, err })
	}
	for name, tc := range map[string]struct {
		endpoint string
		kind     interceptor.FailureKind
	}{
		"times out":       {f(func(ctx context.Context) (*interceptor.Result, error) { <-ctx.Done(); return nil, ctx.Err() }), interceptor.Timeout},
		"refused":         {"unix:///nowhere/there.sock", interceptor.Unavailable},
		"panics":          {f(func(context.Context) (*interceptor.Result, error) { panic("x") }), interceptor.InvalidResult},
		"has no result":   {f(func(context.Context) (*interceptor.Result, error) { return nil, nil }), interceptor.InvalidResult},
		"has no decision": {f(func(context.Context) (*interceptor.Result, error) { return &interceptor.Result{}, nil }), interceptor.InvalidResult},
		"is too long": {f(func(context.Context) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Allow, Reason: strings.Repeat("x", 5000)}, nil
		}), interceptor.Limit},
		"names a limit":      {fails(&interceptor.Failure{Kind: interceptor.Limit, Detail: "x"}), interceptor.Limit},
		"names a timeout":    {fails(&interceptor.Failure{Kind: interceptor.Timeout, Detail: "x"}), interceptor.Timeout},
		"is out of service":  {fails(&interceptor.Failure{Kind: interceptor.Unavailable, Detail: "x"}), interceptor.Unavailable},
		"errs":               {fails(errors.New("x")), interceptor.InvalidResult},
		"errs with a status": {fails(status.Error(codes.Unavailable, "x")), interceptor.Unavailable},
		"another contract":   {serveWire(t, wire.UnimplementedGatewayInterceptorServer{}), interceptor.Unavailable},
		"garbage in a patch": {serveWire(t, &rude{answer: &wire.InterceptorResult{Allowed: true, Patches: []*wire.JsonPatch{{Op: "nonsense"}}}}), interceptor.InvalidResult},
		"not gRPC": {serve(t, "unix", func(ctx context.Context, lis net.Listener) error {
			context.AfterFunc(ctx, func() { _ = lis.Close() })
			for {
				conn, err := lis.Accept()
				if err != nil {
					return nil
				}
				_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\ngarbage"))
				_ = conn.Close()
			}
		}), interceptor.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			client := dial(t, tc.endpoint, remote.MaxResponseBytes(4096))
			plan := &interceptor.Plan{Unmatched: interceptor.UnmatchedDeny, Bindings: []interceptor.Binding{{
				Interceptor: "i", ID: "b", Phases: []interceptor.Phase{interceptor.ModifyOperation}, Impl: client, Timeout: 300 * time.Millisecond,
			}}}
			chain, err := interceptor.New(plan, interceptor.Discard)
			if err != nil {
				t.Fatal(err)
			}
			out := chain.Run(t.Context(), &interceptor.Operation{Service: "s", Method: "M", Request: &sandboxv1.CreateSandboxRequest{}},
				func(context.Context, proto.Message) (proto.Message, error) {
					t.Error("the handler was called")
					return nil, nil
				})
			if err := chain.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := out.Parts[0].Failure; got == nil || got.Kind != tc.kind {
				t.Errorf("failure %+v; want kind %s", got, tc.kind)
			}
			if strings.Contains(out.Status.String(), "sock") {
				t.Errorf("the caller is told %s", out.Status)
			}
		})
	}
}

func TestADenyStandsWhateverItsPatchesAre(t *testing.T) {
	// The value that is set to nothing has no JSON form.
	client := dial(t, serveWire(t, &rude{answer: &wire.InterceptorResult{StatusCode: "OK", Reason: "no", Patches: []*wire.JsonPatch{{Op: "add", Path: "x", Value: badValue()}}}}))
	got, err := client.Evaluate(t.Context(), evaluation())
	if err != nil || got.Decision != interceptor.Deny || len(got.Patches) != 1 {
		t.Errorf("result %+v, %v", got, err)
	}
}

func TestAPayloadWithoutJSONFormIsToldInWords(t *testing.T) {
	client := dial(t, serveInterceptor(t, "unix", allow))
	e := evaluation()
	e.Payload = interceptor.NewPayload(&anypb.Any{TypeUrl: "type.example/nobody.Knows", Value: []byte{8, 1}})
	_, err := client.Evaluate(t.Context(), e)
	const want = `cannot show the payload: write payload of google.protobuf.Any: no JSON form: it holds a google.protobuf.Any of type "type.example/nobody.Knows", which is not known here`
	if f := (*interceptor.Failure)(nil); !errors.As(err, &f) || f.Kind != interceptor.InvalidResult || f.Detail != want {
		t.Errorf("got %v", err)
	}
}

func TestBadEvaluationsAreRefused(t *testing.T) {
	endpoint := serveInterceptor(t, "unix", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		t.Error("the interceptor was asked")
		return nil, nil
	}))
	conn, err := grpc.NewClient(endpoint, insecureCredentials())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stub := wire.NewGatewayInterceptorClient(conn)
	for _, request := range []*wire.InterceptorEvaluation{
		{}, {Phase: &wire.InterceptorEvaluation_Validate{}}, {Phase: &wire.InterceptorEvaluation_PostCommit{PostCommit: &wire.PostCommitEvaluation{}}},
	} {
		if _, err := stub.Evaluate(t.Context(), request); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", request, err)
		}
	}
	if got, err := stub.SnapshotProviderProfiles(t.Context(), &wire.ProviderProfileSnapshotRequest{}); err != nil || len(got.GetProfiles()) != 0 {
		t.Errorf("profiles %v, %v", got, err)
	}
}
