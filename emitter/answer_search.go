// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/docket-audit/docket/internal/regular"
	"github.com/docket-audit/docket/internal/stream"
)

// A search goes through the WAL once for everything that was asked for, and
// sends it again as it finds it.
type search struct {
	a       *answerer
	want    []stream.Range // sorted, apart
	files   []stretch
	acked   position // what lies before was acknowledged once
	checked bool     // the stream is as strong as declared

	batch []record
	bytes int64
	spent int64 // events and bytes sent so far
	sent  int64

	parts  []part           // what is known by now
	lowest map[string]int64 // by epoch, the lowest sequence that was met
	gone   map[uint64]bool  // files that were trimmed meanwhile
}

// A stretch is what a WAL file has of the epochs that were asked for.
type stretch struct {
	number      uint64
	start, size int64
	last        map[string]int64 // as of walFile
	wanted      bool             // something that was asked for may be in it
}

// holding returns what each file has of the epochs of want, oldest first.
func (w *wal) holding(want []stream.Range) []stretch {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := map[string]int64{} // the highest sequence in earlier files
	list := make([]stretch, 0, len(w.files))
	for _, f := range w.files {
		s := stretch{number: f.number, start: f.start, size: f.size, last: map[string]int64{}}
		for _, r := range want {
			if last, ok := f.last[r.Epoch]; ok {
				s.last[r.Epoch] = last
				s.wanted = s.wanted || r.First <= last && before[r.Epoch] < r.Last
			}
		}
		for epoch, last := range s.last {
			before[epoch] = last
		}
		list = append(list, s)
	}
	return list
}

// resend sends again what the WAL has of want, and says what became of each part
// of it. want is sorted and its ranges are apart.
func (a *answerer) resend(ctx context.Context, want []stream.Range) []part {
	if len(want) == 0 {
		return nil
	}
	s := &search{
		a: a, want: want, acked: a.e.wal.settle(a.e.streamed.position()), files: a.e.wal.holding(want),
		lowest: map[string]int64{}, gone: map[uint64]bool{},
	}
	err := s.run(ctx)
	for _, r := range s.unknown() {
		if err != nil {
			s.parts = append(s.parts, part{r, stream.AnswerLater, err.Error()})
			continue
		}
		s.explain(r)
	}
	return s.parts
}

// errEnough ends a search: the rest will be asked for again.
var errEnough = errors.New("enough for one answer")

// run goes through the files. After an error it has not seen all of them.
func (s *search) run(ctx context.Context) error {
	for i := range s.files {
		if f := &s.files[i]; f.wanted {
			if err := s.readFile(ctx, f); err != nil {
				return err
			}
		}
	}
	return s.flush(ctx)
}

// readFile goes through a file as far as it was acknowledged.
func (s *search) readFile(ctx context.Context, f *stretch) error {
	end := f.size
	switch cmp.Compare(f.number, s.acked.number) {
	case 0:
		end = min(end, s.acked.offset)
	case 1:
		return nil
	}
	for at := (position{f.number, f.start}); at.offset < end; {
		if err := ctx.Err(); err != nil {
			return errEnough
		}
		limit, path, _ := s.a.reader.limit(f.number)
		if limit == 0 {
			s.gone[f.number] = true
			return nil
		}
		c, err := s.a.reader.readFile(path, at, min(limit, end), batchMessages, batchBytes)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, regular.ErrNot) {
			s.gone[f.number] = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("read WAL: %w", err)
		}
		for _, d := range c.damage {
			s.a.e.damaged(d)
		}
		for i := range c.records {
			if err := s.met(ctx, &c.records[i]); err != nil {
				return err
			}
		}
		if c.next == at {
			return nil // cannot be: there is a record or damage at each place
		}
		at = c.next
	}
	return nil
}

// met takes a record that was met, if it was asked for.
func (s *search) met(ctx context.Context, r *record) error {
	i, found := slices.BinarySearchFunc(s.want, r, func(w stream.Range, r *record) int {
		if c := cmp.Compare(w.Epoch, r.epoch); c != 0 {
			return c
		}
		switch {
		case w.Last < r.sequence:
			return -1
		case w.First > r.sequence:
			return 1
		}
		return 0
	})
	if !found && (i == len(s.want) || s.want[i].Epoch != r.epoch) && (i == 0 || s.want[i-1].Epoch != r.epoch) {
		return nil
	}
	if low, ok := s.lowest[r.epoch]; !ok || r.sequence < low {
		s.lowest[r.epoch] = r.sequence
	}
	if !found {
		return nil
	}
	at := stream.Range{Epoch: r.epoch, First: r.sequence, Last: r.sequence}
	if s.a.e.aside.has(place{r.epoch, r.sequence}) || int64(len(r.raw))+messageHeadroom > s.a.p.nc.MaxPayload() {
		s.parts = append(s.parts, part{at, stream.AnswerLater, "larger than what the server takes"})
		return nil
	}
	if s.spent+int64(len(s.batch)) >= resendEvents || s.sent+s.bytes >= resendBytes {
		if err := s.flush(ctx); err != nil {
			return err
		}
		return errEnough
	}
	size := r.size() + messageOverhead
	if len(s.batch) == batchMessages || s.bytes+size > batchBytes {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	kept := *r
	kept.raw = bytes.Clone(r.raw) // else a few records keep a whole chunk in memory
	s.batch, s.bytes = append(s.batch, kept), s.bytes+size
	return nil
}

// flush sends the batch.
func (s *search) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	if !s.checked {
		if err := s.a.e.checkStream(ctx); err != nil {
			return err
		}
		s.checked = true
	}
	if err := s.a.sendFitting(ctx, s.batch); err != nil {
		return err
	}
	for i := range s.batch {
		r := &s.batch[i]
		s.parts = append(s.parts, part{stream.Range{Epoch: r.epoch, First: r.sequence, Last: r.sequence}, stream.AnswerResent, ""})
	}
	s.spent, s.sent = s.spent+int64(len(s.batch)), s.sent+s.bytes
	clear(s.batch)
	s.batch, s.bytes = s.batch[:0], 0
	return nil
}

// unknown returns what of want no part says anything about yet.
func (s *search) unknown() []stream.Range {
	known := make([]stream.Range, len(s.parts))
	for i := range s.parts {
		known[i] = s.parts[i].Range
	}
	var told recent
	told.list = make([]resent, 0, len(known))
	for _, r := range merge(known) {
		told.list = append(told.list, resent{Range: r})
	}
	var rest []stream.Range
	for _, r := range s.want {
		left, _ := told.without(r)
		rest = append(rest, left...)
	}
	return rest
}
