// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// A Chain runs a [Plan]. It is safe for use by many goroutines at once.
type Chain struct {
	// Now and NewUID are the clock and the source of uids. They may be set
	// before the chain is first used. Without NewUID uids are UUIDv7 of Now.
	Now    func() time.Time
	NewUID func() UID

	// Tracer makes a span of each operation and each evaluation; nil makes none.
	Tracer trace.Tracer

	// LoadState loads the current state of what an operation is about, for the
	// bindings of validate; nil loads none. It is called at most once per operation,
	// only if such a binding is to be called and [Operation.State] is nil, with the
	// request as it then is. An error, a panic, or no answer within StateTimeout
	// (zero is 2 s) denies the operation.
	LoadState    func(ctx context.Context, op *Operation, request proto.Message) (proto.Message, error)
	StateTimeout time.Duration

	rec    Recorder
	waits  bool // false when rec is Discard: there is nothing to wait for
	plan   *Plan
	routes map[rpc]*route // of the methods that bindings name
	others *route         // of all other methods
	timers sync.Pool      // of stopped *time.Timer

	// mu guards closed. Whatever the chain starts is counted in running, and
	// only on behalf of an operation that is itself counted there, so that Close
	// never waits on a counter that others may yet lift from zero.
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

type rpc struct{ service, method string }

// A route is what happens to operations of one method.
type route struct {
	judge    []step // modify_operation, then validate
	observe  []step // post_commit
	patience time.Duration
}

// A bound is a binding in force, with a slot for each of its calls under way.
type bound struct {
	*Binding
	slots chan struct{}
}

// New returns a chain that runs a copy of the plan. A plan that cannot be run
// is a [*PlanError].
func New(plan *Plan, rec Recorder) (*Chain, error) {
	if plan == nil || rec == nil {
		return nil, errors.New("make chain: a plan and a recorder are needed; Discard records nothing")
	}
	p := plan.normal()
	if err := p.check(); err != nil {
		return nil, err
	}
	c := &Chain{Now: time.Now, rec: rec, waits: rec != Discard, plan: p, routes: map[rpc]*route{}}
	bounds := make([]*bound, len(p.Bindings))
	for i := range p.Bindings {
		bounds[i] = &bound{Binding: &p.Bindings[i], slots: make(chan struct{}, p.Bindings[i].MaxConcurrent)}
	}
	c.others = newRoute(bounds, rpc{})
	for _, b := range bounds {
		for _, name := range b.RPCs {
			service, method, _ := strings.Cut(name, "/")
			if key := (rpc{service, method}); c.routes[key] == nil {
				c.routes[key] = newRoute(bounds, key)
			}
		}
	}
	return c, nil
}

func newRoute(bounds []*bound, key rpc) *route {
	in := map[Phase][]step{}
	r := &route{patience: math.MaxInt64}
	for _, b := range bounds {
		if b.selects(key.service, key.method) {
			for _, phase := range b.Phases {
				in[phase] = append(in[phase], step{bound: b, phase: phase, index: len(in[phase])})
			}
			r.patience = min(r.patience, b.Timeout)
		}
	}
	for _, steps := range in {
		for i := range steps {
			steps[i].count = len(steps)
		}
	}
	r.judge = slices.Concat(in[ModifyOperation], in[Validate])
	r.observe = in[PostCommit]
	return r
}

// timer returns a running timer. Who is done with it puts it into timers,
// stopped.
func (c *Chain) timer(d time.Duration) *time.Timer {
	if t, ok := c.timers.Get().(*time.Timer); ok {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

func (c *Chain) uid(now time.Time) UID {
	if c.NewUID != nil {
		return c.NewUID()
	}
	return newUID(now)
}

// Plan returns the plan in force: defaults filled in, bindings in order. It
// MUST NOT be changed.
func (c *Chain) Plan() *Plan { return c.plan }

// Begin gives an operation its Start and UID, unless it has them. Run does so
// by itself: Begin is for adapters that have to name the operation to the caller
// before they have its request.
func (c *Chain) Begin(op *Operation) {
	if op.Start.IsZero() {
		op.Start = c.Now()
	}
	if op.UID == "" {
		op.UID = c.uid(op.Start)
	}
}

// Run takes an operation through the chain and to its handler, and returns what
// became of it. It never panics and never returns nil. When it returns the
// operation is over but for post_commit, whose bindings are called in the
// background: they cannot delay the answer. The messages of the operation and
// of the Outcome MUST NOT be changed afterwards.
//
// A handler that panics has failed with INTERNAL. It MUST NOT change the
// request that it is given.
func (c *Chain) Run(ctx context.Context, op *Operation, handler Handler) (out *Outcome) {
	if op == nil {
		op = &Operation{}
	}
	r := &run{chain: c, ctx: ctx, op: op, route: c.routes[rpc{op.Service, op.Method}], out: &Outcome{Decision: Allow}}
	if r.route == nil {
		r.route = c.others
	}
	defer func() {
		if cause := recover(); cause != nil {
			out = r.rescue(cause)
		}
	}()
	entered := c.enter()
	if entered {
		defer c.running.Done()
	}
	r.begin(entered)
	r.judge()
	r.handle(handler)
	r.conclude()
	if entered && r.out.Ran && r.out.HandlerStatus.Code() == codes.OK && len(r.route.observe) > 0 {
		c.running.Add(1)
		go r.observe()()
	}
	return r.out
}

// enter counts an operation as running; false when the chain is closed.
func (c *Chain) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.running.Add(1)
	}
	return !c.closed
}

// Close denies further operations and waits for everything that the chain
// started: operations, post_commit, and calls of interceptors that outlived
// their deadline. It returns an error when ctx ends first; what is then still
// running is an interceptor or recorder that does not heed its context.
func (c *Chain) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the last that runs
		c.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close chain: calls still run: %w", ctx.Err())
	}
}
