// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// namespaces are metadata of each kind of value, as they arrive.
func namespaces() map[string]map[string]any {
	return map[string]map[string]any{
		"example.a": {"text": "é\"\n", "number": 1.5, "yes": true, "none": nil, "list": []any{"x", map[string]any{"y": []any{}}}, "object": map[string]any{}},
		"example.b": {},
	}
}

// TestGrantsTravel: what a binding is granted arrives, and what it sets.
func TestGrantsTravel(t *testing.T) {
	var seen *interceptor.Evaluation
	var headers metadata.MD
	client := dial(t, serveInterceptor(t, "unix", interceptor.Func(func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		seen = e
		headers, _ = metadata.FromIncomingContext(ctx)
		return &interceptor.Result{Decision: interceptor.Allow, Metadata: namespaces()}, nil
	})))
	e := evaluation()
	e.Attributes = map[string]string{"source.address": "192.0.2.1:7", "user_agent": "x\xffy"}
	e.Principal = map[string]string{"subject": "\xff"}
	e.Metadata, e.RequestID = namespaces(), "id of the caller~"
	got, err := client.Evaluate(metadata.AppendToOutgoingContext(t.Context(), "cookie", "canary", "x-api-key", "canary", "x-request-id", "canary"), e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(namespaces(), got.Metadata); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(namespaces(), seen.Metadata); diff != "" {
		t.Error(diff)
	}
	// A caller cannot make an evaluation fail by what it calls itself.
	if diff := cmp.Diff(map[string]string{"source.address": "192.0.2.1:7", "user_agent": "x\ufffdy"}, seen.Attributes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"subject": "\ufffd"}, seen.Principal); diff != "" {
		t.Error(diff)
	}
	if seen.RequestID != e.RequestID || cmp.Diff([]string{e.RequestID}, headers.Get("x-request-id")) != "" || strings.Contains(strings.Join(headers.Get("cookie"), "")+strings.Join(headers.Get("x-api-key"), ""), "canary") {
		t.Errorf("request id %q, metadata %v", seen.RequestID, headers)
	}
	for _, id := range []string{"", "a\nb", "é", strings.Repeat("x", 129)} {
		e.RequestID = id
		if _, err := client.Evaluate(t.Context(), e); err != nil || len(headers.Get("x-request-id")) != 0 || seen.RequestID != "" {
			t.Errorf("request id %q: %v, %v", id, headers, err)
		}
	}
	e.Metadata = map[string]map[string]any{"a": {"b": math.NaN()}}
	if _, err := client.Evaluate(t.Context(), e); !strings.Contains(fault(t, err), "write metadata") {
		t.Error(err)
	}
}

// fault is the detail of a failure of an invalid result.
func fault(t *testing.T, err error) string {
	t.Helper()
	f, ok := err.(*interceptor.Failure) //nolint:errorlint // as it comes
	if !ok || f.Kind != interceptor.InvalidResult {
		t.Errorf("no failure of that kind: %v", err)
		return ""
	}
	return f.Detail
}

// TestMetadataThatIsNone: a namespace is an object of values that JSON knows.
// Beside a deny it is the deny's violation.
func TestMetadataThatIsNone(t *testing.T) {
	for name, tc := range map[string]struct {
		metadata *structpb.Struct
		want     string
	}{
		"a text":      {&structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewStringValue("x")}}, `metadata namespace "a" is no object`},
		"not a value": {&structpb.Struct{Fields: map[string]*structpb.Value{"a": badValue()}}, "no JSON form"},
		"not a number": {&structpb.Struct{Fields: map[string]*structpb.Value{
			"a": structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"b": structpb.NewNumberValue(math.NaN())}}),
		}}, "no JSON form"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, serveWire(t, &rude{answer: &wire.InterceptorResult{Allowed: true, DynamicMetadata: tc.metadata}})).Evaluate(t.Context(), evaluation())
			if detail := fault(t, err); !strings.Contains(detail, tc.want) {
				t.Errorf("failure %q; want %q", detail, tc.want)
			}
			got, err := dial(t, serveWire(t, &rude{answer: &wire.InterceptorResult{DynamicMetadata: tc.metadata}})).Evaluate(t.Context(), evaluation())
			if err != nil || got.Decision != interceptor.Deny || got.Metadata != nil || !strings.Contains(got.Violation, tc.want) {
				t.Errorf("result %+v, %v", got, err)
			}
			conn, err := grpc.NewClient(serveInterceptor(t, "unix", allow), insecureCredentials())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_, err = wire.NewGatewayInterceptorClient(conn).Evaluate(t.Context(), &wire.InterceptorEvaluation{
				Metadata: tc.metadata, Phase: &wire.InterceptorEvaluation_Validate{Validate: &wire.ValidateEvaluation{ProposedOperation: emptyObject()}},
			})
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("an evaluation with it: %v", err)
			}
		})
	}
}

// TestOptionsOfGRPC: what is added to gRPC's own options counts, and finds the
// operation's trace where tracers look for it.
func TestOptionsOfGRPC(t *testing.T) {
	var parent trace.SpanContext
	client := dial(t, serve(t, "unix", func(ctx context.Context, lis net.Listener) error {
		return remote.Serve(ctx, lis, allow, remote.ServerOptions(grpc.MaxRecvMsgSize(1000)))
	}), remote.DialOptions(grpc.WithUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			parent = trace.SpanContextFromContext(ctx)
			return invoker(ctx, method, req, reply, cc, opts...)
		})))
	e := evaluation()
	if _, err := client.Evaluate(t.Context(), e); err != nil || !parent.Equal(e.Trace) {
		t.Errorf("parent %v, %v", parent, err)
	}
	e.Attributes = map[string]string{"a": strings.Repeat("x", 2000)}
	if _, err := client.Evaluate(t.Context(), e); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a long evaluation: %v", err)
	}
}

// TestBudget: what is served ends, whatever the caller says of its deadline.
func TestBudget(t *testing.T) {
	left := make(chan time.Duration, 1)
	slow := interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	for name, tc := range map[string]struct {
		opts          []remote.Option
		caller        time.Duration // 0 is none
		atMost, above time.Duration
	}{
		"by default":          {nil, 0, remote.DefaultBudget, remote.DefaultBudget / 2},
		"another":             {[]remote.Option{remote.Budget(time.Hour)}, 0, time.Hour, time.Hour / 2},
		"the caller's":        {nil, 10 * time.Second, 10 * time.Second, 5 * time.Second},
		"less than he allows": {[]remote.Option{remote.Budget(10 * time.Second)}, time.Hour, 10 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if tc.caller > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.caller)
				defer cancel()
			}
			client := dial(t, serve(t, "unix", func(ctx context.Context, lis net.Listener) error { return remote.Serve(ctx, lis, slow, tc.opts...) }))
			if _, err := client.Evaluate(ctx, evaluation()); err != nil {
				t.Fatal(err)
			}
			if got := <-left; got > tc.atMost || got < tc.above {
				t.Errorf("%s left; want some of %s", got, tc.atMost)
			}
		})
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Serve(t.Context(), lis, slow, remote.Budget(0)); err == nil {
		t.Error("served within no time")
	}
}

// lost panics when it is asked what it wants.
type lost struct{ interceptor.Func }

func (lost) Describe(context.Context) (*interceptor.Manifest, error) { panic("at a loss") }

func TestPanicsAreAnswered(t *testing.T) {
	client := dial(t, serveInterceptor(t, "unix", lost{func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { panic("at a loss") }}))
	for range 2 { // whoever panicked is there for the next call
		if _, err := client.Describe(t.Context()); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "at a loss") {
			t.Errorf("Describe: %v", err)
		}
		if _, err := client.Evaluate(t.Context(), evaluation()); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "at a loss") {
			t.Errorf("Evaluate: %v", err)
		}
	}
}

// TestNothingIsLeftOfTimeouts: main checks that no goroutine is.
func TestNothingIsLeftOfTimeouts(t *testing.T) {
	const operations, lanes = 1000, 25
	client := dial(t, serveInterceptor(t, "unix", interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})))
	rec := &ends{}
	chain, err := interceptor.New(&interceptor.Plan{Unmatched: interceptor.UnmatchedDeny, Bindings: []interceptor.Binding{{
		Interceptor: "i", ID: "b", Phases: []interceptor.Phase{interceptor.Validate}, Impl: client, Timeout: time.Millisecond,
	}}}, rec)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	for range lanes {
		go func() {
			for range operations / lanes {
				chain.Run(context.Background(), &interceptor.Operation{Service: "s", Method: "M", Request: request()}, func(context.Context, proto.Message) (proto.Message, error) {
					t.Error("the handler was called")
					return nil, nil
				})
			}
			done <- struct{}{}
		}()
	}
	for range lanes {
		<-done
	}
	if err := chain.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if len(rec.failures) != operations || len(rec.results) != 0 {
		t.Errorf("%d failures, %d results", len(rec.failures), len(rec.results))
	}
	for _, f := range rec.failures {
		if f.Kind != interceptor.Timeout && f.Kind != interceptor.Limit { // its turn did not come in time
			t.Fatalf("failure %v", f)
		}
	}
}
