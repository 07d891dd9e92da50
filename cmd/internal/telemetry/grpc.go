// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
)

// ServerOptions make a server trace the calls that come in, as part of their
// callers' traces. There are none without a provider, and no cost.
func ServerOptions(traces trace.TracerProvider) []grpc.ServerOption {
	if traces == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(handlerOptions(traces)...))}
}

// DialOptions make a connection trace the calls that go out on it, and tell
// the other side which span each is. There are none without a provider, and no
// cost.
func DialOptions(traces trace.TracerProvider) []grpc.DialOption {
	if traces == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(append(handlerOptions(traces), otelgrpc.WithFilter(forACaller))...))}
}

func handlerOptions(traces trace.TracerProvider) []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithTracerProvider(traces),
		otelgrpc.WithPropagators(traceContext{}),
		// What is measured must not depend on whether it is traced.
		otelgrpc.WithMeterProvider(noop.NewMeterProvider()),
	}
}

// forACaller tells calls that are made for somebody's call from those by which
// the gateway finds out whom it has to do with: the latter are no part of any
// operation, and would be traces of their own.
func forACaller(call *stats.RPCTagInfo) bool {
	return !strings.HasPrefix(call.FullMethodName, "/grpc.reflection.") &&
		!strings.HasPrefix(call.FullMethodName, "/grpc.health.") &&
		call.FullMethodName != "/openshell.gateway_interceptor.v1.GatewayInterceptor/Describe"
}

// traceContext is W3C trace context as it goes in metadata. Of a call with two
// traceparents none is believed, as everywhere in the gateway.
type traceContext struct{ propagation.TraceContext }

// Extract implements propagation.TextMapPropagator.
func (p traceContext) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	if len(metadata.ValueFromIncomingContext(ctx, "traceparent")) > 1 {
		return ctx
	}
	return p.TraceContext.Extract(ctx, carrier)
}
