// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/docket-audit/docket/collector/store"
)

// OpenBehind is [Open] for one who stands by: whoever writes to the store goes on.
// It can be read, as it was at the opening and at each [Store.Refresh]; a Commit fails
// with [store.ErrFenced] until [Store.TakeOver]. How long events are kept is for the one
// who writes to say.
func OpenBehind(ctx context.Context, dsn string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	srv, err := connect(dsn, opts.Cluster)
	if err != nil {
		return nil, err
	}
	s := &Store{server: srv, db: srv, opts: opts, log: opts.Logger.With("component", "clickhouse"), uid: opts.NewUID(), state: new(state)}
	s.fenced = fmt.Errorf("%w: this one stands by", store.ErrFenced)
	if _, err = ttl(opts.Retention); err == nil {
		err = s.migrate(ctx, opts)
	}
	if err == nil {
		err = s.Refresh(ctx)
	}
	if err != nil {
		return nil, srv.failed("open ClickHouse", errors.Join(err, srv.close()))
	}
	return s, nil
}

// TakeOver makes s the writer, as an opening does: also one that was overtaken
// before. Call it when the lease of the store is held.
func (s *Store) TakeOver(ctx context.Context) error {
	s.commit.Lock()
	defer s.commit.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.dirty = true
	if err := s.takeOver(ctx); err != nil {
		return s.failed("take ClickHouse over", err)
	}
	s.fenced = nil
	return nil
}

// Refresh reads what another writer has committed meanwhile. Of a writer it does
// nothing.
func (s *Store) Refresh(ctx context.Context) error {
	s.commit.Lock()
	defer s.commit.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.fenced == nil:
		return nil
	}
	last := s.last()
	if last.Number == 0 {
		next, err := s.load(ctx)
		if err != nil {
			return s.failed("read ClickHouse", err)
		}
		s.become(next)
		return nil
	}
	for r, err := range s.db.commits(ctx, last.Number+1) {
		if err == nil {
			last, err = last.with(r)
		}
		if err != nil {
			return s.failed("read ClickHouse", err)
		}
	}
	s.become(last)
	return nil
}

// Behind reports whether another writes to the store, as far as s knows.
func (s *Store) Behind() bool {
	s.commit.Lock()
	defer s.commit.Unlock()
	return s.fenced != nil
}

// Number returns that of the last commit, 0 without any.
func (s *Store) Number() uint64 { return s.last().Number }

// Addr returns where the store is, for people: hosts and database.
func (s *Store) Addr() string { return s.addr }

// Events returns how many events were stored, those that have expired too.
func (s *Store) Events() (n int64) {
	for _, e := range s.last().Epochs {
		n += e.Stored.Count() + e.Conflicts.Count()
	}
	return n
}
