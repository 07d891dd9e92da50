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
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// BenchmarkRemote compares an operation with one remote binding, over a socket,
// with a call that gRPC makes by itself: the same message, the same options of
// the server, and an answer that says as much.
func BenchmarkRemote(b *testing.B) {
	op := &interceptor.Operation{
		Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox", Principal: map[string]string{"kind": "user", "subject": "alice"},
		Request: request(),
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
		payload, err := structpb.NewStruct(map[string]any{"sandbox": map[string]any{
			"name": "a", "resourceVersion": "1152921504606846976", "spec": map[string]any{"replicas": 5, "credentials": map[string]any{"tokenHint": "hint"}},
		}})
		if err != nil {
			b.Fatal(err)
		}
		request := &wire.InterceptorEvaluation{
			InterceptorName: "configured", BindingId: "b", Service: op.Service, Method: op.Method, Principal: op.Principal,
			Phase: &wire.InterceptorEvaluation_Validate{Validate: &wire.ValidateEvaluation{ProposedOperation: payload}},
		}
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			if answer, err := stub.Evaluate(ctx, request); err != nil || !answer.GetAllowed() {
				b.Fatal(answer, err)
			}
			cancel()
		}
	})
	b.Run("binding", func(b *testing.B) {
		chain, err := interceptor.New(&interceptor.Plan{Unmatched: interceptor.UnmatchedDeny, Bindings: []interceptor.Binding{{
			Interceptor: "configured", ID: "b", Phases: []interceptor.Phase{interceptor.Validate}, Impl: dial(b, serveInterceptor(b, "unix", allow)), Timeout: time.Minute,
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
	})
}
