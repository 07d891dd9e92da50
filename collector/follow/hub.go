// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docket-audit/docket/collector/judge"
	"github.com/docket-audit/docket/collector/store"
)

// A Hub reads the stream once, and what is committed once, for all subscribers.
// Make one with [New]. Run may be called once; Follow concurrently, at any time.
type Hub struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	mark    [8]byte
	knower  Knower // nil when the store is none

	judge *judge.Judge // owned by the goroutine that reads the stream

	running   chan struct{} // closed when Run has begun
	committed chan struct{} // has one when somebody said that there is a commit
	dirty     chan struct{} // has one when subscribers have to be woken
	room      chan struct{} // has one when the window got smaller

	holes holes // owned by the goroutine that reads commits

	followers atomic.Int32 // who follow events now

	mu sync.Mutex
	// The rest is guarded by mu.

	tape   tape
	cursor store.Cursor // of the tape: all that is stored up to it was on it
	window map[identity]*shown
	order  []*shown      // of the window, in the order of the stream; some are settled
	open   sets          // the identities of the window
	runs   int           // intervals of open
	over   sets          // what was passed over for want of room, and is not stored yet
	known  sets          // what is stored, of epochs that were asked for
	passed [2]uint64     // stream and sequence that the store has come to
	state  Position      // as it was told
	wake   chan struct{} // closed when the tape has more
	ended  bool          // Run has returned
	asleep int           // subscribers that wait for wake
}

// A shown event came by the stream, was put on the tape, and is not stored yet.
type shown struct {
	id          identity
	fingerprint string
	tenant      string
	emitter     string
	stream      uint64 // counts the streams of that name that the hub has seen
	seq         uint64
	record      *record // nil when it is no longer on the tape
	settled     bool
}

// New returns a hub that does nothing yet.
func New(cfg Config) (*Hub, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.MeterProvider)
	if err != nil {
		return nil, fmt.Errorf("make hub metrics: %w", err)
	}
	h := &Hub{
		cfg: cfg, log: cfg.Logger.With("component", "follow"), metrics: m, mark: storeMark(cfg.ID),
		running: make(chan struct{}), committed: make(chan struct{}, 1), dirty: make(chan struct{}, 1), room: make(chan struct{}, 1),
		tape:   tape{maxRecords: cfg.Events, maxBytes: int64(cfg.Bytes)},
		window: make(map[identity]*shown), open: sets{}, known: sets{}, over: sets{}, wake: make(chan struct{}),
		state: Position{Reason: ReasonNoStream},
	}
	h.knower, _ = cfg.Store.(Knower)
	if cfg.JetStream != nil {
		h.judge = judge.New(cfg.Prefix, h.knower)
		h.state = Position{Reason: ReasonConnecting}
	}
	h.holes = holes{hub: h}
	return h, nil
}

// Run serves subscribers until ctx ends, and then returns nil. Those who wait
// then end with [ErrStopped].
func (h *Hub) Run(ctx context.Context) error {
	h.begin()
	close(h.running)
	var beside sync.WaitGroup
	beside.Go(func() { h.waken(ctx) })
	if h.cfg.JetStream != nil {
		beside.Go(func() { h.readStream(ctx) })
	}
	h.readCommits(ctx)
	beside.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	close(h.wake)
	return nil
}

// begin begins with what is stored now. That is for subscribers to read.
func (h *Hub) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cursor = endOf(h.cfg.Commits())
}

// endOf returns the cursor behind all of a commit.
func endOf(commit uint64) store.Cursor { return store.Cursor{Commit: commit, Pos: math.MaxUint32} }

// Committed tells the hub that there is a commit, so that it does not wait for
// its next look. Anybody may call it at any time.
func (h *Hub) Committed() { signal(h.committed) }

// signal puts one into c unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wakeEvery is the least time between two times that subscribers are woken: with
// many of them, each time costs more than an event does.
const wakeEvery = 2 * time.Millisecond

// waken wakes subscribers when there is something, at once after a pause.
func (h *Hub) waken(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.dirty:
		}
		h.mu.Lock()
		if h.asleep > 0 {
			close(h.wake)
			h.wake, h.asleep = make(chan struct{}), 0
		}
		h.mu.Unlock()
		pause.Reset(wakeEvery)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// add puts a record on the tape. The caller holds mu.
func (h *Hub) add(r *record) {
	for _, old := range h.tape.add(r) {
		if old.sort == sortLive && !old.settled {
			// It stays in the window, without its bytes.
			if s := h.window[identityOf(&old.entry)]; s != nil && s.record == old {
				s.record = nil
			}
		}
	}
	signal(h.dirty)
}

// setState tells how events are shown from now on.
func (h *Hub) setState(s Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s == h.state {
		return
	}
	h.state = s
	h.add(&record{sort: sortState, state: s})
	h.log.Info("the tail", "live", s.Live, "reason", s.Reason)
}

func identityOf(e *store.Entry) identity { return identity{e.Header.Epoch, e.Header.Sequence} }

// stored returns what is stored of an epoch, up to the cursor of the tape at
// least. The caller holds mu.
func (h *Hub) stored(epoch string) store.Intervals {
	if set, ok := h.known[epoch]; ok {
		return set
	}
	if len(h.known) >= maxKnown {
		clear(h.known)
	}
	var set store.Intervals
	if e := h.knower.Epoch(epoch); e != nil {
		set = e.Stored
	}
	h.known[epoch] = set
	return set
}

// maxKnown bounds what is kept of what the store knows.
const maxKnown = 16 << 10

// show puts an event that came by the stream on the tape, unless it was there or
// is stored. An event that it does not show, for want of room, is shown when it
// is stored. full says that the window cannot take another event.
func (h *Hub) show(e store.Entry, stream uint64) (full bool) {
	id := identityOf(&e)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.window[id] != nil || h.over.has(id) || h.stored(id.epoch).Contains(id.sequence) {
		return false
	}
	runs := len(h.open[id.epoch])
	if runs == 0 && len(h.open) >= h.cfg.Epochs || h.runs >= maxRuns {
		// Another event may have this identity, in conflict. The first one on the
		// stream is the first in the store: it must be the first that is shown.
		if len(h.over) >= maxKnown {
			clear(h.over)
		}
		h.over.add(id)
		return false
	}
	if len(h.window) >= h.cfg.Events {
		return true
	}
	r := &record{sort: sortLive, entry: e}
	s := &shown{
		id: id, fingerprint: e.Header.Fingerprint, tenant: e.Header.Tenant, emitter: e.Header.Emitter,
		stream: stream, seq: e.StreamSeq, record: r,
	}
	h.window[id] = s
	h.order = append(h.order, s)
	h.open.add(id)
	h.runs += len(h.open[id.epoch]) - runs
	h.add(r)
	h.metrics.live.Add(context.Background(), 1)
	return false
}

// maxRuns bounds in how many pieces epochs are shown before they are stored, for
// the sake of tokens.
const maxRuns = 8 << 10

// close takes ids out of the window's sets. The caller holds mu.
func (h *Hub) close(ids sets) {
	for epoch := range ids {
		h.runs -= len(h.open[epoch])
	}
	h.open.without(ids)
	for epoch := range ids {
		h.runs += len(h.open[epoch])
	}
}
