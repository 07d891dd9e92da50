// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"slices"
)

// An Interval is the sequences from First to Last, both included.
type Interval struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// Intervals is a set of sequences: sorted, disjoint, never touching.
type Intervals []Interval

// Add puts n into the set and reports whether it was new.
func (s *Intervals) Add(n int64) bool {
	v := *s
	i, in := v.search(n)
	if in {
		return false
	}
	joinsPrev := i > 0 && v[i-1].Last == n-1
	joinsNext := i < len(v) && v[i].First == n+1
	switch {
	case joinsPrev && joinsNext:
		v[i-1].Last = v[i].Last
		*s = slices.Delete(v, i, i+1)
	case joinsPrev:
		v[i-1].Last = n
	case joinsNext:
		v[i].First = n
	default:
		*s = slices.Insert(v, i, Interval{n, n})
	}
	return true
}

// Contains reports whether n is in the set.
func (s Intervals) Contains(n int64) bool {
	_, in := s.search(n)
	return in
}

// Find returns the index of the interval that holds n, if there is one.
func (s Intervals) Find(n int64) (index int, found bool) { return s.search(n) }

// search returns the index of the interval that holds n, or where one that
// begins with n would go.
func (s Intervals) search(n int64) (int, bool) {
	return slices.BinarySearchFunc(s, n, func(iv Interval, n int64) int {
		switch {
		case iv.Last < n:
			return -1
		case iv.First > n:
			return 1
		}
		return 0
	})
}

// Overlaps reports whether one of the sequences of iv is in the set.
func (s Intervals) Overlaps(iv Interval) bool {
	i, in := s.search(iv.First)
	return in || i < len(s) && s[i].First <= iv.Last
}

// Watermark returns the last sequence up to which every sequence from 1 is in
// the set; 0 when 1 is not.
func (s Intervals) Watermark() int64 {
	if len(s) == 0 || s[0].First != 1 {
		return 0
	}
	return s[0].Last
}

// Count returns how many sequences are in the set.
func (s Intervals) Count() int64 {
	var n int64
	for _, iv := range s {
		n += iv.Last - iv.First + 1
	}
	return n
}

// Holes returns what is missing from 1 to last.
func (s Intervals) Holes(last int64) Intervals {
	var holes Intervals
	next := int64(1)
	for _, iv := range s {
		if iv.First > last {
			break
		}
		if iv.First > next {
			holes = append(holes, Interval{next, iv.First - 1})
		}
		next = iv.Last + 1
	}
	if next <= last {
		holes = append(holes, Interval{next, last})
	}
	return holes
}

// Clone returns a copy that shares nothing with s.
func (s Intervals) Clone() Intervals { return slices.Clone(s) }

// Union returns what is in a or in b, as a set of its own.
func Union(a, b Intervals) Intervals {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y Interval) int { return cmp.Compare(x.First, y.First) })
	out := all[:0]
	for _, iv := range all {
		if n := len(out); n > 0 && iv.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, iv.Last)
			continue
		}
		out = append(out, iv)
	}
	return out
}

// Without returns what is in s and not in other, as a set of its own.
func (s Intervals) Without(other Intervals) Intervals {
	var out Intervals
	i := 0
	for _, iv := range s {
		for i < len(other) && other[i].Last < iv.First {
			i++
		}
		first := iv.First
		for j := i; j < len(other) && other[j].First <= iv.Last; j++ {
			if other[j].First > first {
				out = append(out, Interval{first, other[j].First - 1})
			}
			first = max(first, other[j].Last+1)
		}
		if first <= iv.Last {
			out = append(out, Interval{first, iv.Last})
		}
	}
	return out
}

// Within returns what is in both s and other, as a set of its own.
func (s Intervals) Within(other Intervals) Intervals { return s.Without(s.Without(other)) }
