// SPDX-License-Identifier: Apache-2.0

package copying

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// ErrDamaged says that what is in the source is not what was sealed. It is not
// copied: the destination's ledger would have it as it is.
var ErrDamaged = errors.New("the source is damaged")

// Options of a run; the zero value works.
type Options struct {
	// Events is how many one commit of the destination has at most, and Bytes how
	// large they are, about; 0 means 16384 and 16 MiB.
	Events, Bytes int
	// Progress is told how many events and messages of how many are done.
	Progress func(done, total int64)
}

// A Summary is what came of a run. Its JSON form may grow.
type Summary struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Events and Quarantined are how many were copied by this run, Duplicates how many
	// the destination had, Conflicts those of Events that it has others in the place of.
	Events      int64 `json:"events"`
	Quarantined int64 `json:"quarantined"`
	Duplicates  int64 `json:"duplicates"`
	Conflicts   int64 `json:"conflicts"`
	// Passed is up to which commit of the source an earlier run had come, Through the
	// last one that there was.
	Passed  uint64 `json:"passed"`
	Through uint64 `json:"through"`
	// Left is how many events had left the source before: there is nothing to copy.
	Left int64 `json:"left"`
	// StreamSeq is up to which place on the stream the destination has everything
	// now, StreamSeqBefore what that was.
	StreamSeq       uint64 `json:"stream_seq"`
	StreamSeqBefore uint64 `json:"stream_seq_before"`
	// Compared is what both hold; nil when that was not reached.
	Compared *Comparison `json:"compared,omitempty"`
}

// A copying is one run.
type copying struct {
	from *Source
	to   *Destination
	opts Options
	name string // of the source among cursors
	done Summary

	at     store.Cursor // of the last entry in batch, or before
	batch  store.Batch
	size   int
	passed int64 // that were read
}

// Run copies what the destination does not have, and compares. The summary tells
// what was done also after an error; run again, it goes on from there.
func Run(ctx context.Context, from *Source, to *Destination, opts Options) (Summary, error) {
	if opts.Events == 0 {
		opts.Events = 16 << 10
	}
	if opts.Bytes == 0 {
		opts.Bytes = 16 << 20
	}
	if opts.Progress == nil {
		opts.Progress = func(int64, int64) {}
	}
	c := &copying{from: from, to: to, opts: opts}
	c.done = Summary{From: from.Name, To: to.Name, Through: from.Last, Left: from.Left, StreamSeqBefore: to.writer.StreamSeq()}
	err := c.run(ctx)
	c.done.StreamSeq = to.writer.StreamSeq()
	if err != nil {
		return c.done, err
	}
	cmp, err := Compare(ctx, from, to)
	if err == nil {
		c.done.Compared = &cmp
	}
	return c.done, err
}

func (c *copying) run(ctx context.Context) error {
	if c.from.Last == 0 {
		return nil
	}
	for name, key := range c.from.Keys {
		if err := os.MkdirAll(c.to.Dir.Join("keys", "emitters"), 0o700); err != nil {
			return fmt.Errorf("keep the keys of emitters: %w", err)
		}
		if err := c.to.Dir.Keep(key, "keys", "emitters", name); err != nil {
			return fmt.Errorf("keep the keys of emitters: %w", err)
		}
	}
	var err error
	if c.name, err = c.from.source(); err != nil {
		return err
	}
	cursors, err := readCursors(c.to.Dir)
	if err != nil {
		return err
	}
	c.at = resume(c.from, c.to, cursors[c.name])
	c.done.Passed = c.at.Commit
	since, err := c.from.timeOf(c.at.Commit)
	if err != nil {
		return err
	}
	until, err := c.from.timeOf(c.from.Last)
	if err != nil {
		return err
	}
	if err := c.copyAll(ctx, since, until); err != nil {
		return err
	}
	if err := c.flush(ctx); err != nil {
		return err
	}
	c.at = store.Cursor{Commit: c.from.Last, Pos: ^uint32(0)}
	return c.save()
}

// timeOf returns the time of a commit; 0 of none.
func (s *Source) timeOf(number uint64) (int64, error) {
	if number == 0 {
		return 0, nil
	}
	raw, err := s.statement(number)
	if err != nil {
		return 0, fmt.Errorf("read statement %d of %s: %w", number, s.Name, err)
	}
	return timeOf(raw)
}

// copyAll goes through events and messages side by side, as they were stored. Of the
// messages of the time of the last commit that was copied some may be copied by now;
// they are duplicates.
func (c *copying) copyAll(ctx context.Context, since, until int64) error {
	next, stop := iter.Pull2(c.from.read.Quarantined(ctx))
	defer stop()
	held, err, more := next()
	for e, eerr := range c.from.read.Scan(ctx, store.Query{After: c.at, AsOf: c.from.Last}) {
		if eerr != nil {
			return eerr
		}
		for ; more && err == nil && !held.StoredTime.After(e.StoredTime); held, err, more = next() {
			if held.StoredTime.UnixMilli() >= since {
				if err := c.hold(ctx, &held); err != nil {
					return err
				}
			}
		}
		if err != nil {
			return err
		}
		if err := c.take(ctx, &e); err != nil {
			return err
		}
	}
	for ; more && err == nil; held, err, more = next() {
		if ms := held.StoredTime.UnixMilli(); ms < since || ms > until {
			continue
		}
		if err := c.hold(ctx, &held); err != nil {
			return err
		}
	}
	return errors.Join(err, ctx.Err())
}

// take puts an event into the batch, if it is what was sealed.
func (c *copying) take(ctx context.Context, e *store.Entry) error {
	header, err := profile.Check(e.Raw)
	if err != nil {
		return &Error{"copy from", c.from.Name, fmt.Errorf("%w: commit %d, position %d: %w", ErrDamaged, e.Commit, e.Pos, err), "docket verify --deep says what else is damaged"}
	}
	c.batch.Entries = append(c.batch.Entries, store.Entry{Raw: e.Raw, Header: header, StreamSeq: e.StreamSeq})
	c.at = store.Cursor{Commit: e.Commit, Pos: e.Pos}
	return c.added(ctx, e.StreamSeq, len(e.Raw))
}

// hold puts a message into the batch.
func (c *copying) hold(ctx context.Context, h *store.Held) error {
	c.batch.Quarantined = append(c.batch.Quarantined, h.Quarantined)
	return c.added(ctx, h.StreamSeq, len(h.Data))
}

// added passes the batch on when it is full.
func (c *copying) added(ctx context.Context, streamSeq uint64, size int) error {
	c.batch.StreamSeq = max(c.batch.StreamSeq, streamSeq)
	if c.size += size; c.size < c.opts.Bytes && len(c.batch.Entries)+len(c.batch.Quarantined) < c.opts.Events {
		return nil
	}
	return c.flush(ctx)
}

func (c *copying) flush(ctx context.Context) error {
	n := len(c.batch.Entries) + len(c.batch.Quarantined)
	if n == 0 {
		return nil
	}
	c.batch.StreamSeq = max(c.batch.StreamSeq, c.to.writer.StreamSeq())
	// As a collector does: a plan is there before the event that carries it.
	if err := collector.KeepPlans(c.to.Dir.Path, c.batch.Entries, c.to.log); err != nil {
		return err
	}
	done, err := c.to.commit(ctx, c.batch)
	if err != nil {
		return fmt.Errorf("copy to %s: %w", c.to.Name, err)
	}
	c.done.Events += int64(len(done.Added))
	c.done.Conflicts += int64(len(done.Conflicts))
	c.done.Duplicates += int64(done.Duplicates)
	c.done.Quarantined += int64(n - len(done.Added) - done.Duplicates)
	c.batch, c.size = store.Batch{}, 0
	c.passed += int64(n)
	c.opts.Progress(c.passed, max(c.from.Rows, c.passed))
	return c.save()
}

// save keeps how far it came.
func (c *copying) save() error {
	if c.at.Commit == 0 {
		return nil // messages only
	}
	raw, err := c.from.statement(c.at.Commit)
	if err != nil {
		return fmt.Errorf("read statement %d of %s: %w", c.at.Commit, c.from.Name, err)
	}
	k := cursor{Commit: c.at.Commit, Pos: c.at.Pos, Statement: digestOf(raw)}
	k.Number, k.Digest = c.to.last()
	return save(c.to.Dir, c.name, k)
}
