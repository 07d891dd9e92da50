// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/docket-audit/docket/interceptor"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// stopWithin is how long calls under way may take once a server is to stop.
const stopWithin = 2 * time.Second

// handshakeWithin is how long a gateway may take to connect. A server that is to stop
// waits for it: who connects and never says more must not keep it.
const handshakeWithin = 5 * time.Second

// ListenAndServe is [Serve] on the endpoint's address. A socket left behind by
// a server that is gone is taken over.
func ListenAndServe(ctx context.Context, endpoint string, i interceptor.Interceptor, opts ...Option) error {
	at, err := parseEndpoint(endpoint)
	if err != nil {
		return err
	}
	if at.secure && newOptions(opts).tls == nil {
		return fmt.Errorf("serve interceptor on %s: https needs a certificate (option TLS)", endpoint)
	}
	if at.network == "unix" {
		if err := clearSocket(at.address); err != nil {
			return fmt.Errorf("serve interceptor on %s: %w", endpoint, err)
		}
	}
	lis, err := (&net.ListenConfig{}).Listen(ctx, at.network, at.address)
	if err != nil {
		return fmt.Errorf("serve interceptor on %s: %w", endpoint, err)
	}
	return Serve(ctx, lis, i, opts...)
}

// Serve serves an interceptor until ctx ends, then lets calls under way end and
// returns nil. It closes lis.
func Serve(ctx context.Context, lis net.Listener, i interceptor.Interceptor, opts ...Option) error {
	o := newOptions(opts)
	service, err := o.service(i)
	if err != nil {
		return errors.Join(fmt.Errorf("serve interceptor: %w", err), lis.Close())
	}
	settings := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.MaxSendMsgSize(MaxMessageBytes),
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes),
		grpc.ConnectionTimeout(handshakeWithin),
		// A goroutine that lives on has grown its stack to what a call needs.
		grpc.NumStreamWorkers(uint32(runtime.GOMAXPROCS(0))),
		// Gateways ping idle connections every few seconds. By default a Go
		// server takes that for abuse and hangs up on them.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
	if o.tls != nil {
		settings = append(settings, grpc.Creds(credentials.NewTLS(o.tls)))
	}
	server := grpc.NewServer(append(settings, o.server...)...)
	wire.RegisterGatewayInterceptorServer(server, service)
	ready := health.NewServer()
	ready.SetServingStatus(wire.GatewayInterceptor_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, ready)

	stopped := make(chan struct{})
	failed := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
			ready.Shutdown()
			stop(server)
		case <-failed:
		}
	}()
	err = server.Serve(lis)
	close(failed)
	<-stopped
	if err != nil && ctx.Err() == nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve interceptor: %w", err)
	}
	return nil
}

// stop stops a server gently, then not.
func stop(server *grpc.Server) {
	timer := time.AfterFunc(stopWithin, server.Stop)
	defer timer.Stop()
	server.GracefulStop()
}

// A service answers the wire contract by an interceptor.
type service struct {
	wire.UnimplementedGatewayInterceptorServer
	impl   interceptor.Interceptor
	verify *verifier // nil: everybody is served
	budget time.Duration
}

// service is what answers, as the options want it.
func (o *options) service(i interceptor.Interceptor) (*service, error) {
	s := &service{impl: i, budget: o.budget}
	if o.budget <= 0 {
		return nil, fmt.Errorf("a budget of %s is none", o.budget)
	}
	if o.verify != nil {
		var err error
		if s.verify, err = newVerifier(o.verify); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Describe implements the wire contract.
func (s *service) Describe(ctx context.Context, _ *wire.DescribeRequest) (answer *wire.InterceptorManifest, err error) {
	defer failOnPanic(&err)
	if err := s.verify.caller(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := s.within(ctx)
	defer cancel()
	m, err := s.impl.Describe(ctx)
	if err != nil {
		return nil, wireError(err)
	}
	if m == nil {
		return nil, status.Error(codes.Internal, "the interceptor has no manifest")
	}
	return manifestToWire(m), nil
}

// SnapshotProviderProfiles implements the wire contract: our interceptors vend
// no provider profiles, and their manifests say so.
func (s *service) SnapshotProviderProfiles(ctx context.Context, _ *wire.ProviderProfileSnapshotRequest) (*wire.ProviderProfileSnapshot, error) {
	if err := s.verify.caller(ctx); err != nil {
		return nil, err
	}
	return &wire.ProviderProfileSnapshot{}, nil
}

// Evaluate implements the wire contract.
func (s *service) Evaluate(ctx context.Context, request *wire.InterceptorEvaluation) (answer *wire.InterceptorResult, err error) {
	defer failOnPanic(&err)
	if err := s.verify.caller(ctx); err != nil {
		return nil, err
	}
	e, err := evaluationFromWire(request)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	e.Start = time.Now()
	e.Operation = interceptor.UID(header(ctx, operationKey))
	e.Trace = readTraceparent(header(ctx, traceKey))
	if id := header(ctx, requestKey); fitsHeader(id) {
		e.RequestID = id
	}
	ctx, cancel := s.within(ctx)
	defer cancel()
	result, err := s.impl.Evaluate(ctx, e)
	if err != nil {
		return nil, wireError(err)
	}
	if result == nil {
		return nil, status.Error(codes.Internal, "the interceptor has no result")
	}
	answer, err = resultToWire(result)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return answer, nil
}

// within bounds a call that its caller gives more time than there is.
func (s *service) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= s.budget {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.budget)
}

// header returns the first of a call's values of a key; "" when there is none.
func header(ctx context.Context, key string) string {
	values := metadata.ValueFromIncomingContext(ctx, key)
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// failOnPanic keeps a panic of the interceptor from ending its process: the
// gateway's failure policy decides.
func failOnPanic(err *error) {
	if cause := recover(); cause != nil {
		*err = status.Errorf(codes.Internal, "interceptor panicked: %v", cause)
	}
}

// wireError gives a Failure the status code that tells most of its kind.
func wireError(err error) error {
	failure := (*interceptor.Failure)(nil)
	if !errors.As(err, &failure) {
		if _, ok := status.FromError(err); ok {
			return err
		}
		return status.FromContextError(err).Err()
	}
	code := codes.Internal
	switch failure.Kind {
	case interceptor.Timeout:
		code = codes.DeadlineExceeded
	case interceptor.Unavailable:
		code = codes.Unavailable
	case interceptor.Limit:
		code = codes.ResourceExhausted
	case interceptor.Cancelled:
		code = codes.Canceled
	case interceptor.InvalidResult, interceptor.Panic:
	}
	return status.Error(code, failure.Detail)
}
