// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docket-audit/docket/interceptor"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The metadata keys of a call.
const (
	operationKey     = "docket-operation-uid"
	traceKey         = "traceparent"
	requestKey       = "x-request-id"
	authorizationKey = "authorization"
)

// A Client is an interceptor at the other end of a connection.
type Client struct {
	conn   *grpc.ClientConn
	stub   wire.GatewayInterceptorClient
	health healthpb.HealthClient
	max    int // bytes of an answer, unless it denies
}

var _ interceptor.Interceptor = (*Client)(nil)

// Dial returns a client of the endpoint. It does not wait for the connection,
// which is made, and made again, as calls need it; Describe tells whether
// somebody is there. The caller closes the client.
func Dial(ctx context.Context, endpoint string, opts ...Option) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("dial interceptor: %w", err)
	}
	at, err := parseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	o := newOptions(opts)
	settings, err := o.dialSettings(at)
	if err != nil {
		return nil, fmt.Errorf("dial interceptor %s: %w", endpoint, err)
	}
	conn, err := grpc.NewClient(at.target(), settings...)
	if err != nil {
		return nil, fmt.Errorf("dial interceptor %s: %w", endpoint, err)
	}
	return &Client{conn: conn, stub: wire.NewGatewayInterceptorClient(conn), health: healthpb.NewHealthClient(conn), max: o.maxResponse}, nil
}

// dialSettings is how gRPC dials a place.
func (o *options) dialSettings(at place) ([]grpc.DialOption, error) {
	settings := []grpc.DialOption{
		grpc.WithNoProxy(), // an interceptor is where the plan says, whatever the environment says
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 20 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			// An interceptor that was restarted is found again within seconds.
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes)),
	}
	switch {
	case at.secure:
		config, err := o.clientTLS()
		if err != nil {
			return nil, err
		}
		settings = append(settings, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	case o.cert != "" || o.key != "":
		return nil, errors.New("a client certificate needs https://")
	default:
		settings = append(settings, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	if o.token != nil {
		if err := o.token.check(); err != nil {
			return nil, err
		}
		settings = append(settings, grpc.WithPerRPCCredentials(o.token))
	}
	return append(settings, o.dial...), nil
}

// Close ends the connection. Calls under way fail.
func (c *Client) Close() error {
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close interceptor connection: %w", err)
	}
	return nil
}

// Describe implements [interceptor.Interceptor].
func (c *Client) Describe(ctx context.Context) (*interceptor.Manifest, error) {
	m, err := c.stub.Describe(ctx, &wire.DescribeRequest{}, grpc.MaxCallRecvMsgSize(c.max))
	if err != nil {
		return nil, fmt.Errorf("describe interceptor: %w", err)
	}
	return manifestFromWire(m), nil
}

// Check asks whether the interceptor is ready to serve (grpc.health.v1). One
// that knows no health service but answers is.
func (c *Client) Check(ctx context.Context) error {
	answer, err := c.health.Check(ctx, &healthpb.HealthCheckRequest{})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil
	case err != nil:
		return fmt.Errorf("check interceptor: %w", err)
	case answer.GetStatus() != healthpb.HealthCheckResponse_SERVING:
		return fmt.Errorf("check interceptor: it says %s", answer.GetStatus())
	}
	return nil
}

// HeedsContext says that Evaluate returns as soon as its context ends, whatever
// the other side does: the chain need not watch over it.
func (c *Client) HeedsContext() bool { return true }

// Evaluate implements [interceptor.Interceptor].
func (c *Client) Evaluate(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	request, err := evaluationToWire(e)
	if err != nil {
		return nil, &interceptor.Failure{Kind: interceptor.InvalidResult, Detail: "cannot show the payload: " + err.Error()}
	}
	if _, foreign := ctx.(interface{ AfterFunc(func()) func() bool }); foreign {
		// One that package context made: under values, gRPC would need a goroutine to
		// see another end.
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
	}
	answer, err := c.stub.Evaluate(outgoing(ctx, e), request)
	if err != nil {
		return nil, err // the chain makes out the kind of the failure
	}
	var breach string
	if n := proto.Size(answer); n > c.max {
		breach = fmt.Sprintf("answer of %d bytes; at most %d are allowed", n, c.max)
		if answer.GetAllowed() {
			return nil, &interceptor.Failure{Kind: interceptor.Limit, Detail: breach}
		}
	}
	result, err := resultFromWire(answer)
	if err != nil {
		return nil, err
	}
	result.Violation = cmp.Or(breach, result.Violation)
	return result, nil
}

// outgoing is the context of an evaluation's call: with the metadata that is the
// interceptor's, in place of what the context may carry for others.
func outgoing(ctx context.Context, e *interceptor.Evaluation) context.Context {
	if _, foreign := metadata.FromOutgoingContext(ctx); foreign {
		ctx = metadata.NewOutgoingContext(ctx, metadata.MD{})
	}
	pairs := make([]string, 0, 6)
	pairs = append(pairs, operationKey, string(e.Operation))
	if e.Trace.IsValid() {
		pairs = append(pairs, traceKey, traceparent(e.Trace))
		// For who traces the call itself (option DialOptions).
		ctx = trace.ContextWithRemoteSpanContext(ctx, e.Trace)
	}
	if fitsHeader(e.RequestID) {
		pairs = append(pairs, requestKey, e.RequestID)
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// fitsHeader reports whether a request id can go in a header, and is worth it.
func fitsHeader(id string) bool {
	return id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' })
}

// traceparent writes a span context as the W3C header of that name.
func traceparent(sc trace.SpanContext) string {
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}

// readTraceparent reads it; the zero SpanContext when it is not one.
func readTraceparent(s string) trace.SpanContext {
	if len(s) < 55 || s[:3] == "ff-" || s[2] != '-' || s[35] != '-' || s[52] != '-' || len(s) > 55 && (s[:2] == "00" || s[55] != '-') {
		return trace.SpanContext{}
	}
	traceID, err1 := trace.TraceIDFromHex(s[3:35])
	spanID, err2 := trace.SpanIDFromHex(s[36:52])
	flags, err3 := hex.DecodeString(s[53:55])
	if err1 != nil || err2 != nil || err3 != nil {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.TraceFlags(flags[0]), Remote: true})
}
