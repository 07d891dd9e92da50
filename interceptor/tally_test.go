// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Nobody is counted any more once a tally is closed, and it is over when the last
// that was counted has left, whoever left or closed last.
func TestTally(t *testing.T) {
	for range 50 {
		tally := newTally()
		var inside, after atomic.Int64
		var work sync.WaitGroup
		closing := make(chan struct{})
		for range 4 {
			work.Go(func() {
				for tally.enter() {
					inside.Add(2)
					tally.more() // leaves later than who entered
					work.Go(func() {
						inside.Add(-1)
						tally.leave()
					})
					inside.Add(-1)
					tally.leave()
				}
				<-closing
				if tally.enter() {
					after.Add(1)
				}
			})
		}
		for range 2 {
			work.Go(func() {
				tally.close()
				<-tally.over
				if n := inside.Load(); n != 0 {
					t.Errorf("over with %d inside", n)
				}
			})
		}
		<-tally.over
		close(closing)
		work.Wait()
		if after.Load() != 0 {
			t.Errorf("%d were let in after it was over", after.Load())
		}
	}
}
