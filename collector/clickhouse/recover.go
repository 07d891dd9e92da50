// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/docket-audit/docket/collector/store"
)

// start makes s the writer of the store: it takes a generation, reads what is
// committed, makes the commit whose rows are there already, and removes what can be
// of none. Only open takes the store over from another.
func (s *Store) start(ctx context.Context, open bool) error {
	if err := s.register(ctx, open); err != nil {
		return err
	}
	last, err := s.load(ctx)
	if err != nil {
		return err
	}
	for {
		next, err := s.forward(ctx, last)
		if err != nil {
			return fmt.Errorf("finish commit %d: %w", last.Number+1, err)
		}
		if next == nil {
			break
		}
		last = next
	}
	// Whoever registers from here on commits behind what was read here: so no rows
	// of s can ever lie behind a commit of a later writer.
	if err := s.current(ctx); err != nil {
		return err
	}
	s.become(last)
	s.dirty = false
	s.sweep(ctx, last.Number)
	return nil
}

// load makes the state of what is committed.
func (s *Store) load(ctx context.Context) (*state, error) {
	last, err := s.db.snapshot(ctx)
	if errors.Is(err, ErrCorrupt) {
		s.log.Warn("the snapshot is damaged; all statements are read", "error", err)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if last == nil {
		last = new(state)
	}
	s.snapshot = last.Number
	for r, err := range s.db.commits(ctx, last.Number+1) {
		if err != nil {
			return nil, err
		}
		if last, err = last.with(r); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// with returns the state behind the commit in a row.
func (s *state) with(r record) (*state, error) {
	if Digest(r.statement) != r.digest {
		return nil, fmt.Errorf("%w: commit %d: its statement has another digest", ErrCorrupt, r.number)
	}
	st, err := ParseStatement(r.statement)
	if err != nil {
		return nil, fmt.Errorf("commit %d: %w", r.number, err)
	}
	if st.Number != r.number || st.Writer != r.writer {
		return nil, fmt.Errorf("%w: commit %d of writer %d has a statement of commit %d of writer %d", ErrCorrupt, r.number, r.writer, st.Number, st.Writer)
	}
	return s.after(st, r.digest)
}

// forward makes the next commit, if the rows of it are there: whoever put them is
// gone, or finds it made. It returns nil when there is none.
func (s *Store) forward(ctx context.Context, last *state) (*state, error) {
	number := last.Number + 1
	piles, err := s.db.piles(ctx, number)
	if err != nil || len(piles) == 0 {
		return nil, err
	}
	for _, p := range piles {
		at := place{number, p.writer}
		r, err := s.db.prepared(ctx, at)
		if err != nil {
			return nil, err
		}
		if r == nil {
			continue // what showAgain put
		}
		st, err := ParseStatement(r.statement)
		if err != nil {
			return nil, err
		}
		if p.rows != st.Events() {
			return nil, fmt.Errorf("%w: there are %d rows of writer %d, its statement says %d", ErrCorrupt, p.rows, p.writer, st.Events())
		}
		next, err := last.with(*r)
		if err != nil {
			return nil, err
		}
		if err := s.showAgain(ctx, at); err != nil {
			return nil, err
		}
		if err := s.putCommit(ctx, at, r.digest, p.rows); err != nil {
			return nil, err
		}
		s.log.Info("finished the commit of a writer that did not", "commit", number, "writer", p.writer, "events", p.rows)
		return next, nil
	}
	return nil, fmt.Errorf("%w: there are rows and no statement", ErrCorrupt)
}

// showAgain puts the rows of a place that are there, by the same token: the server
// knows it and takes nothing; a materialised view that it had not come to gets them.
// Should the server have forgotten, what it takes is of this writer's own place,
// which is of no commit.
//
// A view whose table remembers no tokens would get everything twice.
func (s *Store) showAgain(ctx context.Context, at place) error {
	remember, forget, err := s.db.views(ctx)
	if err != nil || remember == 0 || forget > 0 {
		return err
	}
	entries, err := s.db.entries(ctx, at)
	if err != nil {
		return err
	}
	return s.db.putEvents(ctx, place{at.number, s.generation}, token(at.number, 0), entries)
}

// sweepBack is how many commits back rows are looked for that are of none. They are
// made where writers change and where commits fail, which is at the end.
const sweepBack = 2000

// sweep removes rows that are of no commit and can be of none any more. Nobody sees
// them, so that they may stay if they must.
func (s *Store) sweep(ctx context.Context, last uint64) {
	if last == 0 {
		return
	}
	switch n, err := s.db.sweep(ctx, max(last, sweepBack)-sweepBack+1, last); {
	case err != nil:
		s.log.Warn("rows that are of no commit stay for now", "error", err)
	case n > 0:
		s.log.Info("removed rows that were of no commit", "attempts", n)
	}
}

var _ store.Writer = (*Store)(nil)
