// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/store"
)

const most = 40 // sequences in the tests lie below

func sets() *rapid.Generator[map[int64]bool] {
	return rapid.Map(rapid.SliceOf(rapid.Int64Range(1, most-1)), func(list []int64) map[int64]bool {
		m := make(map[int64]bool)
		for _, n := range list {
			m[n] = true
		}
		return m
	})
}

func intervals(r *rapid.T, m map[int64]bool) store.Intervals {
	var s store.Intervals
	for n := range m { // in any order
		if !s.Add(n) || s.Add(n) {
			r.Fatalf("add %d: not new the first time, or new the second time", n)
		}
	}
	return s
}

// Intervals are compared with a plain set.
func TestIntervals(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		model, other := sets().Draw(r, "set"), sets().Draw(r, "other")
		s, o := intervals(r, model), intervals(r, other)
		before, both := s.Clone(), make(map[int64]bool)
		union := store.Union(s, o)
		var watermark int64
		for n := int64(1); n < most; n++ {
			if s.Contains(n) != model[n] {
				r.Errorf("contains %d is %v", n, s.Contains(n))
			}
			if model[n] || other[n] {
				both[n] = true
			}
			if model[n] && watermark == n-1 {
				watermark = n
			}
		}
		if d := cmp.Diff(intervals(r, both), union, cmpopts.EquateEmpty()); d != "" {
			r.Errorf("union (-want +got):\n%s", d)
		}
		if s.Watermark() != watermark || s.Count() != int64(len(model)) {
			r.Errorf("watermark %d, count %d, of %v", s.Watermark(), s.Count(), s)
		}
		without, within := make(map[int64]bool), make(map[int64]bool)
		for n := range model {
			if other[n] {
				within[n] = true
			} else {
				without[n] = true
			}
		}
		if d := cmp.Diff(intervals(r, without), s.Without(o), cmpopts.EquateEmpty()); d != "" {
			r.Errorf("without (-want +got):\n%s", d)
		}
		if d := cmp.Diff(intervals(r, within), s.Within(o), cmpopts.EquateEmpty()); d != "" {
			r.Errorf("within (-want +got):\n%s", d)
		}
		last := rapid.Int64Range(0, most).Draw(r, "last")
		holes := s.Holes(last)
		for n := int64(1); n < most; n++ {
			if holes.Contains(n) != (n <= last && !model[n]) {
				r.Errorf("hole %d up to %d is %v of %v", n, last, holes.Contains(n), s)
			}
		}
		iv := store.Interval{First: rapid.Int64Range(1, most).Draw(r, "first"), Last: most}
		overlaps := false
		for n := range model {
			overlaps = overlaps || n >= iv.First
		}
		if s.Overlaps(iv) != overlaps {
			r.Errorf("overlaps %v is %v of %v", iv, s.Overlaps(iv), s)
		}
		if d := cmp.Diff(before, s, cmpopts.EquateEmpty()); d != "" {
			r.Errorf("reading changed the set:\n%s", d)
		}
	})
}
