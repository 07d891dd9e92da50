// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection"
	v1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	v1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// showing is a binding of a method that keeps what it was shown.
func showing(rpc string) (interceptor.Binding, func() string) {
	var shown atomic.Value
	b := bind(rpc, func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		raw, err := e.Payload.JSON()
		shown.Store(string(raw))
		return &interceptor.Result{Decision: interceptor.Allow}, err
	})
	return b, func() string {
		s, _ := shown.Load().(string)
		return s
	}
}

// An upstream that comes back with other descriptors is judged by those: here
// the same bytes are another field.
func TestUpstreamRestarted(t *testing.T) {
	for version, after := range map[string]string{"v1": "v1", "v1alpha": "v1alpha", "v1, then v1alpha": "v1alpha"} {
		t.Run(version, func(t *testing.T) {
			start := func(version, field string) *upstream {
				var c changing
				c.set(t, func(f *descriptorpb.FileDescriptorProto) {
					for _, m := range f.GetMessageType() {
						if m.GetName() == "GetSandboxRequest" {
							m.Field[0].Name, m.Field[0].JsonName = &field, &field
						}
					}
				})
				u := newUpstream(t, version, &c)
				u.script(get, answering(func([]byte) ([]byte, error) { return nil, nil }))
				return u
			}
			var current atomic.Pointer[upstream]
			first, _, _ := strings.Cut(version, ",")
			old := start(first, "name")
			current.Store(old)
			conn := dialBy(t, func(ctx context.Context, _ string) (net.Conn, error) { return current.Load().lis.DialContext(ctx) })
			b, shown := showing(get)
			_, through := serveProxy(t, nil, Config{Chain: newChain(t, nil, nil, b), Upstream: conn})
			in := encode(t, &sandboxv1.GetSandboxRequest{Name: "n"})
			if _, _, _, err := unary(t.Context(), through, get, in); err != nil || shown() != `{"name":"n"}` {
				t.Fatalf("before: %v, shown %s", err, shown())
			}
			current.Store(start(after, "other"))
			old.stop()
			// The connection's end is noticed at some time. Until then calls fail, or
			// are judged by what was known; the proxy is not restarted for it.
			for deadline := time.Now().Add(20 * time.Second); shown() != `{"other":"n"}`; time.Sleep(time.Millisecond) {
				_, _, _, err := unary(t.Context(), through, get, in)
				if err != nil && status.Code(err) != codes.Unavailable || time.Now().After(deadline) {
					t.Fatalf("after: %v, shown %s", err, shown())
				}
			}
		})
	}
}

// An upstream that comes back without the service, or without reflection, is not
// judged by what was known of another one.
func TestUpstreamForgets(t *testing.T) {
	u := newUpstream(t, "v1", nil)
	var down atomic.Bool
	r := newReflected(gated{dial(t, u.lis), &down}, time.Now)
	find := func() error {
		_, err := r.find(t.Context(), "demo.sandbox.v1.Sandboxes", "CreateSandbox")
		return err
	}
	if err := find(); err != nil {
		t.Fatal(err)
	}
	r.conns.Add(1)
	down.Store(true)
	for range 2 { // not even the second time
		if err := find(); status.Code(errors.Unwrap(err)) != codes.Unavailable {
			t.Errorf("away: %v", err)
		}
	}
	down.Store(false)
	if err := find(); err != nil {
		t.Errorf("back: %v", err)
	}
	r.conns.Add(1)
	r.upstream = dial(t, newUpstream(t, "", nil).lis)
	for range 2 {
		if err := find(); !errors.Is(err, ErrNoDescriptor) || !strings.Contains(err.Error(), "serves no reflection") {
			t.Errorf("without reflection: %v", err)
		}
	}
}

// An upstream that is not there when the proxy starts is no mistake in the
// configuration, and its calls begin to pass when it comes.
func TestUpstreamComesLater(t *testing.T) {
	dir, err := os.MkdirTemp("", "docket") // t.TempDir is too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := filepath.Join(dir, "u.sock")
	conn, err := Dial("unix://" + at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rec := &recorder{}
	b, shown := showing(create)
	p, through := serveProxy(t, nil, Config{Chain: newChain(t, rec, nil, b), Upstream: conn})
	err = p.Check(t.Context())
	var m *MethodError
	if err == nil || errors.As(err, &m) || !strings.Contains(err.Error(), `check governed methods: ask upstream for descriptors of "demo.sandbox.v1.Sandboxes"`) || !strings.Contains(err.Error(), "u.sock") {
		t.Errorf("checked: %v", err)
	}
	tr := converse(t.Context(), through, create, false, [][]byte{{}})
	if tr.Code != codes.Unavailable || tr.Message != "descriptor of demo.sandbox.v1.Sandboxes/CreateSandbox unavailable" || len(tr.Trailer.Get("docket-operation-uid")) != 1 {
		t.Errorf("answered %+v", tr)
	}
	if _, outcome := rec.newest(t); outcome.Decision != interceptor.Deny || outcome.Ran {
		t.Errorf("outcome %+v", outcome)
	}

	lis, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	u := newUpstream(t, "", nil)
	u.script(create, answering(func([]byte) ([]byte, error) { return nil, nil }))
	serveReflection(t, lis, u, reflection.ServerOptions{Services: told{}})
	conn.ResetConnectBackoff()
	for {
		tr := converse(t.Context(), through, create, false, [][]byte{{}})
		if tr.Code == codes.OK {
			break
		}
		if tr.Code != codes.Unavailable {
			t.Fatalf("answered %+v", tr)
		}
		time.Sleep(time.Millisecond)
	}
	if shown() != "{}" {
		t.Errorf("shown %s", shown())
	}
}

// serveReflection serves an upstream with the reflection that the options say.
func serveReflection(t *testing.T, lis net.Listener, u *upstream, opts reflection.ServerOptions) {
	t.Helper()
	srv := grpc.NewServer(grpc.ForceServerCodecV2(eitherCodec{}), grpc.UnknownServiceHandler(u.handle), grpc.MaxSendMsgSize(huge), grpc.WaitForHandlers(true))
	v1.RegisterServerReflectionServer(srv, reflection.NewServerV1(opts))
	v1alpha.RegisterServerReflectionServer(srv, reflection.NewServer(opts))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// large is an API of many services in a file each, which all import one file of
// many messages: about messages * 2 KiB.
func large(t *testing.T, services, messages int) (*changing, []string) {
	t.Helper()
	syntax, pkg := "proto3", "large.v1"
	common := &descriptorpb.FileDescriptorProto{Name: proto.String("common.proto"), Syntax: &syntax, Package: &pkg}
	long := strings.Repeat("x", 1900)
	for i := range messages {
		common.MessageType = append(common.MessageType, &descriptorpb.DescriptorProto{
			Name:  proto.String(fmt.Sprintf("Message%d", i)),
			Field: []*descriptorpb.FieldDescriptorProto{{Name: proto.String("f" + long), JsonName: proto.String("f"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}},
		})
	}
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{common}}
	var names []string
	for i := range services {
		name := fmt.Sprintf("Service%d", i)
		message := fmt.Sprintf(".large.v1.Message%d", i%messages)
		set.File = append(set.File, &descriptorpb.FileDescriptorProto{
			Name: proto.String(name + ".proto"), Syntax: &syntax, Package: &pkg, Dependency: []string{"common.proto"},
			Service: []*descriptorpb.ServiceDescriptorProto{{Name: &name, Method: []*descriptorpb.MethodDescriptorProto{{Name: proto.String("Call"), InputType: &message, OutputType: &message}}}},
		})
		names = append(names, "large.v1."+name)
	}
	files, err := link(set)
	if err != nil {
		t.Fatal(err)
	}
	return &changing{files: files}, names
}

// Descriptors longer than gRPC's own limit of 4 MiB are read, up to ours.
func TestLargeDescriptors(t *testing.T) {
	api, names := large(t, 1, 4000)
	u := newUpstream(t, "v1", api)
	for limit, want := range map[int]string{maxReflected: "", 5 << 20: "ask upstream for descriptors of \"large.v1.Service0\": "} {
		r := newReflected(dial(t, u.lis), time.Now)
		r.limit = limit
		m, err := r.find(t.Context(), names[0], "Call")
		if want == "" && (err != nil || m.Input().FullName() != "large.v1.Message0") || want != "" && (err == nil || errors.Is(err, ErrNoDescriptor) || !strings.Contains(err.Error(), want)) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// What services have in common is kept once: all of it would be 2000 times 40 KB
// of source, and several times that in memory.
func TestManyServices(t *testing.T) {
	api, names := large(t, 2000, 20)
	u := newUpstream(t, "v1", api)
	r := newReflected(dial(t, u.lis), time.Now)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC() // of a pool's buffers only the second one is rid
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var before int64
	for i, name := range names {
		m, err := r.find(t.Context(), name, "Call")
		if err != nil || string(m.Input().FullName()) != fmt.Sprintf("large.v1.Message%d", i%20) {
			t.Fatalf("%s: %v", name, err)
		}
		if i == 0 {
			before = heap()
		}
	}
	if n := heap() - before; n > 32<<20 {
		t.Errorf("%d services take %d MiB", len(names), n>>20)
	} else {
		t.Logf("%d services take %d MiB", len(names), n>>20)
	}
	if n := len(r.linked); n != len(names)+1 {
		t.Errorf("%d files were linked, want %d", n, len(names)+1)
	}
}
