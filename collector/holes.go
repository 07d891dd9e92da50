// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/stream"
)

const (
	// holeAge is how old a hole must be before its emitter is asked: what comes
	// late by itself needs no asking for.
	holeAge = 5 * time.Second
	// silence is how long a hole that was asked for may stay one. What is still
	// a hole then, after it was asked for once more, is missing.
	silence = 24 * time.Hour
	// patience is how long an answer, and what it says to have sent, may take.
	patience = time.Minute
	// firstWait and lastWait bound the time between two rounds of questions.
	firstWait = 15 * time.Second
	lastWait  = 10 * time.Minute
	// maxAsking bounds the epochs that are asked for at a time; others wait.
	maxAsking = 4096
	// pollHoles is how often holes are looked at.
	pollHoles = time.Second
)

// holes sees to it that the holes of epochs are filled, or found to be missing.
//
// A hole is a stretch of sequences of an epoch that are not stored although
// later ones are, or although the epoch is known to end behind them. When it is
// older than holeAge, the epoch's emitter is asked for it. What the emitter says
// is gone is missing at once, what is not filled for a day after the first
// question is missing too, whatever the emitter says. What is missing is told by
// a finding, once, and a late arrival takes the finding back. Those that are not
// gone are asked for still: the emitter may come back.
//
// What it keeps of an epoch does not grow with the number of its holes, but for
// those that are missing, of which it keeps the ranges: they come from the store
// at the time when they are needed.
type holes struct {
	c *Collector

	mu     sync.Mutex
	asking map[string]*inquiry // by epoch; guarded by mu
	lost   map[string]*losses  // by epoch; guarded by mu
	// changed are the epochs of which more is known to be missing than the
	// followers and the watermarks know. Guarded by mu.
	changed map[string]bool
	commit  uint64    // up to which stored findings were looked at; guarded by mu
	full    bool      // some epoch with holes is not in asking; guarded by mu
	scanned time.Time // when those were last looked for; guarded by mu
	dirty   bool      // something is not saved; guarded by mu
	saved   time.Time // guarded by mu

	savedCommit uint64 // guarded by mu
}

// An inquiry is about the holes of one epoch.
type inquiry struct {
	epoch string
	owner owner

	grown []mark    // how far the epoch had come, and when, of late
	ripe  int64     // holes up to here are old enough to be asked for
	first []mark    // since when holes up to there have been asked for, oldest first
	begun time.Time // when the last of first was begun

	// A round is one or more questions that together name every hole.
	behind int64         // the round goes on behind this sequence
	filled bool          // something was sent again in this round
	next   time.Time     // when to ask next
	wait   time.Duration // until the next round

	// The last question.
	question stream.Question
	token    string // "" when it is no longer waited for
	asked    time.Time
	answered bool   // by somebody who knows the epoch
	heard    string // the last answer to it; "" without one
	why      string
}

// A mark says that at a time an epoch had come to a sequence.
type mark struct {
	At   time.Time `json:"at"`
	UpTo int64     `json:"up_to"`
}

// firstEvery is how exactly it is known since when a hole was asked for: it
// bounds the number of marks. All of a mark is as young as its youngest hole.
const firstEvery = 10 * time.Minute

func newHoles(c *Collector) *holes {
	return &holes{c: c, asking: map[string]*inquiry{}, lost: map[string]*losses{}, changed: map[string]bool{}}
}

// reset forgets everything, as another collector may have gone on meanwhile.
func (h *holes) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asking, h.lost, h.changed = map[string]*inquiry{}, map[string]*losses{}, map[string]bool{}
	h.commit, h.savedCommit, h.full, h.dirty = 0, 0, false, false
}

// sequenced returns the last sequence that an epoch is known to have.
func sequenced(e *store.Epoch) int64 {
	if e.Closed != nil {
		return max(e.HeadSequence, e.Closed.LastSequence)
	}
	return e.HeadSequence
}

// touch is told of an epoch that may have got holes, or lost some.
func (h *holes) touch(uid string, e *store.Epoch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.touchLocked(uid, e)
}

func (h *holes) touchLocked(uid string, e *store.Epoch) {
	q := h.asking[uid]
	if len(h.open(uid, e)) == 0 || e.Emitter == "" {
		if q != nil {
			delete(h.asking, uid)
			h.dirty = true
		}
		return
	}
	if q != nil {
		q.owner = owner{e.Tenant, e.Emitter}
		return
	}
	if len(h.asking) >= maxAsking {
		h.full = true
		return
	}
	h.asking[uid] = &inquiry{epoch: uid, owner: owner{e.Tenant, e.Emitter}}
}

// open returns the holes of an epoch that may still be filled.
func (h *holes) open(uid string, e *store.Epoch) store.Intervals {
	if e == nil {
		return nil
	}
	all := e.Accounted().Holes(sequenced(e))
	if l := h.lost[uid]; l != nil {
		all = all.Without(l.gone)
	}
	return all
}

// tick looks at every epoch that has holes, asks, and tells what is missing.
func (h *holes) tick(ctx context.Context, ask func(*inquiry) error) {
	now := h.c.cfg.Now()
	h.mu.Lock()
	h.rescan(now)
	var found []finding
	for _, uid := range slices.Sorted(maps.Keys(h.asking)) {
		q, e := h.asking[uid], h.c.cfg.Store.Epoch(uid)
		open := h.open(uid, e)
		if len(open) == 0 {
			delete(h.asking, uid)
			h.dirty = true
			continue
		}
		q.grow(now, sequenced(e), open)
		if q.token != "" && now.Sub(q.asked) >= patience {
			found = append(found, h.settle(q, open, now)...)
		}
		if q.token != "" || now.Before(q.next) || !h.c.caughtUp() || !q.compose(open, now) {
			continue
		}
		if err := ask(q); err != nil {
			q.token, q.next = "", now.Add(firstWait) // it was not asked
			continue
		}
		h.c.metrics.asked()
		q.since(now, open)
		h.dirty = true
	}
	found = append(found, h.untold(now)...)
	h.measure()
	h.mu.Unlock()
	h.tell(ctx, found)
}

// rescan takes up epochs that were passed over because there were too many.
func (h *holes) rescan(now time.Time) {
	if !h.full || len(h.asking) >= maxAsking || now.Sub(h.scanned) < time.Minute {
		return
	}
	h.full, h.scanned = false, now
	for _, uid := range h.c.cfg.Store.Epochs() {
		if h.asking[uid] == nil {
			h.touchLocked(uid, h.c.cfg.Store.Epoch(uid))
		}
	}
}

// grow notes how far the epoch has come by now, and what is ripe by that.
func (q *inquiry) grow(now time.Time, upTo int64, open store.Intervals) {
	known := q.ripe
	if n := len(q.grown); n > 0 {
		known = q.grown[n-1].UpTo
	}
	if n := len(q.grown); upTo > known && (n == 0 || now.Sub(q.grown[n-1].At) >= pollHoles) {
		q.grown = append(q.grown, mark{now, upTo})
	}
	was := q.ripe
	for len(q.grown) > 0 && now.Sub(q.grown[0].At) >= holeAge {
		q.ripe = q.grown[0].UpTo
		q.grown = q.grown[1:]
	}
	fresh := func(iv store.Interval) bool { return was < iv.Last && iv.Last <= q.ripe }
	// What is new is not kept waiting for what is old.
	if soon := q.asked.Add(firstWait); q.next.After(soon) && slices.ContainsFunc(open, fresh) {
		q.next = soon
	}
}

// compose makes the next question of the round, and reports whether there is
// one.
func (q *inquiry) compose(open store.Intervals, now time.Time) bool {
	q.question.Ranges = nil
	for _, iv := range open {
		if iv.Last > q.ripe || len(q.question.Ranges) == stream.MaxRanges {
			break
		}
		if iv.First > q.behind {
			q.question.Ranges = append(q.question.Ranges, stream.Range{Epoch: q.epoch, First: iv.First, Last: iv.Last})
		}
	}
	if len(q.question.Ranges) == 0 {
		if q.behind > 0 {
			q.endRound(now)
		}
		return false
	}
	q.asked, q.token, q.answered, q.heard, q.why = now, newToken(), false, "", ""
	return true
}

// since notes that all that is ripe is being asked for. Those that did not fit
// into the question count as well: it is the emitter that is waited for.
func (q *inquiry) since(now time.Time, open store.Intervals) {
	// Marks below the first hole have nothing to tell any more.
	q.first = slices.DeleteFunc(q.first, func(m mark) bool { return m.UpTo < open[0].First })
	n := len(q.first)
	switch {
	case n > 0 && q.first[n-1].UpTo >= q.ripe:
	case n > 0 && now.Sub(q.begun) < firstEvery:
		q.first[n-1] = mark{now, q.ripe}
	default:
		q.first, q.begun = append(q.first, mark{now, q.ripe}), now
	}
}

// due returns up to where holes have been asked for long enough.
func (q *inquiry) due() (upTo int64) {
	for _, m := range q.first {
		if q.asked.Sub(m.At) >= silence {
			upTo = max(upTo, m.UpTo)
		}
	}
	return upTo
}

// settle is done with the last question, and returns what is missing by it.
func (h *holes) settle(q *inquiry, open store.Intervals, now time.Time) []finding {
	q.token = ""
	due := open.Within(store.Intervals{{First: 1, Last: q.due()}})
	if q.answered {
		due = due.Within(named(&q.question))
		q.behind = q.question.Ranges[len(q.question.Ranges)-1].Last
		q.next = now
	} else {
		h.c.metrics.answered(cmp.Or(q.heard, answerNone), 1)
		q.endRound(now)
	}
	return h.declare(q, due, cmp.Or(q.heard, answerNone), q.why, now)
}

// named returns the sequences that a question of one epoch names.
func named(q *stream.Question) store.Intervals {
	var all store.Intervals
	for _, r := range q.Ranges {
		all = append(all, store.Interval{First: r.First, Last: r.Last})
	}
	return all // in order and apart, as holes are
}

// endRound has the next round begin after a while: soon, when this one filled
// something.
func (q *inquiry) endRound(now time.Time) {
	q.wait = min(max(2*q.wait, firstWait), lastWait)
	if q.filled {
		q.wait = firstWait
	}
	q.behind, q.filled, q.next = 0, false, now.Add(q.wait)
}
