// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// A run is one operation on its way. It belongs to the goroutine that called
// Run, and during a walk to who holds the walk's baton.
type run struct {
	chain   *Chain
	force   *force
	entered bool            // false when the chain is closed
	ctx     context.Context // the caller's
	op      *Operation
	out     *Outcome   // in room
	span    trace.Span // of the operation; nil when it is not traced

	judging, observing []step // the route's, or those of this operation alone
	patience           time.Duration

	request  proto.Message // as patched so far
	shown    *Payload      // of request
	state    *Payload      // the current one; nil when absent
	metadata map[string]map[string]any

	loaded    bool  // LoadState was called
	stateless error // what came of it

	open     *call     // whose evaluation began and has no end yet
	ended    int       // evaluations that have one
	told     bool      // a fact was recorded
	recorded bool      // the Outcome was
	settled  bool      // its barrier was asked
	aborted  string    // why the run did not come to its end
	stray    bool      // a call was left behind, which may still read request
	kept     bool      // something may outlive the run that holds it, see recycle
	broken   error     // the recorder panicked
	auditBy  time.Time // set when the audit was unavailable: no further waiting

	began time.Time     // when the clock was first read
	read  time.Duration // since then, when it was last read

	walk walk
	uids uidRoom
}

func (r *run) begin() {
	c, plan := r.chain, r.force.plan
	r.request, r.metadata = r.op.Request, r.op.Metadata
	route := r.force.route(r.op.Service, r.op.Method)
	r.judging, r.observing = route.steps(r.op)
	r.op.Durable = r.entered && c.records && plan.durable(r.op.Service, r.op.Method, r.judging, r.observing)
	r.patience = route.patience
	// Room for all, so that Outcome.By can point into it.
	if n := len(r.judging) + len(r.observing); n > cap(r.out.Parts) {
		r.out.Parts = make([]Part, 0, n)
	}
	if c.NewUID == nil {
		r.uids.grow(1 + len(r.judging))
	}
	if r.op.Start.IsZero() {
		r.op.Start = r.now()
	}
	if r.op.UID == "" {
		r.op.UID = c.uid(r.op.Start, &r.uids)
	}
	r.beginSpan()
	r.shown.msg, r.shown.walk = r.op.Request, secretsOf(plan, r.op)
	if r.op.State != nil {
		r.state = newPayload(r.op.State, secretsOf(plan, r.op))
	}
	switch {
	case !r.entered:
		r.deny(nil, "the chain is closed", status.New(codes.Unavailable, "shutting down"))
	case plan.Unmatched == UnmatchedDeny && !governed(r.judging):
		why := "no binding governs this method"
		if len(r.judging)+len(r.observing) > 0 {
			why = "no binding governs this operation"
		}
		r.deny(nil, why, status.New(codes.PermissionDenied, why))
	case r.op.Refusal != nil:
		answer := r.op.Refusal
		if answer.Code() == codes.OK {
			answer = status.New(codes.PermissionDenied, "operation denied")
		}
		r.deny(nil, cmp.Or(answer.Message(), "refused before it could be judged"), answer)
	default:
		r.refuseUnshowable()
	}
}

// refuseUnshowable denies an operation that no binding can be shown, if there is
// one to judge it. See mayLackJSON.
func (r *run) refuseUnshowable() {
	judged, deepest := false, maxShownDepth
	for i := range r.judging {
		s := &r.judging[i]
		if s.Shadow || s.skipped != "" {
			continue
		}
		judged = true
		if s.Endpoint != "" && s.policy(s.phase) == FailOpen {
			deepest = maxForeignDepth
		}
	}
	if !judged || r.request == nil || !mayLackJSON(r.shown.Descriptor()) {
		return
	}
	if raw, err := r.shown.JSON(); err != nil || deeper(raw, deepest) {
		// What is wrong with it would quote it, which capture may leave out.
		what := fmt.Sprintf("the request, a %s, has no JSON form", r.shown.Descriptor().FullName())
		r.deny(nil, what+": it holds an Any of a type that is not known here, or a value that JSON has no room for, or is too deep", status.New(codes.InvalidArgument, what))
	}
}

// judge has the bindings of modify_operation and validate judge the operation.
func (r *run) judge() {
	if r.out.Decision == Deny {
		for _, s := range r.judging {
			r.skip(s, r.denied())
		}
		return
	}
	r.walk.run, r.walk.ctx, r.walk.steps = r, r.ctx, r.judging
	r.walk.through(r.patience)
}

// skip notes a binding that is not called, and why.
func (r *run) skip(s step, why string) {
	r.out.Parts = append(r.out.Parts, Part{
		Interceptor: s.Interceptor, Binding: s.ID, Phase: s.phase, Skipped: cmp.Or(s.skipped, why), Shadow: s.Shadow,
	})
}

// denied says why the operation is.
func (r *run) denied() string {
	if by := r.out.By; by != nil {
		return "denied by " + by.Interceptor + "/" + by.Binding
	}
	return r.out.Reason
}

// apply notes a binding's part and lets it have its effect on the operation,
// unless the binding is a shadow. Would is what a shadow's failure would have
// made of it.
func (r *run) apply(c *call, result *Result, failure *Failure, candidate proto.Message, would Decision) {
	r.out.Parts = append(r.out.Parts, Part{})
	part := &r.out.Parts[len(r.out.Parts)-1]
	part.Evaluation, part.Interceptor, part.Binding, part.Phase = c.evaluation.UID, c.Interceptor, c.ID, c.phase
	part.Failure, part.Shadow = failure, c.Shadow
	switch {
	case c.Shadow:
		if part.Would = would; failure == nil {
			part.Would = result.Decision
		}
	case failure != nil:
		part.Decision = failure.Decision
		r.suffer(part)
	case result.Decision == Deny:
		part.Decision = Deny
		r.deny(part, result.Reason, denial(result))
	default:
		part.Decision = result.Decision
		if len(result.Metadata) > 0 {
			r.write(result.Metadata)
		}
		if result.Decision == Modify {
			r.modify(result.Patches, candidate)
		}
	}
}

// suffer lets the failure of a part have its effect.
func (r *run) suffer(part *Part) {
	switch {
	case part.Failure.Kind == Cancelled:
		r.deny(nil, callerLeft, r.callerStatus())
	case part.Failure.Decision == Deny:
		// The caller learns neither which interceptor failed nor how.
		r.deny(part, fmt.Sprintf("%s failed (%s), which its failure policy makes a deny", part.Interceptor, part.Failure.Kind),
			status.New(codes.PermissionDenied, "operation denied: a policy check failed"))
	}
}

// modify lets patches have their effect, which made the candidate.
func (r *run) modify(patches []Patch, candidate proto.Message) {
	r.out.Decision = Modify
	for _, p := range patches {
		p.Value = slices.Clone(p.Value) // the interceptor's, which may use its memory again
		r.out.Patches = append(r.out.Patches, p)
	}
	r.request, r.shown = candidate, newPayload(candidate, secretsOf(r.force.plan, r.op))
}

// deny makes the operation denied. A deny is final: the first one stays.
func (r *run) deny(by *Part, reason string, answer *status.Status) {
	if r.out.Decision != Deny {
		r.out.Decision, r.out.By, r.out.Reason, r.out.Status = Deny, by, reason, answer
	}
}

const callerLeft = "the caller went away"

// leaveIfCallerLeft denies an operation that nobody waits for any more.
func (r *run) leaveIfCallerLeft() {
	if r.ctx.Err() != nil {
		r.deny(nil, callerLeft, r.callerStatus())
	}
}

func (r *run) callerStatus() *status.Status {
	if errors.Is(r.ctx.Err(), context.DeadlineExceeded) {
		return status.New(codes.DeadlineExceeded, callerLeft)
	}
	return status.New(codes.Canceled, callerLeft)
}

// handle crosses the line of no return: once every fact so far is durable, it
// calls the handler.
func (r *run) handle(handler Handler) {
	r.leaveIfCallerLeft()
	if r.out.Decision == Deny {
		return
	}
	if r.op.Durable && r.told { // else there are no facts yet
		ctx, cancel := context.WithTimeout(r.ctx, r.force.plan.AuditDeadline)
		err := r.barrier(ctx)
		cancel()
		r.leaveIfCallerLeft()
		if err != nil && r.out.Decision != Deny {
			r.auditBy, _ = ctx.Deadline()
			r.deny(nil, "audit unavailable", status.New(codes.Unavailable, "audit unavailable"))
		}
		if r.out.Decision == Deny {
			return
		}
	}
	request := r.request
	if r.stray {
		request = proto.Clone(request)
	}
	r.out.Ran = true
	response, err := protect(r.ctx, handler, request)
	r.out.HandlerStatus = statusOf(err)
	r.out.Status = r.out.HandlerStatus
	if err == nil {
		r.out.Response = response
	}
}

// protect calls the handler and makes a panic an error.
func protect(ctx context.Context, handler Handler, request proto.Message) (response proto.Message, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			response, err = nil, status.Error(codes.Internal, "handler panicked")
		}
	}()
	return handler(ctx, request)
}

// succeeded is the status of a handler without an error, which gRPC writes as
// nil. Here nil says that nobody knows.
var succeeded = status.New(codes.OK, "")

// statusOf returns the gRPC status of a handler's error. It is never nil.
func statusOf(err error) *status.Status {
	if err == nil {
		return succeeded
	}
	if s, ok := status.FromError(err); ok {
		return s
	}
	return status.FromContextError(err)
}

// conclude records the outcome and waits until it is durable, as long as the
// plan allows. After the handler this can change only how the caller is told.
func (r *run) conclude() {
	r.out.End = r.now()
	r.tell()
	r.settle()
	r.endSpan(r.out)
}

// tell records the outcome. A binding of post_commit that is called has no part
// in it yet.
func (r *run) tell() {
	r.out.Request = r.request
	why, observes := r.aborted, r.observes()
	switch {
	case r.out.Decision == Deny:
		why = r.denied()
	case why == "":
		why = "the handler failed"
	}
	for _, s := range r.observing {
		if !observes || s.skipped != "" {
			r.skip(s, why)
		}
	}
	r.recorded = true
	r.record(r.out.End, Fact{Outcome: r.out, Span: r.span})
}

// observes reports whether post_commit is called.
func (r *run) observes() bool {
	return r.aborted == "" && r.entered && r.out.Ran && r.out.HandlerStatus.Code() == codes.OK && len(r.observing) > 0
}

// settle waits until the recorded outcome is durable.
func (r *run) settle() {
	r.settled = true
	if !r.op.Durable {
		return
	}
	wait := r.force.plan.AuditDeadline
	if !r.auditBy.IsZero() {
		// The audit has just been waited for in vain. The recorder is asked once
		// more, because that lets it forget the operation, but with little more
		// patience than what is left.
		wait = max(time.Until(r.auditBy), wait/20)
	}
	// The caller may be gone; the record is wanted nevertheless.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), wait)
	defer cancel()
	if r.barrier(ctx) == nil {
		return
	}
	// The recorder has seen the outcome without this; it keeps the handler's
	// true status.
	r.out.AuditPending = true
	if r.out.Ran && r.force.plan.Answer == AnswerWithhold {
		// Not a code that invites to try again: the handler did run.
		what := "committed"
		if r.out.HandlerStatus.Code() != codes.OK {
			what = "executed"
		}
		r.out.Status = status.New(codes.Unknown, what+", audit pending")
	}
}

// observe has the bindings of post_commit see what the handler answered. It is
// a run of its own: the caller has its answer, and may do with its operation
// what it likes.
func (r *run) observe() func() {
	op := *r.op
	op.Durable = false // these facts are not waited for
	o := &run{chain: r.chain, force: r.force, op: &op, shown: newPayload(r.out.Response, secretsOf(r.force.plan, &op)), metadata: r.metadata}
	steps := r.observing
	if slices.ContainsFunc(steps, func(s step) bool { return s.skipped != "" }) {
		steps = slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return s.skipped != "" })
	}
	if r.chain.NewUID == nil {
		o.uids.grow(len(steps))
	}
	o.walk.run, o.walk.ctx, o.walk.steps = o, context.WithoutCancel(r.ctx), steps
	patience := r.patience
	return func() {
		defer o.force.running.leave()
		defer func() { o.abandon(recover()) }()
		o.walk.through(patience)
	}
}

// record tells the recorder a fact. A recorder that panics counts as one whose
// facts never become durable.
func (r *run) record(at time.Time, f Fact) {
	if r.told = true; !r.chain.records {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			r.broken = fmt.Errorf("recorder panicked: %v", cause)
		}
	}()
	f.Time, f.Operation, f.Plan = at, r.op, r.force.plan
	r.chain.rec.Record(f)
}

// barrier waits until the facts so far are durable or ctx ends, even when the
// recorder does not heed ctx.
func (r *run) barrier(ctx context.Context) error {
	done := make(chan error, 1)
	rec, uid, running := r.chain.rec, r.op.UID, &r.force.running
	running.more()
	go func() { // it may outlive the run, which it must not touch
		defer running.leave()
		defer func() {
			if cause := recover(); cause != nil {
				done <- fmt.Errorf("recorder panicked: %v", cause)
			}
		}()
		done <- rec.Barrier(ctx, uid)
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
		r.kept = true
	}
	return errors.Join(r.broken, err)
}
