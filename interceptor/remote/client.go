// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/docket-audit/docket/interceptor"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// The metadata keys of a call.
const (
	operationKey = "docket-operation-uid"
	traceKey     = "traceparent"
)

// A Client is an interceptor at the other end of a connection.
type Client struct {
	conn *grpc.ClientConn
	stub wire.GatewayInterceptorClient
	max  int // bytes of an answer, unless it denies
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
	creds := insecure.NewCredentials()
	if at.secure {
		config, err := o.clientTLS()
		if err != nil {
			return nil, fmt.Errorf("dial interceptor %s: %w", endpoint, err)
		}
		creds = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(at.target(),
		grpc.WithTransportCredentials(creds),
		grpc.WithNoProxy(), // an interceptor is where the plan says, whatever the environment says
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 20 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			// An interceptor that was restarted is found again within seconds.
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes)),
	)
	if err != nil {
		return nil, fmt.Errorf("dial interceptor %s: %w", endpoint, err)
	}
	return &Client{conn: conn, stub: wire.NewGatewayInterceptorClient(conn), max: o.maxResponse}, nil
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
	return manifestFromWire(m)
}

// Evaluate implements [interceptor.Interceptor].
func (c *Client) Evaluate(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	request, err := evaluationToWire(e)
	if err != nil {
		return nil, &interceptor.Failure{Kind: interceptor.InvalidResult, Detail: "cannot show the payload: " + err.Error()}
	}
	pairs := []string{operationKey, string(e.Operation)}
	if e.Trace.IsValid() {
		pairs = append(pairs, traceKey, traceparent(e.Trace))
	}
	// In place of what the context may carry: that was meant for others.
	answer, err := c.stub.Evaluate(metadata.NewOutgoingContext(ctx, metadata.Pairs(pairs...)), request)
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
	result.Violation = breach
	return result, nil
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
