// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// sandbox is the request of somebody who wants one, as the demo's callers do.
func sandbox() *sandboxv1.CreateSandboxRequest {
	return &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{
		Name: "red-7", Annotations: map[string]string{"ticket": "OPS-1007"}, Labels: map[string]string{"team": "red", "managed-by": "hand"},
		Spec: &sandboxv1.SandboxSpec{
			Image: "registry.example/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Replicas: 3,
			Environment: map[string]string{"STAGE": "production"},
			Credentials: &sandboxv1.Credentials{Token: "canary", TokenHint: "hint", Secrets: map[string]string{"db": "canary"}},
			Ports:       []*sandboxv1.Port{{Number: 8007, Name: "http"}}, Tier: sandboxv1.Tier_TIER_LARGE,
		},
	}}
}

// BenchmarkRemote compares an operation with one remote binding, over a socket,
// with a call that gRPC makes by itself (bare): the same message under the same
// deadline, the same options of the server, and an answer that says as much. In
// between is the operation with the binding in process (local), which like every
// record of an operation asks for the payload's JSON: binding - local is what it
// adds that an interceptor is remote.
func BenchmarkRemote(b *testing.B) {
	const deadline = 10 * time.Second // more than a busy machine takes
	op := &interceptor.Operation{
		Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox", Principal: map[string]string{"kind": "user", "subject": "alice"},
		Request: sandbox(),
	}
	b.Run("bare", func(b *testing.B) {
		endpoint := serve(b, "unix", func(ctx context.Context, lis net.Listener) error {
			server := grpc.NewServer(grpc.MaxRecvMsgSize(remote.MaxMessageBytes), grpc.MaxSendMsgSize(remote.MaxMessageBytes),
				grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
			wire.RegisterGatewayInterceptorServer(server, &rude{answer: &wire.InterceptorResult{Allowed: true}})
			stop := context.AfterFunc(ctx, server.Stop)
			defer stop()
			return server.Serve(lis)
		})
		conn, err := grpc.NewClient(endpoint, insecureCredentials())
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		stub := wire.NewGatewayInterceptorClient(conn)
		raw, err := interceptor.NewPayload(op.Request).JSON()
		if err != nil {
			b.Fatal(err)
		}
		payload := &structpb.Struct{}
		if err := protojson.Unmarshal(raw, payload); err != nil {
			b.Fatal(err)
		}
		request := &wire.InterceptorEvaluation{
			InterceptorName: "configured", BindingId: "b", Service: op.Service, Method: op.Method, Principal: op.Principal,
			Phase: &wire.InterceptorEvaluation_Validate{Validate: &wire.ValidateEvaluation{ProposedOperation: payload}},
		}
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(ctx, deadline)
			if answer, err := stub.Evaluate(ctx, request); err != nil || !answer.GetAllowed() {
				b.Fatal(answer, err)
			}
			cancel()
		}
	})
	run := func(b *testing.B, endpoint string, impl interceptor.Interceptor) {
		chain, err := interceptor.New(&interceptor.Plan{Unmatched: interceptor.UnmatchedDeny, Bindings: []interceptor.Binding{{
			Interceptor: "configured", ID: "b", Phases: []interceptor.Phase{interceptor.Validate}, Impl: impl, Timeout: deadline, Endpoint: endpoint,
		}}}, interceptor.Discard)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = chain.Close(context.Background()) }()
		answer := &sandboxv1.CreateSandboxResponse{}
		handler := func(context.Context, proto.Message) (proto.Message, error) { return answer, nil }
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			op := *op
			if out := chain.Run(ctx, &op, handler); !out.Ran {
				b.Fatal(out.Status)
			}
		}
	}
	b.Run("local", func(b *testing.B) {
		run(b, "", interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
			if _, err := e.Payload.JSON(); err != nil {
				return nil, err
			}
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		}))
	})
	b.Run("binding", func(b *testing.B) {
		endpoint := serveInterceptor(b, "unix", allow)
		run(b, endpoint, dial(b, endpoint))
	})
}
