// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// A Status is where a collector stands, for operators.
type Status struct {
	Connected bool `json:"connected"`
	// CaughtUp says that everything on the stream was stored at least once
	// since the start.
	CaughtUp  bool   `json:"caught_up"`
	Pending   uint64 `json:"pending"`    // messages on the stream that are not taken
	StreamSeq uint64 `json:"stream_seq"` // up to which every message is accounted for
	Error     string `json:"error"`      // what is being tried again; "" when nothing is
	// Compaction is why the last compaction failed; nothing is lost by that, and it
	// is tried again. "" when it did not.
	Compaction string `json:"compaction,omitempty"`
	// Retention is why nothing expires; "" while it does.
	Retention string        `json:"retention,omitempty"`
	Lease     *LeaseStatus  `json:"lease,omitempty"` // nil: there is no other collector to stand by for
	Epochs    []EpochStatus `json:"epochs"`
}

// An EpochStatus is the account of one epoch:
//
//	Sequenced = Stored + Quarantined + Missing + InFlight
type EpochStatus struct {
	Epoch   string `json:"epoch"`
	Tenant  string `json:"tenant"`
	Emitter string `json:"emitter"`
	// Sequenced is the highest sequence that is known of: stored, or named as the
	// last one. What a quarantined message claims beyond that is not.
	Sequenced   int64 `json:"sequenced"`
	Stored      int64 `json:"stored"`
	Quarantined int64 `json:"quarantined"` // and not stored
	// Missing are the holes that a finding says are missing, InFlight all others:
	// on the stream, with the emitter, or asked for.
	Missing  int64 `json:"missing"`
	InFlight int64 `json:"in_flight"`
	// Holes are both, the first maxHoles of them.
	Holes store.Intervals `json:"holes"`
	// Asking says how the emitter is being asked for them; nil when it is not.
	Asking *AskingStatus `json:"asking,omitempty"`
	// Conflicts are events beside a stored one of the same sequence.
	Conflicts int64         `json:"conflicts"`
	Closed    *store.Closed `json:"closed"` // nil while nothing says that it ended
	// Open are the operations that have begun and not ended.
	Open int `json:"open"`
}

// An AskingStatus is how an emitter is being asked for holes.
type AskingStatus struct {
	Since  time.Time `json:"since"`  // the first question about the oldest hole
	Asked  time.Time `json:"asked"`  // the last question
	Answer string    `json:"answer"` // to it: resent, later, gone, not_mine; "" without one
	Why    string    `json:"why,omitempty"`
}

// maxHoles bounds what a status names.
const maxHoles = 1000

// Status tells where the collector stands. It may be called at any time.
func (c *Collector) Status() Status {
	c.mu.Lock()
	l := c.status
	c.mu.Unlock()
	s := Status{Connected: l.connected, CaughtUp: l.caughtUp, Pending: l.pending, StreamSeq: c.cfg.Store.StreamSeq()}
	if l.err != nil {
		s.Error = l.err.Error()
	}
	if l.compaction != nil {
		s.Compaction = l.compaction.Error()
	}
	if l.retention != nil {
		s.Retention = l.retention.Error()
	}
	if c.cfg.Lease != nil {
		s.Lease = new(c.cfg.Lease.Status())
	}
	if c.standing.Load() {
		s.Connected, s.CaughtUp, s.Pending, s.Error = c.cfg.JetStream.Conn().IsConnected(), false, 0, s.Lease.Error
	}
	for _, uid := range c.cfg.Store.Epochs() {
		missing, asking := c.holes.status(uid)
		e := Account(uid, c.cfg.Store.Epoch(uid), missing)
		e.Open, e.Asking = l.open[uid], asking
		s.Epochs = append(s.Epochs, e)
	}
	return s
}

// Account makes the account of an epoch from what a store knows of it. missing
// are the sequences that findings say are missing; those that came since are not.
func Account(uid string, e *store.Epoch, missing store.Intervals) EpochStatus {
	if e == nil {
		e = new(store.Epoch)
	}
	s := EpochStatus{
		Epoch: uid, Tenant: e.Tenant, Emitter: e.Emitter, Closed: e.Closed,
		Stored: e.Stored.Count(), Conflicts: e.Conflicts.Count(), Sequenced: sequenced(e),
	}
	// What is claimed beyond may still come.
	holes := e.Accounted().Holes(s.Sequenced)
	lacking := holes.Count()
	s.Quarantined = s.Sequenced - lacking - s.Stored
	s.Missing = holes.Within(missing).Count()
	s.InFlight = lacking - s.Missing
	s.Holes = holes[:min(len(holes), maxHoles)]
	return s
}

// Missing returns what the findings in a store say is missing, by epoch. Whoever
// sends events can send one that looks like such a finding: it can make a hole
// look worse than it is, not better.
func Missing(ctx context.Context, from store.Reader) (map[string]store.Intervals, error) {
	by := make(map[string]store.Intervals)
	for e, err := range from.Scan(ctx, store.Query{Kinds: []string{profile.KindFinding}}) {
		if err != nil {
			return nil, fmt.Errorf("read stored findings: %w", err)
		}
		if t, ok := readLoss(e.Raw); ok && !t.Closed {
			by[t.epoch] = store.Union(by[t.epoch], t.Ranges)
		}
	}
	return by, nil
}
