// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"math"
	"sync/atomic"
)

// A tally counts what runs by a plan, until none is left after it was closed. A
// [sync.WaitGroup] would need a lock beside it, so that nobody is counted who comes
// when it is waited for, and every operation would take that.
type tally struct {
	n    atomic.Int64  // how many, and closed
	over chan struct{} // closed when the tally is, and none is left
}

// closed is added to the count of a tally that was closed.
const closed = math.MinInt64

func newTally() tally { return tally{over: make(chan struct{})} }

// enter counts one more; false when the tally was closed.
func (t *tally) enter() bool {
	for {
		n := t.n.Load()
		if n < 0 {
			return false
		}
		if t.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// more counts one on behalf of one that is counted, which may go first.
func (t *tally) more() { t.n.Add(1) }

// leave counts one less.
func (t *tally) leave() {
	if t.n.Add(-1) == closed {
		close(t.over)
	}
}

// close lets nobody in any more. It may be called again.
func (t *tally) close() {
	if t.n.Or(closed) == 0 {
		close(t.over)
	}
}
