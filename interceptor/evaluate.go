// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// prepare records that a binding is about to be called, and with what; false
// when it is skipped instead.
func (r *run) prepare(c *call) bool {
	if c.phase != PostCommit {
		if r.leaveIfCallerLeft(); r.chain.LoadState != nil && c.phase == Validate && c.skipped == "" && r.out.Decision != Deny {
			r.load(*c.step)
		}
		if c.skipped != "" || r.out.Decision == Deny {
			r.skip(*c.step, r.denied())
			return false
		}
	}
	now := r.walk.read
	if r.chain.records || now.IsZero() {
		now = r.now()
	}
	r.describe(c, now, r.chain.uid(now, &r.uids))
	if r.chain.Tracer != nil {
		c.beginSpan(r.chain.Tracer, r.op)
	}
	r.open = c
	if r.chain.records {
		r.recordBegin(c, now)
	}
	return true
}

// A worker's stack is small, and growing it costs more than all else that it
// does. So what is long is a function of its own, which is not called without
// need, nor inlined: a frame alone would grow the stack.

// recordBegin records that a call is about to begin.
//
//go:noinline
func (r *run) recordBegin(c *call, now time.Time) {
	r.record(now, Fact{Binding: c.Binding, Evaluation: &c.evaluation, Span: c.span})
}

// recordEnd records how a call ended. The result is on the stack of who calls this.
//
//go:noinline
func (r *run) recordEnd(c *call, result *Result, failure *Failure, end time.Time) {
	f := Fact{Binding: c.Binding, Evaluation: &c.evaluation, Failure: failure, Span: c.span}
	f.Waited, f.Uncalled = c.turn()
	if result != nil {
		told := *result
		f.Result = &told
	}
	r.record(end, f)
}

// describe makes the evaluation that a binding is shown.
func (r *run) describe(c *call, now time.Time, uid UID) {
	e := &c.evaluation
	e.Start, e.UID, e.Operation, e.RequestID = now, uid, r.op.UID, r.op.RequestID
	e.Interceptor, e.Binding, e.Phase, e.Index, e.Count = c.Interceptor, c.ID, c.phase, c.index, c.count
	e.Service, e.Method, e.Principal, e.Trace = r.op.Service, r.op.Method, r.op.Principal, r.op.Trace
	if len(c.Attributes) > 0 {
		e.Attributes = c.sees(r.op.Attributes)
	}
	if len(c.Reads) > 0 {
		e.Metadata = c.reads(r.metadata)
	}
	e.Payload = r.shown
	if c.phase == Validate {
		e.State = r.state
	}
}

// An answer is what a call of an interceptor came back with.
type answer struct {
	result *Result
	err    error
}

// ask waits for its turn, unless it came at once, and calls the interceptor. A
// panic is a Failure.
func (c *call) ask() (a answer) {
	if !c.atOnce {
		if full := c.lane.enter(&c.ctx, c.Timeout); full != nil {
			c.ctx.end()
			return answer{err: full}
		}
		c.inTurn.Store(max(1, int64(c.elapsed())))
	}
	defer func() {
		c.lane.leave()
		c.ctx.end()
		if cause := recover(); cause != nil {
			a = answer{err: fail(Panic, fmt.Sprintf("%v\n%s", cause, debug.Stack()))}
		}
	}()
	ctx := context.Context(&c.ctx)
	if c.heeds && c.Endpoint != "" {
		ctx = c.ctx.real() // a call over the wire asks for it, more than once
	}
	a.result, a.err = c.Impl.Evaluate(ctx, &c.evaluation)
	return a
}

// elapsed is how long ago the call began.
func (c *call) elapsed() time.Duration { return c.Timeout - time.Until(c.ctx.deadline) }

// turn is how long the call waited for its turn, and whether that never came.
func (c *call) turn() (waited time.Duration, never bool) {
	if c.atOnce {
		return 0, false
	}
	if at := c.inTurn.Load(); at > 0 {
		return time.Duration(at), false
	}
	if c.number == 0 { // it did not come to wait
		return 0, true
	}
	return max(0, c.elapsed()), true
}

// finish makes exactly one Result or one Failure of a call's answer, records
// it, and, before the handler, lets it have its effect.
func (r *run) finish(ctx context.Context, c *call, a answer) {
	var room Result // not shown to anybody, so that it takes no memory
	var result *Result
	var failure *Failure
	var candidate proto.Message
	if a.err != nil {
		failure = c.classify(a.err, ctx.Err())
	} else if result, failure = c.admit(c.phase, a.result, &room); failure == nil && result.Decision == Modify {
		candidate, failure = r.patch(result.Patches)
	}
	var end time.Time // of no use when nobody hears of it
	if failure != nil || r.chain.records || c.span != nil {
		end = r.now()
	}
	r.walk.read = end
	var would Decision
	if failure != nil {
		result = nil
		failure.rule(c.Binding, c.phase)
		failure.End = end
		if would = failure.Decision; c.Shadow {
			failure.Decision = None
		}
	} else {
		result.End = end
	}
	r.open = nil
	r.ended++
	if r.chain.records {
		r.recordEnd(c, result, failure, end)
	}
	if c.span != nil {
		c.endSpan(result, failure, end)
	}
	switch {
	case c.phase != PostCommit:
		r.apply(c, result, failure, candidate, would)
	case failure == nil && !c.Shadow:
		r.write(result.Metadata)
	}
}

// patch returns the request as patches make it. Whatever hostile patches or
// messages do to the code that applies them is the binding's failure.
func (r *run) patch(patches []Patch) (candidate proto.Message, failure *Failure) {
	defer func() {
		if cause := recover(); cause != nil {
			candidate, failure = nil, fail(InvalidResult, fmt.Sprintf("patching panicked: %v", cause))
		}
	}()
	candidate, err := patched(r.request, patches, secretsOf(r.force.plan, r.op))
	switch {
	case err == nil:
		return candidate, nil
	case errors.Is(err, errCandidateSize):
		return nil, fail(Limit, err.Error())
	}
	return nil, fail(InvalidResult, err.Error())
}

// classify makes a Failure of an error from Evaluate. gone is set when by then
// the caller had left.
func (c *call) classify(err, gone error) (failure *Failure) {
	defer func() {
		// An error is the interceptor's own code: one that is nil inside, as a
		// *Failure put into an error can be, panics when it is asked what it says.
		if cause := recover(); cause != nil {
			failure = fail(Panic, fmt.Sprintf("its error panicked: %v", cause))
		}
	}()
	if gone != nil {
		return fail(Cancelled, callerLeft+": "+err.Error())
	}
	if own := (*Failure)(nil); errors.As(err, &own) && own != nil && own.Kind.known() {
		return fail(own.Kind, own.Detail)
	} else if own != nil && own.Kind == Cancelled { // the caller is there: who was cancelled is somebody else
		return fail(Unavailable, own.Detail)
	}
	switch status.Code(err) {
	case codes.DeadlineExceeded: // whose answer came with the deadline or before it
		return c.late(status.Convert(err).Message())
	case codes.ResourceExhausted:
		if strings.Contains(err.Error(), reset) { // ENHANCE_YOUR_CALM
			return fail(Unavailable, err.Error())
		}
		return fail(Limit, err.Error())
	case codes.Canceled:
		if !time.Now().Before(c.ctx.deadline) { // by the peer, which keeps the same deadline
			return c.late(status.Convert(err).Message())
		}
		return fail(Unavailable, err.Error())
	case codes.Unavailable, codes.Unauthenticated, codes.Unimplemented:
		return fail(Unavailable, err.Error())
	}
	switch {
	case strings.Contains(err.Error(), reset): // whatever code gRPC makes of the reset
		return fail(Unavailable, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return c.late(err.Error())
	case errors.Is(err, context.Canceled):
		return fail(Unavailable, err.Error())
	}
	return fail(InvalidResult, err.Error())
}

// late is the Failure of a call that timed out. Words are those of whoever saw
// it, and are kept when they say more than that.
func (c *call) late(words string) *Failure {
	detail := "no answer within " + c.Timeout.String()
	switch words = strings.TrimSpace(words); words {
	case "", context.DeadlineExceeded.Error(), context.Canceled.Error(), resetByPeer:
	default:
		detail += ": " + words
	}
	return fail(Timeout, detail)
}

// reset is how gRPC begins to say that a call was reset, resetByPeer what it
// says of one that its server gave up.
const (
	reset       = "stream terminated by RST_STREAM"
	resetByPeer = reset + " with error code: CANCEL"
)

// known reports whether an interceptor may name the kind. Cancelled is the
// chain's own: it overrules the failure policy.
func (k FailureKind) known() bool {
	return slices.Contains([]FailureKind{Timeout, Unavailable, InvalidResult, Limit, Panic, Scope}, k)
}

// maxDetail bounds the text of a cause, which a peer may have written.
const maxDetail = 4 << 10

func fail(kind FailureKind, detail string) *Failure {
	return &Failure{Kind: kind, Detail: clip(detail, maxDetail)}
}

// clip returns at most n bytes of s, as valid UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// policy returns the failure policy of the binding in a phase.
func (b *Binding) policy(phase Phase) FailurePolicy {
	switch {
	case phase == PostCommit:
		return b.PostCommitPolicy
	case phase == ModifyOperation && b.ModifyPolicy != 0:
		return b.ModifyPolicy
	}
	return b.FailurePolicy
}

// rule sets what the failure makes of the operation.
func (f *Failure) rule(b *Binding, phase Phase) {
	f.Policy = b.policy(phase)
	switch {
	case phase == PostCommit && f.Policy == Ignore:
		f.Decision = None
	case phase == PostCommit:
		f.Decision = Allow
	case f.Kind == Cancelled:
		f.Decision = Deny // nobody waits for the operation
	case f.Policy == FailOpen:
		f.Decision = Allow
	default:
		f.Decision = Deny
	}
}
