// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// A lane bounds the calls of one interceptor, over all of its bindings: so many
// under way, so many that wait for their turn. A slot stays taken for as long
// as its call lasts, so that calls which were left behind cannot pile up.
type lane struct {
	slots   chan struct{}
	queue   int32
	waiting atomic.Int32
}

// newLane returns a lane with these bounds, 0 for the defaults.
func newLane(calls, queue int) *lane {
	return &lane{slots: make(chan struct{}, cmp.Or(calls, DefaultMaxConcurrent)), queue: int32(cmp.Or(queue, DefaultMaxQueue))}
}

// like reports whether two lanes have the same bounds.
func (l *lane) like(other *lane) bool {
	return l != nil && cap(l.slots) == cap(other.slots) && l.queue == other.queue
}

// enter takes a slot, and waits for one until ctx ends, which is after timeout.
// It looks at ctx only if it has to wait. Who entered leaves.
func (l *lane) enter(ctx context.Context, timeout time.Duration) *Failure {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > l.queue {
		return fail(Limit, fmt.Sprintf("%d calls are under way and %d wait for their turn", cap(l.slots), l.queue))
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return l.full(timeout)
	}
}

// full is the Failure of a call that waited for its turn in vain.
func (l *lane) full(timeout time.Duration) *Failure {
	return fail(Limit, fmt.Sprintf("%d calls were under way for %s", cap(l.slots), timeout))
}

func (l *lane) leave() { <-l.slots }
