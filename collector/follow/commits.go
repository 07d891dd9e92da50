// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"fmt"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

// commitsAtOnce is how many commits are read together when there are many.
const commitsAtOnce = 4

// readCommits puts on the tape what is committed, until ctx ends.
func (h *Hub) readCommits(ctx context.Context) {
	tick := time.NewTicker(h.cfg.Poll)
	defer tick.Stop()
	for failing := false; ; {
		err := h.advance(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			h.log.Error("reading commits failed; will be tried again", "error", err)
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-h.committed:
		case <-ctx.Done():
			return
		}
	}
}

// advance takes the commits that there are.
func (h *Hub) advance(ctx context.Context) error {
	for {
		h.mu.Lock()
		from := h.cursor
		h.mu.Unlock()
		to := min(h.cfg.Commits(), from.Commit+commitsAtOnce)
		if to <= from.Commit {
			return h.holes.tell()
		}
		if err := h.take(ctx, from, endOf(to)); err != nil {
			return fmt.Errorf("read commits %d to %d: %w", from.Commit+1, to, err)
		}
	}
}

// A row is what the hub has to know of a stored event.
type row struct {
	id          identity
	fingerprint string
	cursor      store.Cursor
	streamSeq   uint64

	shown    *shown // the event is this one
	conflict bool   // one of the same identity was shown, and it is another
}

// take puts what was stored between two cursors on the tape: that it is, where
// it was shown before, else the events themselves.
func (h *Hub) take(ctx context.Context, from, to store.Cursor) error {
	// Where nothing was shown, all is late.
	h.mu.Lock()
	all := len(h.window) == 0
	h.mu.Unlock()
	rows, entries, late, err := h.rows(ctx, from, to, all)
	if err != nil {
		return err
	}
	if late && !all {
		if entries, err = h.lateEntries(ctx, from, to, rows); err != nil {
			return err
		}
	}
	touched := h.put(rows, entries, to)
	h.holes.look(touched)
	return nil
}

// rows reads what was stored, and finds out what of it was shown. From then on
// the rest is not shown by the stream any more: the hub knows that it is stored.
// late says that there is such a rest; whole has the events returned as well.
func (h *Hub) rows(ctx context.Context, from, to store.Cursor, whole bool) (rows []row, entries map[store.Cursor]store.Entry, late bool, err error) {
	entries = make(map[store.Cursor]store.Entry)
	q := store.Query{After: from, AsOf: to.Commit, WithoutRaw: !whole}
	for e, err := range h.cfg.Store.Scan(ctx, q) {
		if err != nil {
			return nil, nil, false, err
		}
		if whole {
			entries[store.Cursor{Commit: e.Commit, Pos: e.Pos}] = e
		}
		rows = append(rows, row{
			id: identityOf(&e), fingerprint: e.Header.Fingerprint, streamSeq: e.StreamSeq,
			cursor: store.Cursor{Commit: e.Commit, Pos: e.Pos},
		})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range rows {
		r := &rows[i]
		if _, ok := h.known[r.id.epoch]; ok {
			h.known.add(r.id)
		}
		h.over.take(r.id)
		if s := h.window[r.id]; s != nil {
			if s.fingerprint == r.fingerprint && !s.settled {
				r.shown = s
			} else {
				r.conflict = true
			}
		}
		late = late || r.shown == nil
	}
	return rows, entries, late, nil
}

// lateEntries reads the events that were not shown.
func (h *Hub) lateEntries(ctx context.Context, from, to store.Cursor, rows []row) (map[store.Cursor]store.Entry, error) {
	entries := make(map[store.Cursor]store.Entry)
	i := 0
	for e, err := range h.cfg.Store.Scan(ctx, store.Query{After: from, AsOf: to.Commit}) {
		if err != nil {
			return nil, err
		}
		at := store.Cursor{Commit: e.Commit, Pos: e.Pos}
		for i < len(rows) && rows[i].cursor.Compare(at) < 0 {
			i++
		}
		if i < len(rows) && rows[i].cursor == at && rows[i].shown == nil {
			entries[at] = e
		}
	}
	return entries, nil
}

// put puts rows on the tape and settles what of them was shown. It returns the
// epochs that they are of.
func (h *Hub) put(rows []row, entries map[store.Cursor]store.Entry, to store.Cursor) map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	touched := make(map[string]bool)
	ids := sets{}
	settle := func(cursor store.Cursor) {
		h.close(ids)
		h.cursor = cursor
		h.add(&record{sort: sortSettled, ids: ids, cursor: cursor})
		ids = sets{}
	}
	last := store.Cursor{}
	for i := range rows {
		r := &rows[i]
		touched[r.id.epoch] = true
		if s := r.shown; s != nil {
			h.forget(s)
			ids.add(r.id)
			if r.streamSeq == s.seq {
				h.pass(s)
			}
			last = r.cursor
			continue
		}
		e, ok := entries[r.cursor]
		if !ok {
			continue // it has left the store meanwhile
		}
		if len(ids) > 0 {
			settle(last)
		}
		h.cursor = r.cursor
		h.add(&record{sort: sortStored, entry: e, conflict: r.conflict, cursor: r.cursor})
		h.metrics.stored.Add(context.Background(), 1)
	}
	settle(to)
	h.withdraw()
	signal(h.room)
	return touched
}

// forget takes an event out of the window. The caller holds mu.
func (h *Hub) forget(s *shown) {
	delete(h.window, s.id)
	s.settled = true
	if s.record != nil {
		s.record.settled = true
	}
}

// pass notes that the store has come to where s is on the stream. The caller
// holds mu.
func (h *Hub) pass(s *shown) {
	if s.stream > h.passed[0] {
		h.passed = [2]uint64{s.stream, 0}
	}
	if s.stream == h.passed[0] {
		h.passed[1] = max(h.passed[1], s.seq)
	}
}

// withdraw says of what was shown, and did not get into the store when what
// came behind it on the stream did, that it will not. The caller holds mu.
func (h *Hub) withdraw() {
	var gone, left []*shown
	for _, s := range h.order {
		switch {
		case s.settled:
		case s.stream == h.passed[0] && s.seq < h.passed[1]:
			gone = append(gone, s)
		default: // of a stream that is gone, the emitter has it, and sends it again
			left = append(left, s)
		}
	}
	h.order = left
	ids := sets{}
	for _, s := range gone {
		h.forget(s)
		ids.add(s.id)
	}
	if len(gone) == 0 {
		return
	}
	h.close(ids)
	h.add(&record{sort: sortWithdrawn, ids: ids})
	for _, s := range gone {
		h.add(&record{sort: sortGap, gap: Gap{
			Reason: GapWithdrawn, Tenant: s.tenant, Emitter: s.emitter, Epoch: s.id.epoch, Count: 1,
			Ranges: store.Intervals{{First: s.id.sequence, Last: s.id.sequence}},
		}})
	}
}
