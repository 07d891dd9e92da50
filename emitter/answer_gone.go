// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/docket-audit/docket/internal/stream"
)

// explain says why the WAL did not give r, which all of it was searched for.
func (s *search) explain(r stream.Range) {
	reached, _ := s.a.e.reached(r.Epoch)
	if r.Last > reached {
		beyond := r
		beyond.First = max(r.First, reached+1)
		s.parts = append(s.parts, s.a.beyond(beyond, reached))
		r.Last = beyond.First - 1
	}
	var before int64 // the epoch's highest sequence in the files before f
	for i := range s.files {
		f := &s.files[i]
		last, ok := f.last[r.Epoch]
		if !ok {
			continue
		}
		if within := min(r.Last, last); r.First <= within {
			s.lacks(stream.Range{Epoch: r.Epoch, First: r.First, Last: within}, f, before)
			r.First = within + 1
		}
		before = last
	}
	if r.First <= r.Last {
		s.lost(r, before > 0)
	}
}

// beyond speaks of sequences that are higher than any that the emitter knows of.
func (a *answerer) beyond(r stream.Range, reached int64) part {
	a.e.epochs.mu.Lock()
	_, running := a.e.epochs.by[r.Epoch]
	a.e.epochs.mu.Unlock()
	if running {
		return part{r, stream.AnswerLater, fmt.Sprintf("the epoch has come to sequence %d", reached)}
	}
	return part{r, stream.AnswerGone, fmt.Sprintf("beyond sequence %d, the last of the epoch that is known here", reached)}
}

// lacks says why r, which should be in the file f if it is anywhere, is not.
// before is the epoch's highest sequence in the files before f.
func (s *search) lacks(r stream.Range, f *stretch, before int64) {
	switch {
	case (position{f.number, f.size}).compare(s.acked) > 0:
		s.parts = append(s.parts, part{r, stream.AnswerLater, "not on the stream yet: it comes by itself"})
		return
	case s.gone[f.number]:
		s.lost(r, false)
		return
	}
	low, met := s.lowest[r.Epoch]
	if before > 0 || met && low < r.First {
		s.lost(r, true)
		return
	}
	// The WAL ends within r, at its old end.
	if met && low <= r.Last {
		s.lost(stream.Range{Epoch: r.Epoch, First: low, Last: r.Last}, true)
		r.Last = low - 1
	}
	s.lost(r, false)
}

// lost says that r is gone. Only the oldest of an epoch is ever trimmed: what is
// not there although something older is, was damaged.
func (s *search) lost(r stream.Range, older bool) {
	if r.First > r.Last {
		return
	}
	why := "trimmed: the WAL does not go back to it"
	if older {
		why = "damaged: " + s.a.e.damages()
	}
	s.parts = append(s.parts, part{r, stream.AnswerGone, why})
}

// damages says what is known to be damaged in the WAL.
func (e *Emitter) damages() string {
	e.notices.mu.Lock()
	defer e.notices.mu.Unlock()
	all := slices.SortedFunc(maps.Keys(e.notices.told), func(a, b damage) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.from, b.from))
	})
	switch len(all) {
	case 0:
		return "the WAL has no such record"
	case 1:
		return fmt.Sprintf("%s from byte %d to %d: %s", all[0].file, all[0].from, all[0].to, all[0].reason)
	}
	return fmt.Sprintf("%d places of the WAL, the first in %s from byte %d to %d", len(all), all[0].file, all[0].from, all[0].to)
}
