// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"sync/atomic"
	"time"
)

// A word is what a walker waits for.
type word uint8

const (
	ended word = iota // the walk has
	look              // a call may have outlived its deadline
)

// A watch is how a walker waits: for the word that the walk is over, and from
// time to time for the word to look after it.
//
// Walks mostly end long before there is anything to look for. So the timer is not
// stopped with the walk: it runs on for the next one that waits with this watch,
// and is set again when it has run out. A word to look too many does no harm.
type watch struct {
	word  chan word
	timer *time.Timer
	wait  time.Duration // that the timer was last set to
	state atomic.Int32
}

// The states of a watch.
const (
	idle     = iota // no walk, and the timer does not run
	running         // no walk, but the timer runs
	watching        // a walk, and the timer runs
	fired           // a walk, and the timer has run out
)

// newWatch returns a watch for a walk, which says within patience to look.
func newWatch(patience time.Duration) *watch {
	w := &watch{word: make(chan word, 2), wait: patience} // room for both words
	w.state.Store(watching)
	w.timer = time.AfterFunc(patience, w.ring)
	return w
}

// begin begins the waiting of another walk.
func (w *watch) begin(patience time.Duration) {
	if w.state.Swap(watching) != running || patience < w.wait {
		w.set(patience)
	}
}

// end ends a walk's waiting. That it has ended was said, or will not be said any more.
func (w *watch) end() {
	if !w.state.CompareAndSwap(watching, running) {
		w.state.Store(idle)
	}
}

// set sets the timer anew, for the walk that waits.
func (w *watch) set(wait time.Duration) {
	w.state.Store(watching)
	w.wait = wait
	w.timer.Reset(wait)
}

// ring is what the timer does when it runs out.
func (w *watch) ring() {
	for {
		switch state := w.state.Load(); state {
		case running:
			if w.state.CompareAndSwap(running, idle) {
				return
			}
		case watching:
			if w.state.CompareAndSwap(watching, fired) {
				select {
				case w.word <- look:
				default: // it was said, and not yet heard
				}
				return
			}
		default:
			return
		}
	}
}
