// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// A follower is one subscriber. It has no goroutine and no buffer of its own: it
// reads the store and the tape in the goroutine of whoever asks for items, and
// what it keeps is a position.
type follower struct {
	hub   *Hub
	opts  Options
	since int64 // ms; 0 is always
	yield func(Item, error) bool

	pos    position
	fresh  bool            // begins where the tape is
	unseen map[string]bool // epochs in pos.ahead that the view does not see

	joined bool   // reads the tape
	next   uint64 // record of the tape

	backfilled bool             // the first position was given
	met        map[string]*span // epochs of the events of the backfill
	missed     *Missed          // while what comes is only counted
	restate    bool             // the state changed meanwhile
	said       Position         // the last one
	told       time.Time        // when the last item was given
}

// Follow gives what is stored behind where the options say, and then each event
// as it comes: one that the View sees and the Filter selects exactly once. It
// ends with an error: an [*TokenError] or [ErrOptions] at the beginning, the
// cause of the end of ctx, [ErrStopped] when the hub stops, a
// [*github.com/docket-audit/docket/collector/filter.Error] where the filter
// fails for an event, or what the store fails with. With Stored it ends without
// one.
//
// Events come in about the order of the stream, and of one emitter's epoch
// mostly by their sequences; neither is promised.
func (h *Hub) Follow(ctx context.Context, o Options) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		f, err := h.follower(ctx, o, yield)
		if err == nil {
			h.followers.Add(1)
			defer h.followers.Add(-1)
			h.metrics.subscribers.Add(ctx, 1)
			err = f.run(ctx)
			h.metrics.subscribers.Add(context.WithoutCancel(ctx), -1)
		}
		if err != nil && !errors.Is(err, errEnough) {
			yield(Item{}, err)
		}
	}
}

// errEnough ends a follower whose caller has enough.
var errEnough = errors.New("enough")

// follower returns a subscriber at the place where it begins.
func (h *Hub) follower(ctx context.Context, o Options, yield func(Item, error) bool) (*follower, error) {
	begins := 0
	for _, set := range []bool{o.After != "", o.All, o.Last != 0, !o.Since.IsZero()} {
		if set {
			begins++
		}
	}
	if begins > 1 || o.Last < 0 || o.Events < 0 || o.Bytes < 0 {
		return nil, fmt.Errorf("%w: one of a token, all, a number of the last and a time says where to begin, and no limit is below 0", ErrOptions)
	}
	limit := func(n *int, most int) {
		if *n == 0 || *n > most {
			*n = most
		}
	}
	limit(&o.Events, h.cfg.Events/2)
	limit(&o.Bytes, h.cfg.Bytes/2)
	if o.Positions == 0 {
		o.Positions = 5 * time.Second
	}
	if o.Filter == nil {
		o.Filter = new(filter.Filter)
	}
	f := &follower{hub: h, opts: o, yield: yield, pos: position{ahead: sets{}}, unseen: make(map[string]bool), met: make(map[string]*span)}
	if !o.Since.IsZero() {
		f.since = max(o.Since.UnixMilli(), 1)
	}
	var err error
	switch head := h.cfg.Commits(); {
	case o.After != "":
		if f.pos, err = parseToken(h.mark, o.After); err != nil {
			return nil, err
		}
		if f.pos.cursor.Commit > head {
			return nil, &TokenError{Reason: "it is of a later state of the store"}
		}
	case o.Last > 0:
		f.pos.cursor, err = f.before(ctx, head, o.Last)
	default:
		f.fresh = begins == 0
	}
	return f, err
}

// before returns the cursor behind which the last n events are that are wanted
// now. It counts them and keeps none: they may be more than memory can hold.
func (f *follower) before(ctx context.Context, head uint64, n int) (store.Cursor, error) {
	q := store.Query{After: store.Cursor{Commit: head + 1}, Descending: true, WithoutRaw: true}
	f.opts.Filter.Narrow(&q)
	for e, err := range f.hub.cfg.Store.Scan(ctx, q) {
		if err != nil {
			return store.Cursor{}, err
		}
		ok, err := f.wants(&e.Header)
		if err != nil {
			return store.Cursor{}, err
		}
		if !ok {
			continue
		}
		if n--; n > 0 {
			continue
		}
		if e.Pos > 0 {
			return store.Cursor{Commit: e.Commit, Pos: e.Pos - 1}, nil
		}
		return endOf(e.Commit - 1), nil
	}
	return store.Cursor{}, ctx.Err() // fewer than n are all of them
}

// wants says whether an event is for this subscriber.
func (f *follower) wants(h *profile.Header) (bool, error) {
	if !f.opts.View.Sees(h.Tenant) {
		return false, nil
	}
	return f.selects(h)
}

// selects is wants for an event that the view sees.
func (f *follower) selects(h *profile.Header) (bool, error) {
	if h.Time < f.since {
		return false, nil
	}
	return f.opts.Filter.Matches(h)
}

func (f *follower) run(ctx context.Context) error {
	if f.opts.Stored {
		head := endOf(f.hub.cfg.Commits())
		if f.fresh {
			f.pos.cursor = head
		}
		return f.scan(ctx, head)
	}
	select {
	case <-f.hub.running:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		idle, err := f.step(ctx)
		switch {
		case ctx.Err() != nil && !errors.Is(err, errEnough):
			return context.Cause(ctx)
		case err != nil:
			return err
		case idle:
			more, err := f.hub.wait(ctx, f.next, f.opts.Positions)
			if err == nil && !more {
				err = f.position()
			}
			if err != nil {
				return err
			}
		}
	}
}

// wait waits until the tape has a record of an index, or for so long; 0 or less is
// for ever.
func (h *Hub) wait(ctx context.Context, index uint64, atMost time.Duration) (more bool, err error) {
	h.mu.Lock()
	if h.tape.end > index {
		h.mu.Unlock()
		return true, nil
	}
	if h.ended {
		h.mu.Unlock()
		return false, ErrStopped
	}
	h.asleep++
	wake := h.wake
	h.mu.Unlock()
	var enough <-chan time.Time
	if atMost > 0 {
		t := time.NewTimer(atMost)
		defer t.Stop()
		enough = t.C
	}
	select {
	case <-wake:
		return true, nil
	case <-enough:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// atOnce is how many records are read together.
const atOnce = 256

// step gives what there is, a part at a time, and reports whether there is no
// more for now.
func (f *follower) step(ctx context.Context) (idle bool, err error) {
	if !f.joined {
		if err := f.catchUp(ctx); err != nil || !f.joined {
			return err == nil, err
		}
		first := !f.backfilled
		if first {
			f.backfilled = true
			if err := f.backfilledGaps(); err != nil {
				return false, err
			}
		}
		// A change of the state may have been on the tape before it was joined.
		if first || f.said != f.hub.shows() {
			if err := f.position(); err != nil {
				return false, err
			}
		}
	}
	batch, lost, slow := f.hub.read(f)
	if !f.opts.Whole && (lost || slow) && f.missed == nil {
		f.missed = &Missed{From: f.token()}
	}
	if lost {
		f.joined = false
		return false, nil
	}
	for _, r := range batch {
		if err := f.apply(ctx, r); err != nil {
			return false, err
		}
		f.next++
	}
	if f.missed != nil && len(batch) < atOnce {
		return false, f.tellMissed()
	}
	return len(batch) == 0, nil
}

// read returns the next records for f; lost says that they are no longer on the
// tape, slow that f is further behind than it may be.
func (h *Hub) read(f *follower) (batch []*record, lost, slow bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.next < h.tape.begin() {
		return nil, true, true
	}
	records, bytes := h.tape.behind(f.next)
	slow = records > uint64(f.opts.Events) || bytes > int64(f.opts.Bytes)
	if records == 0 {
		return nil, false, false
	}
	return append([]*record(nil), h.tape.at(f.next, atOnce)...), false, slow
}

// tellMissed ends the counting.
func (f *follower) tellMissed() error {
	m := f.missed
	f.missed, m.To = nil, f.token()
	if m.Events > 0 || m.Gaps > 0 {
		f.hub.metrics.missed.Add(context.Background(), m.Events)
		if err := f.give(Item{Missed: m}); err != nil {
			return err
		}
	}
	if f.restate {
		return f.position()
	}
	return nil
}

// apply takes one record of the tape.
func (f *follower) apply(ctx context.Context, r *record) error {
	switch r.sort {
	case sortLive:
		id := identityOf(&r.entry)
		if f.pos.ahead.has(id) {
			return nil
		}
		return f.deliver(&r.entry, func() {
			f.pos.ahead.add(id)
			if !f.opts.View.Sees(r.entry.Header.Tenant) {
				f.unseen[id.epoch] = true
			}
		})
	case sortStored:
		if r.cursor.Compare(f.pos.cursor) <= 0 {
			return nil
		}
		if !r.conflict && f.take(identityOf(&r.entry)) {
			f.pos.cursor = r.cursor
			return nil
		}
		return f.deliver(&r.entry, func() { f.pos.cursor = r.cursor })
	case sortSettled:
		if r.cursor.Compare(f.pos.cursor) > 0 {
			if !f.pos.ahead.covers(r.ids) {
				// It came when these had been on the tape already.
				if err := f.scanTo(ctx, r.cursor, false); err != nil {
					return err
				}
			}
			f.pos.cursor = r.cursor
		}
		f.forget(r.ids)
		if f.opts.Positions > 0 && f.missed == nil && f.hub.cfg.Now().Sub(f.told) >= f.opts.Positions {
			return f.position()
		}
	case sortWithdrawn:
		f.forget(r.ids)
	case sortGap:
		return f.gap(r.gap)
	case sortState:
		return f.position()
	}
	return nil
}

// take takes one event out of what is ahead of the cursor, and reports whether it
// was there.
func (f *follower) take(id identity) bool {
	if !f.pos.ahead.take(id) {
		return false
	}
	f.see(id.epoch)
	return true
}

// see forgets that an epoch is not seen when nothing of it is ahead.
func (f *follower) see(epoch string) {
	if _, ok := f.pos.ahead[epoch]; !ok {
		delete(f.unseen, epoch)
	}
}

// forget takes what is decided by the cursor out of what is ahead of it.
func (f *follower) forget(ids sets) {
	f.pos.ahead.without(ids)
	for epoch := range ids {
		f.see(epoch)
	}
}

// deliver gives an event if it is for this subscriber. had makes it part of the
// position: a gap that the event states is told before that, so that whoever
// resumes from there is told again.
func (f *follower) deliver(e *store.Entry, had func()) error {
	if !f.opts.View.Sees(e.Header.Tenant) {
		had()
		return nil
	}
	if g, ok := stated(e); ok && e.Header.Time >= f.since {
		if err := f.gap(g); err != nil {
			return err
		}
	}
	had()
	ok, err := f.selects(&e.Header)
	if err != nil || !ok {
		return err
	}
	if m := f.missed; m != nil {
		m.Events++
		m.Last = max(m.Last, e.Header.Time)
		if m.First == 0 || e.Header.Time < m.First {
			m.First = e.Header.Time
		}
		return nil
	}
	return f.give(Item{Entry: e})
}

func (f *follower) gap(g Gap) error {
	if !f.opts.View.Sees(g.Tenant) {
		return nil
	}
	if f.missed != nil {
		f.missed.Gaps++
		return nil
	}
	return f.give(Item{Gap: &g})
}

// position tells where the subscriber is.
func (f *follower) position() error {
	if f.missed != nil {
		f.restate = true
		return nil
	}
	p := f.hub.shows()
	f.restate, f.said = false, p
	return f.give(Item{Position: &p})
}

// shows returns how events are shown now.
func (h *Hub) shows() Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state
}

func (f *follower) give(i Item) error {
	i.of = f
	f.told = f.hub.cfg.Now()
	if !f.yield(i, nil) {
		return errEnough
	}
	return nil
}

// token returns that of the position. What the view does not see is no part of
// it: a token must not tell whose events there are.
func (f *follower) token() string {
	p := f.pos
	if len(f.unseen) > 0 {
		p.ahead = make(sets, len(f.pos.ahead))
		for epoch, set := range f.pos.ahead {
			if !f.unseen[epoch] {
				p.ahead[epoch] = set
			}
		}
	}
	return encodeToken(f.hub.mark, &p)
}
