// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// watermarks is what the stores say of the emitter's own epochs. It is hearsay:
// a watermark is taken for what the emitter can have sent and no further, and
// nothing is deleted by it that JetStream has not acknowledged since the start.
type watermarks struct {
	only []string // the stores that count; all that ever spoke when empty

	mu     sync.Mutex
	stores map[string]bool
	marks  map[string]map[string]int64 // epoch, store, sequence
	sent   map[string]int64            // by epoch, the highest sequence that may be on the stream
	// earlier are the epochs of earlier starts, all of which may be there.
	earlier map[string]bool

	changed broadcast
}

func (m *watermarks) init(only []string) {
	m.only = only
	m.stores, m.marks = map[string]bool{}, map[string]map[string]int64{}
	m.sent, m.earlier = map[string]int64{}, map[string]bool{}
}

// recovered takes in what an earlier start left.
func (m *watermarks) recovered(files []*walFile) {
	for _, f := range files {
		for epoch, last := range f.last {
			m.sent[epoch], m.earlier[epoch] = max(m.sent[epoch], last), true
		}
	}
}

// sending is told before records are published, so that no true watermark can
// be ahead.
func (m *watermarks) sending(records []record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range records {
		r := &records[i]
		if i+1 < len(records) && records[i+1].epoch == r.epoch {
			continue // the sequence only grows
		}
		m.sent[r.epoch] = max(m.sent[r.epoch], r.sequence)
	}
}

// An aheadError is a watermark that no store can have come to.
type aheadError struct {
	stream.Watermark
	sent int64
}

func (e *aheadError) Error() string {
	return fmt.Sprintf("store %s claims to have epoch %s up to sequence %d, of which no more than %d was ever sent", e.Store, e.Epoch, e.Sequence, e.sent)
}

// Hint tells what to do about it.
func (e *aheadError) Hint() string {
	return "somebody else writes watermarks or sends under this emitter's name: look into the broker's permissions; the WAL keeps what is not on the stream"
}

// set takes a watermark as far as it can be true. It fails when that is not all
// of it. Of a running epoch nothing is taken then: the true one is on its way.
func (m *watermarks) set(w stream.Watermark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stores[w.Store] = true
	sent, ours := m.sent[w.Epoch]
	if !ours {
		return nil // another emitter's
	}
	var err error
	if w.Sequence > sent {
		err = &aheadError{w, sent}
		if !m.earlier[w.Epoch] {
			return err
		}
		w.Sequence = sent
	}
	if m.marks[w.Epoch] == nil {
		m.marks[w.Epoch] = map[string]int64{}
	}
	// A watermark never goes back: a late message must not undo a later one.
	m.marks[w.Epoch][w.Store] = max(m.marks[w.Epoch][w.Store], w.Sequence)
	return err
}

// floor returns the sequence up to which every store has the epoch's events.
func (m *watermarks) floor(epoch string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	stores := m.only
	if len(stores) == 0 {
		stores = slices.Collect(maps.Keys(m.stores))
	}
	floor := int64(0)
	for i, store := range stores {
		if n := m.marks[epoch][store]; i == 0 || n < floor {
			floor = n
		}
	}
	return floor
}

// watchWatermarks follows the bucket until ctx is done. While there is none, or
// no connection, it tries again.
func (e *Emitter) watchWatermarks(ctx context.Context, js jetstream.JetStream) {
	wait := backoff{first: 200 * time.Millisecond, most: 5 * time.Second}
	for ctx.Err() == nil {
		err := e.watchOnce(ctx, js, &wait)
		if ctx.Err() != nil {
			return
		}
		e.trouble(troubleWatermarks, err)
		select {
		case <-time.After(wait.next()):
		case <-ctx.Done():
		}
	}
}

func (e *Emitter) watchOnce(ctx context.Context, js jetstream.JetStream, wait *backoff) error {
	opening, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	kv, err := stream.Bucket(opening, js, stream.Name(e.cfg.Stream))
	if err != nil {
		return err
	}
	return stream.WatchWatermarks(ctx, kv, func(w stream.Watermark) {
		if err := e.marks.set(w); err != nil {
			e.trouble(troubleAhead, err) // for good: it was written, whatever comes
		}
		e.marks.changed.notify()
		e.trim()
	}, func() {
		wait.reset()
		e.trouble(troubleWatermarks, nil)
	})
}

// trim deletes the oldest WAL files all of whose events are where the rule of
// trimming wants them, and on the stream in any case: whatever a watermark says,
// what this start has not seen JetStream acknowledge is not given away.
func (e *Emitter) trim() {
	e.trimming.Lock()
	defer e.trimming.Unlock()
	streamed := e.streamed.position()
	files := e.wal.oldest(func(f *walFile) bool {
		if streamed.compare(position{f.number, f.size}) < 0 {
			return false
		}
		if e.cfg.TrimBy == TrimByStream {
			return true
		}
		for epoch, last := range f.last {
			if e.marks.floor(epoch) < last {
				return false
			}
		}
		return true
	})
	e.drop(files)
}

// drop removes files. trimming is held.
func (e *Emitter) drop(files []*walFile) {
	if len(files) == 0 {
		return
	}
	e.cfg.reached("before-trim")
	err := e.wal.remove(files)
	e.cfg.reached("after-trim")
	e.trouble(troubleTrim, err)
	e.trimmed.notify()
}

// custody gives files up when the WAL is nearly full.
func (s *sequencer) custody() {
	bytes, _ := s.e.wal.size()
	if s.under != nil {
		bytes += s.under.bytes
	}
	if bytes+s.next.bytes > s.e.cfg.WALMaxBytes/4*3 {
		s.giveUpFiles(s.e.cfg.WALMaxBytes / 8)
	}
}

// giveUpFiles hands the oldest files that JetStream acknowledged to its custody,
// until the WAL is half empty again: it says so in the epochs that
// run, and once that is durable the files go. With less than so many bytes of them
// it waits for more: many small losses take many words. It reports whether any went.
func (s *sequencer) giveUpFiles(least int64) bool {
	e := s.e
	if e.cfg.WALFull == WALFullDeny || s.dead != nil {
		return false
	}
	files := s.dispensable()
	bytes := int64(0)
	for _, f := range files {
		bytes += f.size
	}
	if len(files) == 0 || bytes < least {
		return false
	}
	last := map[string]int64{}
	for _, f := range files {
		for epoch, n := range f.last {
			last[epoch] = max(last[epoch], n)
		}
	}
	maps.DeleteFunc(last, func(epoch string, n int64) bool { return e.cfg.TrimBy == TrimByStream || e.marks.floor(epoch) >= n })
	s.stateCustody(last, bytes)
	// What was gathered goes with them and may pass the limit by one bundle: it is
	// what makes room.
	s.await()
	if len(s.next.records) > 0 && s.dead == nil {
		s.append(s.next)
	}
	if s.dead != nil {
		return false
	}
	e.trimming.Lock()
	defer e.trimming.Unlock()
	// Meanwhile some may have been trimmed for a better reason.
	e.drop(e.wal.oldest(func(f *walFile) bool { return slices.Contains(files, f) }))
	return true
}

// stateCustody says up to which sequence the events of epochs are given up: each
// epoch in an event of its tenant, or many together in events of what belongs to
// no tenant. What states it must be far less than the bytes that go, however many
// tenants there are.
func (s *sequencer) stateCustody(last map[string]int64, bytes int64) {
	epochs := slices.Sorted(maps.Keys(last))
	if n := int64(len(epochs)); n <= custodyAlone && n <= max(1, bytes/custodyShare) {
		for _, epoch := range epochs {
			s.own(s.custodyEvent(s.tenantOf(epoch), map[string]int64{epoch: last[epoch]}), 0)
		}
		return
	}
	for together := range slices.Chunk(epochs, custodyTogether) {
		some := make(map[string]int64, len(together))
		for _, epoch := range together {
			some[epoch] = last[epoch]
		}
		s.own(s.custodyEvent(profile.TenantDocket, some), 0)
	}
}

const (
	custodyAlone    = 16       // so many epochs have an event each,
	custodyShare    = 10 << 10 // if there are so many bytes for each
	custodyTogether = 1000     // so many share one, of some 80 KB
)

// dispensable returns the oldest files that JetStream acknowledged, as many as
// it takes to get from three quarters to a half: the fewer times it is done, the
// fewer events have to say so.
func (s *sequencer) dispensable() []*walFile {
	streamed := s.e.streamed.position()
	most := s.e.cfg.WALMaxBytes / 2
	bytes, _ := s.e.wal.size()
	return s.e.wal.oldest(func(f *walFile) bool {
		if bytes <= most || streamed.compare(position{f.number, f.size}) < 0 {
			return false
		}
		bytes -= f.size
		return true
	})
}

// tenantOf returns whose epochs an event about epoch belongs to: its own while
// it runs, else the tenant of what belongs to none.
func (s *sequencer) tenantOf(epoch string) string {
	for tenant, p := range s.epochs {
		if p.state.Epoch == epoch {
			return tenant
		}
	}
	return profile.TenantDocket
}
