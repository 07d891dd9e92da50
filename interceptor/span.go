// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
)

// beginSpan begins the operation's span, whose parent is the caller's. What the
// operation calls from then on, the handler among it, is within that span.
func (r *run) beginSpan() {
	if r.chain.Tracer == nil {
		return
	}
	parent := r.ctx
	if r.op.Trace.IsValid() {
		parent = trace.ContextWithRemoteSpanContext(parent, r.op.Trace)
	}
	r.ctx, r.span = r.chain.Tracer.Start(parent, r.op.Service+"/"+r.op.Method, //nolint:spancheck // endSpan ends it
		trace.WithTimestamp(r.op.Start),
		trace.WithAttributes(
			attribute.String("rpc.service", r.op.Service),
			attribute.String("rpc.method", r.op.Method),
			attribute.String("docket.operation_uid", string(r.op.UID))))
	r.op.Span = r.span.SpanContext()
}

// endSpan ends the operation's span, once the Outcome was recorded.
func (r *run) endSpan(out *Outcome) {
	span := r.span
	if span == nil {
		return
	}
	r.span = nil
	span.SetAttributes(
		attribute.String("docket.decision", out.Decision.String()),
		attribute.Bool("docket.ran", out.Ran),
		attribute.Int("rpc.grpc.status_code", int(out.Status.Code())))
	switch out.Status.Code() {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		span.SetStatus(otelcodes.Error, out.Status.Code().String())
	}
	span.End(trace.WithTimestamp(out.End))
}

// beginSpan begins the span of an evaluation within the operation's. That one
// may be over by then: post_commit does not delay it.
func (c *call) beginSpan(t trace.Tracer, op *Operation) {
	e := &c.evaluation
	parent := trace.ContextWithSpanContext(context.Background(), op.Span)
	_, c.span = t.Start(parent, e.Interceptor+"/"+e.Binding, //nolint:spancheck // endSpan ends it
		trace.WithTimestamp(e.Start),
		trace.WithAttributes(
			attribute.String("docket.operation_uid", string(e.Operation)),
			attribute.String("docket.evaluation_uid", string(e.UID)),
			attribute.String("docket.phase", e.Phase.String()),
			attribute.Bool("docket.shadow", c.Shadow)))
	e.Trace = c.span.SpanContext()
}

// endSpan ends the evaluation's span, once its end was recorded. The whole cause
// of a failure is in the event, not here.
func (c *call) endSpan(result *Result, failure *Failure, end time.Time) {
	span := c.span
	if span == nil {
		return
	}
	c.span = nil
	if failure != nil {
		span.SetAttributes(attribute.String("docket.decision", failure.Decision.String()), attribute.String("docket.failure", string(failure.Kind)))
		span.SetStatus(otelcodes.Error, string(failure.Kind))
	} else {
		span.SetAttributes(attribute.String("docket.decision", result.Decision.String()))
	}
	span.End(trace.WithTimestamp(end))
}
