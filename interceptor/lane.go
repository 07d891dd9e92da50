// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// A lane bounds the calls of one interceptor, over all of its bindings: so many
// under way, so many that wait for their turn. A slot stays taken for as long
// as its call lasts, so that calls which were left behind cannot pile up.
//
// A slot that is free costs no more than a count. Who has to wait counts itself
// as waiting before it looks once more for a slot, and who leaves frees its slot
// before it looks for who waits: one of the two sees the other.
type lane struct {
	slots, queue int32
	taken        atomic.Int32
	waiting      atomic.Int32
	freed        chan struct{} // wakes one that waits; one too many does no harm
}

// newLane returns a lane with these bounds, 0 for the defaults.
func newLane(calls, queue int) *lane {
	count := func(n, otherwise int) int32 { return int32(min(cmp.Or(n, otherwise), math.MaxInt32)) }
	l := &lane{slots: count(calls, DefaultMaxConcurrent), queue: count(queue, DefaultMaxQueue)}
	l.freed = make(chan struct{}, l.queue) // as many as there are to be woken
	return l
}

// like reports whether two lanes have the same bounds.
func (l *lane) like(other *lane) bool {
	return l != nil && l.slots == other.slots && l.queue == other.queue
}

// try takes a slot, if one is free and nobody waits for it. Who has one leaves.
func (l *lane) try() bool { return l.waiting.Load() == 0 && l.take() }

func (l *lane) take() bool {
	for {
		n := l.taken.Load()
		if n >= l.slots {
			return false
		}
		if l.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// enter waits for a slot until ctx ends, which is after timeout.
func (l *lane) enter(ctx context.Context, timeout time.Duration) *Failure {
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > l.queue {
		return fail(Limit, fmt.Sprintf("%d calls are under way and %d wait for their turn", l.slots, l.queue))
	}
	for !l.take() {
		select {
		case <-l.freed:
		case <-ctx.Done():
			return l.full(timeout)
		}
	}
	return nil
}

// full is the Failure of a call that waited for its turn in vain.
func (l *lane) full(timeout time.Duration) *Failure {
	return fail(Limit, fmt.Sprintf("%d calls were under way for %s", l.slots, timeout))
}

func (l *lane) leave() {
	l.taken.Add(-1)
	if l.waiting.Load() > 0 {
		select {
		case l.freed <- struct{}{}:
		default: // so many are woken already that nobody is left to wake
		}
	}
}
