// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A group is events that were offered close together and are made durable
// together, so that one channel serves the receipts of all.
type group struct {
	emitter *Emitter
	events  []ocsf.Event // the sequencer's once taken; emptied by it
	charges []charge

	since time.Time // when the first was offered

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

	mu       sync.Mutex // guards what follows
	groups   []*group   // the last one may still grow
	open     []*group   // those and the ones that were taken and are not settled
	ordinary pool
	outcomes pool // an outcome's operation is past refusing: it has room of its own beside
	gaps     gaps
	reason   string // why the queue is full when it is
	full     bool   // the disk is: nothing but outcomes is taken
	closed   bool
	offered  int64
	refused  int64

	wake chan struct{} // has an element when there is something to take
}

// outcomeShare says what part of a queue is for outcomes alone: one in so many.
const outcomeShare = 4

func newQueue(e *Emitter, limit int64) *queue {
	return &queue{
		emitter: e, ordinary: newPool(limit - limit/outcomeShare), outcomes: newPool(limit / outcomeShare),
		gaps: gaps{}, reason: reasonQueueFull, wake: make(chan struct{}, 1),
	}
}

// offer takes e if there is room for whose it is.
func (q *queue) offer(e ocsf.Event) Receipt {
	w := weigh(e)
	b := e.Common()
	key := accountOf(b)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return Receipt{err: errClosed}
	}
	q.offered++
	outcome := b.Metadata.EventCode == profile.KindOutcome
	if q.full && !outcome {
		q.refuse(key.tenant, reasonDiskFull) // stated when the sequencer comes round: one finding for many
		return Receipt{err: errDisk}
	}
	c, refused := q.ordinary.admit(key, w)
	if outcome && refused != admitted {
		c, refused = q.outcomes.admit(key, w)
	}
	switch refused {
	case refusedFull:
		q.refuse(key.tenant, q.reason)
		q.signal()
		return Receipt{err: errFull}
	case refusedShare:
		reason := q.reason
		if reason == reasonQueueFull {
			reason = reasonFairShare // else what stops everybody is what to tell
		}
		q.refuse(key.tenant, reason)
		q.signal()
		return Receipt{err: errShare}
	}
	n := len(q.groups)
	if n == 0 || len(q.groups[n-1].events) >= groupEvents {
		g := &group{emitter: q.emitter, since: time.Now(), settled: make(chan struct{})}
		q.groups, q.open = append(q.groups, g), append(q.open, g)
		n++
	}
	g := q.groups[n-1]
	g.events = append(g.events, e)
	g.charges = append(g.charges, c)
	q.signal()
	return Receipt{group: g, index: len(g.events) - 1}
}

// What refused events' receipts say. They are made once: an emitter that is
// flooded has better things to do.
var (
	errClosed = fmt.Errorf("emit event: %w", ErrClosed)
	errFull   = fmt.Errorf("emit event: %w", ErrBackpressure)
	errDisk   = fmt.Errorf("emit event: %w: the disk is", ErrBackpressure)
	errNone   = fmt.Errorf("emit event: %w: nil", ErrUnfit)
	errShare  = fmt.Errorf("emit event: %w: this principal's share of it is used up", ErrBackpressure)
)

// refuse counts an event that is not taken. mu is held.
func (q *queue) refuse(tenant, reason string) {
	if tenant == "" {
		tenant = profile.TenantDefault
	}
	q.refused++
	q.gaps.add(gapKey{tenant, reason}, q.emitter.cfg.Now().UnixMilli())
}

// refuseNone counts an offer of nothing.
func (q *queue) refuseNone() Receipt {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return Receipt{err: errClosed}
	}
	q.offered++
	q.refuse(profile.TenantDocket, reasonUnfit)
	q.signal()
	return Receipt{err: errNone}
}

// refuseTaken counts an event that was taken and turned out to be none.
func (q *queue) refuseTaken(tenant, reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse(tenant, reason)
}

// refuseStated counts one that an event of its own states.
func (q *queue) refuseStated() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refused++
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

// settle forgets groups whose fate is known: the oldest that are open. What they
// took is given back first, for who is told may offer more.
func (q *queue) settle(charges []charge, groups int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range charges {
		c.release()
	}
	clear(q.open[:groups])
	q.open = q.open[groups:]
}

// age returns how long the oldest event waits. mu is held.
func (q *queue) age(now time.Time) time.Duration {
	if len(q.open) == 0 {
		return 0
	}
	return now.Sub(q.open[0].since)
}

// blame says why the queue is going to be full.
func (q *queue) blame(reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reason = reason
}

// shut says whether nothing but outcomes is taken.
func (q *queue) shut(full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.full = full
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// weigh estimates what an event takes in memory, from its text, without
// encoding it. Of the events that a recorder lends the places are known where much
// may be; in others it may be anywhere.
func weigh(e ocsf.Event) int64 {
	const fixed = 3 << 10 // an event without payload: its struct is half of it, and what that points to
	b := e.Common()
	n := int64(fixed + len(b.Message) + len(b.StatusDetail))
	for k, v := range b.Unmapped {
		n += int64(len(k)) + weighValue(v)
	}
	if b.API != nil {
		if b.API.Request != nil {
			n += weighValue(b.API.Request.Data)
		}
		if b.API.Response != nil {
			n += weighValue(b.API.Response.Data) + int64(len(b.API.Response.ErrorMessage)+len(b.API.Response.Message))
		}
	}
	switch e := e.(type) {
	case *ocsf.DetectionFinding:
		for i := range e.Evidences {
			n += weighValue(e.Evidences[i].Data)
		}
	case *ocsf.EntityManagement:
		if e.Entity != nil {
			n += weighValue(e.Entity.Data)
		}
	}
	if b.Policy != nil {
		n += weighValue(b.Policy.Data)
	}
	if _, lent := e.(lender); !lent {
		var s scale
		n = max(n, s.weigh(reflect.ValueOf(e), 0)-usual)
	}
	return n
}

// usual is what the small objects of an event without payload take, which its
// fixed weight has in it.
const usual = 4 << 10
