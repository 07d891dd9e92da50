// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A step is one binding's turn in one phase.
type step struct {
	*bound
	phase        Phase
	index, count int    // its place among those of the phase that are not skipped
	skipped      string // why the binding does not select the operation; "" when it does
}

// A walk takes an operation through steps, one after the other.
//
// Interceptors are not trusted to come back. A worker goroutine calls them
// while the walker waits, so that the walker can leave behind a worker that is
// stuck in a call, and start another. One worker for all steps costs one change
// of goroutines per operation, not one per call. Interceptors that are trusted to
// come back, and that no other precedes, the walker calls itself.
//
// Worker and walker hand a baton to and fro; all but the atomics and done
// belongs to who holds it. The worker gives it up when it sets calling to the
// number of a call, and has it back if it can set it from that number to 0 when
// the call returns. If the walker can, the worker is left behind and touches
// nothing any more. A number is used once, so no call is mistaken for another.
type walk struct {
	run    *run
	ctx    context.Context // whose end ends the walk
	steps  []step
	calls  []call  // of the steps
	sights []sight // of the calls
	next   int     // of steps
	call   *call   // begun last
	crash  any     // what a worker panicked with outside of a call

	calling atomic.Int64
	read    time.Time // the clock's last reading; zero when it is stale

	// What outlives the walk, see recycle.
	before int64  // the number of the last call of the walk before
	watch  *watch // nil until a walker waits
	worker func() // work(nil), made together with watch
}

// A call is one binding being called. Its worker may keep it for longer than the
// walk lasts.
type call struct {
	*step
	*sight
	number int64
	atOnce bool          // it got a slot when it began
	inTurn atomic.Int64  // it got one later, so many ns after it began; 0 when it did not
	over   time.Duration // when its time is, since the run began
	span   trace.Span    // of the evaluation; nil when it is not traced
}

// A sight is what the interceptor gets to see of a call. It may keep that, and
// show it to others, for as long as it likes.
type sight struct {
	evaluation Evaluation
	ctx        callContext
}

// through walks, and returns when every step is done or skipped. No step takes
// longer than its binding's timeout, whatever the interceptor does. Patience is
// the shortest of the timeouts.
func (w *walk) through(patience time.Duration) {
	if len(w.steps) == 0 {
		return
	}
	w.calls = slices.Grow(w.calls[:0], len(w.steps))[:len(w.steps)]
	w.sights = make([]sight, len(w.steps))
	for c := w.begin(true); c != nil; c = w.begin(true) {
		a := c.ask()
		w.calling.Store(0)
		w.run.finish(w.ctx, c, a)
	}
	if w.next < len(w.steps) {
		w.attend(patience)
	}
}

// attend waits for the worker that it starts, and for those that follow that one.
func (w *walk) attend(patience time.Duration) {
	if w.watch == nil {
		w.watch, w.worker = newWatch(patience), func() { w.work(nil) }
	} else {
		w.watch.begin(patience)
	}
	defer w.watch.end()
	watch, left := w.watch, w.ctx.Done()
	go w.worker()
	for {
		var said word
		if left == nil {
			said = <-watch.word
		} else {
			select {
			case said = <-watch.word:
			case <-left:
				left = nil // a call that begins from now on sees the end for itself
				if number := w.calling.Load(); number != 0 && w.leave(number) {
					return
				}
				continue
			}
		}
		if said == ended {
			if w.crash != nil {
				panic(w.crash)
			}
			return
		}
		// The next look is at the deadline of this call, but not later than that of a
		// call which may follow it.
		next := patience
		if number := w.calling.Load(); number != 0 {
			if rest := w.calls[number-w.before-1].over - time.Since(w.run.began); rest > 0 {
				next = min(rest, patience)
			} else if w.leave(number) {
				return
			}
		}
		watch.set(next)
	}
}

// leave leaves a call behind, unless it has just returned, and walks on without
// it. It reports whether that was the last.
func (w *walk) leave(number int64) (over bool) {
	// Before the worker can see it: who is left behind is waited for by Close.
	w.run.force.running.more()
	if !w.calling.CompareAndSwap(number, 0) {
		w.run.force.running.leave()
		return false
	}
	w.run.stray, w.run.kept = true, true
	var cause error = w.call.late("")
	if !w.call.atOnce && w.call.inTurn.Load() == 0 {
		cause = w.call.lane.full(w.call.Timeout)
	}
	w.run.finish(w.ctx, w.call, answer{err: cause})
	if w.next == len(w.steps) {
		return true
	}
	go w.worker()
	return false
}

// work is the life of a worker, who first finishes the call that ended the
// goroutine of the one before, if there is one. The walker, who waits for it,
// counts for both of them.
func (w *walk) work(lost *call) {
	var called *call // the call under way; its number stays ours when w.call is no longer
	over := false
	defer func() {
		if over {
			return
		}
		switch cause := recover(); {
		case called == nil: // a panic of our own, for the walker to raise again
			w.crash = fmt.Sprint(cause)
			w.watch.word <- ended
		case w.calling.CompareAndSwap(called.number, 0): // an interceptor called runtime.Goexit
			go w.work(called)
		default:
			w.run.force.running.leave()
		}
	}()
	w.read = time.Time{} // how long ago a worker was started nobody knows
	if lost != nil {
		w.run.finish(w.ctx, lost, answer{err: fail(Panic, "the call ended its goroutine")})
	}
	for called = w.begin(false); called != nil; called = w.begin(false) {
		a := called.ask()
		if !w.calling.CompareAndSwap(called.number, 0) {
			over = true // left behind
			w.run.force.running.leave()
			return
		}
		c := called
		called = nil
		w.run.finish(w.ctx, c, a)
	}
	over = true
	w.watch.word <- ended // from here on the walk is the walker's, and soon another's
}

// begin begins the next call and returns it, nil when there is none. If it is the
// walker's turn there is only one of an interceptor that it may call itself. Who has
// the call no longer has the baton.
func (w *walk) begin(walkers bool) *call {
	for w.next < len(w.steps) && (!walkers || w.steps[w.next].heeds) {
		c := &w.calls[w.next]
		c.step, c.sight = &w.steps[w.next], &w.sights[w.next]
		w.next++
		if !w.run.prepare(c) {
			continue
		}
		if c.phase == Validate && w.run.stateless != nil { // a shadow: others are skipped
			w.run.finish(w.ctx, c, answer{err: fail(Unavailable, stateUnavailable+": "+w.run.stateless.Error())})
			continue
		}
		now := c.evaluation.Start
		if w.run.chain.records || w.run.chain.Now != nil {
			now = w.run.clock()
		}
		c.number = w.before + int64(w.next)
		c.ctx.parent, c.ctx.deadline = w.ctx, now.Add(c.Timeout)
		c.atOnce = c.lane.try()
		w.call = c
		c.over = w.run.read + c.Timeout
		w.calling.Store(c.number)
		if w.ctx.Err() == nil || !w.calling.CompareAndSwap(c.number, 0) {
			return c
		}
		if c.atOnce {
			c.lane.leave()
			c.atOnce = false
		}
		// The walker may have looked before there was a call to leave.
		w.run.finish(w.ctx, c, answer{err: w.ctx.Err()})
	}
	return nil
}
