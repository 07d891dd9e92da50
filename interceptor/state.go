// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const defaultStateTimeout = 2 * time.Second

const stateUnavailable = "current state unavailable"

// load loads the current state, unless that was done or nothing needs doing.
// Failure policies speak of bindings, not of the loader: no binding can validate
// without the state, so the operation is denied when it is not there. A shadow
// alone does not deny; its call fails.
func (r *run) load(s step) {
	if r.state == nil && !r.loaded {
		r.loaded = true
		r.walk.read = time.Time{} // it takes its time
		state, err := r.currentState()
		if r.stateless = err; err == nil && state != nil {
			r.state = newPayload(state, secretsOf(r.force.plan, r.op))
		}
		r.leaveIfCallerLeft()
	}
	if r.stateless != nil && !s.Shadow {
		r.deny(nil, clip(stateUnavailable+": "+r.stateless.Error(), maxDetail), status.New(codes.Unavailable, stateUnavailable))
	}
}

// currentState calls the loader, and leaves it behind when it does not come back.
func (r *run) currentState() (proto.Message, error) {
	timeout := cmp.Or(r.chain.StateTimeout, defaultStateTimeout)
	ctx, cancel := context.WithTimeout(r.ctx, timeout)
	defer cancel()
	if full := r.chain.loads.enter(ctx, timeout); full != nil {
		return nil, full
	}
	type answer struct {
		state proto.Message
		err   error
	}
	done := make(chan answer, 1)
	load, op, request, lane, running := r.chain.LoadState, *r.op, r.request, r.chain.loads, &r.force.running
	running.more()
	go func() {
		defer running.leave()
		defer lane.leave()
		a := answer{err: errors.New("the loader ended its goroutine")}
		defer func() {
			if cause := recover(); cause != nil {
				a = answer{err: fmt.Errorf("the loader panicked: %v", cause)}
			}
			done <- a
		}()
		state, err := load(ctx, &op, request)
		a = answer{state, err}
	}()
	select {
	case a := <-done:
		return a.state, a.err
	case <-ctx.Done():
		r.stray, r.kept = true, true // it may still read the request
		return nil, fmt.Errorf("no answer within %s", timeout)
	}
}
