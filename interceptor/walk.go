// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"fmt"
	"sync"
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
// of goroutines per operation, not one per call.
//
// Worker and walker hand a baton to and fro; all but the atomics and done
// belongs to who holds it. The worker gives it up when it sets calling to the
// number of a call, and has it back if it can set it from that number to 0 when
// the call returns. If the walker can, the worker is left behind and touches
// nothing any more. A number is used once, so no call is mistaken for another.
type walk struct {
	run   *run
	ctx   context.Context // whose end ends the walk
	steps []step
	room  []call // for the calls of the steps
	next  int    // of steps
	call  *call  // begun last
	crash any    // what a worker panicked with outside of a call

	calling  atomic.Int64
	deadline atomic.Int64 // of the call under way, in ns since began
	began    time.Time
	done     chan struct{} // told once, by the worker that ends the walk
}

// A call is one binding being called. Its worker and whoever the interceptor
// shows its parts to may keep it for longer than the walk lasts.
type call struct {
	step
	evaluation Evaluation
	result     Result // room for what it answers
	ctx        callContext
	number     int64
	inTurn     atomic.Bool // it has a slot
	span       trace.Span  // of the evaluation; nil when it is not traced
}

// through walks, and returns when every step is done or skipped. No step takes
// longer than its binding's timeout, whatever the interceptor does. Patience is
// the shortest of the timeouts.
func (w *walk) through(patience time.Duration) {
	if len(w.steps) == 0 {
		return
	}
	w.room = make([]call, len(w.steps))
	w.began = time.Now()
	w.done = make(chan struct{}, 1)
	timer := w.run.chain.timer(patience)
	defer func() {
		timer.Stop()
		w.run.chain.timers.Put(timer)
	}()
	left := w.ctx.Done()
	w.start(nil)
	for {
		select {
		case <-w.done:
			if w.crash != nil {
				panic(w.crash)
			}
			return
		case <-left:
			left = nil // a call that begins from now on sees the end for itself
			if number := w.calling.Load(); number != 0 && w.leave(number) {
				return
			}
		case <-timer.C:
			// The next look is at the deadline of this call, but not later than
			// that of a call which may follow it.
			wait := patience
			if number := w.calling.Load(); number != 0 {
				if rest := time.Duration(w.deadline.Load()) - time.Since(w.began); rest > 0 {
					wait = min(rest, patience)
				} else if w.leave(number) {
					return
				}
			}
			timer.Reset(wait)
		}
	}
}

// leave leaves a call behind, unless it has just returned, and walks on without
// it. It reports whether that was the last.
func (w *walk) leave(number int64) (over bool) {
	if !w.calling.CompareAndSwap(number, 0) {
		return false
	}
	w.run.stray = true
	var cause error = w.call.late("")
	if !w.call.inTurn.Load() {
		cause = w.call.lane.full(w.call.Timeout)
	}
	w.run.finish(w.ctx, w.call, answer{err: cause})
	if w.next == len(w.steps) {
		return true
	}
	w.start(nil)
	return false
}

// start starts a worker, who first finishes the call that ended the goroutine of
// the one before, if there is one.
func (w *walk) start(lost *call) {
	w.run.force.running.Add(1)
	go w.work(lost)
}

// work is the life of a worker.
func (w *walk) work(lost *call) {
	defer w.run.force.running.Done()
	var called *call // the call under way; its number stays ours when w.call is no longer
	over := false
	defer func() {
		if over {
			return
		}
		switch cause := recover(); {
		case called == nil: // a panic of our own, for the walker to raise again
			w.crash = fmt.Sprint(cause)
			w.done <- struct{}{}
		case w.calling.CompareAndSwap(called.number, 0): // an interceptor called runtime.Goexit
			w.start(called)
		}
	}()
	if lost != nil {
		w.run.finish(w.ctx, lost, answer{err: fail(Panic, "the call ended its goroutine")})
	}
	for w.begin() {
		called = w.call
		a := called.ask(called.Impl)
		if !w.calling.CompareAndSwap(called.number, 0) {
			over = true // left behind
			return
		}
		c := called
		called = nil
		w.run.finish(w.ctx, c, a)
	}
	over = true
	w.done <- struct{}{}
}

// begin begins the next call, if there is one.
func (w *walk) begin() bool {
	for w.next < len(w.steps) {
		c := &w.room[w.next]
		c.step = w.steps[w.next]
		w.next++
		if !w.run.prepare(c) {
			continue
		}
		if c.phase == Validate && w.run.stateless != nil { // a shadow: others are skipped
			w.run.finish(w.ctx, c, answer{err: fail(Unavailable, stateUnavailable+": "+w.run.stateless.Error())})
			continue
		}
		elapsed := time.Since(w.began)
		c.number = int64(w.next)
		c.ctx.parent, c.ctx.deadline = w.ctx, w.began.Add(elapsed+c.Timeout)
		w.call = c
		w.deadline.Store(int64(elapsed + c.Timeout))
		w.calling.Store(c.number)
		if w.ctx.Err() == nil || !w.calling.CompareAndSwap(c.number, 0) {
			return true
		}
		// The walker may have looked before there was a call to leave.
		w.run.finish(w.ctx, c, answer{err: w.ctx.Err()})
	}
	return false
}

// A callContext is the context of one call. It ends with the walk's, at the
// call's deadline and when the call returns, but carries none of the walk's
// values: the caller's metadata, with its credentials, is not a binding's to
// see or to pass on.
//
// An interceptor in process that never looks costs no timer.
type callContext struct {
	parent   context.Context
	deadline time.Time

	mu     sync.Mutex // guards the rest
	ended  bool
	ctx    context.Context // nil until it is asked for
	cancel context.CancelFunc
}

func (c *callContext) real() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithDeadline(c.parent, c.deadline)
		if c.ended {
			c.cancel()
		}
	}
	return c.ctx
}

func (c *callContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}

// Deadline implements [context.Context].
func (c *callContext) Deadline() (time.Time, bool) { return c.real().Deadline() }

// Done implements [context.Context].
func (c *callContext) Done() <-chan struct{} { return c.real().Done() }

// Err implements [context.Context].
func (c *callContext) Err() error { return c.real().Err() }

// Value implements [context.Context].
func (c *callContext) Value(any) any { return nil }

// AfterFunc lets a context made from this one follow its end without a
// goroutine; package context looks for it.
func (c *callContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.real(), f) }
