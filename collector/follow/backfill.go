// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"maps"
	"slices"

	"github.com/docket-audit/docket/collector/store"
)

const (
	// nearCommits is how near the end of the store one must be to take the window
	// with the next scan.
	nearCommits = 4
	// aheadCommits is how many commits behind a token hold what the token says was
	// shown before it was stored, as a rule.
	aheadCommits = 64
)

// A junction is where a subscriber goes over from the store to the tape: with
// all that is stored up to cursor, and what of the window it wants of records, it
// has what came before index.
type junction struct {
	cursor  store.Cursor
	index   uint64
	near    bool
	records []*record
}

// join returns where the tape is now. Of what is not stored yet it takes along
// what is within the limits of f: the rest is found when it is stored.
func (h *Hub) join(f *follower, near bool) junction {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := junction{cursor: h.cursor, index: h.tape.end}
	j.near = near || f.fresh || h.cursor.Commit <= f.pos.cursor.Commit+nearCommits
	if !j.near {
		return j
	}
	bytes := int64(0)
	for _, s := range h.order {
		if s.settled || s.record == nil {
			continue
		}
		if bytes += s.record.size(); len(j.records) >= f.opts.Events || bytes > int64(f.opts.Bytes) {
			break
		}
		j.records = append(j.records, s.record)
	}
	return j
}

// catchUp reads the store until the tape can be joined, or leaves f as it is
// when the tape is not yet where f is.
func (f *follower) catchUp(ctx context.Context) error {
	for near := false; ; near = true {
		j := f.hub.join(f, near)
		if f.fresh {
			f.pos.cursor, f.fresh = j.cursor, false
		}
		f.next = j.index
		if f.pos.cursor.Compare(j.cursor) > 0 {
			return nil // another hub of this store gave the token, and knew more
		}
		if err := f.scan(ctx, j.cursor); err != nil {
			return err
		}
		if !j.near || !f.hub.reaches(j.index) {
			continue
		}
		for _, r := range j.records {
			if err := f.apply(ctx, r); err != nil {
				return err
			}
		}
		f.joined = true
		return nil
	}
}

// reaches says whether the tape has all from an index on.
func (h *Hub) reaches(index uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return index >= h.tape.begin()
}

// scan gives what is stored behind the cursor of f and up to another. While
// events that were shown before they were stored are to be expected, all is
// read, so that they are found and taken off; then only what may be wanted.
func (f *follower) scan(ctx context.Context, to store.Cursor) error {
	if len(f.pos.ahead) > 0 {
		part := endOf(f.pos.cursor.Commit + aheadCommits)
		if part.Compare(to) > 0 {
			part = to
		}
		if err := f.scanTo(ctx, part, false); err != nil {
			return err
		}
	}
	return f.scanTo(ctx, to, true)
}

func (f *follower) scanTo(ctx context.Context, to store.Cursor, narrow bool) error {
	if f.pos.cursor.Compare(to) >= 0 {
		return nil
	}
	q := store.Query{After: f.pos.cursor, AsOf: to.Commit, WithoutRaw: f.missed != nil}
	if narrow {
		f.opts.Filter.Narrow(&q)
		q.Since = max(q.Since, f.since)
	}
	for e, err := range f.hub.cfg.Store.Scan(ctx, q) {
		if err != nil {
			return err
		}
		at := store.Cursor{Commit: e.Commit, Pos: e.Pos}
		if at.Compare(to) > 0 {
			break
		}
		if f.take(identityOf(&e)) {
			f.pos.cursor = at
			continue
		}
		f.meet(&e)
		if err := f.deliver(&e, func() { f.pos.cursor = at }); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	f.pos.cursor = to
	return nil
}

// A span is the sequences of an epoch between which events were met.
type span struct{ first, last int64 }

// maxMet bounds of how many epochs holes are looked for at the end of a
// backfill.
const maxMet = 10_000

func (f *follower) meet(e *store.Entry) {
	if f.backfilled || f.hub.knower == nil || !f.opts.View.Sees(e.Header.Tenant) {
		return
	}
	n := e.Header.Sequence
	if s := f.met[e.Header.Epoch]; s != nil {
		s.first, s.last = min(s.first, n), max(s.last, n)
	} else if len(f.met) < maxMet {
		f.met[e.Header.Epoch] = &span{n, n}
	}
}

// backfilledGaps tells which sequences the store lacks among those that it gave.
func (f *follower) backfilledGaps() error {
	for _, uid := range slices.Sorted(maps.Keys(f.met)) {
		s := f.met[uid]
		e := f.hub.knower.Epoch(uid)
		if e == nil {
			continue
		}
		missing := e.Accounted().Holes(e.HeadSequence).Within(store.Intervals{{First: s.first, Last: s.last}})
		if len(missing) > 0 {
			if err := f.gap(holeGap(e, uid, missing)); err != nil {
				return err
			}
		}
	}
	f.met = nil
	return nil
}
