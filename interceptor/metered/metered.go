// SPDX-License-Identifier: Apache-2.0

// Package metered counts what a chain decides.
//
// A [Recorder] stands in front of the one that makes events of the facts and
// passes everything on. So the numbers on a dashboard and the events in the
// store come from the same facts, and a chain without either runs the same:
//
//	rec, err := metered.New(activity.NewRecorder(emit), provider)
//	chain, err := interceptor.New(plan, rec)
//
// Methods, interceptors and bindings are attributes. Interceptors and bindings
// are bounded by the plan. A method that no plan names has the name that its
// caller gave it, so under unmatched = "deny" only the SDK's limit of attribute
// sets bounds them. Principals and tenants are no attributes: who did what is
// for the audit store to answer.
package metered

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/docket-audit/docket/interceptor"
)

// A Recorder counts facts and barriers and passes them on.
type Recorder struct {
	next interceptor.Recorder
	now  func() time.Time

	operations  metric.Int64Counter
	pending     metric.Int64Counter
	operation   metric.Float64Histogram
	evaluations metric.Int64Counter
	failures    metric.Int64Counter
	shadows     metric.Int64Counter
	skipped     metric.Int64Counter
	patches     metric.Int64Counter
	evaluation  metric.Float64Histogram
	queue       metric.Float64Histogram
	barrier     metric.Float64Histogram
	redactions  metric.Int64Counter
}

var _ interceptor.Recorder = (*Recorder)(nil)

// Bucket bounds in seconds: in-process bindings take microseconds, remote ones
// milliseconds, an fsync something between, a timeout seconds.
var bounds = metric.WithExplicitBucketBoundaries(
	.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)

// New returns a Recorder in front of next. A nil provider counts nothing. A next
// with a method CountRedactions(func(do string, n int)), such as that of package
// activity, has the values counted that it leaves out of events.
func New(next interceptor.Recorder, provider metric.MeterProvider) (*Recorder, error) {
	if provider == nil {
		provider = noop.NewMeterProvider()
	}
	meter := provider.Meter("github.com/docket-audit/docket/interceptor/metered")
	r := &Recorder{next: next, now: time.Now}
	var errs [12]error
	r.operations, errs[0] = meter.Int64Counter("docket_chain_operations",
		metric.WithUnit("{operation}"), metric.WithDescription("Operations that came to their end, by decision and by whether the handler ran."))
	r.pending, errs[1] = meter.Int64Counter("docket_chain_audit_unavailable",
		metric.WithUnit("{barrier}"), metric.WithDescription("Waits for durable facts that ended without them: before the handler the operation was denied, after it the answer was marked as pending."))
	r.operation, errs[2] = meter.Float64Histogram("docket_chain_operation_duration",
		metric.WithUnit("s"), metric.WithDescription("From an operation's arrival to its handler's return or its denial."), bounds)
	r.evaluations, errs[3] = meter.Int64Counter("docket_chain_evaluations",
		metric.WithUnit("{evaluation}"), metric.WithDescription("Evaluations that ended, by what the binding decided or its failure policy made of it."))
	r.failures, errs[4] = meter.Int64Counter("docket_chain_failures",
		metric.WithUnit("{failure}"), metric.WithDescription("Evaluations that failed, by kind of failure and by the failure policy that was applied."))
	r.evaluation, errs[5] = meter.Float64Histogram("docket_chain_evaluation_duration",
		metric.WithUnit("s"), metric.WithDescription("How long a binding took for one evaluation."), bounds)
	r.barrier, errs[6] = meter.Float64Histogram("docket_chain_audit_wait",
		metric.WithUnit("s"), metric.WithDescription("How long an operation waited for its facts to be durable, each time that it did."), bounds)
	r.shadows, errs[7] = meter.Int64Counter("docket_chain_shadow",
		metric.WithUnit("{evaluation}"), metric.WithDescription("Evaluations by shadows, by what they would have decided."))
	r.skipped, errs[8] = meter.Int64Counter("docket_chain_skipped",
		metric.WithUnit("{binding}"), metric.WithDescription("Bindings that an operation did not call: it was denied before, or they do not select it."))
	r.patches, errs[9] = meter.Int64Counter("docket_chain_patches",
		metric.WithUnit("{patch}"), metric.WithDescription("Patches that were applied to operations."))
	r.redactions, errs[10] = meter.Int64Counter("docket_chain_redactions",
		metric.WithUnit("{value}"), metric.WithDescription("Values that events say were left out of them, by what was done in their place; failed is a rule that failed."))
	r.queue, errs[11] = meter.Float64Histogram("docket_chain_queue_wait",
		metric.WithUnit("s"), metric.WithDescription("How long evaluations waited for their turn that did not have it at once, by whether it came: if not, the evaluation failed with kind limit."), bounds)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if c, ok := next.(redacting); ok {
		c.CountRedactions(r.redacted)
	}
	return r, nil
}

// A redacting recorder leaves values out of what it records, and says how many.
type redacting interface {
	CountRedactions(count func(do string, n int))
}

func (r *Recorder) redacted(do string, n int) {
	r.redactions.Add(context.Background(), int64(n), metric.WithAttributes(attribute.String("action", do)))
}

// Record implements [interceptor.Recorder].
func (r *Recorder) Record(f interceptor.Fact) {
	r.next.Record(f)
	switch {
	case f.Outcome != nil:
		r.outcome(f.Operation, f.Outcome)
	case f.Evaluation == nil:
	case f.Failure != nil:
		r.failed(&f)
	case f.Result != nil:
		decision := f.Result.Decision
		if shadow(&f) {
			r.shadow(f.Evaluation, decision)
			decision = interceptor.None
		}
		r.ended(&f, decision, f.Result.End)
	}
}

func (r *Recorder) outcome(op *interceptor.Operation, o *interceptor.Outcome) {
	decision := attribute.String("decision", o.Decision.String())
	ctx := context.Background()
	r.operations.Add(ctx, 1, metric.WithAttributes(decision,
		attribute.String("method", op.Service+"/"+op.Method), attribute.Bool("ran", o.Ran)))
	r.operation.Record(ctx, o.End.Sub(op.Start).Seconds(), metric.WithAttributes(decision))
	if len(o.Patches) > 0 {
		r.patches.Add(ctx, int64(len(o.Patches)), metric.WithAttributes(attribute.String("method", op.Service+"/"+op.Method)))
	}
	for i := range o.Parts {
		if p := &o.Parts[i]; p.Skipped != "" {
			r.skipped.Add(ctx, 1, metric.WithAttributes(
				attribute.String("interceptor", p.Interceptor), attribute.String("binding", p.Binding), attribute.String("phase", p.Phase.String())))
		}
	}
}

func shadow(f *interceptor.Fact) bool { return f.Binding != nil && f.Binding.Shadow }

func (r *Recorder) shadow(e *interceptor.Evaluation, would interceptor.Decision) {
	r.shadows.Add(context.Background(), 1, metric.WithAttributes(
		attribute.String("interceptor", e.Interceptor), attribute.String("binding", e.Binding),
		attribute.String("phase", e.Phase.String()), attribute.String("would", would.String())))
}

// wouldBe returns what a shadow's failure would have made of the operation.
func wouldBe(f *interceptor.Failure, phase interceptor.Phase) interceptor.Decision {
	switch {
	case phase != interceptor.PostCommit && (f.Kind == interceptor.Cancelled || f.Policy == interceptor.FailClosed):
		return interceptor.Deny
	case f.Policy == interceptor.FailOpen:
		return interceptor.Allow
	default:
		return interceptor.None
	}
}

func (r *Recorder) failed(f *interceptor.Fact) {
	r.failures.Add(context.Background(), 1, metric.WithAttributes(
		attribute.String("interceptor", f.Evaluation.Interceptor),
		attribute.String("binding", f.Evaluation.Binding),
		attribute.String("kind", string(f.Failure.Kind)),
		attribute.String("policy", f.Failure.Policy.String())))
	if shadow(f) {
		r.shadow(f.Evaluation, wouldBe(f.Failure, f.Evaluation.Phase))
	}
	r.ended(f, f.Failure.Decision, f.Failure.End)
}

func (r *Recorder) ended(f *interceptor.Fact, decision interceptor.Decision, end time.Time) {
	ctx, e := context.Background(), f.Evaluation
	binding := []attribute.KeyValue{
		attribute.String("interceptor", e.Interceptor),
		attribute.String("binding", e.Binding),
		attribute.String("phase", e.Phase.String()),
	}
	r.evaluation.Record(ctx, end.Sub(e.Start).Seconds(), metric.WithAttributes(binding...))
	r.evaluations.Add(ctx, 1, metric.WithAttributes(append(binding, attribute.String("decision", decision.String()), attribute.Bool("shadow", shadow(f)))...))
	refused := f.Uncalled && f.Failure != nil && f.Failure.Kind == interceptor.Limit
	if f.Waited > 0 || refused {
		r.queue.Record(ctx, f.Waited.Seconds(), metric.WithAttributes(
			attribute.String("interceptor", e.Interceptor), attribute.Bool("called", !f.Uncalled)))
	}
}

// Barrier implements [interceptor.Recorder].
func (r *Recorder) Barrier(ctx context.Context, operation interceptor.UID) error {
	start := r.now()
	err := r.next.Barrier(ctx, operation)
	r.barrier.Record(ctx, r.now().Sub(start).Seconds())
	if err != nil {
		r.pending.Add(ctx, 1)
	}
	return err
}
