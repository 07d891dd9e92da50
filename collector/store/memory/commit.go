// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

// Commit implements [store.Writer]. All of a batch is prepared beside what
// readers see, and put before them at once. What comes in is copied.
func (s *Store) Commit(ctx context.Context, b store.Batch) (store.Committed, error) {
	s.commit.Lock()
	defer s.commit.Unlock()
	out, err := s.take(ctx, b)
	if err != nil {
		return store.Committed{}, fmt.Errorf("commit to memory: %w", err)
	}
	return out, nil
}

func (s *Store) take(ctx context.Context, b store.Batch) (store.Committed, error) {
	if err := ctx.Err(); err != nil {
		return store.Committed{}, err
	}
	// Only commits change what is read here, and this is the one.
	switch {
	case s.closed:
		return store.Committed{}, ErrClosed
	case b.Fence < s.last.Fence:
		return store.Committed{}, fmt.Errorf("%w: with fence %d, this one has %d", store.ErrFenced, s.last.Fence, b.Fence)
	}
	p := s.prepare(b)
	if len(p.added) == 0 && len(p.held) == 0 {
		s.mu.Lock()
		s.streamSeq = b.StreamSeq
		s.mu.Unlock()
		return p.Committed(), nil
	}
	raw, err := p.statement.encode(p.added, p.held)
	if err != nil {
		return store.Committed{}, fmt.Errorf("%w: %w", store.ErrUnfit, err)
	}
	if err := s.opts.Fault("before"); err != nil {
		return store.Committed{}, err
	}
	s.put(p, raw)
	if err := s.opts.Fault("after"); err != nil {
		return store.Committed{}, err
	}
	return p.Committed(), nil
}

// put makes a prepared commit one.
func (s *Store) put(p *prepared, statement []byte) {
	maps.Copy(s.prints, p.prints)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, p.added...)
	s.held = append(s.held, p.held...)
	s.statements = append(s.statements, statement)
	maps.Copy(s.epochs, p.epochs)
	s.last, s.streamSeq = p.statement, p.statement.StreamSeq
}

// A prepared commit shares nothing with the store that changes.
type prepared struct {
	statement  Statement
	added      []store.Entry
	conflict   []bool // of added, by index
	held       []store.Held
	duplicates int
	prints     map[identity][]string   // of the events that it adds, with those that were there
	epochs     map[string]*store.Epoch // that it changes, as they will be
}

// Committed returns what the writer is told. The entries are the caller's own.
func (p *prepared) Committed() store.Committed {
	out := store.Committed{Duplicates: p.duplicates}
	if len(p.added) == 0 && len(p.held) == 0 {
		return out
	}
	out.Number = p.statement.Number
	for i := range p.added {
		e := p.added[i]
		e.Raw = bytes.Clone(e.Raw)
		out.Added = append(out.Added, e)
		if p.conflict[i] {
			out.Conflicts = append(out.Conflicts, e)
		}
	}
	return out
}

// prepare makes a commit of what is new. The caller holds commit.
func (s *Store) prepare(b store.Batch) *prepared {
	p := &prepared{
		// A clock that was set back must not make commits older than their
		// predecessors.
		statement: s.last.next(max(s.opts.Now().UnixMilli(), s.last.Time), b),
		prints:    make(map[identity][]string), epochs: make(map[string]*store.Epoch),
	}
	for i := range b.Entries {
		s.sift(p, &b.Entries[i])
	}
	for i := range b.Quarantined {
		s.siftQuarantined(p, &b.Quarantined[i])
	}
	s.account(p)
	return p
}

// sift adds e unless it is there.
func (s *Store) sift(p *prepared, e *store.Entry) {
	id := identity{e.Header.Epoch, e.Header.Sequence}
	prints, ok := p.prints[id]
	if !ok {
		prints = s.prints[id]
	}
	if slices.Contains(prints, e.Header.Fingerprint) {
		p.duplicates++
		return
	}
	p.prints[id] = append(slices.Clone(prints), e.Header.Fingerprint)
	added := *e
	added.Raw = bytes.Clone(e.Raw)
	added.Commit, added.Pos, added.StoredTime = p.statement.Number, uint32(len(p.added)), time.UnixMilli(p.statement.Time).UTC()
	p.added = append(p.added, added)
	p.conflict = append(p.conflict, len(prints) > 0)
}

// siftQuarantined adds q unless it is there: same place on the stream, same
// bytes, or one that was there and came again for the same reason. The place
// alone would not do, as a stream that was made anew counts from 1 again.
func (s *Store) siftQuarantined(p *prepared, q *store.Quarantined) {
	same := func(h store.Held) bool {
		return h.StreamSeq == q.StreamSeq && h.Subject == q.Subject && bytes.Equal(h.Data, q.Data)
	}
	again := func(h store.Held) bool { return h.Again(q) }
	if slices.ContainsFunc(p.held, same) || slices.ContainsFunc(s.held, same) || slices.ContainsFunc(s.held, again) {
		p.duplicates++
		return
	}
	p.held = append(p.held, store.Held{
		Quarantined: cloneQuarantined(q), StoredTime: time.UnixMilli(p.statement.Time).UTC(),
		ID: strconv.FormatUint(p.statement.Number, 10) + "." + strconv.Itoa(len(p.held)+1),
	})
}

func cloneQuarantined(q *store.Quarantined) store.Quarantined {
	c := *q
	c.Data, c.Headers = bytes.Clone(q.Data), maps.Clone(q.Headers)
	for name, values := range c.Headers {
		c.Headers[name] = slices.Clone(values)
	}
	return c
}

// epoch returns what an epoch will be after the commit, for changing.
func (s *Store) epoch(p *prepared, uid string) *store.Epoch {
	e := p.epochs[uid]
	if e == nil {
		e = new(store.Epoch)
		if was := s.epochs[uid]; was != nil {
			e = clone(was)
		}
		p.epochs[uid] = e
	}
	return e
}

// account adds what is new to the epochs.
func (s *Store) account(p *prepared) {
	for i := range p.added {
		h := &p.added[i].Header
		e := s.epoch(p, h.Epoch)
		if e.Tenant == "" && e.Emitter == "" {
			e.Tenant, e.Emitter = h.Tenant, h.Emitter
		}
		switch {
		case p.conflict[i]:
			e.Conflicts.Add(h.Sequence)
			continue
		case h.Sequence > e.HeadSequence:
			e.HeadSequence, e.HeadFingerprint = h.Sequence, h.Fingerprint
		}
		e.Stored.Add(h.Sequence)
	}
	for i := range p.added {
		if !p.conflict[i] {
			s.close(p, &p.added[i])
		}
	}
	for i := range p.held {
		if q := &p.held[i]; q.Epoch != "" && q.Sequence > 0 {
			s.epoch(p, q.Epoch).Quarantined.Add(q.Sequence)
		}
	}
}

// close notes the epochs that an event ends. An emitter speaks for its own epochs
// of the same tenant only.
func (s *Store) close(p *prepared, by *store.Entry) {
	closes, err := store.Closing(by.Header, by.Raw)
	if err != nil {
		return // the event stays as it is; the epochs that it meant stay open
	}
	for _, c := range closes {
		e := s.epoch(p, c.Epoch)
		if e.Tenant == "" && e.Emitter == "" { // known from this event alone, or from what is in quarantine
			e.Tenant, e.Emitter = by.Header.Tenant, by.Header.Emitter
		}
		if e.Tenant == by.Header.Tenant && e.Emitter == by.Header.Emitter && e.Closed == nil {
			e.Closed = &c
		}
	}
}
