// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// A span is a period and the marks that bound it.
type span struct {
	Period

	began mark
	ended mark  // by which it is known that it is over; the zero mark while it is not
	last  int64 // when the last operation was judged by it that nothing else explains; 0: none was
}

// spans goes through the marks of each run, and those of operations among them.
func (g *gateway) spans() (all []span) {
	runs := g.with(marks(g.used))
	for i, marks := range runs {
		f := folding{gateway: g.name}
		for _, m := range marks {
			f.take(m)
		}
		if n := len(f.spans); n > 0 && f.spans[n-1].Ended == "" && i+1 < len(runs) {
			f.end(Unknown, runs[i+1][0])
		}
		all = append(all, f.spans...)
	}
	return all
}

// with returns the marks of all runs, with those of operations where they came.
func (g *gateway) with(operations []mark) [][]mark {
	all := make([][]mark, 1, len(g.runs)+1) // the first is for what came before every run
	for _, u := range g.runs {
		all = append(all, slices.Clone(u.marks))
	}
	for _, m := range operations {
		i := len(all) - 1
		for i > 0 && m.before(&all[i][0]) {
			i--
		}
		n := slices.IndexFunc(all[i], func(other mark) bool { return m.before(&other) })
		if n < 0 {
			n = len(all[i])
		}
		all[i] = slices.Insert(all[i], n, m)
	}
	if len(all[0]) == 0 {
		all = all[1:]
	}
	return all
}

// A folding makes spans of the marks of one run.
type folding struct {
	gateway string
	spans   []span
}

// current returns the span that goes on; nil: there is none.
func (f *folding) current() *span {
	if n := len(f.spans); n > 0 && f.spans[n-1].Ended == "" {
		return &f.spans[n-1]
	}
	return nil
}

func (f *folding) take(m mark) {
	cur := f.current()
	switch {
	case m.says == started:
	case m.says == stopped:
		f.end(Stopped, m)
	case cur != nil && cur.Digest == m.digest: // said again
		cur.last = max(cur.last, m.last)
	case m.says == activated:
		f.begin(Activated, m)
	case m.says == judged && f.late(m):
	case m.says == judged:
		f.begin(Operation, m)
	case cur == nil || cur.Began != Activated || cur.last != 0:
		f.begin(Stated, m)
	default: // what was activated was rejected after all, before anything was judged by it
		was := cur.began
		f.spans = f.spans[:len(f.spans)-1]
		if n := len(f.spans); n > 0 && f.spans[n-1].Digest == m.digest && f.spans[n-1].Ended == Replaced && f.spans[n-1].ended.event == was.event {
			f.spans[n-1].Ended, f.spans[n-1].Until, f.spans[n-1].ended = "", time.Time{}, mark{}
			return
		}
		f.begin(Stated, m)
	}
}

// late takes in an operation that was under way when its plan was replaced.
func (f *folding) late(m mark) bool {
	for i := range f.spans {
		s := &f.spans[i]
		if s.Digest == m.digest && s.Ended == Replaced && m.time <= s.ended.time+grace {
			s.last = max(s.last, m.last)
			s.extend()
			return true
		}
	}
	return false
}

func (f *folding) begin(how string, m mark) {
	f.end(Replaced, m)
	f.spans = append(f.spans, span{Period{Digest: m.digest, Gateway: f.gateway, From: instant(m.time), Began: how, Event: m.event}, m, mark{}, m.last})
}

func (f *folding) end(how string, m mark) {
	s := f.current()
	if s == nil {
		return
	}
	s.Ended, s.ended, s.Until = how, m, instant(m.time)
	s.extend()
}

// extend lets a plan be in force for as long as operations were judged by it after
// it was replaced, longer than one may be under way: nothing said when it was.
func (s *span) extend() {
	if s.Ended == Replaced && s.last > s.ended.time+grace {
		s.Until = instant(s.last + 1)
	}
}

func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// setBack reports whether the gateway's clock was behind the beginning of the
// period when it ended.
func (s *span) setBack() bool { return s.Ended != "" && s.ended.time < s.began.time }

// name looks for the operation by which a period began.
func (s *span) name(ctx context.Context, r store.Reader, q Query) error {
	if s.Began != Operation {
		return nil
	}
	sel := store.Query{
		Kinds: []string{profile.KindOutcome}, Texts: map[string][]string{"emitter": {s.Gateway}, "plan_digest": {s.Digest}},
		Since: s.began.time, Until: s.began.time + 1, AsOf: q.AsOf, WithoutRaw: true,
	}
	for e, err := range r.Scan(ctx, sel) {
		if err != nil {
			return err
		}
		if q.Sees(e.Header.Tenant) {
			s.Event = strings.Clone(e.Header.MetadataUID)
			break
		}
	}
	return ctx.Err()
}

// find looks for the end of a period where no event tells it: behind the last
// event that was stored before the one by which it is known that it is over.
func (s *span) find(ctx context.Context, r store.Reader, q Query) error {
	if s.Ended != Unknown && !s.setBack() {
		return nil
	}
	sel := store.Query{Texts: map[string][]string{"emitter": {s.Gateway}}, After: s.ended.at, Descending: true, AsOf: q.AsOf, WithoutRaw: true}
	if s.Ended == Replaced { // what the gateway judged by the next plan is not meant
		sel.Texts["plan_digest"] = []string{s.Digest}
	}
	last := s.began.time
	for e, err := range r.Scan(ctx, sel) {
		if err != nil {
			return err
		}
		if (store.Cursor{Commit: e.Commit, Pos: e.Pos}).Compare(s.began.at) < 0 {
			break // it has nothing but the event by which it began
		}
		if q.Sees(e.Header.Tenant) {
			last = max(last, e.Header.Time)
			break
		}
	}
	s.Until = instant(last + 1) // the period does not have its end in it
	return ctx.Err()
}
