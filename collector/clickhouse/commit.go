// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

// mostRows is how many events one commit may have: those of one INSERT are one
// block, which is there as a whole or not at all, only up to the size at which a
// server cuts blocks.
const mostRows = 1_000_000

// errTaken says that a number was taken by another writer. The batch is to be looked
// at again.
var errTaken = errors.New("another writer made this commit")

// mostTakes is how often one Commit begins again because a number was taken. Each
// time the other writer is one that was overtaken, and can do so once.
const mostTakes = 5

// mostPoisoned is how many tokens are tried for one row: a server that was killed may
// know one of which it has nothing.
const mostPoisoned = 4

// Commit implements [store.Writer]. The order is: quarantine, stubs, the prepared
// statement, events, the commit itself. From when the events are there the commit
// is made for sure, by this writer or by the next; from when its row is in
// docket_commits, readers see it.
//
// After an error the batch may be committed or not. The next Commit finds out, and
// takes what is there as duplicates. What can fail because of the batch fails
// before anything is written, with [store.ErrUnfit].
func (s *Store) Commit(ctx context.Context, b store.Batch) (store.Committed, error) {
	s.commit.Lock()
	defer s.commit.Unlock()
	for range mostTakes {
		out, err := s.take(ctx, b)
		if errors.Is(err, errTaken) {
			continue
		}
		if err != nil {
			return store.Committed{}, s.failed("commit to ClickHouse", err)
		}
		return out, nil
	}
	return store.Committed{}, s.failed("commit to ClickHouse", fmt.Errorf("%w, %d times", errTaken, mostTakes))
}

// take makes a commit of b, or fails with errTaken.
func (s *Store) take(ctx context.Context, b store.Batch) (store.Committed, error) {
	if err := s.ready(ctx, b.Fence); err != nil {
		return store.Committed{}, err
	}
	fresh, err := s.sift(ctx, b)
	if err != nil {
		return store.Committed{}, err
	}
	out := store.Committed{Duplicates: fresh.duplicates}
	if fresh.empty() {
		s.mu.Lock()
		s.streamSeq = b.StreamSeq
		s.mu.Unlock()
		return out, nil
	}
	at := place{s.last().Number + 1, s.generation}
	st, raw, err := s.prepare(at, b, fresh)
	if err != nil {
		return store.Committed{}, fmt.Errorf("%w: %w", store.ErrUnfit, err)
	}
	if err := s.outlasts(fresh.entries, timeOf(st.Time)); err != nil {
		return store.Committed{}, err
	}
	if err := s.write(ctx, at, st, raw, fresh); err != nil {
		s.dirty = true
		return store.Committed{}, err
	}
	next, err := s.last().after(st, Digest(raw))
	if err != nil {
		s.dirty = true
		return store.Committed{}, err
	}
	s.become(next)
	s.remember(ctx)
	out.Number, out.Added = at.number, fresh.entries
	for i := range out.Added {
		if fresh.conflict[i] {
			out.Conflicts = append(out.Conflicts, out.Added[i])
		}
	}
	return out, nil
}

// ready says whether a commit may follow, after whatever befell the one before it.
func (s *Store) ready(ctx context.Context, fence uint64) error {
	switch {
	case s.closed:
		return ErrClosed
	case s.fenced != nil:
		return s.fenced
	}
	if !s.dirty {
		h, err := s.seen(ctx)
		if err != nil {
			return err
		}
		if h.generation > s.generation && h.uid != s.uid {
			return s.overtaken()
		}
		// A writer that was overtaken may have been at its last commit still.
		last := s.last()
		s.dirty = h.number != last.Number || h.digest != last.Statement
	}
	if s.dirty {
		if err := s.start(ctx, false); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
	}
	if last := s.last(); fence < last.Fence {
		return fmt.Errorf("%w: with fence %d, this one has %d", store.ErrFenced, last.Fence, fence)
	}
	return nil
}

// prepare makes the statement of a commit.
func (s *Store) prepare(at place, b store.Batch, fresh *sifted) (*Statement, []byte, error) {
	if len(fresh.entries) > mostRows || len(fresh.held) > mostRows {
		return nil, nil, fmt.Errorf("%d events and %d messages are more than fit into one block, %d", len(fresh.entries), len(fresh.held), mostRows)
	}
	if b.StreamSeq > math.MaxInt64 || b.Fence > math.MaxInt64 {
		return nil, nil, fmt.Errorf("stream sequence %d or fence %d is out of range", b.StreamSeq, b.Fence)
	}
	for i := range fresh.held {
		if fresh.held[i].StreamSeq > math.MaxInt64 {
			return nil, nil, fmt.Errorf("stream sequence %d is out of range", fresh.held[i].StreamSeq)
		}
	}
	st, err := s.account(at, b, fresh)
	if err != nil {
		return nil, nil, err
	}
	raw, err := st.Encode()
	return st, raw, err
}

// storable says whether the numbers of an entry fit into their columns.
func storable(e *store.Entry) error {
	if e.StreamSeq > math.MaxInt64 || e.Commit > math.MaxInt64 || e.Pos > math.MaxInt32 {
		return fmt.Errorf("stream sequence %d, commit %d or position %d is out of range", e.StreamSeq, e.Commit, e.Pos)
	}
	return nil
}

// write puts a commit on the server, step by step.
func (s *Store) write(ctx context.Context, at place, st *Statement, raw []byte, fresh *sifted) error {
	steps := []struct {
		name string
		skip bool
		do   func() error
	}{
		{"quarantine", len(fresh.held) == 0, func() error { return s.db.putHeld(ctx, at, st.Time, fresh.held) }},
		{"stubs", len(fresh.entries) == 0, func() error { return s.db.putStubs(ctx, at, fresh.entries) }},
		{"statement", false, func() error { return s.db.putPrepared(ctx, at, st, raw, bytesOf(fresh.entries)) }},
		{"events", len(fresh.entries) == 0, func() error { return s.putEvents(ctx, at, fresh.entries) }},
		{"commit", false, func() error { return s.putCommit(ctx, at, Digest(raw), int64(len(fresh.entries))) }},
	}
	for _, step := range steps {
		if step.skip {
			continue
		}
		if err := s.opts.Fault(step.name + " begin"); err != nil {
			return err
		}
		if err := step.do(); err != nil {
			return fmt.Errorf("write %s: %w", step.name, err)
		}
		if err := s.opts.Fault(step.name + " written"); err != nil {
			return err
		}
	}
	return nil
}

// token names the insert for a number, and again where that one is known to have
// come to nothing.
func token(number uint64, again int) string {
	return strconv.FormatUint(number, 10) + "." + strconv.Itoa(again)
}

// putEvents puts the rows of a commit, and looks whether they are those that are
// there: the server takes one insert for each number, whoever comes first. It fails
// with errTaken if that was another's.
//
// A server that was killed may know a token of which it has no rows, and will take
// nothing by it. Then it is made to forget, and gets the same once more: a view that
// took the rows at the first time does not take them again, as it would by another
// token.
func (s *Store) putEvents(ctx context.Context, at place, entries []store.Entry) error {
	for again := range 2 {
		if again > 0 {
			s.log.Warn("the server knows an insert of which it has nothing; it is made to forget", "commit", at.number)
			if err := s.db.forget(ctx); err != nil {
				return fmt.Errorf("forget the insert for commit %d, which came to nothing: %w", at.number, err)
			}
		}
		if err := s.db.putEvents(ctx, at, token(at.number, 0), entries); err != nil {
			return err
		}
		piles, err := s.db.piles(ctx, at.number)
		if err != nil {
			return err
		}
		for _, p := range piles {
			switch {
			case p.writer != at.writer:
				continue
			case p.rows != int64(len(entries)):
				return fmt.Errorf("%w: of %d rows of commit %d there are %d", ErrCorrupt, len(entries), at.number, p.rows)
			default:
				return nil
			}
		}
		if len(piles) > 0 {
			return fmt.Errorf("%w: commit %d", errTaken, at.number)
		}
	}
	return fmt.Errorf("the server took %d rows of commit %d and has none of them", len(entries), at.number)
}

// putCommit makes the commit, and looks whether it is the one that was made: of those
// who try at a time, the token lets one through; of those who come later, none, as
// the number before is not the last one any more.
func (s *Store) putCommit(ctx context.Context, at place, digest string, rows int64) error {
	for again := range mostPoisoned {
		if err := s.db.putCommit(ctx, at, token(at.number, again), rows); err != nil {
			return err
		}
		for r, err := range s.db.commits(ctx, at.number) {
			if err != nil {
				return err
			}
			if r.place == at && r.digest == digest {
				return nil
			}
			return fmt.Errorf("%w: commit %d is of writer %d", errTaken, at.number, r.writer)
		}
		// Somebody's rows keep a commit without events out.
		if piles, err := s.db.piles(ctx, at.number); err != nil {
			return err
		} else if rows == 0 && len(piles) > 0 {
			return fmt.Errorf("%w: commit %d", errTaken, at.number)
		}
	}
	return fmt.Errorf("the server took commit %d and does not have it", at.number)
}

// remember puts a snapshot, when one is due. That it cannot is no matter: there will
// be a next one.
func (s *Store) remember(ctx context.Context) {
	last := s.last()
	if last.Number < s.snapshot+s.opts.SnapshotEvery {
		return
	}
	raw, err := canonical(last)
	if err == nil {
		err = s.db.putSnapshot(ctx, last.Number, last.Statement, raw)
	}
	if err != nil {
		s.log.Warn("no snapshot was kept; the next opening reads more statements", "commit", last.Number, "error", err)
		return
	}
	s.snapshot = last.Number
}

func bytesOf(entries []store.Entry) int64 {
	var n int64
	for i := range entries {
		n += int64(len(entries[i].Raw))
	}
	return n
}

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
