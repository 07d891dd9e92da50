// SPDX-License-Identifier: Apache-2.0

package softlimit

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func current() int64 { return debug.SetMemoryLimit(-1) }

// The limit makes way for what is in use, comes back when that is gone, and leaves
// when it is not wanted any more.
func TestHold(t *testing.T) {
	const limit, much = spare + 64<<20, 256 << 20
	looks := make(chan time.Time)
	before := current()
	stop := hold(limit, looks)
	if got := current(); got != limit {
		t.Errorf("limit %d, want %d", got, limit)
	}
	look := func() {
		runtime.GC()
		looks <- time.Time{}
		looks <- time.Time{} // the first one is dealt with
	}
	func() {
		held := make([]byte, much)
		look()
		if got := current(); got < much+spare || got > much+spare+64<<20 {
			t.Errorf("with %d in use the limit is %d", much, got)
		}
		runtime.KeepAlive(held)
	}()
	look()
	if got := current(); got != limit {
		t.Errorf("with nothing in use the limit is %d", got)
	}
	stop()
	if got := current(); got != before {
		t.Errorf("afterwards the limit is %d, and was %d", got, before)
	}
}

func TestRoom(t *testing.T) {
	for _, c := range []struct{ limit, inUse, want int64 }{
		{Default, 0, Default},
		{Default, Default - spare, Default},
		{Default, Default, Default + spare},
		{math.MaxInt64, 1 << 40, math.MaxInt64},
	} {
		if got := room(c.limit, c.inUse); got != c.want {
			t.Errorf("limit %d with %d in use: %d, want %d", c.limit, c.inUse, got, c.want)
		}
	}
}
