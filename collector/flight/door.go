// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/collector/authz"
)

// Config is what a [Door] answers with.
type Config struct {
	// Engine answers. Required.
	Engine Engine

	// Authorize says who calls, by the metadata of the call; ctx is that of the
	// call and knows the peer. An error that is no [authz.Error] is not told to
	// the caller. Required.
	Authorize func(ctx context.Context, md metadata.MD) (*authz.Grant, error)

	// Accessed is told of every call that read, when it has ended, and of every one
	// that was refused, went wrong or could not be read itself. It must not block. nil: nobody is told.
	Accessed func(context.Context, Access)

	// Version is what clients are told of the server.
	Version string

	// Stall is how long a caller may take for a batch; default 1 minute, negative
	// is for ever.
	Stall time.Duration

	// Statements bounds prepared statements.
	Statements Statements

	// Options are for the gRPC server, such as its credentials.
	Options []grpc.ServerOption

	// Log is where failures go that callers are not told; nil discards.
	Log *slog.Logger

	// Now is the time by which tickets and statements expire; nil is [time.Now].
	Now func() time.Time
}

// A Door is a Flight SQL server.
type Door struct {
	cfg  Config
	grpc *grpc.Server
	work sync.WaitGroup // of answers under way
}

// maxHeaders bounds the metadata of a call in bytes: a token and what goes with it.
// gRPC keeps them of each stream before anybody asks who it is, and would keep 16 MiB.
const maxHeaders = 64 << 10

// New returns a Door.
func New(cfg Config) (*Door, error) {
	if cfg.Stall == 0 {
		cfg.Stall = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Door{cfg: cfg}
	srv, err := newServer(d)
	if err != nil {
		return nil, fmt.Errorf("open Flight SQL: %w", err)
	}
	d.grpc = grpc.NewServer(append([]grpc.ServerOption{
		grpc.UnaryInterceptor(d.unary),
		grpc.StreamInterceptor(d.stream),
		grpc.StatsHandler(unreadable{d}),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return status.Error(codes.Unimplemented, "there is no such call") }),
		grpc.MaxConcurrentStreams(64),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.WaitForHandlers(true), // when it is stopped: they begin what Shutdown waits for
		// Who is gone without a word is found out.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}, cfg.Options...)...)
	flight.RegisterFlightServiceServer(d.grpc, flightsql.NewFlightServer(srv))
	return d, nil
}

// Serve answers on l until Shutdown, and closes l.
func (d *Door) Serve(l net.Listener) error {
	if err := d.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve Flight SQL: %w", err)
	}
	return nil
}

// Shutdown lets answers under way come to their end until ctx ends, and then ends
// them. When it returns nothing runs any more.
func (d *Door) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.grpc.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		d.grpc.Stop()
		<-done
	}
	d.work.Wait()
	return nil
}

// admit returns the context of a call that may be made: with who makes it, and
// until when.
func (d *Door) admit(ctx context.Context) (context.Context, context.CancelFunc, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	grant, err := d.cfg.Authorize(ctx, md)
	if err == nil && grant == nil {
		grant = new(authz.Grant) // which may nothing
	}
	if err == nil {
		noted(ctx).access.Grant = grant
		err = grant.May(authz.SQL)
	}
	if err != nil {
		return nil, nil, d.refusal(err)
	}
	ctx, cancel := authz.NewContext(ctx, grant), context.CancelFunc(func() {})
	if !grant.Expires.IsZero() {
		ctx, cancel = context.WithDeadlineCause(ctx, grant.Expires, errExpired)
		if errors.Is(context.Cause(ctx), errExpired) {
			cancel()
			return nil, nil, d.refusal(errExpired)
		}
	}
	return ctx, cancel, nil
}

func (d *Door) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	ctx, c := d.begin(ctx, info.FullMethod)
	admitted, cancel, err := d.admit(ctx)
	if err != nil {
		d.end(ctx, c, err)
		return nil, err
	}
	ctx = admitted
	defer cancel()
	defer func() { d.end(ctx, c, err) }()
	defer d.recover(info.FullMethod, &err)
	if answer, err = handler(ctx, req); err != nil {
		return nil, d.status(ctx, err)
	}
	return answer, nil
}

// stream runs the handler of a stream. A handler that waits for a caller to read
// hears of nothing, so that the stream is ended over its head when it has to end:
// that wakes it.
func (d *Door) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	noting, c := d.begin(ss.Context(), info.FullMethod)
	ctx, cancel, err := d.admit(noting)
	if err != nil {
		d.end(noting, c, err)
		return err
	}
	defer cancel()
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	ctx = context.WithValue(ctx, abortKey{}, abort)
	ended := make(chan error, 1)
	d.work.Go(func() {
		var err error
		defer func() { ended <- err }()
		defer d.recover(info.FullMethod, &err)
		err = handler(srv, &stream{ServerStream: ss, ctx: ctx})
	})
	select {
	case err = <-ended:
	case <-ctx.Done():
		// Where the stream itself is over, the handler hears of it and knows why.
		if err = context.Cause(ctx); ss.Context().Err() != nil {
			err = <-ended
		}
	}
	if err != nil {
		err = d.status(ctx, err)
	}
	d.end(ctx, c, err)
	return err
}

type stream struct {
	grpc.ServerStream

	ctx   context.Context //nolint:containedctx // of this one call
	began bool            // something was received; owned by the handler
}

func (s *stream) Context() context.Context { return s.ctx }

// RecvMsg refuses data that begins without a descriptor, which says what it is for:
// the library takes it that there is one.
func (s *stream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	data, ok := m.(*flight.FlightData)
	if ok && !s.began && data.GetFlightDescriptor() == nil {
		return status.Error(codes.InvalidArgument, "the first message has no descriptor, which says what the data is for")
	}
	s.began = true
	return nil
}

type abortKey struct{}

// abortStream ends the stream whose context ctx is, or is made of.
func abortStream(ctx context.Context, cause error) {
	if abort, ok := ctx.Value(abortKey{}).(context.CancelCauseFunc); ok {
		abort(cause)
	}
}

// recover makes an error of a panic: what a caller sends is read by code that is
// not ours, and its end must not be that of the one who records.
func (d *Door) recover(method string, err *error) {
	if p := recover(); p != nil {
		d.cfg.Log.Error("panic in a call", "method", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "the call cannot be understood, or the server has a defect")
	}
}
