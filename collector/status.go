// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"github.com/docket-audit/docket/collector/store"
)

// A Status is where a collector stands, for operators.
type Status struct {
	Connected bool `json:"connected"`
	// CaughtUp says that everything on the stream was stored at least once
	// since the start.
	CaughtUp  bool          `json:"caught_up"`
	Pending   uint64        `json:"pending"`    // messages on the stream that are not taken
	StreamSeq uint64        `json:"stream_seq"` // up to which every message is accounted for
	Error     string        `json:"error"`      // what is being tried again; "" when nothing is
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
	// Missing are holes while the stream is empty, InFlight while it is not.
	Missing  int64           `json:"missing"`
	InFlight int64           `json:"in_flight"`
	Holes    store.Intervals `json:"holes"`
	// Conflicts are events beside a stored one of the same sequence.
	Conflicts int64         `json:"conflicts"`
	Closed    *store.Closed `json:"closed"` // nil while nothing says that it ended
	// Open are the operations that have begun and not ended.
	Open int `json:"open"`
}

// Status tells where the collector stands. It may be called at any time.
func (c *Collector) Status() Status {
	c.mu.Lock()
	l := c.status
	c.mu.Unlock()
	s := Status{Connected: l.connected, CaughtUp: l.caughtUp, Pending: l.pending, StreamSeq: c.cfg.Store.StreamSeq()}
	if l.err != nil {
		s.Error = l.err.Error()
	}
	for _, uid := range c.cfg.Store.Epochs() {
		e := Account(uid, c.cfg.Store.Epoch(uid), l.caughtUp && l.pending == 0)
		e.Open = l.open[uid]
		s.Epochs = append(s.Epochs, e)
	}
	return s
}

// Account makes the account of an epoch from what a store knows of it. drained
// says that nothing is on its way, so that what is not there is missing.
func Account(uid string, e *store.Epoch, drained bool) EpochStatus {
	if e == nil {
		e = new(store.Epoch)
	}
	s := EpochStatus{
		Epoch: uid, Tenant: e.Tenant, Emitter: e.Emitter, Closed: e.Closed,
		Stored: e.Stored.Count(), Conflicts: e.Conflicts.Count(), Sequenced: e.HeadSequence,
	}
	if e.Closed != nil {
		s.Sequenced = max(s.Sequenced, e.Closed.LastSequence)
	}
	// What is claimed beyond may still come.
	s.Holes = e.Accounted().Holes(s.Sequenced)
	s.Quarantined = s.Sequenced - s.Holes.Count() - s.Stored
	if drained {
		s.Missing = s.Holes.Count()
	} else {
		s.InFlight = s.Holes.Count()
	}
	return s
}
