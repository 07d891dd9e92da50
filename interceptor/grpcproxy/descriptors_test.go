// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

func TestReflection(t *testing.T) {
	for _, version := range []string{"v1", "v1alpha"} {
		t.Run(version, func(t *testing.T) {
			u := newUpstream(t, version, nil)
			u.script(create, answering(func([]byte) ([]byte, error) { return nil, nil }))
			var shown atomic.Value
			p, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil, bind(create, func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
				raw, err := e.Payload.JSON()
				shown.Store(string(raw))
				return &interceptor.Result{Decision: interceptor.Allow}, err
			}))})
			if err := p.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			in := encode(t, &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "n", Spec: &sandboxv1.SandboxSpec{Credentials: &sandboxv1.Credentials{Token: "canary"}}}})
			if _, _, _, err := unary(t.Context(), conn, create, in); err != nil {
				t.Fatal(err)
			}
			if s, _ := shown.Load().(string); !strings.Contains(s, `"name":"n"`) || strings.Contains(s, "canary") {
				t.Errorf("the binding was shown %s", s)
			}
		})
	}
}

func TestNoReflection(t *testing.T) {
	u := newUpstream(t, "", nil)
	p, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil, bind(create, allowing))})
	err := p.Check(t.Context())
	var e *MethodError
	if !errors.As(err, &e) || !errors.Is(err, ErrNoDescriptor) || e.RPC != create[1:] || !strings.Contains(e.Hint(), "reflection") {
		t.Errorf("checked: %v", err)
	}
	if _, _, _, err := unary(t.Context(), conn, create, nil); status.Code(err) != codes.FailedPrecondition || u.called(create) != 0 {
		t.Errorf("%v, called %d", err, u.called(create))
	}
}

// An upstream answers for symbols of any kind. Only services are kept.
func TestMadeUpServicesAreForgotten(t *testing.T) {
	u := newUpstream(t, "v1", nil)
	r := newReflected(dial(t, u.lis), time.Now)
	for _, symbol := range []string{"demo.sandbox.v1.Sandbox", "demo.sandbox.v1.CreateSandboxRequest", "demo.sandbox.v1.Sandboxes.CreateSandbox"} {
		if _, err := r.find(t.Context(), symbol, "M"); !errors.Is(err, ErrNoDescriptor) {
			t.Errorf("%s: %v", symbol, err)
		}
		if !r.services[symbol].neverAnswered() {
			t.Errorf("the files of %s are kept", symbol)
		}
	}
}

// An upstream that is not there yet does not make its methods unknown for ever.
func TestReflectionRetried(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	u := newUpstream(t, "v1", nil)
	now := time.Now()
	r := newReflected(gated{dial(t, u.lis), &down}, func() time.Time { return now })
	find := func() error {
		_, err := r.find(t.Context(), "demo.sandbox.v1.Sandboxes", "CreateSandbox")
		return err
	}
	if err := find(); status.Code(errors.Unwrap(err)) != codes.Unavailable || errors.Is(err, ErrNoDescriptor) {
		t.Errorf("down: %v", err)
	}
	down.Store(false)
	if err := find(); err != nil {
		t.Errorf("up again: %v", err)
	}
	down.Store(true)
	if err := find(); err != nil {
		t.Errorf("what is known is kept: %v", err)
	}
	if _, err := r.find(t.Context(), "demo.sandbox.v1.Sandboxes", "NoSuchMethod"); !errors.Is(err, ErrNoDescriptor) {
		t.Errorf("an unknown method of a known service, just asked: %v", err)
	}
	if len(r.services) != 1 {
		t.Errorf("%d services are kept", len(r.services))
	}
	down.Store(false)
	for i := range maxUnknown + 5 {
		if _, err := r.find(t.Context(), fmt.Sprint("made.up.Service", i), "M"); !errors.Is(err, ErrNoDescriptor) {
			t.Fatalf("made up: %v", err)
		}
	}
	if len(r.services) > 10 || r.services["demo.sandbox.v1.Sandboxes"] == nil {
		t.Errorf("%d services are kept", len(r.services))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.find(ctx, "other.Service", "M"); !errors.Is(err, context.Canceled) {
		t.Errorf("caller gone: %v", err)
	}
}

// gated is a connection that can be down.
type gated struct {
	grpc.ClientConnInterface
	down *atomic.Bool
}

func (g gated) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if g.down.Load() {
		return nil, status.Error(codes.Unavailable, "down")
	}
	return g.ClientConnInterface.NewStream(ctx, desc, method, opts...)
}

// changing tells an old file until it is told the new one.
type changing struct {
	mu    sync.Mutex
	files *protoregistry.Files // guarded by mu
}

func (c *changing) set(t *testing.T, edit func(*descriptorpb.FileDescriptorProto)) {
	t.Helper()
	f := protodesc.ToFileDescriptorProto(sandboxv1.File_demo_sandbox_v1_sandbox_proto)
	edit(f)
	files, err := link(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{f}})
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = files
}

func (c *changing) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.files.FindFileByPath(path)
}

func (c *changing) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.files.FindDescriptorByName(name)
}

// When the upstream has learnt a field, bindings see it too.
func TestNewFieldIsSeen(t *testing.T) {
	var c changing
	c.set(t, func(f *descriptorpb.FileDescriptorProto) {
		for _, m := range f.GetMessageType() {
			if m.GetName() == "GetSandboxRequest" {
				m.Field = nil
			}
		}
	})
	u := newUpstream(t, "v1", &c)
	u.script(get, answering(func([]byte) ([]byte, error) { return nil, nil }))
	var shown atomic.Value
	var offset atomic.Int64
	_, conn := serveProxy(t, u, Config{
		Chain: newChain(t, nil, nil, bind(get, func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
			raw, err := e.Payload.JSON()
			shown.Store(string(raw))
			return &interceptor.Result{Decision: interceptor.Allow}, err
		})),
		Upstream: gated{dial(t, u.lis), new(atomic.Bool)}, // whose connection is not watched
		Now:      func() time.Time { return time.Now().Add(time.Duration(offset.Load())) },
	})
	ask := func() string {
		if _, _, _, err := unary(t.Context(), conn, get, encode(t, &sandboxv1.GetSandboxRequest{Name: "n"})); err != nil {
			t.Fatal(err)
		}
		s, _ := shown.Load().(string)
		return s
	}
	if s := ask(); s != "{}" {
		t.Fatalf("before: %s", s)
	}
	c.set(t, func(*descriptorpb.FileDescriptorProto) {})
	offset.Store(int64(time.Hour))
	if s := ask(); s != `{"name":"n"}` {
		t.Errorf("after: %s", s)
	}
}

func TestDescriptorSetRefused(t *testing.T) {
	conn := dial(t, newUpstream(t, "", nil).lis)
	streaming := func(t *testing.T) []byte {
		var set descriptorpb.FileDescriptorSet
		if err := proto.Unmarshal(descriptorSet(t), &set); err != nil {
			t.Fatal(err)
		}
		for _, m := range set.GetFile()[0].GetService()[0].GetMethod() {
			m.ServerStreaming = proto.Bool(true)
		}
		return encode(t, &set)
	}
	alone := encode(t, &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{Name: proto.String("a.proto"), Dependency: []string{"missing.proto"}}}})
	for _, c := range []struct {
		name string
		set  []byte
		rpc  string
		err  string
		is   error
	}{
		{"missing method", descriptorSet(t), "/demo.sandbox.v1.Sandboxes/CreateSandbx", `govern demo.sandbox.v1.Sandboxes/CreateSandbx: no descriptor for governed method: service "demo.sandbox.v1.Sandboxes" has no method "CreateSandbx"`, ErrNoDescriptor},
		{"missing service", descriptorSet(t), "/demo.Sandboxes/CreateSandbox", `service "demo.Sandboxes" is not known`, ErrNoDescriptor},
		{"not a service", descriptorSet(t), "/demo.sandbox.v1.Sandbox/CreateSandbox", "is not a service", ErrNoDescriptor},
		{"streaming", streaming(t), create, "governed method is streaming", ErrStreaming},
		{"garbage", []byte{0xff}, create, "not a FileDescriptorSet", nil},
		{"empty", []byte{}, create, "is empty", nil},
		{"missing import", alone, create, "a.proto imports missing.proto, which is missing", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(Config{Chain: newChain(t, nil, nil, bind(c.rpc, allowing)), Upstream: conn, Descriptors: c.set})
			if err == nil || !strings.Contains(err.Error(), c.err) || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("got %v", err)
			}
			var e *MethodError
			if c.is != nil && (!errors.As(err, &e) || e.Hint() == "") {
				t.Errorf("%v gives no hint", err)
			}
		})
	}
	if _, err := New(Config{}); err == nil {
		t.Error("made without a chain")
	}
	if _, err := New(Config{Chain: newChain(t, nil, nil)}); err == nil {
		t.Error("made without an upstream")
	}
}

// A streaming method is refused per call where only the upstream can tell.
func TestStreamingByReflection(t *testing.T) {
	var c changing
	c.set(t, func(f *descriptorpb.FileDescriptorProto) {
		for _, m := range f.GetService()[0].GetMethod() {
			m.ClientStreaming = proto.Bool(m.GetName() != "DeleteSandbox")
		}
	})
	u := newUpstream(t, "v1", &c)
	u.script(create, answering(func([]byte) ([]byte, error) { return nil, nil }))
	p, conn := serveProxy(t, u, Config{Chain: newChain(t, nil, nil, bind(create, allowing))})
	if err := p.Check(t.Context()); !errors.Is(err, ErrStreaming) {
		t.Errorf("checked: %v", err)
	}
	if tr := converse(t.Context(), conn, create, false, [][]byte{nil}); tr.Code != codes.FailedPrecondition || u.called(create) != 0 {
		t.Errorf("got %+v", tr)
	}
	// A binding for every method leaves it to unmatched.
	p, conn = serveProxy(t, u, Config{Chain: newChain(t, nil, nil, bind("", allowing))})
	if tr := converse(t.Context(), conn, create, false, [][]byte{nil}); tr.Code != codes.OK || p.Ungoverned()[create[1:]] != 1 {
		t.Errorf("got %+v, %v", tr, p.Ungoverned())
	}
}

// counted counts the streams that are begun.
type counted struct {
	grpc.ClientConnInterface
	streams *atomic.Int64
}

func (c counted) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c.streams.Add(1)
	return c.ClientConnInterface.NewStream(ctx, desc, method, opts...)
}

// Callers can send fields that nobody knows as often as they like: the upstream is
// asked about them once in a while.
func TestStrangeFieldsAskSeldom(t *testing.T) {
	u := newUpstream(t, "v1", nil)
	u.script(create, answering(func([]byte) ([]byte, error) { return nil, nil }))
	start := time.Now()
	var offset, asked atomic.Int64
	_, conn := serveProxy(t, u, Config{
		Chain: newChain(t, nil, nil, bind(create, allowing)), Upstream: counted{dial(t, u.lis), &asked},
		Now: func() time.Time { return start.Add(time.Duration(offset.Load())) },
	})
	for i, want := range []int64{1, 1, 1, 2, 2, 2, 3} {
		if i%3 == 0 {
			offset.Add(int64(askAgain))
		}
		if _, _, _, err := unary(t.Context(), conn, create, request(t)); err != nil || asked.Load() != want {
			t.Errorf("call %d: %v, asked %d times, want %d", i, err, asked.Load(), want)
		}
	}
}

// A method that has become a stream by the time that a request has new fields is
// not called by its old form.
func TestBecomesAStream(t *testing.T) {
	var c changing
	c.set(t, func(f *descriptorpb.FileDescriptorProto) {
		for _, m := range f.GetMessageType() {
			if m.GetName() == "GetSandboxRequest" {
				m.Field = nil
			}
		}
	})
	rec, u := &recorder{}, newUpstream(t, "v1", &c)
	u.script(get, answering(func([]byte) ([]byte, error) { return nil, nil }))
	var offset atomic.Int64
	b, shown := showing(get)
	_, conn := serveProxy(t, u, Config{Chain: newChain(t, rec, nil, b), Upstream: gated{dial(t, u.lis), new(atomic.Bool)}, Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }})
	in := encode(t, &sandboxv1.GetSandboxRequest{Name: "n"})
	if tr := converse(t.Context(), conn, get, false, [][]byte{in}); tr.Code != codes.OK || shown() != "{}" {
		t.Fatalf("before: %+v, shown %s", tr, shown())
	}
	c.set(t, func(f *descriptorpb.FileDescriptorProto) {
		for _, m := range f.GetService()[0].GetMethod() {
			m.ServerStreaming = proto.Bool(true)
		}
	})
	offset.Store(int64(time.Hour))
	for range 2 { // the first is told so after its request, the second before
		tr := converse(t.Context(), conn, get, false, [][]byte{in})
		if _, outcome := rec.newest(t); tr.Code != codes.FailedPrecondition || !strings.Contains(tr.Message, "streaming methods cannot be") || outcome.Decision != interceptor.Deny || u.called(get) != 1 {
			t.Errorf("after: %+v, called %d", tr, u.called(get))
		}
	}
}
