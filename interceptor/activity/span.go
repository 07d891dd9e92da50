// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/ocsf"
)

// span sets when something began and ended and, where there is a trace, a span
// of it. Where the chain traces that is the real one; else it is one under the
// caller's, whose id is the last half of the uid, which is random.
func (w *writer) span(e *draft, uid, operation string, start, end time.Time) {
	if end.Before(start) {
		end = start // a clock that was set back
	}
	e.StartTime, e.EndTime = millis(start), millis(end)
	e.Duration = e.number(numberDuration, end.Sub(start).Milliseconds())
	if w.trace(e, operation) || e.Trace == nil {
		return
	}
	e.spanned = ocsf.Span{UID: spanID(uid), Operation: operation, StartTime: e.StartTime, EndTime: e.EndTime}
	e.Trace.Span = &e.spanned
	e.spanned.ParentUID = w.shared.caller
}

// trace sets the real span of what the event is about, if there is one, and says
// whose the caller's is: the parent of an evaluation's is the operation's.
func (w *writer) trace(e *draft, operation string) bool {
	live := w.spanContext()
	if !live.IsValid() {
		return false
	}
	op := w.fact.Operation
	e.spanned = ocsf.Span{UID: live.SpanID().String(), Operation: text(operation), StartTime: e.StartTime, EndTime: e.EndTime}
	e.traced = ocsf.Trace{UID: live.TraceID().String(), Span: &e.spanned}
	e.Trace = &e.traced
	parent, caller := op.Trace, ""
	if w.fact.Evaluation != nil {
		parent = op.Span
	}
	if parent.HasSpanID() {
		e.spanned.ParentUID = parent.SpanID().String()
	}
	if op.Trace.HasSpanID() {
		caller = op.Trace.SpanID().String()
	}
	e.own(ownCallerSpan, caller)
	return true
}

func (w *writer) spanContext() trace.SpanContext {
	if w.fact.Span == nil || w.shared.trace == "" {
		return trace.SpanContext{}
	}
	return w.fact.Span.SpanContext()
}

// traceOf returns the trace that an operation is part of.
func traceOf(op *interceptor.Operation) trace.TraceID {
	if op.Span.HasTraceID() {
		return op.Span.TraceID()
	}
	return op.Trace.TraceID()
}

// spanID makes a W3C span id of a uid: 16 hex digits, not all zero.
func spanID(uid string) string {
	const zero = "0000000000000001"
	var digits [16]byte
	n := len(digits)
	for i := len(uid) - 1; i >= 0 && n > 0; i-- {
		c := uid[i]
		if '0' <= c && c <= '9' || 'a' <= c && c <= 'f' {
			n--
			digits[n] = c
		}
	}
	if id := string(digits[n:]); n == 0 && id != "0000000000000000" {
		return id
	}
	return zero
}
