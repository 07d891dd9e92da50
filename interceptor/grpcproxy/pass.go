// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"errors"
	"io"
	"math"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/docket-audit/docket/interceptor"
)

// callOptions make a call to the upstream carry messages of any size, under the
// content type that the caller used.
func callOptions(md metadata.MD) []grpc.CallOption {
	opts := []grpc.CallOption{
		grpc.ForceCodecV2(rawCodec{}),
		grpc.MaxCallRecvMsgSize(math.MaxInt32),
		grpc.MaxCallSendMsgSize(math.MaxInt32),
	}
	if sub := contentSubtype(md); sub != "" {
		opts = append(opts, grpc.CallContentSubtype(sub))
	}
	return opts
}

// towards is the context of a call to the upstream: with the caller's deadline
// and cancellation, and its metadata.
func towards(ctx context.Context, md metadata.MD, uid interceptor.UID) context.Context {
	return metadata.NewOutgoingContext(ctx, onward(md, uid))
}

// pass connects a call with the upstream, as it is.
func (p *Proxy) pass(ss grpc.ServerStream, full string) error {
	md, _ := metadata.FromIncomingContext(ss.Context())
	ctx, cancel := context.WithCancel(towards(ss.Context(), md, ""))
	defer cancel()
	up, err := p.cfg.Upstream.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, full, callOptions(md)...)
	if err != nil {
		return p.ended(err, nil, nil)
	}
	p.running.Add(1)
	go func() {
		// It ends when the caller half-closes or the call is over, whichever
		// side ended it: the end of handle ends RecvMsg.
		defer p.running.Done()
		carryUp(ss, up, cancel)
	}()
	return p.carryDown(ss, up)
}

// carryUp carries the caller's messages to the upstream.
func carryUp(ss grpc.ServerStream, up grpc.ClientStream, cancel func()) {
	for {
		var m whole
		err := ss.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			_ = up.CloseSend() // a stream that has failed tells carryDown
			return
		}
		if err != nil {
			cancel() // the caller left, which the upstream must learn
			return
		}
		if up.SendMsg(&m) != nil {
			return // RecvMsg tells carryDown why
		}
	}
}

// carryDown carries the upstream's header, messages, trailer and status to the
// caller, each when it comes.
func (p *Proxy) carryDown(ss grpc.ServerStream, up grpc.ClientStream) error {
	header, err := up.Header() // none, when the upstream ends at once
	if err == nil && header != nil {
		if err := ss.SendHeader(header); err != nil {
			return err
		}
	}
	for {
		var m whole
		if err := up.RecvMsg(&m); err != nil {
			trailer := up.Trailer()
			ss.SetTrailer(trailer)
			return p.ended(err, header, trailer)
		}
		if err := ss.SendMsg(&m); err != nil {
			return err
		}
	}
}

// ended is what a call is answered that the upstream ended with err.
func (p *Proxy) ended(err error, header, trailer metadata.MD) error {
	told, hidden := unreached(err, header, trailer)
	if hidden {
		p.log.Warn("upstream unavailable", "error", err)
	}
	return relayed(told, trailer)
}
