// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"time"
)

// What an operation needs for itself comes in two parts. What others see, and may
// keep for as long as they like, is made anew for each: a room and the sights of
// its calls. The run is nobody's but the chain's, and the next operation has it.

// A room is what is kept for as long as the Outcome is, which has the messages,
// too: one allocation serves.
type room struct {
	out   Outcome
	shown Payload // of the request as it was proposed
	parts [4]Part
}

// newRun returns a run for an operation.
func (c *Chain) newRun(ctx context.Context, op *Operation) *run {
	r, ok := c.runs.Get().(*run)
	if !ok {
		r = &run{}
	}
	room := &room{}
	r.chain, r.ctx, r.op, r.out, r.shown = c, ctx, op, &room.out, &room.shown
	r.out.Decision, r.out.Parts = Allow, room.parts[:0]
	return r
}

// recycle gives a run that came to its end to the next operation, unless somebody
// may still hold it, such as the worker of a call that was left behind. With a run
// from which post_commit goes on nothing is tried either.
//
// What stays in it is of no operation. The numbers of calls go on counting, so that
// none can be mistaken for one of before.
func (r *run) recycle() {
	if r.kept || r.span != nil {
		return
	}
	c, w := r.chain, &r.walk
	calls, watch, worker, before := w.calls, w.watch, w.worker, w.before+int64(len(w.steps))
	clear(calls)
	if cap(calls) > maxKept {
		calls = nil
	}
	*r = run{}
	w.calls, w.watch, w.worker, w.before = calls[:0], watch, worker, before
	c.runs.Put(r)
}

// maxKept bounds the calls that a run has room for when it is used again.
const maxKept = 64

// now reads the chain's clock.
func (r *run) now() time.Time {
	if r.chain.Now != nil {
		return r.chain.Now()
	}
	return r.clock()
}

// clock reads the true clock. After the first time that is the steady one, which
// takes less: what happened within one operation cannot be out of order then.
func (r *run) clock() time.Time {
	if r.began.IsZero() {
		r.began = time.Now()
		return r.began
	}
	r.read = time.Since(r.began)
	return r.began.Add(r.read)
}
