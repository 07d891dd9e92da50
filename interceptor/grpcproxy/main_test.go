// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	v1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	v1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	optionsv1 "github.com/docket-audit/docket/schemas/proto/openshell/options/v1"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == proxyProcess {
		runProxyProcess(os.Args[2], os.Args[3])
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	create = "/demo.sandbox.v1.Sandboxes/CreateSandbox"
	get    = "/demo.sandbox.v1.Sandboxes/GetSandbox"
)

// eitherCodec carries frames as they are and messages as protobuf, so that a
// test's server can answer raw calls and reflection.
type eitherCodec struct{ rawCodec }

func (eitherCodec) Marshal(v any) (mem.BufferSlice, error) {
	switch v.(type) {
	case *frame, *whole:
		return rawCodec{}.Marshal(v)
	}
	return encoding.GetCodecV2("proto").Marshal(v)
}

func (eitherCodec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v.(type) {
	case *frame, *whole:
		return rawCodec{}.Unmarshal(data, v)
	}
	return encoding.GetCodecV2("proto").Unmarshal(data, v)
}

// An upstream is a server whose every method is a script.
type upstream struct {
	lis     *bufconn.Listener
	stop    func()
	scripts map[string]func(grpc.ServerStream) error

	mu    sync.Mutex
	calls map[string]int         // guarded by mu
	seen  map[string]metadata.MD // of the newest call of each method; guarded by mu
}

// newUpstream serves until the test ends. Services are those that reflection
// tells of, in the version, "v1", "v1alpha" or "" for none.
func newUpstream(t *testing.T, version string, resolver protodesc.Resolver) *upstream {
	t.Helper()
	u := &upstream{lis: bufconn.Listen(1 << 20), scripts: map[string]func(grpc.ServerStream) error{}, calls: map[string]int{}, seen: map[string]metadata.MD{}}
	srv := grpc.NewServer(grpc.ForceServerCodecV2(eitherCodec{}), grpc.UnknownServiceHandler(u.handle), grpc.MaxRecvMsgSize(64<<20), grpc.WaitForHandlers(true))
	opts := reflection.ServerOptions{Services: told{}, DescriptorResolver: resolver}
	switch version {
	case "v1":
		v1.RegisterServerReflectionServer(srv, reflection.NewServerV1(opts))
	case "v1alpha":
		v1alpha.RegisterServerReflectionServer(srv, reflection.NewServer(opts))
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(u.lis) }()
	u.stop = sync.OnceFunc(func() {
		srv.Stop()
		// A test may be over before the server has begun to serve.
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	t.Cleanup(u.stop)
	return u
}

// told is what reflection tells.
type told struct{}

func (told) GetServiceInfo() map[string]grpc.ServiceInfo {
	return map[string]grpc.ServiceInfo{"demo.sandbox.v1.Sandboxes": {}}
}

func (u *upstream) handle(_ any, ss grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(ss)
	md, _ := metadata.FromIncomingContext(ss.Context())
	u.mu.Lock()
	u.calls[full]++
	u.seen[full] = md
	script := u.scripts[full]
	u.mu.Unlock()
	if script == nil {
		return status.Errorf(codes.Unimplemented, "unknown method %s", full)
	}
	return script(ss)
}

func (u *upstream) script(full string, s func(grpc.ServerStream) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.scripts[full] = s
}

func (u *upstream) called(full string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls[full]
}

func (u *upstream) saw(full string) metadata.MD {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen[full].Copy()
}

func dial(t *testing.T, lis *bufconn.Listener) *grpc.ClientConn {
	t.Helper()
	return dialBy(t, func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) })
}

func dialBy(t *testing.T, connect func(context.Context, string) (net.Conn, error)) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///service", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(connect),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// serveProxy serves a proxy in front of the upstream until the test ends and
// returns a connection to it.
func serveProxy(t *testing.T, u *upstream, cfg Config) (*Proxy, *grpc.ClientConn) {
	t.Helper()
	p, lis := listenProxy(t, u, cfg)
	return p, dial(t, lis)
}

// listenProxy is serveProxy for those who connect by themselves.
func listenProxy(t *testing.T, u *upstream, cfg Config) (*Proxy, *bufconn.Listener) {
	t.Helper()
	if cfg.Upstream == nil {
		cfg.Upstream = dial(t, u.lis)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	lis := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, lis) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p, lis
}

// newChain makes a chain of the bindings that lasts as long as the test.
func newChain(t *testing.T, rec interceptor.Recorder, edit func(*interceptor.Plan), bindings ...interceptor.Binding) *interceptor.Chain {
	t.Helper()
	plan := &interceptor.Plan{Bindings: bindings, Unmatched: interceptor.UnmatchedAllow}
	if edit != nil {
		edit(plan)
	}
	if rec == nil {
		rec = interceptor.Discard
	}
	chain, err := interceptor.New(plan, rec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := chain.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return chain
}

// bind makes a binding of one method in modify_operation.
func bind(rpc string, f interceptor.Func) interceptor.Binding {
	b := interceptor.Binding{Interceptor: "test", ID: "test", Phases: []interceptor.Phase{interceptor.ModifyOperation}, Impl: f, Timeout: 10 * time.Second}
	if rpc != "" {
		b.RPCs = []string{rpc[1:]}
	}
	return b
}

func allowing(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

// recorder keeps the outcomes, and may keep barriers waiting.
type recorder struct {
	mu       sync.Mutex
	outcomes []*interceptor.Outcome // guarded by mu
	ops      []interceptor.Operation
	barrier  func(ctx context.Context, recorded bool) error
}

func (r *recorder) Record(f interceptor.Fact) {
	if f.Outcome == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes = append(r.outcomes, f.Outcome)
	r.ops = append(r.ops, *f.Operation)
}

func (r *recorder) Barrier(ctx context.Context, uid interceptor.UID) error {
	if r.barrier == nil {
		return nil
	}
	r.mu.Lock()
	recorded := len(r.ops) > 0 && r.ops[len(r.ops)-1].UID == uid
	r.mu.Unlock()
	return r.barrier(ctx, recorded)
}

func (r *recorder) newest(t *testing.T) (interceptor.Operation, *interceptor.Outcome) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.outcomes) == 0 {
		t.Fatal("no outcome was recorded")
	}
	return r.ops[len(r.ops)-1], r.outcomes[len(r.outcomes)-1]
}

// descriptorSet is the FileDescriptorSet of the demo's service.
func descriptorSet(t *testing.T) []byte {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(sandboxv1.File_demo_sandbox_v1_sandbox_proto),
		protodesc.ToFileDescriptorProto(optionsv1.File_openshell_options_v1_options_proto),
	}}
	raw, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A transcript is all that a caller learns of a call.
type transcript struct {
	Header, Trailer metadata.MD
	Messages        []string // hex of a prefix, and the length
	Code            codes.Code
	Message         string
	Details         string
}

func brief(b []byte) string {
	if len(b) > 64 {
		return hex.EncodeToString(b[:64]) + "..." + time.Duration(len(b)).String()
	}
	return hex.EncodeToString(b)
}

// converse makes a call: it sends the messages, each after an answer when
// pingpong is set, half-closes, and reads to the end.
func converse(ctx context.Context, conn *grpc.ClientConn, full string, pingpong bool, messages [][]byte, opts ...grpc.CallOption) transcript {
	var tr transcript
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, full, append([]grpc.CallOption{grpc.ForceCodecV2(rawCodec{})}, opts...)...)
	if err != nil {
		tr.end(err)
		return tr
	}
	receive := func() bool {
		var f frame
		if err = stream.RecvMsg(&f); err == nil {
			tr.Messages = append(tr.Messages, brief(f.payload))
		}
		return err == nil
	}
	for _, m := range messages {
		if stream.SendMsg(&frame{payload: m}) != nil || pingpong && !receive() {
			break
		}
	}
	_ = stream.CloseSend()
	for err == nil && receive() {
	}
	tr.Header, _ = stream.Header()
	tr.Trailer = stream.Trailer()
	tr.end(err)
	return tr
}

func (tr *transcript) end(err error) {
	if errors.Is(err, io.EOF) {
		return
	}
	s, _ := status.FromError(err)
	tr.Code, tr.Message = s.Code(), s.Message()
	for _, d := range s.Proto().GetDetails() {
		tr.Details += d.GetTypeUrl() + "=" + hex.EncodeToString(d.GetValue()) + ";"
	}
}

// unary makes a unary call with these bytes.
func unary(ctx context.Context, conn *grpc.ClientConn, full string, request []byte) (response []byte, header, trailer metadata.MD, err error) {
	var out frame
	err = conn.Invoke(ctx, full, &frame{payload: request}, &out, grpc.ForceCodecV2(rawCodec{}), grpc.Header(&header), grpc.Trailer(&trailer))
	return out.payload, header, trailer, err
}

func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// answering answers a unary call with f's bytes of the request.
func answering(f func(request []byte) ([]byte, error)) func(grpc.ServerStream) error {
	return func(ss grpc.ServerStream) error {
		var in frame
		if err := ss.RecvMsg(&in); err != nil {
			return err
		}
		out, err := f(in.payload)
		if err != nil {
			return err
		}
		return ss.SendMsg(&frame{payload: out})
	}
}
