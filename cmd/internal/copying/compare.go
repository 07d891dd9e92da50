// SPDX-License-Identifier: Apache-2.0

package copying

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/docket-audit/docket/collector/store"
)

// A Comparison says what of the source the destination has, by reading both. Its
// JSON form may grow.
type Comparison struct {
	// Epochs, Events and Quarantined are what the source has.
	Epochs      int   `json:"epochs"`
	Events      int64 `json:"events"`
	Quarantined int64 `json:"quarantined"`
	// Equal are epochs of which both have the same events; the others have more in
	// the destination.
	Equal int `json:"equal_epochs"`
	// Left is how many of the events left the destination since.
	Left int64 `json:"left"`
	// Missing is what the destination has not, by epoch.
	Missing map[string]store.Intervals `json:"missing,omitempty"`
	// MissingQuarantined is how many messages it has not.
	MissingQuarantined int64 `json:"missing_quarantined,omitempty"`
}

// Whole reports whether the destination has everything.
func (c *Comparison) Whole() bool { return len(c.Missing) == 0 && c.MissingQuarantined == 0 }

// A sum stands for the events of an epoch, in any order.
type sum struct {
	events int64
	parts  [4]uint64
}

func (s *sum) add(e *store.Entry) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(e.Header.Sequence))
	of := sha256.Sum256(append(b[:], e.Header.Fingerprint...))
	s.events++
	for i := range s.parts {
		s.parts[i] += binary.BigEndian.Uint64(of[8*i:])
	}
}

// Compare reads both, without the bytes of the events: those are what the
// fingerprints say, or docket verify finds it.
func Compare(ctx context.Context, from *Source, to *Destination) (Comparison, error) {
	out := Comparison{Missing: map[string]store.Intervals{}}
	if from.Last == 0 {
		return out, nil
	}
	want, err := sums(ctx, from.read, store.Query{AsOf: from.Last, WithoutRaw: true}, nil)
	if err != nil {
		return out, err
	}
	have, err := sums(ctx, to.read, store.Query{WithoutRaw: true}, want)
	if err != nil {
		return out, err
	}
	out.Epochs = len(want)
	for _, uid := range slices.Sorted(maps.Keys(want)) {
		out.Events += want[uid].events
		if h := have[uid]; h != nil && *h == *want[uid] {
			out.Equal++
			continue
		}
		if err := out.look(ctx, from, to, uid); err != nil {
			return out, err
		}
	}
	return out, out.compareHeld(ctx, from, to)
}

// sums adds up the events of each epoch; of those in only, unless that is nil.
func sums(ctx context.Context, r store.Reader, q store.Query, only map[string]*sum) (map[string]*sum, error) {
	all := map[string]*sum{}
	for e, err := range r.Scan(ctx, q) {
		if err != nil {
			return nil, fmt.Errorf("compare: %w", err)
		}
		if only != nil && only[e.Header.Epoch] == nil {
			continue
		}
		s := all[e.Header.Epoch]
		if s == nil {
			s = new(sum)
			all[e.Header.Epoch] = s
		}
		s.add(&e)
	}
	return all, ctx.Err()
}

// look compares the events of one epoch, of which the destination has others.
func (c *Comparison) look(ctx context.Context, from *Source, to *Destination, uid string) error {
	type key struct {
		sequence    int64
		fingerprint [sha256.Size]byte
	}
	of := func(e *store.Entry) (k key) {
		k.sequence = e.Header.Sequence
		_, _ = hex.Decode(k.fingerprint[:], []byte(e.Header.Fingerprint)) // as far as it is one
		return k
	}
	have, there := map[key]bool{}, store.Intervals{}
	for e, err := range to.read.Scan(ctx, store.Query{Epoch: uid, WithoutRaw: true}) {
		if err != nil {
			return fmt.Errorf("compare: %w", err)
		}
		have[of(&e)] = true
		there.Add(e.Header.Sequence)
	}
	var stored store.Intervals
	if e := to.writer.Epoch(uid); e != nil {
		stored = e.Stored
	}
	var missing store.Intervals
	for e, err := range from.read.Scan(ctx, store.Query{Epoch: uid, AsOf: from.Last, WithoutRaw: true}) {
		switch {
		case err != nil:
			return fmt.Errorf("compare: %w", err)
		case have[of(&e)]:
		case stored.Contains(e.Header.Sequence) && !there.Contains(e.Header.Sequence):
			c.Left++ // it was there, and its stub is
		default:
			missing.Add(e.Header.Sequence)
		}
	}
	if len(missing) > 0 {
		c.Missing[uid] = missing
	}
	return ctx.Err()
}

// compareHeld compares the messages in quarantine, of which there are few.
func (c *Comparison) compareHeld(ctx context.Context, from *Source, to *Destination) error {
	until, err := from.timeOf(from.Last)
	if err != nil {
		return err
	}
	type key struct {
		streamSeq uint64
		subject   string
		data      [sha256.Size]byte
	}
	of := func(h *store.Held) key { return key{h.StreamSeq, h.Subject, sha256.Sum256(h.Data)} }
	have := map[key]bool{}
	for h, err := range to.read.Quarantined(ctx) {
		if err != nil {
			return fmt.Errorf("compare: %w", err)
		}
		have[of(&h)] = true
	}
	for h, err := range from.read.Quarantined(ctx) {
		if err != nil {
			return fmt.Errorf("compare: %w", err)
		}
		if h.StoredTime.UnixMilli() > until {
			continue // it came since
		}
		c.Quarantined++
		if !have[of(&h)] {
			c.MissingQuarantined++
		}
	}
	return ctx.Err()
}
