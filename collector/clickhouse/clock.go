// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

// ErrClock says that the clock here is so far behind that of the server that what is
// stored would be gone at once. See [ClockError].
var ErrClock = errors.New("the clock here is behind that of the server by more than events are kept")

// A ClockError is [ErrClock], with both clocks. Nothing was written.
type ClockError struct {
	Here, Server time.Time
	Rule         retention.Rule // by which the events of the commit are kept
}

func (e *ClockError) Error() string {
	return fmt.Sprintf("%v: it says %s, the server %s, and the rule is %q", ErrClock, e.Here.UTC().Format(time.RFC3339), e.Server.UTC().Format(time.RFC3339), e.Rule)
}

// Unwrap returns [ErrClock].
func (e *ClockError) Unwrap() error { return ErrClock }

const (
	// expiryMargin is how much longer than a commit may take its events are to be there.
	expiryMargin = time.Hour
	// mostSkew is by how much two clocks may differ that nobody has to look at.
	mostSkew = time.Minute
)

// A skew is by how much the clock of the server is ahead of the one here.
type skew struct {
	by    time.Duration
	known bool
}

// seen returns the head of the tables, and notes what the server's clock says.
func (s *Store) seen(ctx context.Context) (head, error) {
	before := s.opts.Now()
	h, err := s.db.head(ctx)
	if err != nil || h.now == 0 {
		return h, err
	}
	// It was read at some time of the question: one that took long tells nothing by that.
	by, after := timeOf(h.now).Sub(before), timeOf(h.now).Sub(s.opts.Now())
	switch {
	case after > 0:
		by = after
	case by > 0:
		by = 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = skew{by, true}
	return h, nil
}

// outlasts fails with a [ClockError] if events that are stored at a time would be gone
// as they come: the server lets go of them by its own clock, and what is not there
// when the commit is made cannot be committed.
func (s *Store) outlasts(entries []store.Entry, stored time.Time) error {
	s.mu.RLock()
	kept, ahead := s.kept, s.skew
	s.mu.RUnlock()
	// The shortest period is a day.
	if here := s.opts.Now(); kept == nil || !ahead.known || here.Add(ahead.by+expiryMargin).Sub(stored) < 24*time.Hour {
		return nil
	}
	here := s.opts.Now()
	server := here.Add(ahead.by)
	for i := range entries {
		h := &entries[i].Header
		since := stored
		if at := timeOf(h.Time); at.After(since) {
			since = at
		}
		if r, at := expires(kept, h.Tenant, h.ClassUID, since); !at.IsZero() && at.Before(server.Add(expiryMargin)) {
			return &ClockError{here, server, r}
		}
	}
	return nil
}

// clocks tells of clocks that differ.
func (s *Store) clocks() (Trouble, bool) {
	s.mu.RLock()
	by := s.skew.by
	s.mu.RUnlock()
	if by.Abs() <= mostSkew {
		return Trouble{}, false
	}
	here := s.opts.Now()
	than, so := "behind", "events are deleted that much earlier than they are to be, and if it is more than they are kept, none are stored"
	if by < 0 {
		than, so = "ahead of", "events are deleted that much later than they are to be"
	}
	return Trouble{
		fmt.Sprintf("the clock here is %s %s that of ClickHouse: it says %s, and that one %s; %s", by.Abs().Round(time.Second), than,
			here.UTC().Format(time.RFC3339), here.Add(by).UTC().Format(time.RFC3339), so),
		"set the clock that is wrong; NTP keeps it right",
	}, true
}
