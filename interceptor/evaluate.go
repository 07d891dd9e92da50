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
		if r.leaveIfCallerLeft(); r.out.Decision == Deny {
			r.skip(c.step)
			return false
		}
	}
	e := &c.evaluation
	e.Start = r.chain.Now()
	e.UID, e.Operation = r.chain.uid(e.Start), r.op.UID
	e.Interceptor, e.Binding, e.Phase, e.Index, e.Count = c.Interceptor, c.ID, c.phase, c.index, c.count
	e.Service, e.Method, e.Principal, e.Trace = r.op.Service, r.op.Method, r.op.Principal, r.op.Trace
	e.Payload = r.shown
	if c.phase == Validate {
		e.State = r.state
	}
	r.record(e.Start, Fact{Binding: c.Binding, Evaluation: e})
	return true
}

// An answer is what a call of an interceptor came back with.
type answer struct {
	result *Result
	err    error
}

// ask waits for its turn and calls the interceptor. A panic is a Failure. The
// slot stays taken for as long as the call lasts, so that calls which were left
// behind cannot pile up.
func (c *call) ask(i Interceptor) (a answer) {
	defer c.ctx.end()
	select {
	case c.slots <- struct{}{}:
	default:
		select {
		case c.slots <- struct{}{}:
		case <-c.ctx.Done():
			return answer{err: fail(Limit, fmt.Sprintf("%d calls were under way for %s", c.MaxConcurrent, c.Timeout))}
		}
	}
	c.inTurn.Store(true)
	defer func() {
		<-c.slots
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
	if failure != nil {
		result = nil
		failure.rule(c.Binding, c.phase)
		failure.End = end
	} else {
		result.End = end
	}
	r.record(end, Fact{Binding: c.Binding, Evaluation: &c.evaluation, Result: result, Failure: failure})
	if c.phase != PostCommit {
		r.apply(c, result, failure, candidate)
	}
}

// patch returns the request as patches make it.
func (r *run) patch(patches []Patch) (proto.Message, *Failure) {
	candidate, err := patched(r.request, patches, secretsOf(r.chain.plan, r.op))
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
	}
	switch status.Code(err) {
	case codes.DeadlineExceeded: // whose answer came with the deadline or before it
		return c.late(status.Convert(err).Message())
	case codes.ResourceExhausted:
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

// resetByPeer is what gRPC says of a call that its server gave up.
const resetByPeer = "stream terminated by RST_STREAM with error code: CANCEL"

func (k FailureKind) known() bool {
	return slices.Contains([]FailureKind{Timeout, Unavailable, InvalidResult, Limit, Panic, Cancelled}, k)
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
	if phase == PostCommit {
		f.Policy = b.PostCommitPolicy
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
