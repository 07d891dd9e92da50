// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"fmt"
	"sync"

	"github.com/docket-audit/docket/collector/authz"
)

// Who reads the store for one page may read all of it, when the filter is true of
// little: that takes a processor, and some tens of MiB of events.
const (
	maxScans        = 8  // at a time
	maxCallerScans  = 4  // of one caller
	maxCallerQueued = 64 // of one caller, those who wait too
)

// scans are the readings of the store under way, and who waits to begin one. Whoever
// asks much waits for their own; others wait for no more than half of it.
type scans struct {
	once  sync.Once
	slots chan struct{} // of all

	mu sync.Mutex
	of map[authzKey]*callerScans // guarded by mu
}

type callerScans struct {
	slots chan struct{}
	n     int // with those who wait; guarded by mu of scans
}

// enter waits until a reading may begin, or says that too many wait. leave must be
// called when it has ended.
func (s *scans) enter(ctx context.Context, g *authz.Grant) (leave func(), err error) {
	s.once.Do(func() { s.slots = make(chan struct{}, maxScans) })
	who := authzKey{g.Subject, g.Issuer, g.By}
	own, err := s.queue(who)
	if err != nil {
		return nil, err
	}
	if err := take(ctx, own.slots); err != nil {
		s.leave(who)
		return nil, err
	}
	if err := take(ctx, s.slots); err != nil {
		<-own.slots
		s.leave(who)
		return nil, err
	}
	return func() {
		<-s.slots
		<-own.slots
		s.leave(who)
	}, nil
}

func (s *scans) queue(who authzKey) (*callerScans, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.of[who]
	switch {
	case own == nil:
		own = &callerScans{slots: make(chan struct{}, maxCallerScans)}
		if s.of == nil {
			s.of = make(map[authzKey]*callerScans)
		}
		s.of[who] = own
	case own.n >= maxCallerQueued:
		return nil, &scansError{}
	}
	own.n++
	return own, nil
}

func (s *scans) leave(who authzKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[who].n--; s.of[who].n == 0 {
		delete(s.of, who)
	}
}

// take takes a slot; what is free is taken though ctx has ended.
func take(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type scansError struct{}

func (*scansError) Error() string {
	return fmt.Sprintf("%v: %d of this caller read what is stored, or wait to", ErrBusy, maxCallerQueued)
}
func (*scansError) Unwrap() error { return ErrBusy }
func (*scansError) Hint() string  { return "wait for the answers to others" }
