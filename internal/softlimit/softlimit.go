// SPDX-License-Identifier: Apache-2.0

// Package softlimit holds the memory of a process that runs everything. Go's garbage
// collector lets a heap grow to twice what is in use, and in use are, for ten seconds,
// the blocks that the broker wrote and somebody read at once, as who follows does: at
// full speed that makes a gigabyte and a half. Under a soft limit the collector comes
// sooner. A limit below what a process needs would cost half of its processor time,
// though; so this one makes way.
package softlimit

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Default is for a process with broker, emitter, collector and lake, in bytes.
const Default = 768 << 20

// every is how often it is looked at what is in use.
const every = time.Second

// spare is how much there is beyond what is in use at least, so that there is something
// to do between two collections.
const spare = 80 << 20

// Hold sets the soft limit of the process's memory, in bytes, as GOMEMLIMIT does. Where
// what is in use comes near, the limit makes way, by 80 MiB. The caller MUST call stop, which
// takes the limit back.
func Hold(limit int64) (stop func()) {
	ticker := time.NewTicker(every)
	end := hold(limit, ticker.C)
	return func() {
		ticker.Stop()
		end()
	}
}

func hold(limit int64, looks <-chan time.Time) (stop func()) {
	before := debug.SetMemoryLimit(limit)
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-looks:
				debug.SetMemoryLimit(room(limit, inUse()))
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		looking.Wait()
		debug.SetMemoryLimit(before)
	}
}

// room returns the limit for what is in use.
func room(limit, inUse int64) int64 { return max(limit, inUse+spare) }

// inUse returns what the last collection found to be in use, and what lies outside of
// the heap.
func inUse() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	n := int64(s[0].Value.Uint64()) + int64(s[1].Value.Uint64()) //nolint:gosec // bytes of memory
	for _, heap := range s[2:] {
		n -= int64(heap.Value.Uint64()) //nolint:gosec // the same
	}
	return n
}
