// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// An Emitter is what a [Run] needs of an [emitter.Emitter].
type Emitter interface {
	Emit(ctx context.Context, e ocsf.Event) emitter.Receipt
}

// A Run takes events in, in batches. Its methods are called by one goroutine.
type Run struct {
	Emitter Emitter
	// Store is what is stored, as of Refresh.
	Store   store.Reader
	Refresh func() error
	// Left says which of some uids are of events that left the store, which are not
	// to come back.
	Left func(ctx context.Context, uids []string) (map[string]bool, error)
	// Settle returns when all that was emitted so far, by this run and by those
	// before it, is stored.
	Settle func(context.Context) error
	// Refused is told of an event that no emitter takes, such as one that is too
	// long.
	Refused func(f *Foreign, err error)

	batch   []*Foreign
	bytes   int
	pending map[string]bool // uids that were emitted and may not be stored yet

	Stored     int // events that this run emitted
	Duplicates int // that are stored already, were once and left, or came before in this run
}

const (
	batchEvents = 1000
	batchBytes  = 4 << 20
	// settleAt bounds how many events may be on their way into the store.
	settleAt = 32_000
)

// Add takes an event, and passes a batch on when it is full.
func (r *Run) Add(ctx context.Context, f *Foreign) error {
	r.batch = append(r.batch, f)
	r.bytes += f.Size
	if len(r.batch) < batchEvents && r.bytes < batchBytes {
		return nil
	}
	return r.Flush(ctx)
}

// Flush emits what was added and returns when it is on stable storage. What the
// store has is a duplicate.
//
// The store is asked only about events that settled: others are in pending. So
// what a run before this one left in the WAL MUST be settled before the first
// Flush.
func (r *Run) Flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	if r.pending == nil {
		r.pending = map[string]bool{}
	}
	if len(r.pending) > settleAt {
		if err := r.Settle(ctx); err != nil {
			return err
		}
		clear(r.pending)
	}
	known, err := r.known(ctx)
	if err != nil {
		return err
	}
	var receipts []emitter.Receipt
	var sent []*Foreign
	for _, f := range r.batch {
		if known[f.UID] || r.pending[f.UID] {
			r.Duplicates++
			continue
		}
		receipt, err := r.emit(ctx, f, receipts)
		if err != nil {
			return fmt.Errorf("ingest event %s: %w", f.UID, err)
		}
		receipts, sent = append(receipts, receipt), append(sent, f)
		r.pending[f.UID] = true
	}
	for i, receipt := range receipts {
		switch err := receipt.Spooled(ctx); {
		case errors.Is(err, emitter.ErrUnfit):
			r.Refused(sent[i], err)
		case err != nil:
			return fmt.Errorf("ingest events: %w", err)
		default:
			r.Stored++
		}
	}
	r.batch, r.bytes = r.batch[:0], 0
	return nil
}

// emit hands an event to the emitter, and waits for those before it when its
// queue has no room.
func (r *Run) emit(ctx context.Context, f *Foreign, before []emitter.Receipt) (emitter.Receipt, error) {
	for {
		receipt := r.Emitter.Emit(ctx, f.Event)
		refused, cancel := context.WithCancel(ctx)
		cancel() // whether it is refused is known at once
		err := receipt.Spooled(refused)
		if !errors.Is(err, emitter.ErrBackpressure) {
			return receipt, nil
		}
		if len(before) == 0 {
			return receipt, err // it is refused by itself
		}
		for _, b := range before {
			if err := b.Spooled(ctx); err != nil {
				return receipt, err
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return receipt, ctx.Err()
		}
	}
}

// known returns which events of the batch the store has. They are looked for by
// the times of the batch, of which a file in order of time has narrow ones; what
// names no time is looked for by itself.
func (r *Run) known(ctx context.Context) (map[string]bool, error) {
	if err := r.Refresh(); err != nil {
		return nil, err
	}
	uids := make([]string, len(r.batch))
	for i, f := range r.batch {
		uids[i] = f.UID
	}
	known, err := r.Left(ctx, uids)
	if err != nil {
		return nil, fmt.Errorf("look for events that left: %w", err)
	}
	wanted := make(map[string]bool, len(r.batch))
	q := store.Query{Kinds: []string{profile.KindForeign}, WithoutRaw: true}
	for _, f := range r.batch {
		if f.Timeless {
			if err := r.look(ctx, store.Query{Event: f.UID, WithoutRaw: true}, map[string]bool{f.UID: true}, known); err != nil {
				return nil, err
			}
			continue
		}
		wanted[f.UID] = true
		if q.Since == 0 || f.Time < q.Since {
			q.Since = f.Time
		}
		q.Until = max(q.Until, f.Time+1)
	}
	if len(wanted) == 0 {
		return known, nil
	}
	return known, r.look(ctx, q, wanted, known)
}

func (r *Run) look(ctx context.Context, q store.Query, wanted, known map[string]bool) error {
	for e, err := range r.Store.Scan(ctx, q) {
		if err != nil {
			return fmt.Errorf("look for events that are stored: %w", err)
		}
		if wanted[e.Header.MetadataUID] && e.Header.Kind == profile.KindForeign {
			known[e.Header.MetadataUID] = true
		}
	}
	return nil
}
