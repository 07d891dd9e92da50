// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"context"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/docket-audit/docket/collector/store"
)

// sifted is what is new of a batch.
type sifted struct {
	entries     []store.Entry
	conflict    []bool // of entries, by index
	quarantined []store.Quarantined
	duplicates  int
}

// An identity is what there should be one event of.
type identity struct {
	epoch    string
	sequence int64
}

// sift takes out what the lake holds already, or the batch before it. Whether a
// sequence was stored, the interval sets say; only where it was, rows are read
// to tell a duplicate from a conflict.
func (l *Lake) sift(ctx context.Context, b store.Batch) (*sifted, error) {
	m := l.Manifest()
	asked, inOrder := askedOf(m, b.Entries)
	if len(asked) == 0 && inOrder {
		s := &sifted{entries: slices.Clone(b.Entries), conflict: make([]bool, len(b.Entries))}
		return s, l.siftQuarantined(m, b.Quarantined, s)
	}
	known := make(map[identity][]string, len(b.Entries)) // fingerprints
	if len(asked) > 0 {
		if err := l.fingerprints(ctx, m.Files, asked, known); err != nil {
			return nil, err
		}
		if err := l.leftPrints(ctx, m.Stubs, b.Entries, asked, known); err != nil {
			return nil, err
		}
	}
	s := &sifted{entries: make([]store.Entry, 0, len(b.Entries)), conflict: make([]bool, 0, len(b.Entries))}
	for i := range b.Entries {
		h := &b.Entries[i].Header
		id := identity{h.Epoch, h.Sequence}
		prints := known[id]
		if slices.Contains(prints, h.Fingerprint) {
			s.duplicates++
			continue
		}
		known[id] = append(prints, h.Fingerprint)
		s.entries = append(s.entries, b.Entries[i])
		s.conflict = append(s.conflict, len(prints) > 0)
	}
	return s, l.siftQuarantined(m, b.Quarantined, s)
}

// askedOf returns the sequences of entries that the lake has, and whether those of
// each epoch ascend in entries, as they mostly do: then there is none twice.
func askedOf(m *Manifest, entries []store.Entry) (asked map[string]store.Intervals, inOrder bool) {
	asked, inOrder = make(map[string]store.Intervals), true
	lasts := make(map[string]int64)
	var epoch string
	var stored store.Intervals
	var last int64
	for i := range entries {
		h := &entries[i].Header
		if i == 0 || h.Epoch != epoch {
			if i > 0 {
				lasts[epoch] = last
			}
			epoch, stored, last = h.Epoch, m.Epochs[h.Epoch].Stored, lasts[h.Epoch]
		}
		if stored.Contains(h.Sequence) {
			set := asked[epoch]
			set.Add(h.Sequence)
			asked[epoch] = set
		}
		inOrder = inOrder && h.Sequence > last
		last = h.Sequence
	}
	return asked, inOrder
}

// fingerprints adds to known the fingerprints of the stored events of asked.
func (l *Lake) fingerprints(ctx context.Context, files []File, asked map[string]store.Intervals, known map[identity][]string) error {
	for i := range files {
		if !overlaps(files[i].Epochs, asked) {
			continue
		}
		seg, err := openSegment(l.dir, files[i].Path)
		if err != nil {
			return err
		}
		for g := range seg.groups() {
			err = seg.read(ctx, g, []string{"epoch", "sequence", "fingerprint"}, func(c []arrow.Array) error {
				epochs, sequences, prints := c[0].(*array.String), c[1].(*array.Int64), c[2].(*array.String)
				for row := range epochs.Len() {
					n := sequences.Value(row)
					if set, ok := asked[epochs.Value(row)]; ok && set.Contains(n) {
						id := identity{string([]byte(epochs.Value(row))), n}
						known[id] = append(known[id], string([]byte(prints.Value(row))))
					}
				}
				return nil
			})
			if err != nil {
				break
			}
		}
		seg.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// leftPrints adds the fingerprints of those of asked that left the lake, where
// that may make a difference to an entry: what left does not come back.
func (l *Lake) leftPrints(ctx context.Context, files []StubFile, entries []store.Entry, asked map[string]store.Intervals, known map[identity][]string) error {
	open := make(map[string]store.Intervals)
	for i := range entries {
		h := &entries[i].Header
		if set := asked[h.Epoch]; set.Contains(h.Sequence) && !slices.Contains(known[identity{h.Epoch, h.Sequence}], h.Fingerprint) {
			wanted := open[h.Epoch]
			wanted.Add(h.Sequence)
			open[h.Epoch] = wanted
		}
	}
	for i := range files {
		if !overlaps(files[i].Epochs, open) {
			continue
		}
		stubs, err := ReadStubs(ctx, l.dir, files[i].Path)
		if err != nil {
			return err
		}
		for _, s := range stubs {
			if set := open[s.Epoch]; set.Contains(s.Sequence) {
				id := identity{s.Epoch, s.Sequence}
				known[id] = append(known[id], s.Fingerprint)
			}
		}
	}
	return nil
}

func overlaps(has map[string]store.Interval, asked map[string]store.Intervals) bool {
	for epoch, set := range asked {
		if iv, ok := has[epoch]; ok && set.Overlaps(iv) {
			return true
		}
	}
	return false
}

// siftQuarantined takes out the messages that were quarantined already: same
// place on the stream, same bytes, or one that was there and came again. The place alone would not do, as a stream
// that was made anew counts from 1 again.
func (l *Lake) siftQuarantined(m *Manifest, messages []store.Quarantined, s *sifted) error {
	files := make(map[string][]store.Quarantined) // read once each
	same := func(q *store.Quarantined) func(store.Quarantined) bool {
		return func(o store.Quarantined) bool {
			return o.StreamSeq == q.StreamSeq && o.Subject == q.Subject && bytes.Equal(o.Data, q.Data)
		}
	}
	for i := range messages {
		q := &messages[i]
		held := slices.ContainsFunc(s.quarantined, same(q))
		for j := range m.Quarantined {
			f := &m.Quarantined[j]
			if held || !f.StreamSeqs.Contains(int64(q.StreamSeq)) {
				continue
			}
			if files[f.Path] == nil {
				read, err := ReadQuarantine(l.dir, f.Path)
				if err != nil {
					return err
				}
				files[f.Path] = read
			}
			held = slices.ContainsFunc(files[f.Path], same(q))
		}
		again, err := l.again(m, q)
		if err != nil {
			return err
		}
		if held || again {
			s.duplicates++
			continue
		}
		s.quarantined = append(s.quarantined, *q)
	}
	return nil
}

// again reports whether q was in quarantine, was put on the stream again, and is
// refused for the same reason.
func (l *Lake) again(m *Manifest, q *store.Quarantined) (bool, error) {
	ids := q.Headers[store.HeaderRequeued]
	if len(ids) != 1 || !slices.ContainsFunc(m.Quarantined, func(f Quarantine) bool { return f.Path == heldFile(ids[0]) }) {
		return false, nil
	}
	for h, err := range readHeld(l.dir, heldFile(ids[0])) {
		if err != nil {
			return false, err
		}
		if h.ID == ids[0] {
			return h.Again(q), nil
		}
	}
	return false, nil
}
