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
			r.load(c.step)
		}
		if c.skipped != "" || r.out.Decision == Deny {
			r.skip(c.step, r.denied())
			return false
		}
	}
	now := r.chain.Now()
	r.describe(c, now, r.chain.uid(now))
	if r.chain.Tracer != nil {
		c.beginSpan(r.chain.Tracer, r.op)
	}
	r.open = c
	r.record(now, Fact{Binding: c.Binding, Evaluation: &c.evaluation, Span: c.span})
	return true
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

// ask waits for its turn and calls the interceptor. A panic is a Failure.
func (c *call) ask(i Interceptor) (a answer) {
	defer c.ctx.end()
	if full := c.lane.enter(&c.ctx, c.Timeout); full != nil {
		return answer{err: full}
	}
	c.inTurn.Store(true)
	defer func() {
		c.lane.leave()
		if cause := recover(); cause != nil {
			a = answer{err: fail(Panic, fmt.Sprintf("%v\n%s", cause, debug.Stack()))}
		}
	}()
	a.result, a.err = i.Evaluate(&c.ctx, &c.evaluation)
	return a
}

// finish makes exactly one Result or one Failure of a call's answer, records
// it, and, before the handler, lets it have its effect.
func (r *run) finish(ctx context.Context, c *call, a answer) {
	var result *Result
	var failure *Failure
	var candidate proto.Message
	if a.err != nil {
		failure = c.classify(a.err, ctx.Err())
	} else if result, failure = c.admit(c.phase, a.result, &c.result); failure == nil && result.Decision == Modify {
		candidate, failure = r.patch(result.Patches)
	}
	end := r.chain.Now()
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
	r.record(end, Fact{Binding: c.Binding, Evaluation: &c.evaluation, Result: result, Failure: failure, Span: c.span})
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
func (c *call) classify(err, gone error) *Failure {
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

// rule sets what the failure makes of the operation.
func (f *Failure) rule(b *Binding, phase Phase) {
	f.Policy = b.FailurePolicy
	switch {
	case phase == PostCommit:
		f.Policy = b.PostCommitPolicy
	case phase == ModifyOperation && b.ModifyPolicy != 0:
		f.Policy = b.ModifyPolicy
	}
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
