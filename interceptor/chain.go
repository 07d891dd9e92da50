// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
)

// A Chain runs a [Plan]. It is safe for use by many goroutines at once.
type Chain struct {
	// Now and NewUID are the clock and the source of uids. They may be set
	// before the chain is first used. Without Now the clock is [time.Now], without
	// NewUID uids are UUIDv7 of the clock.
	Now    func() time.Time
	NewUID func() UID

	// Tracer makes a span of each operation and each evaluation; nil makes none.
	Tracer trace.Tracer

	// LoadState loads the current state of what an operation is about, for the
	// bindings of validate; nil loads none. It is called at most once per operation,
	// only if such a binding is to be called and [Operation.State] is nil, with the
	// request as it then is, neither of which it may change. An error, a panic, or
	// no answer within StateTimeout (zero is 2 s) denies the operation with
	// UNAVAILABLE, whatever the failure policies of the bindings.
	LoadState    func(ctx context.Context, op *Operation, request proto.Message) (proto.Message, error)
	StateTimeout time.Duration

	rec     Recorder
	records bool      // false when rec is Discard: nobody is to be told or waited for
	runs    sync.Pool // of *run
	loads   *lane     // of LoadState

	// swapping is held while the force is replaced, mu while it is or the chain is
	// closed. A force is closed only once another stands in its place, or for good.
	swapping sync.Mutex
	mu       sync.Mutex
	closed   bool // guarded by mu
	force    atomic.Pointer[force]
	retiring sync.WaitGroup // of forces that were replaced
}

// New returns a chain that runs a copy of the plan. A plan that cannot be run
// is a [*PlanError].
func New(plan *Plan, rec Recorder) (*Chain, error) {
	if plan == nil || rec == nil {
		return nil, errors.New("make chain: a plan and a recorder are needed; Discard records nothing")
	}
	f, err := newForce(plan, nil)
	if err != nil {
		return nil, err
	}
	c := &Chain{rec: rec, records: rec != Discard, loads: newLane(0, 0)}
	c.force.Store(f)
	return c, nil
}

// Swap puts a copy of another plan in force, for operations that begin from now
// on; those under way end by the plan that they began with. The channel is
// closed when none of them is left, nor their post_commit, nor a call of theirs
// that outlived its deadline: then what the old plan calls may be closed. On an
// error the old plan stays in force.
func (c *Chain) Swap(plan *Plan) (retired <-chan struct{}, err error) {
	if plan == nil {
		return nil, errors.New("swap plan: there is none")
	}
	c.swapping.Lock()
	defer c.swapping.Unlock()
	old := c.force.Load()
	next, err := newForce(plan, old)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.New("swap plan: the chain is closed")
	}
	c.force.Store(next)
	old.running.close()
	c.retiring.Go(func() { <-old.running.over }) // ends with the last that runs by the old plan; Close waits for it
	return old.running.over, nil
}

func (c *Chain) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Chain) uid(now time.Time, room *uidRoom) UID {
	if c.NewUID != nil {
		return c.NewUID()
	}
	return room.next(now)
}

// Plan returns the plan in force: defaults filled in, bindings in order. It
// MUST NOT be changed.
func (c *Chain) Plan() *Plan { return c.force.Load().plan }

// Begin gives an operation its Start and UID, unless it has them. Run does so
// by itself: Begin is for adapters that have to name the operation to the caller
// before they have its request.
func (c *Chain) Begin(op *Operation) {
	if op.Start.IsZero() {
		op.Start = c.now()
	}
	if op.UID == "" {
		op.UID = c.uid(op.Start, &uidRoom{})
	}
}

// Run takes an operation through the chain and to its handler, and returns what
// became of it. It never panics and never returns nil. When it returns the
// operation is over but for post_commit, whose bindings are called in the
// background: they cannot delay the answer. The messages of the operation and
// of the Outcome MUST NOT be changed afterwards.
//
// A handler that panics has failed with INTERNAL. It MUST NOT change the
// request that it is given. A handler that calls [runtime.Goexit] ends the
// goroutine that called Run, which therefore does not return; the Outcome is
// recorded nevertheless.
func (c *Chain) Run(ctx context.Context, op *Operation, handler Handler) (out *Outcome) {
	if op == nil {
		op = &Operation{}
	}
	if ctx == nil {
		ctx = context.Background()
	}
	r := c.newRun(ctx, op)
	if r.force, r.entered = c.enter(); r.entered {
		defer r.force.running.leave()
	}
	finished := false
	defer func() {
		if !finished {
			out = r.abort(recover())
		}
	}()
	r.begin()
	r.judge()
	r.handle(handler)
	r.conclude()
	if r.observes() {
		observe := r.observe()
		r.force.running.more()
		go observe()
		r.kept = true
	}
	finished = true
	out = r.out
	r.recycle()
	return out
}

// enter counts an operation as running by the plan in force; false when the
// chain is closed.
func (c *Chain) enter() (*force, bool) {
	for {
		f := c.force.Load()
		if f.running.enter() {
			return f, true
		}
		if c.force.Load() == f { // nothing stands in its place
			return f, false
		}
	}
}

// Close denies further operations and waits for everything that the chain
// started: operations, post_commit, and calls of interceptors that outlived
// their deadline. It returns an error when ctx ends first; what is then still
// running is an interceptor or recorder that does not heed its context.
func (c *Chain) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	last := c.force.Load()
	last.running.close()
	c.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the last that runs
		c.retiring.Wait()
		<-last.running.over
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close chain: calls still run: %w", ctx.Err())
	}
}
