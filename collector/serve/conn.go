// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A conn is a connection to the service in this process: what is asked goes
// through the same interceptors as what comes over the network, with the context
// of the one who asks and without a listener, bytes or TLS in between.
type conn struct {
	server  *Server
	service auditv1.AuditServiceServer
}

var _ grpc.ClientConnInterface = (*conn)(nil)

// Invoke implements [grpc.ClientConnInterface].
func (c *conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	for _, m := range auditv1.AuditService_ServiceDesc.Methods {
		if m.MethodName != lastPart(method) {
			continue
		}
		t := &transport{method: method}
		ctx := grpc.NewContextWithServerTransportStream(incoming(ctx), t)
		resp, err := m.Handler(c.service, ctx, func(into any) error { return merge(into, args) }, c.server.unary)
		t.tell(opts)
		if err != nil {
			return err
		}
		return merge(reply, resp)
	}
	return status.Errorf(codes.Unimplemented, "no method %s", method)
}

// NewStream implements [grpc.ClientConnInterface]; of streams there are those
// that the server sends. What is not read to its end must be cancelled.
func (c *conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	for _, d := range auditv1.AuditService_ServiceDesc.Streams {
		if d.StreamName != lastPart(method) || d.ClientStreams || desc.ClientStreams {
			continue
		}
		ctx, end := context.WithCancelCause(ctx)
		cancel := func() { end(nil) }
		ctx = withHangUp(ctx, cancel)
		p := &pipe{ctx: ctx, requests: make(chan proto.Message, 1), responses: make(chan proto.Message), done: make(chan struct{})}
		info := &grpc.StreamServerInfo{FullMethod: method, IsServerStream: true}
		c.server.inside.Go(func() {
			defer cancel()
			defer close(p.done)
			defer context.AfterFunc(c.server.cutting, func() { end(stopping{}) })() // wakes who waits in SendMsg
			p.err = c.server.stream(c.service, &serverEnd{pipe: p, ctx: grpc.NewContextWithServerTransportStream(incoming(ctx), &transport{method: method})}, info, d.Handler)
		})
		return &clientEnd{pipe: p}, nil
	}
	return nil, status.Errorf(codes.Unimplemented, "no stream %s", method)
}

// incoming makes what one end sends what the other receives.
func incoming(ctx context.Context) context.Context {
	md, _ := metadata.FromOutgoingContext(ctx)
	return metadata.NewIncomingContext(ctx, md)
}

func merge(into, from any) error {
	a, ok := into.(proto.Message)
	b, also := from.(proto.Message)
	if !ok || !also {
		return status.Errorf(codes.Internal, "%T or %T is no message", into, from)
	}
	proto.Merge(a, b)
	return nil
}

func lastPart(method string) string { return method[strings.LastIndexByte(method, '/')+1:] }

// A pipe carries one request and the answers to it.
type pipe struct {
	ctx       context.Context
	requests  chan proto.Message
	responses chan proto.Message
	done      chan struct{} // closed when the server has ended
	err       error         // why; to be read behind done
}

type clientEnd struct {
	*pipe

	sent bool
}

func (c *clientEnd) Header() (metadata.MD, error) { return nil, nil }
func (c *clientEnd) Trailer() metadata.MD         { return nil }
func (c *clientEnd) CloseSend() error             { return nil }
func (c *clientEnd) Context() context.Context     { return c.ctx }

func (c *clientEnd) SendMsg(m any) error {
	req, ok := m.(proto.Message)
	if !ok || c.sent {
		return status.Errorf(codes.Internal, "%T is not the one request", m)
	}
	c.sent = true
	c.requests <- proto.Clone(req)
	return nil
}

func (c *clientEnd) RecvMsg(m any) error {
	select {
	case resp := <-c.responses:
		return merge(m, resp)
	case <-c.done:
		if c.err == nil {
			return io.EOF
		}
		return c.err
	}
}

type serverEnd struct {
	*pipe

	ctx context.Context
}

func (s *serverEnd) SetHeader(metadata.MD) error  { return nil }
func (s *serverEnd) SendHeader(metadata.MD) error { return nil }
func (s *serverEnd) SetTrailer(metadata.MD)       {}
func (s *serverEnd) Context() context.Context     { return s.ctx }

func (s *serverEnd) SendMsg(m any) error {
	resp, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", m)
	}
	select {
	case s.responses <- proto.Clone(resp): // it is the sender's again when this returns
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

func (s *serverEnd) RecvMsg(m any) error {
	select {
	case req := <-s.requests:
		return merge(m, req)
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// A transport keeps the headers that a method sets.
type transport struct {
	method string

	mu              sync.Mutex
	header, trailer metadata.MD // guarded by mu
}

func (t *transport) Method() string                  { return t.method }
func (t *transport) SendHeader(md metadata.MD) error { return t.SetHeader(md) }

func (t *transport) SetHeader(md metadata.MD) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.header = metadata.Join(t.header, md)
	return nil
}

func (t *transport) SetTrailer(md metadata.MD) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trailer = metadata.Join(t.trailer, md)
	return nil
}

// tell gives them to who asked for them.
func (t *transport) tell(opts []grpc.CallOption) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = t.header
		case grpc.TrailerCallOption:
			*o.TrailerAddr = t.trailer
		}
	}
}
