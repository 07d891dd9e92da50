// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"fmt"
	"maps"

	"github.com/docket-audit/docket/collector/store"
)

// A state is what all statements up to one amount to. It can always be made again
// from them; see docket_snapshots.
type state struct {
	Number    uint64           `json:"number"` // of the last statement; 0 without any
	Statement string           `json:"statement"`
	Writer    int64            `json:"writer"` // of the last statement
	Time      int64            `json:"time"`
	StreamSeq uint64           `json:"stream_seq"`
	Fence     uint64           `json:"fence"`
	Epochs    map[string]epoch `json:"epochs"`
}

// An epoch is [store.Epoch] as the state has it. What it points to is never
// changed.
type epoch struct {
	Tenant          string          `json:"tenant"`
	Emitter         string          `json:"emitter"`
	Stored          store.Intervals `json:"stored,omitempty"`
	Quarantined     store.Intervals `json:"quarantined,omitempty"`
	Conflicts       store.Intervals `json:"conflicts,omitempty"`
	HeadSequence    int64           `json:"head_sequence"`
	HeadFingerprint string          `json:"head_fingerprint"`
	Closed          *store.Closed   `json:"closed,omitempty"`
}

// after returns the state behind one more statement, given with its digest. It
// fails with [ErrCorrupt] when that does not follow the last one.
func (s *state) after(st *Statement, digest string) (*state, error) {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: commit %d: %s", ErrCorrupt, s.Number+1, fmt.Sprintf(format, args...))
	}
	switch {
	case st.Number != s.Number+1:
		return nil, fail("its statement has number %d", st.Number)
	case st.Prev != s.Statement:
		return nil, fail("it follows statement %.16q, the one before it is %.16q", st.Prev, s.Statement)
	case st.Fence < s.Fence:
		return nil, fail("it has fence %d, the one before it has %d", st.Fence, s.Fence)
	case st.Writer < s.Writer:
		return nil, fail("writer %d made it, writer %d the one before it", st.Writer, s.Writer)
	}
	next := &state{
		Number: st.Number, Statement: digest, Writer: st.Writer, Time: st.Time, StreamSeq: st.StreamSeq, Fence: st.Fence,
		Epochs: maps.Clone(s.Epochs),
	}
	if next.Epochs == nil {
		next.Epochs = make(map[string]epoch, len(st.Epochs))
	}
	for uid, p := range st.Epochs {
		next.Epochs[uid] = next.Epochs[uid].after(p)
	}
	return next, nil
}

// after returns e with p added. Its sets are new.
func (e epoch) after(p Progress) epoch {
	if e.Tenant == "" {
		e.Tenant = p.Tenant
	}
	if e.Emitter == "" {
		e.Emitter = p.Emitter
	}
	e.Stored = store.Union(e.Stored, p.Stored)
	e.Quarantined = store.Union(e.Quarantined, p.Quarantined)
	e.Conflicts = store.Union(e.Conflicts, p.Conflicts)
	if p.HeadSequence > e.HeadSequence {
		e.HeadSequence, e.HeadFingerprint = p.HeadSequence, p.HeadFingerprint
	}
	if p.Closed != nil && e.Closed == nil {
		e.Closed = p.Closed
	}
	return e
}

// public returns e for the contract, sharing nothing.
func (e *epoch) public() *store.Epoch {
	out := &store.Epoch{
		Tenant: e.Tenant, Emitter: e.Emitter,
		Stored: e.Stored.Clone(), Quarantined: e.Quarantined.Clone(), Conflicts: e.Conflicts.Clone(),
		HeadSequence: e.HeadSequence, HeadFingerprint: e.HeadFingerprint,
	}
	if e.Closed != nil {
		out.Closed = new(*e.Closed)
	}
	return out
}

// parseState reads a snapshot.
func parseState(b []byte) (*state, error) {
	s := new(state)
	if err := decode(b, s); err != nil {
		return nil, fmt.Errorf("parse snapshot: %w", err)
	}
	return s, nil
}
