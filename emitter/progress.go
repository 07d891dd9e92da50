// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// A progress is a position that only moves forward.
type progress struct {
	mu      sync.Mutex
	pos     position
	changed broadcast
}

func (p *progress) position() position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pos
}

func (p *progress) advance(to position) {
	p.mu.Lock()
	if to.compare(p.pos) > 0 {
		p.pos = to
	}
	p.mu.Unlock()
	p.changed.notify()
}

// reach is how far each epoch of this start is on stable storage.
type reach struct {
	mu sync.Mutex
	by map[string]int64
}

func (r *reach) set(epoch string, sequence int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[string]int64{}
	}
	r.by[epoch] = sequence
}

func (r *reach) all() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.by)
}

// A backoff tells how long to wait before the next try.
type backoff struct {
	first, most time.Duration
	last        time.Duration
}

// next doubles the wait each time, with jitter, so that many emitters do not
// come back at once.
func (b *backoff) next() time.Duration {
	b.last = min(max(b.first, 2*b.last), b.most)
	return b.last/2 + rand.N(b.last) //nolint:gosec // jitter
}

func (b *backoff) reset() { b.last = 0 }
