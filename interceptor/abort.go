// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"cmp"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What follows is for panics that none of our own code should raise, and for
// goroutines that are ended under it. Even then each evaluation that began has
// one end, and each operation one Outcome. The chain's clock and uids are not
// asked: they may be what panics.

// abort ends a run that did not come to its end. Cause is nil when the handler,
// or somebody else, called runtime.Goexit.
func (r *run) abort(cause any) *Outcome {
	now := time.Now()
	why := fmt.Sprintf("chain panicked: %v", cause)
	if cause == nil {
		why = "the goroutine of the operation was ended"
	}
	r.op.Start = cmp.Or(r.op.Start, now)
	r.op.UID = cmp.Or(r.op.UID, newUID(now))
	r.endOpen(why, now)
	switch {
	case r.recorded:
	case !r.out.Ran:
		r.deny(nil, why, status.New(codes.Internal, "operation denied: internal error"))
	case r.out.HandlerStatus == nil:
		r.out.HandlerStatus = status.New(codes.Internal, "handler ended its goroutine")
		r.out.Status = r.out.HandlerStatus
	}
	if !r.recorded {
		r.aborted = why
		if n := len(r.out.Parts); n < len(r.judging) {
			for _, s := range r.judging[n:] {
				r.skip(s, r.denied())
			}
		}
		r.out.End = now
		r.tell()
	}
	if !r.settled {
		r.settle()
	}
	r.endSpan(r.out)
	return r.out
}

// endOpen records the missing end of an evaluation.
func (r *run) endOpen(why string, now time.Time) {
	c := r.open
	if c == nil {
		return
	}
	r.open = nil
	r.ended++
	failure := fail(Panic, why)
	failure.rule(c.Binding, c.phase)
	would := failure.Decision
	switch {
	case c.Shadow:
		failure.Decision = None
	case c.phase != PostCommit:
		failure.Decision = Deny // whatever the policy says: the operation does not go on
	}
	failure.End = now
	r.record(now, Fact{Binding: c.Binding, Evaluation: &c.evaluation, Failure: failure, Span: c.span})
	if c.span != nil {
		c.endSpan(nil, failure, now)
	}
	if c.phase != PostCommit {
		r.out.Parts = append(r.out.Parts, Part{Evaluation: c.evaluation.UID, Interceptor: c.Interceptor, Binding: c.ID, Phase: c.phase, Decision: failure.Decision, Failure: failure, Shadow: c.Shadow})
		if part := &r.out.Parts[len(r.out.Parts)-1]; c.Shadow {
			part.Would = would
		}
	}
}

// abandon ends a walk through post_commit that did not come to its end. The
// steps that are left fail without having been called: a recorder forgets the
// operation at the end of the last.
func (r *run) abandon(cause any) {
	now := time.Now()
	why := fmt.Sprintf("chain panicked: %v", cause)
	r.endOpen(why, now)
	for r.ended < len(r.walk.steps) {
		c := &call{step: &r.walk.steps[r.ended], sight: &sight{}}
		r.describe(c, now, newUID(now))
		r.open = c
		r.record(now, Fact{Binding: c.Binding, Evaluation: &c.evaluation})
		r.endOpen(why, now)
	}
}
