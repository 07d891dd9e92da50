// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

// ErrClosed says that the store was closed, and holds nothing any more.
var ErrClosed = errors.New("the store is closed")

// Options say how a store works; the zero value does.
type Options struct {
	// Now is time.Now when nil.
	Now func() time.Time
	// Fault is asked at each point of a commit at which an error leaves something
	// else behind, and may return one, with which the commit ends: "before" it took
	// effect, and "after". Whoever writes to a store cannot tell the two apart, and
	// tests of writers need both. nil: nothing fails.
	Fault func(point string) error
}

// A Store keeps what is committed until it is closed. Make one with [New]. Its
// methods may be called concurrently, Commit by one goroutine at a time.
type Store struct {
	opts Options

	commit sync.Mutex // held for the whole of a commit, and by Close
	// prints are the fingerprints of the stored events. Guarded by commit.
	prints map[identity][]string

	mu sync.RWMutex
	// The rest is guarded by mu. Lists are only appended to, so that a reader that
	// has taken one goes on without the lock.
	closed     bool
	entries    []store.Entry // in commit order
	held       []store.Held
	statements [][]byte // of commits 1, 2, 3 ...
	epochs     map[string]*store.Epoch
	last       Statement // zero before the first
	streamSeq  uint64
}

// An identity is what there should be one event of.
type identity struct {
	epoch    string
	sequence int64
}

var (
	_ store.Writer     = (*Store)(nil)
	_ store.Reader     = (*Store)(nil)
	_ store.Quarantine = (*Store)(nil)
)

// New returns an empty store.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Fault == nil {
		o.Fault = func(string) error { return nil }
	}
	return &Store{opts: o, prints: make(map[identity][]string), epochs: make(map[string]*store.Epoch)}
}

// Close forgets everything. It waits for a commit that is under way; scans that
// have begun go on to their end, every later call finds an empty store, and what
// can fail does so with [ErrClosed].
func (s *Store) Close() error {
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.prints, s.entries, s.held, s.statements, s.epochs = nil, nil, nil, nil, nil
	s.last, s.streamSeq = Statement{}, 0
	return nil
}

// Epoch implements [store.Writer].
func (s *Store) Epoch(uid string) *store.Epoch {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.epochs[uid]
	if !ok {
		return nil
	}
	return clone(e)
}

// clone returns a copy that shares nothing with e.
func clone(e *store.Epoch) *store.Epoch {
	c := *e
	c.Stored, c.Quarantined, c.Conflicts = e.Stored.Clone(), e.Quarantined.Clone(), e.Conflicts.Clone()
	if e.Closed != nil {
		c.Closed = new(*e.Closed)
	}
	return &c
}

// Epochs implements [store.Writer].
func (s *Store) Epochs() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.epochs))
}

// Sequences implements [store.Writer].
func (s *Store) Sequences() map[string]store.Intervals {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make(map[string]store.Intervals, len(s.epochs))
	for uid, e := range s.epochs {
		all[uid] = e.Accounted()
	}
	return all
}

// StreamSeq implements [store.Writer].
func (s *Store) StreamSeq() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.streamSeq
}
