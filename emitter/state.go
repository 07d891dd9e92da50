// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// A State is how an emitter does, for people and for health checks.
type State struct {
	Name      string `json:"name"`
	Dir       string `json:"dir"`
	Connected bool   `json:"connected"` // to NATS
	// Troubles are what does not work now, by what it is about: wal, full,
	// reserve, connection, stream, publish, aside, watermarks, trim, ahead. Each ends in "; hint: ..." where there
	// is one.
	Troubles map[string]string `json:"troubles,omitempty"`

	QueueBytes int64 `json:"queue_bytes"`
	// QueueAge is how long the oldest event has waited that is not yet on stable
	// storage.
	QueueAge time.Duration `json:"queue_age_ns"`
	WALBytes int64         `json:"wal_bytes"`
	WALFiles int           `json:"wal_files"`
	// ReserveBytes is the room that is kept for a full disk; 0 when it was given
	// up because the disk is.
	ReserveBytes int64 `json:"reserve_bytes"`
	// Behind is how many WAL bytes JetStream has not acknowledged.
	Behind int64 `json:"behind_bytes"`
	// Recovered is how many events of earlier starts were found.
	Recovered int `json:"recovered"`

	Offered   int64 `json:"offered"`   // by callers
	Sequenced int64 `json:"sequenced"` // of callers
	Refused   int64 `json:"refused"`   // of callers
	Declared  int64 `json:"declared"`  // of the refused, stated in gap findings
	Own       int64 `json:"own"`       // events of the emitter itself
	Spooled   int64 `json:"spooled"`
	Streamed  int64 `json:"streamed"` // repetitions included
	Retries   int64 `json:"retries"`
	Resent    int64 `json:"resent"` // of the streamed, those that a collector asked for
	// Shrunk are those in which digests stand for payloads that the stream would
	// not take; Aside are those that wait for a server that takes them.
	Shrunk int64 `json:"shrunk"`
	Aside  int   `json:"aside"`

	// Epochs are those of this start, each with its last sequence on stable
	// storage: what a store has to come to.
	Epochs map[string]int64 `json:"epochs,omitempty"`
}

// What a trouble is about.
const (
	troubleWAL        = "wal"
	troubleFull       = "full"
	troubleReserve    = "reserve"
	troubleConnection = "connection"
	troubleStream     = "stream"
	troublePublish    = "publish"
	troubleAside      = "aside"
	troubleWatermarks = "watermarks"
	troubleTrim       = "trim"
	troubleAhead      = "ahead" // a watermark is
)

// counters are the numbers that are not guarded by a lock of their own.
type counters struct {
	sequenced, declared, own    atomic.Int64
	spooled, streamed, retries  atomic.Int64
	shrunk, resent              atomic.Int64
	spooledBytes, streamedBytes atomic.Int64
}

type troubles struct {
	mu sync.Mutex
	by map[string]string
}

// trouble notes that something does not work, or works again. It logs what is
// new, not each repetition.
func (e *Emitter) trouble(about string, err error) {
	e.troubles.mu.Lock()
	defer e.troubles.mu.Unlock()
	was, now := e.troubles.by[about], ""
	if err != nil {
		now = err.Error()
		var hint interface{ Hint() string }
		if errors.As(err, &hint) {
			now += "; hint: " + hint.Hint()
		}
	}
	if was == now {
		return
	}
	if err == nil {
		delete(e.troubles.by, about)
		e.cfg.Logger.Info("works again", "about", about)
		return
	}
	e.troubles.by[about] = now
	e.cfg.Logger.Warn("does not work", "about", about, "error", now)
}

// standing returns what does not work, of the things that it may be about, for an
// error of who waits for them: "", or a text that begins with "; ".
func (e *Emitter) standing(about ...string) string {
	e.troubles.mu.Lock()
	defer e.troubles.mu.Unlock()
	var text string
	for _, a := range about {
		if what := e.troubles.by[a]; what != "" {
			text += "; " + what
		}
	}
	return text
}

// State returns how the emitter does now.
func (e *Emitter) State() State {
	s := State{
		Name: e.cfg.Name, Dir: e.cfg.Dir, Recovered: e.recovered, Troubles: map[string]string{},
		Connected: e.cfg.Conn != nil && e.cfg.Conn.IsConnected(),
		Sequenced: e.count.sequenced.Load(), Declared: e.count.declared.Load(), Own: e.count.own.Load(),
		Spooled: e.count.spooled.Load(), Streamed: e.count.streamed.Load(), Retries: e.count.retries.Load(), Resent: e.count.resent.Load(),
		Epochs: e.epochs.all(),
	}
	e.queue.mu.Lock()
	s.Offered, s.Refused, s.QueueBytes = e.queue.offered, e.queue.refused, e.queue.ordinary.bytes+e.queue.outcomes.bytes
	s.QueueAge = e.queue.age(time.Now())
	e.queue.mu.Unlock()
	e.troubles.mu.Lock()
	for about, what := range e.troubles.by {
		s.Troubles[about] = what
	}
	e.troubles.mu.Unlock()
	s.WALBytes, s.WALFiles = e.wal.size()
	s.Shrunk = e.count.shrunk.Load()
	s.Aside, _ = e.aside.count()
	s.ReserveBytes = e.reserve.held.Load()
	s.Behind = e.wal.distance(e.streamed.position())
	return s
}

// distance returns how many bytes of records lie behind p.
func (w *wal) distance(p position) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := int64(0)
	for _, f := range w.files {
		switch {
		case f.number > p.number:
			n += f.size - f.start
		case f.number == p.number:
			n += f.size - p.offset
		}
	}
	return n
}
