// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/docket-audit/docket/interceptor"
)

// governedCall is one unary call on its way through the chain. It belongs to
// the goroutine of its handler; the chain calls forward from there too.
type governedCall struct {
	proxy   *Proxy
	full    string
	method  *method
	md      metadata.MD // the caller's
	op      *interceptor.Operation
	request frame // the caller's own bytes

	// What the upstream answered.
	header, trailer metadata.MD
	response        frame
	err             error
}

// begin describes a call to the chain and names it to the caller. That is done
// before anything is received, because gRPC itself may end a call then.
func (p *Proxy) begin(ss grpc.ServerStream, service, name string) *interceptor.Operation {
	op := p.cfg.operation(ss.Context(), service, name)
	p.cfg.Chain.Begin(op)
	ss.SetTrailer(named(op))
	return op
}

// governed runs a unary call through the chain.
func (p *Proxy) governed(ss grpc.ServerStream, service string, m *method) error {
	ctx := ss.Context()
	c := &governedCall{proxy: p, full: "/" + service + "/" + string(m.Name()), method: m}
	c.md, _ = metadata.FromIncomingContext(ctx)
	c.op = p.begin(ss, service, string(m.Name()))
	if c.op.Refusal != nil {
		return p.refuse(ss, c.op, "identity", c.op.Refusal.Err())
	}
	err := spokenIn(c.md)
	if err == nil {
		err = c.receive(ss)
	}
	if err == nil {
		err = c.decode(ctx, service)
	}
	if err != nil {
		return p.refuse(ss, c.op, "request", err)
	}
	outcome := p.cfg.Chain.Run(ctx, c.op, c.forward)
	p.metrics.governed(c.full[1:], Status(outcome).Code())
	return c.answer(ss, outcome)
}

// spokenIn refuses a governed call that is not in protobuf. The same bytes can
// be one message as protobuf and another as JSON: bindings would judge the one,
// and an upstream that reads the caller's content type would do the other.
func spokenIn(md metadata.MD) error {
	if sub := contentSubtype(md); sub != "" && sub != "proto" {
		return status.Errorf(codes.Unimplemented, "governed calls are application/grpc or application/grpc+proto, not %q", sub)
	}
	return nil
}

func (c *governedCall) decode(ctx context.Context, service string) error {
	msg, err := c.method.decode(c.method.Input(), c.request.payload)
	if err == nil && hasUnknown(msg.ProtoReflect()) {
		// The upstream may have learnt fields since we asked it. Bindings
		// should see them.
		if m := c.proxy.descriptors.refresh(ctx, service, c.method); m != nil {
			if m.streaming() {
				return streamed(service, string(m.Name()))
			}
			c.method = m
			msg, err = m.decode(m.Input(), c.request.payload)
		}
	}
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "the request is not a %s", c.method.Input().FullName())
	}
	c.op.Request, c.op.Types, c.op.Labels = msg, c.method.types, labelsOf(msg.ProtoReflect(), c.proxy.cfg.secrets())
	return nil
}

// streamed refuses a call of a governed method that is a stream.
func streamed(service, name string) error {
	return status.Errorf(codes.FailedPrecondition, "method %s/%s is governed, and streaming methods cannot be", service, name)
}

// forward is the handler of the operation: it calls the upstream.
func (c *governedCall) forward(ctx context.Context, request proto.Message) (proto.Message, error) {
	out := c.request
	if request != c.op.Request && !proto.Equal(request, c.op.Request) {
		raw, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(request)
		if err != nil {
			c.err = status.Error(codes.Internal, "the modified request cannot be encoded")
			return nil, c.err
		}
		out = frame{payload: raw}
	}
	start := c.proxy.cfg.Now()
	err := c.proxy.cfg.Upstream.Invoke(towards(ctx, c.md, c.op.UID), c.full, &out, &c.response,
		append(callOptions(c.md), grpc.Header(&c.header), grpc.Trailer(&c.trailer))...)
	c.proxy.metrics.forwarded(c.proxy.cfg.Now().Sub(start))
	if err != nil {
		c.err, _ = unreached(err, c.header, c.trailer)
		if c.err != err { //nolint:errorlint // the very same error, or another
			c.proxy.log.Warn("upstream unavailable", "error", err)
		}
		return nil, c.err
	}
	response, err := c.method.decode(c.method.Output(), c.response.payload)
	if err != nil {
		// The service did its work: that is what must be said. The caller gets
		// the bytes, the record an empty message.
		c.proxy.log.Warn("response is not of its declared type", "method", c.full, "type", c.method.Output().FullName())
		c.proxy.metrics.refuse("response")
		response = dynamicpb.NewMessage(c.method.Output())
	}
	return response, nil
}

// answer tells the caller the outcome. Only when it is the upstream's own
// status does anything else that the upstream said go with it.
func (c *governedCall) answer(ss grpc.ServerStream, outcome *interceptor.Outcome) error {
	s := Status(outcome)
	ss.SetTrailer(pending(outcome))
	if !outcome.Ran || outcome.Status != outcome.HandlerStatus {
		return s.Err()
	}
	ss.SetTrailer(withoutOurs(c.trailer))
	if header := withoutOurs(c.header); len(header) > 0 {
		if err := ss.SendHeader(header); err != nil {
			return err
		}
	}
	if s.Code() != codes.OK {
		return relayed(s.Err(), c.trailer)
	}
	return ss.SendMsg(&c.response)
}

// refuse lets the chain deny a call whose request no binding can judge, which
// records it. Why is for the metrics, err for the caller and the record. The
// operation has no request: none was read, or it is not to be kept.
func (p *Proxy) refuse(ss grpc.ServerStream, op *interceptor.Operation, why string, err error) error {
	p.metrics.refuse(why)
	op.Refusal = statusOf(err)
	outcome := p.cfg.Chain.Run(ss.Context(), op, refused)
	ss.SetTrailer(pending(outcome))
	return Status(outcome).Err()
}

// refused is the handler of operations with a Refusal, which is not called.
func refused(context.Context, proto.Message) (proto.Message, error) {
	return nil, status.Error(codes.Internal, "a refused call cannot be handled")
}
