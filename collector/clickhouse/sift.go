// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"bytes"
	"context"
	"slices"

	"github.com/docket-audit/docket/collector/store"
)

// sifted is what is new of a batch.
type sifted struct {
	entries    []store.Entry
	conflict   []bool // of entries, by index
	held       []store.Quarantined
	duplicates int
}

func (s *sifted) empty() bool { return len(s.entries) == 0 && len(s.held) == 0 }

// sift takes out what the store holds already, or the batch before it. Whether a
// sequence was stored, the interval sets say; only where it was, the server is
// asked, to tell a duplicate from a conflict.
func (s *Store) sift(ctx context.Context, b store.Batch) (*sifted, error) {
	last := s.last()
	known := make(map[identity][]string, len(b.Entries)) // fingerprints
	asked := make(map[string]store.Intervals)
	for i := range b.Entries {
		h := &b.Entries[i].Header
		if last.Epochs[h.Epoch].Stored.Contains(h.Sequence) {
			set := asked[h.Epoch]
			set.Add(h.Sequence)
			asked[h.Epoch] = set
		}
	}
	if len(asked) > 0 {
		if err := s.db.fingerprints(ctx, asked, known); err != nil {
			return nil, err
		}
	}
	out := &sifted{entries: make([]store.Entry, 0, len(b.Entries)), conflict: make([]bool, 0, len(b.Entries))}
	for i := range b.Entries {
		h := &b.Entries[i].Header
		id := identity{h.Epoch, h.Sequence}
		prints := known[id]
		if slices.Contains(prints, h.Fingerprint) {
			out.duplicates++
			continue
		}
		known[id] = append(prints, h.Fingerprint)
		out.entries = append(out.entries, b.Entries[i])
		out.conflict = append(out.conflict, len(prints) > 0)
	}
	return out, s.siftHeld(ctx, b.Quarantined, out)
}

// siftHeld takes out the messages that were quarantined already: same place on the
// stream, same bytes, or one that was there and came again. The place alone would
// not do, as a stream that was made anew counts from 1 again.
func (s *Store) siftHeld(ctx context.Context, messages []store.Quarantined, out *sifted) error {
	if len(messages) == 0 {
		return nil
	}
	there, err := s.db.held(ctx, messages)
	if err != nil {
		return err
	}
	for i := range messages {
		q := &messages[i]
		same := func(o *store.Quarantined) bool {
			return o.StreamSeq == q.StreamSeq && o.Subject == q.Subject && bytes.Equal(o.Data, q.Data)
		}
		if slices.ContainsFunc(there, func(h store.Held) bool { return same(&h.Quarantined) || h.Again(q) }) ||
			slices.ContainsFunc(out.held, func(o store.Quarantined) bool { return same(&o) }) {
			out.duplicates++
			continue
		}
		out.held = append(out.held, *q)
	}
	return nil
}

// account makes the statement of what is new, and gives the entries their places. It
// fails on what can never be stated.
func (s *Store) account(at place, b store.Batch, fresh *sifted) (*Statement, error) {
	last := s.last()
	st := &Statement{
		Number: at.number, Prev: last.Statement, Writer: at.writer, StreamSeq: b.StreamSeq, Fence: b.Fence,
		// A clock that was set back must not make commits older than their
		// predecessors.
		Time:   max(s.opts.Now().UnixMilli(), last.Time),
		Counts: []Count{}, Epochs: map[string]Progress{},
	}
	var t Tally
	for i := range fresh.entries {
		e := &fresh.entries[i]
		e.Commit, e.Pos, e.StoredTime = at.number, uint32(i), timeOf(st.Time)
		if err := storable(e); err != nil {
			return nil, err
		}
		if err := t.Add(e.Header); err != nil {
			return nil, err
		}
		p := st.Epochs[e.Header.Epoch]
		p.Tenant, p.Emitter = e.Header.Tenant, e.Header.Emitter
		if fresh.conflict[i] {
			p.Conflicts.Add(e.Header.Sequence)
		} else {
			p.Stored.Add(e.Header.Sequence)
			if e.Header.Sequence > p.HeadSequence {
				p.HeadSequence, p.HeadFingerprint = e.Header.Sequence, e.Header.Fingerprint
			}
		}
		st.Epochs[e.Header.Epoch] = p
	}
	for i := range fresh.entries {
		if !fresh.conflict[i] {
			s.closes(st, last, &fresh.entries[i])
		}
	}
	for i := range fresh.held {
		if q := &fresh.held[i]; q.Epoch != "" && q.Sequence > 0 {
			p := st.Epochs[q.Epoch]
			p.Quarantined.Add(q.Sequence)
			st.Epochs[q.Epoch] = p
		}
	}
	var err error
	if st.Counts, err = t.Counts(); err != nil {
		return nil, err
	}
	st.StreamSeqs = streamSeqs(len(fresh.entries), func(i int) uint64 { return fresh.entries[i].StreamSeq })
	if st.Quarantined = int64(len(fresh.held)); st.Quarantined > 0 {
		st.QuarantinedRoot, err = heldRoot(fresh.held)
	}
	return st, err
}

// closes notes the epochs that e ends. An emitter speaks for its own epochs of the
// same tenant only.
func (s *Store) closes(st *Statement, last *state, e *store.Entry) {
	closes, err := store.Closing(e.Header, e.Raw)
	if err != nil {
		// The event stays as it is; the epochs it meant stay open.
		s.log.Warn("a start event says in vain what it closes", "event", e.Header.MetadataUID, "error", err)
		return
	}
	for _, c := range closes {
		p, known := st.Epochs[c.Epoch], last.Epochs[c.Epoch]
		tenant, emitter := p.Tenant, p.Emitter
		if known.Tenant != "" {
			tenant, emitter = known.Tenant, known.Emitter
		}
		if tenant == "" {
			tenant, emitter = e.Header.Tenant, e.Header.Emitter
		}
		if tenant != e.Header.Tenant || emitter != e.Header.Emitter {
			s.log.Warn("a start event closes an epoch of another", "event", e.Header.MetadataUID, "epoch", c.Epoch)
			continue
		}
		p.Tenant, p.Emitter = tenant, emitter
		if p.Closed == nil && known.Closed == nil {
			p.Closed = &c
		}
		st.Epochs[c.Epoch] = p
	}
}
