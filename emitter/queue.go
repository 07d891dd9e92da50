// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"
	"sync"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A group is events that were offered close together and are made durable
// together, so that one channel serves the receipts of all.
type group struct {
	emitter *Emitter
	events  []ocsf.Event // the sequencer's once taken; emptied by it
	weights []int64

	// settled is closed when the fate of every event is known; what follows is
	// written by the sequencer before and by nobody after.
	settled chan struct{}
	places  []place
	unfit   map[int]error // why an event was refused
	err     error         // why all were
	end     position      // in the WAL, behind its last record
}

// A place is where an event stands for ever.
type place struct {
	epoch    string
	sequence int64
}

func (g *group) outcome(i int) error {
	if g.err != nil {
		return g.err
	}
	return g.unfit[i]
}

// groupEvents bounds a group, so that the first of a burst does not wait for
// the encoding of the last.
const groupEvents = 512

// A queue holds the events that callers offered until the sequencer takes them,
// and counts what it had to refuse.
type queue struct {
	emitter *Emitter
	limit   int64

	mu      sync.Mutex // guards what follows
	groups  []*group   // the last one may still grow
	bytes   int64      // weight of all events that are not yet durable
	gaps    gaps
	reason  string // why the queue is full when it is
	closed  bool
	offered int64
	refused int64

	wake chan struct{} // has an element when there is something to take
}

func newQueue(e *Emitter, limit int64) *queue {
	return &queue{emitter: e, limit: limit, gaps: gaps{}, reason: reasonQueueFull, wake: make(chan struct{}, 1)}
}

// offer takes e if there is room.
func (q *queue) offer(e ocsf.Event) Receipt {
	w := weigh(e)
	limit := q.limit
	meta := &e.Common().Metadata
	if meta.EventCode == profile.KindOutcome {
		limit *= 2
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return Receipt{err: fmt.Errorf("emit event: %w", ErrClosed)}
	}
	q.offered++
	if q.bytes+w > limit {
		q.refuse(meta.TenantUID, q.reason)
		q.signal()
		return Receipt{err: fmt.Errorf("emit event: %w", ErrBackpressure)}
	}
	q.bytes += w
	n := len(q.groups)
	if n == 0 || len(q.groups[n-1].events) >= groupEvents {
		q.groups = append(q.groups, &group{emitter: q.emitter, settled: make(chan struct{})})
		n++
	}
	g := q.groups[n-1]
	g.events = append(g.events, e)
	g.weights = append(g.weights, w)
	q.signal()
	return Receipt{group: g, index: len(g.events) - 1}
}

// refuse counts an event that is not taken. mu is held.
func (q *queue) refuse(tenant, reason string) {
	if tenant == "" {
		tenant = profile.TenantDefault
	}
	q.refused++
	q.gaps.add(gapKey{tenant, reason}, q.emitter.cfg.Now().UnixMilli())
}

// refuseUnfit counts an event that was taken and turned out to be none.
func (q *queue) refuseUnfit(tenant string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse(tenant, reasonUnfit)
}

// signal wakes the sequencer. mu may be held: it never blocks.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns everything that waits. The gaps are the caller's to state.
func (q *queue) take() (groups []*group, stated gaps, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	groups, q.groups = q.groups, nil
	if len(q.gaps) > 0 {
		stated, q.gaps = q.gaps, gaps{}
	}
	return groups, stated, q.closed
}

// release takes the weight of events off that are durable or gone.
func (q *queue) release(weight int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= weight
}

// blame says why the queue is going to be full.
func (q *queue) blame(reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reason = reason
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// weigh estimates what an event takes in memory, from its text, without
// encoding it.
func weigh(e ocsf.Event) int64 {
	const fixed = 1024 // an event without payload, and its encoding
	b := e.Common()
	n := int64(fixed + len(b.Message) + len(b.StatusDetail))
	for k, v := range b.Unmapped {
		n += int64(len(k)) + weighValue(v, 0)
	}
	if b.API != nil {
		if b.API.Request != nil {
			n += weighValue(b.API.Request.Data, 0)
		}
		if b.API.Response != nil {
			n += weighValue(b.API.Response.Data, 0) + int64(len(b.API.Response.ErrorMessage)+len(b.API.Response.Message))
		}
	}
	switch e := e.(type) {
	case *ocsf.DetectionFinding:
		for i := range e.Evidences {
			n += weighValue(e.Evidences[i].Data, 0)
		}
	case *ocsf.EntityManagement:
		if e.Entity != nil {
			n += weighValue(e.Entity.Data, 0)
		}
	}
	if b.Policy != nil {
		n += weighValue(b.Policy.Data, 0)
	}
	return n
}
