// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// request is a CreateSandboxRequest with a secret, a field of unknown number
// at two depths, and its fields in an order that no encoder would choose.
func request(t *testing.T) []byte {
	t.Helper()
	sandbox := encode(t, &sandboxv1.Sandbox{
		Labels: map[string]string{"team": "a"},
		Spec:   &sandboxv1.SandboxSpec{Image: "docker.io/x", Credentials: &sandboxv1.Credentials{Token: "canary", TokenHint: "public", Secrets: map[string]string{"k": "canary2"}}},
	})
	sandbox = append(sandbox, "\xfa\x3f\x03new"...)                        // field 1023
	sandbox = append(sandbox, encode(t, &sandboxv1.Sandbox{Name: "n"})...) // field 1, last
	raw := append([]byte{0x0a, byte(len(sandbox) & 0x7f)}, sandbox...)
	if len(sandbox) > 0x7f {
		raw = append([]byte{0x0a, byte(len(sandbox)&0x7f | 0x80), byte(len(sandbox) >> 7)}, sandbox...)
	}
	return append(raw, "\xf8\x3f\x07"...) // field 1023, a number
}

// governedProxy is a proxy that governs CreateSandbox by f and a function that
// calls it. What the upstream is given is kept in the returned pointer.
func governedProxy(t *testing.T, rec interceptor.Recorder, edit func(*interceptor.Plan), f interceptor.Func) (u *upstream, got *[]byte, conn *grpc.ClientConn) {
	t.Helper()
	u = newUpstream(t, "", nil)
	got = new([]byte)
	u.script(create, func(ss grpc.ServerStream) error {
		if err := ss.SetHeader(headers); err != nil {
			return err
		}
		ss.SetTrailer(tails)
		return answering(func(b []byte) ([]byte, error) {
			*got = b
			return append(encode(t, &sandboxv1.CreateSandboxResponse{Session: &sandboxv1.Session{Id: "i", AccessToken: "canary3"}}), "\xf8\x3f\x07"...), nil
		})(ss)
	})
	_, conn = serveProxy(t, u, Config{
		Chain: newChain(t, rec, edit, bind(create, f)), Descriptors: descriptorSet(t),
		Tenant: TenantFrom("x-tenant", "fallback"), Principal: PrincipalFrom("x-user"),
	})
	return u, got, conn
}

func TestAllowedPassesUntouched(t *testing.T) {
	rec := &recorder{}
	var shown string
	u, got, conn := governedProxy(t, rec, nil, func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		raw, err := e.Payload.JSON()
		shown = string(raw)
		return &interceptor.Result{Decision: interceptor.Allow}, err
	})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-tenant", "acme", "x-user", "alice", "docket-operation-uid", "forged",
		"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "authorization", "Bearer canary4")
	in := request(t)
	response, header, trailer, err := unary(ctx, conn, create, in)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(*got, in) {
		t.Errorf("the upstream got\n%x, the caller sent\n%x", *got, in)
	}
	if want := append(encode(t, &sandboxv1.CreateSandboxResponse{Session: &sandboxv1.Session{Id: "i", AccessToken: "canary3"}}), "\xf8\x3f\x07"...); !bytes.Equal(response, want) {
		t.Errorf("the caller got %x, want %x", response, want)
	}
	if strings.Contains(shown, "canary") || !strings.Contains(shown, `"tokenHint":"public"`) || !strings.Contains(shown, `"name":"n"`) {
		t.Errorf("the binding was shown %s", shown)
	}

	op, outcome := rec.newest(t)
	if outcome.Decision != interceptor.Allow || !outcome.Ran || Status(outcome).Code() != codes.OK {
		t.Errorf("outcome %+v", outcome)
	}
	want := map[string]string{"kind": "user", "subject": "alice"}
	if d := cmp.Diff(want, op.Principal); d != "" || op.Tenant != "acme" || op.Trace.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("operation %+v", op)
	}
	if !strings.HasPrefix(op.Attributes["user_agent"], "grpc-go/") {
		t.Errorf("attributes %v", op.Attributes)
	}
	for where, value := range map[string][]string{"trailer": trailer.Get("docket-operation-uid"), "upstream": u.saw(create).Get("docket-operation-uid")} {
		if len(value) != 1 || value[0] != string(op.UID) {
			t.Errorf("%s says operation %q, want %s", where, value, op.UID)
		}
	}
	if d := cmp.Diff([]string{"1", "2"}, header.Get("h")); d != "" || len(trailer.Get("t-bin")) != 1 || len(trailer.Get("docket-audit")) != 0 {
		t.Errorf("header %v, trailer %v", header, trailer)
	}
	if got := u.saw(create).Get("authorization"); len(got) != 1 {
		t.Errorf("the caller's credentials did not arrive: %v", got)
	}
}

func TestModified(t *testing.T) {
	rec := &recorder{}
	_, got, conn := governedProxy(t, rec, nil, func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "replace", Path: "/sandbox/spec/image", Value: []byte(`"safe"`)}}}, nil
	})
	if _, _, _, err := unary(t.Context(), conn, create, request(t)); err != nil {
		t.Fatal(err)
	}
	sent, arrived := &sandboxv1.CreateSandboxRequest{}, &sandboxv1.CreateSandboxRequest{}
	if err := errors.Join(proto.Unmarshal(request(t), sent), proto.Unmarshal(*got, arrived)); err != nil {
		t.Fatal(err)
	}
	sent.Sandbox.Spec.Image = "safe"
	// Secrets and unknown fields are compared too.
	if d := cmp.Diff(sent, arrived, protocmp.Transform()); d != "" {
		t.Errorf("the upstream got another thing than the patched request: %s", d)
	}
	if op, outcome := rec.newest(t); outcome.Decision != interceptor.Modify || op.Tenant != "fallback" || op.Principal["kind"] != "anonymous" {
		t.Errorf("operation %+v, outcome %+v", op, outcome)
	}
}

// A patch that changes nothing leaves the caller's bytes as they are.
func TestModifiedToTheSame(t *testing.T) {
	_, got, conn := governedProxy(t, nil, nil, func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "test", Path: "/sandbox/name", Value: []byte(`"n"`)}}}, nil
	})
	in := request(t)
	if _, _, _, err := unary(t.Context(), conn, create, in); err != nil || !bytes.Equal(*got, in) {
		t.Errorf("%v, the upstream got %x", err, *got)
	}
}

func TestDeniedNeverArrives(t *testing.T) {
	for _, c := range []struct {
		name string
		f    interceptor.Func
		code codes.Code
		msg  string
	}{
		{"deny", func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "no such image", StatusCode: "FAILED_PRECONDITION"}, nil
		}, codes.FailedPrecondition, "no such image"},
		{"deny as OK", func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "no", StatusCode: "OK"}, nil
		}, codes.PermissionDenied, "no"},
		{"failure", func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			return nil, status.Error(codes.Unavailable, "dial unix /secret.sock")
		}, codes.PermissionDenied, "denied"},
		{"panic", func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { panic("secret") }, codes.PermissionDenied, "denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := &recorder{}
			u, _, conn := governedProxy(t, rec, nil, c.f)
			_, header, trailer, err := unary(t.Context(), conn, create, request(t))
			s := status.Convert(err)
			if s.Code() != c.code || !strings.Contains(s.Message(), c.msg) || strings.Contains(s.Message(), "secret") {
				t.Errorf("answered %v", err)
			}
			if n := u.called(create); n != 0 {
				t.Errorf("the upstream was called %d times", n)
			}
			op, outcome := rec.newest(t)
			if uid := trailer.Get("docket-operation-uid"); len(uid) != 1 || uid[0] != string(op.UID) {
				t.Errorf("trailer %v, operation %s", trailer, op.UID)
			}
			if outcome.Ran || outcome.Decision != interceptor.Deny || len(header.Get("h")) > 0 {
				t.Errorf("outcome %+v, header %v", outcome, header)
			}
		})
	}
}

func TestFailOpenArrives(t *testing.T) {
	u, _, conn := governedProxy(t, nil, func(p *interceptor.Plan) { p.Bindings[0].FailurePolicy = interceptor.FailOpen },
		func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			return nil, errors.New("broken")
		})
	if _, _, _, err := unary(t.Context(), conn, create, request(t)); err != nil || u.called(create) != 1 {
		t.Errorf("%v, called %d", err, u.called(create))
	}
}

// The upstream's own error goes back whole, with the operation.
func TestUpstreamError(t *testing.T) {
	u, _, conn := governedProxy(t, nil, nil, allowing)
	want := withDetails(t, codes.AlreadyExists, "name taken")
	u.script(create, func(ss grpc.ServerStream) error {
		ss.SetTrailer(tails)
		return want
	})
	_, _, trailer, err := unary(t.Context(), conn, create, request(t))
	if d := cmp.Diff(status.Convert(want).Proto(), status.Convert(err).Proto(), protocmp.Transform()); d != "" {
		t.Error(d)
	}
	if uid := trailer.Get("docket-operation-uid"); len(uid) != 1 || uid[0] == "the upstream's own" || len(trailer.Get("t-bin")) != 1 {
		t.Errorf("trailer %v", trailer)
	}
}

func TestAuditPending(t *testing.T) {
	for answer, want := range map[string]codes.Code{interceptor.AnswerRelease: codes.OK, interceptor.AnswerWithhold: codes.Unknown} {
		// Durable up to the handler, and then no longer.
		rec := &recorder{barrier: func(ctx context.Context, recorded bool) error {
			if recorded {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		u, _, conn := governedProxy(t, rec, func(p *interceptor.Plan) {
			p.Answer, p.AuditDeadline = answer, 20*time.Millisecond
		}, allowing)
		response, header, trailer, err := unary(t.Context(), conn, create, request(t))
		if status.Code(err) != want || u.called(create) != 1 {
			t.Errorf("%s: answered %v, called %d", answer, err, u.called(create))
		}
		if d := cmp.Diff([]string{"pending"}, trailer.Get("docket-audit")); d != "" || len(trailer.Get("docket-operation-uid")) != 1 {
			t.Errorf("%s: trailer %v", answer, trailer)
		}
		if withheld := want != codes.OK; withheld && len(response)+len(header.Get("h"))+len(trailer.Get("t")) > 0 {
			t.Errorf("withheld, and told: %x, %v, %v", response, header, trailer)
		}
	}
}

// A refusal whose record is not durable in time says so, too.
func TestRefusalPending(t *testing.T) {
	rec := &recorder{barrier: func(ctx context.Context, _ bool) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	_, _, conn := governedProxy(t, rec, func(p *interceptor.Plan) { p.AuditDeadline = 20 * time.Millisecond }, allowing)
	tr := converse(t.Context(), conn, create, false, nil)
	if tr.Code != codes.InvalidArgument || strings.Join(tr.Trailer.Get("docket-audit"), "") != "pending" || len(tr.Trailer.Get("docket-operation-uid")) != 1 {
		t.Errorf("got %+v", tr)
	}
}

// The details of the upstream's status stay the very bytes that they were, in one
// trailer.
func TestGovernedStatusDetailsUntouched(t *testing.T) {
	const odd = "\x1a\x04\x0a\x00\x12\x00\x08\x0a\x12\x01m\x78\x01" // no encoder would write it so
	u, _, conn := governedProxy(t, nil, nil, allowing)
	u.script(create, func(ss grpc.ServerStream) error {
		ss.SetTrailer(metadata.Pairs("grpc-status-details-bin", odd))
		return status.Error(codes.Aborted, "m")
	})
	tr := converse(t.Context(), conn, create, false, [][]byte{request(t)})
	if got := tr.Trailer.Get("grpc-status-details-bin"); tr.Code != codes.Aborted || len(got) != 1 || got[0] != odd {
		t.Errorf("got %q, want %q (%+v)", got, odd, tr)
	}
}

// refusedAndRecorded checks that a call was answered with the code, never
// reached the upstream, and is in the record as a denied operation whose reason
// is what the caller was told, without its request.
func refusedAndRecorded(t *testing.T, u *upstream, full string, tr transcript, rec *recorder, code codes.Code, reason string) {
	t.Helper()
	if tr.Code != code || !strings.Contains(tr.Message, reason) || u.called(full) != 0 {
		t.Errorf("got %+v, called %d; want %s %q", tr, u.called(full), code, reason)
	}
	op, outcome := rec.newest(t)
	if uid := tr.Trailer.Get("docket-operation-uid"); len(uid) != 1 || uid[0] != string(op.UID) {
		t.Errorf("trailer %v, operation %q", tr.Trailer, op.UID)
	}
	if outcome.Decision != interceptor.Deny || outcome.Ran || outcome.Reason != tr.Message || outcome.Status.Code() != code {
		t.Errorf("outcome %+v", outcome)
	}
	if op.Request != nil || outcome.Request != nil || op.Start.IsZero() || "/"+op.Service+"/"+op.Method != full {
		t.Errorf("operation %+v", op)
	}
}

func TestRequestRefused(t *testing.T) {
	rec := &recorder{}
	u, _, conn := governedProxy(t, rec, func(p *interceptor.Plan) { p.Bindings[0].FailurePolicy = interceptor.FailOpen },
		func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			return nil, errors.New("called")
		})
	big := encode(t, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: strings.Repeat("x", 1<<20)}})
	size := fmt.Sprintf("the request has %d bytes, a governed one at most %d", len(big), 1<<20)
	for name, c := range map[string]struct {
		messages [][]byte
		code     codes.Code
		reason   string
	}{
		"too large":    {[][]byte{big}, codes.ResourceExhausted, size},
		"not protobuf": {[][]byte{{0xff}}, codes.InvalidArgument, "not a demo.sandbox.v1.CreateSandboxRequest"},
		"none":         {nil, codes.InvalidArgument, "not none"},
		"several":      {[][]byte{{}, {}}, codes.InvalidArgument, "not several"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := converse(t.Context(), conn, create, false, c.messages)
			refusedAndRecorded(t, u, create, tr, rec, c.code, c.reason)
		})
	}
	t.Run("too large when unpacked", func(t *testing.T) {
		tr := converse(t.Context(), conn, create, false, [][]byte{big}, grpc.UseCompressor("gzip"))
		refusedAndRecorded(t, u, create, tr, rec, codes.ResourceExhausted, fmt.Sprintf("more than the %d bytes", 1<<20))
	})
	t.Run("not in protobuf", func(t *testing.T) {
		tr := converse(t.Context(), conn, create, false, [][]byte{{}}, grpc.CallContentSubtype("json"))
		refusedAndRecorded(t, u, create, tr, rec, codes.Unimplemented, `not "json"`)
	})
	if n := len(rec.outcomes); n != 6 {
		t.Errorf("%d outcomes of 6 calls", n)
	}
	if _, _, _, err := unary(t.Context(), conn, create, big[:0]); err != nil {
		t.Errorf("an empty request: %v", err)
	}
}

// huge is more than the memory that calls with it may take.
const huge = 100 << 20

// Governed requests that are too long are not read: many at once, also such as
// only unpack to that length, take next to no memory.
func TestHugeRequestsTakeNoMemory(t *testing.T) {
	rec := &recorder{}
	u := newUpstream(t, "", nil)
	_, conn := serveProxy(t, u, Config{Chain: newChain(t, rec, nil, bind(create, allowing)), Descriptors: descriptorSet(t)})
	payload := make([]byte, huge)
	for name, c := range map[string]struct {
		calls int
		opts  []grpc.CallOption
	}{"plain": {8, nil}, "gzip": {2, []grpc.CallOption{grpc.UseCompressor("gzip")}}} { // packing takes long
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var wg sync.WaitGroup
		for range c.calls {
			wg.Go(func() {
				tr := converse(t.Context(), conn, create, false, [][]byte{payload}, c.opts...)
				if tr.Code != codes.ResourceExhausted {
					t.Errorf("%s: got %+v", name, tr)
				}
			})
		}
		wg.Wait()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 { // of 200 MiB at least
			t.Errorf("%s: %d MiB were allocated", name, n>>20)
		}
	}
	if len(rec.outcomes) != 10 || u.called(create) != 0 {
		t.Errorf("%d outcomes of 10 calls, %d arrived", len(rec.outcomes), u.called(create))
	}
}

// gRPC's transport must offer what requests are refused by, whatever its version.
func TestGovernedRequestsAreReadByLength(t *testing.T) {
	u := newUpstream(t, "", nil)
	var ok bool
	u.script("/s/m", func(ss grpc.ServerStream) error {
		_, ok = grpc.ServerTransportStreamFromContext(ss.Context()).(byLength)
		return nil
	})
	_, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil)})
	if tr := converse(t.Context(), conn, "/s/m", false, nil); tr.Code != codes.OK || !ok {
		t.Errorf("got %+v; the length of a message can be read first: %v", tr, ok)
	}
}

func TestLongMessagesAreNotCopied(t *testing.T) {
	data := mem.BufferSlice{mem.SliceBuffer(make([]byte, 100)), mem.SliceBuffer(make([]byte, 1))}
	for limit, kept := range map[int]int{0: 101, 100: 0, 101: 101} {
		f := frame{limit: limit}
		if err := (rawCodec{}).Unmarshal(data, &f); err != nil || len(f.payload) != kept || f.size != 101 {
			t.Errorf("limit %d: %d bytes of %d kept, %v", limit, len(f.payload), f.size, err)
		}
	}
}

// streams is the demo's service with every method a stream.
func streams(t *testing.T) *protoregistry.Files {
	t.Helper()
	f := protodesc.ToFileDescriptorProto(sandboxv1.File_demo_sandbox_v1_sandbox_proto)
	for _, m := range f.GetService()[0].GetMethod() {
		m.ServerStreaming = proto.Bool(true)
	}
	files, err := link(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{f}})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A governed method that turns out to be a stream, or to be unknown, is denied
// unread, whatever the failure policy.
func TestGovernedMethodRefused(t *testing.T) {
	edit := func(p *interceptor.Plan) { p.Bindings[0].FailurePolicy = interceptor.FailOpen }
	t.Run("stream", func(t *testing.T) {
		rec := &recorder{}
		u := newUpstream(t, "v1", streams(t))
		_, conn := serveProxy(t, u, Config{Chain: newChain(t, rec, edit, bind(create, allowing))})
		tr := converse(t.Context(), conn, create, false, [][]byte{{}, {}})
		refusedAndRecorded(t, u, create, tr, rec, codes.FailedPrecondition, "streaming methods cannot be")
	})
	t.Run("stream that no binding names", func(t *testing.T) {
		rec := &recorder{}
		u := newUpstream(t, "v1", streams(t))
		_, conn := serveProxy(t, u, Config{Chain: newChain(t, rec, func(p *interceptor.Plan) {
			edit(p)
			p.Unmatched = interceptor.UnmatchedDeny
		}, bind("", allowing))})
		tr := converse(t.Context(), conn, create, false, [][]byte{{}})
		refusedAndRecorded(t, u, create, tr, rec, codes.PermissionDenied, "no binding governs this method")
	})
	t.Run("no descriptor", func(t *testing.T) {
		rec := &recorder{}
		u := newUpstream(t, "", nil)
		_, conn := serveProxy(t, u, Config{Chain: newChain(t, rec, edit, bind(create, allowing))})
		tr := converse(t.Context(), conn, create, false, [][]byte{{}})
		refusedAndRecorded(t, u, create, tr, rec, codes.FailedPrecondition, "has no descriptor")
	})
	t.Run("upstream away", func(t *testing.T) {
		rec := &recorder{}
		u := newUpstream(t, "v1", nil)
		down := &atomic.Bool{}
		down.Store(true)
		_, conn := serveProxy(t, u, Config{Chain: newChain(t, rec, edit, bind(create, allowing)), Upstream: gated{dial(t, u.lis), down}})
		tr := converse(t.Context(), conn, create, false, [][]byte{{}})
		refusedAndRecorded(t, u, create, tr, rec, codes.Unavailable, "descriptor of")
	})
}

// A response that is not of its type goes to the caller as it is.
func TestStrangeResponse(t *testing.T) {
	rec := &recorder{}
	u, _, conn := governedProxy(t, rec, nil, allowing)
	u.script(create, answering(func([]byte) ([]byte, error) { return []byte{0xff, 0xff}, nil }))
	response, _, _, err := unary(t.Context(), conn, create, request(t))
	if _, outcome := rec.newest(t); err != nil || !bytes.Equal(response, []byte{0xff, 0xff}) || !outcome.Ran || outcome.Response == nil {
		t.Errorf("%v, %x, %+v", err, response, outcome)
	}
}

// A caller who leaves before the request is there has an operation as well.
func TestCallerLeavesBeforeTheRequest(t *testing.T) {
	arrived, recorded := make(chan struct{}), make(chan struct{})
	rec := &recorder{barrier: func(context.Context, bool) error {
		close(recorded)
		return nil
	}}
	u := newUpstream(t, "", nil)
	_, conn := serveProxy(t, u, Config{
		Chain:       newChain(t, rec, func(p *interceptor.Plan) { p.Bindings[0].FailurePolicy = interceptor.FailOpen }, bind(create, allowing)),
		Descriptors: descriptorSet(t),
		Tenant: func(metadata.MD) (string, error) {
			close(arrived)
			return "", nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, create, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	<-arrived
	cancel()
	if err := stream.RecvMsg(&frame{}); status.Code(err) != codes.Canceled {
		t.Errorf("answered %v", err)
	}
	<-recorded
	if op, outcome := rec.newest(t); u.called(create) != 0 || outcome.Decision != interceptor.Deny || outcome.Ran || outcome.Status.Code() != codes.Canceled || op.UID == "" {
		t.Errorf("called %d, outcome %+v", u.called(create), outcome)
	}
}

// A caller who left has no operation done, whatever the failure policy.
func TestCallerLeavesDuringEvaluation(t *testing.T) {
	for _, policy := range []interceptor.FailurePolicy{interceptor.FailClosed, interceptor.FailOpen} {
		t.Run(policy.String(), func(t *testing.T) { callerLeaves(t, policy) })
	}
}

func callerLeaves(t *testing.T, policy interceptor.FailurePolicy) {
	began, ended := make(chan struct{}), make(chan struct{})
	rec := &recorder{barrier: func(_ context.Context, recorded bool) error {
		if recorded {
			close(ended)
		}
		return nil
	}}
	u, _, conn := governedProxy(t, rec, func(p *interceptor.Plan) { p.Bindings[0].FailurePolicy = policy }, func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if _, _, _, err := unary(ctx, conn, create, request(t)); status.Code(err) != codes.Canceled {
		t.Errorf("answered %v", err)
	}
	<-ended // the caller does not wait for that
	_, outcome := rec.newest(t)
	if f := outcome.Parts[0].Failure; u.called(create) != 0 || outcome.Ran || outcome.Decision != interceptor.Deny || f == nil || f.Kind != interceptor.Cancelled {
		t.Errorf("called %d, outcome %+v, failure %+v", u.called(create), outcome, f)
	}
}

// With unmatched = "deny" a method without a binding is denied unread, stream
// or not, and that is recorded.
func TestUnmatchedDenied(t *testing.T) {
	rec := &recorder{}
	u, _, conn := governedProxy(t, rec, func(p *interceptor.Plan) { p.Unmatched = interceptor.UnmatchedDeny }, allowing)
	for _, messages := range [][][]byte{{{8, 1}}, {{1}, {2}}, nil} {
		tr := converse(t.Context(), conn, get, false, messages)
		op, outcome := rec.newest(t)
		if tr.Code != codes.PermissionDenied || u.called(get) != 0 || len(tr.Trailer.Get("docket-operation-uid")) != 1 || tr.Trailer.Get("docket-operation-uid")[0] != string(op.UID) {
			t.Errorf("got %+v, called %d", tr, u.called(get))
		}
		if outcome.Decision != interceptor.Deny || outcome.Ran || op.Method != "GetSandbox" {
			t.Errorf("operation %+v, outcome %+v", op, outcome)
		}
	}
}

// A binding for every method does not select streams.
func TestEveryMethod(t *testing.T) {
	rec := &recorder{}
	u := newUpstream(t, "", nil)
	for _, m := range []string{create, get} {
		u.script(m, answering(func([]byte) ([]byte, error) { return nil, nil }))
	}
	p, conn := serveProxy(t, u, Config{Chain: newChain(t, rec, nil, bind("", allowing)), Descriptors: descriptorSet(t)})
	for _, m := range []string{create, get} {
		if _, _, trailer, err := unary(t.Context(), conn, m, nil); err != nil || len(trailer.Get("docket-operation-uid")) != 1 {
			t.Errorf("%s: %v", m, err)
		}
	}
	if _, _, _, err := unary(t.Context(), conn, "/unknown.Service/Method", nil); status.Code(err) != codes.FailedPrecondition || u.called("/unknown.Service/Method") != 0 {
		t.Errorf("a method without descriptor: %v", err)
	}
	if n := p.Ungoverned(); len(n) != 0 {
		t.Errorf("ungoverned: %v", n)
	}
}
