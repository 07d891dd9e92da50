// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"github.com/docket-audit/docket/collector/store"
)

// An identity is what there should be one event of.
type identity struct {
	epoch    string
	sequence int64
}

// sets are sequences by epoch. None is empty.
type sets map[string]store.Intervals

func (s sets) has(id identity) bool {
	return s[id.epoch].Contains(id.sequence)
}

func (s sets) add(id identity) {
	v := s[id.epoch]
	v.Add(id.sequence)
	s[id.epoch] = v
}

// take removes id and reports whether it was there.
func (s sets) take(id identity) bool {
	v, ok := s[id.epoch]
	if !ok || !v.Contains(id.sequence) {
		return false
	}
	s.put(id.epoch, v.Without(store.Intervals{{First: id.sequence, Last: id.sequence}}))
	return true
}

// put makes v the set of an epoch.
func (s sets) put(epoch string, v store.Intervals) {
	if len(v) == 0 {
		delete(s, epoch)
		return
	}
	s[epoch] = v
}

// covers reports whether all of other is in s.
func (s sets) covers(other sets) bool {
	for epoch, v := range other {
		if len(v.Without(s[epoch])) > 0 {
			return false
		}
	}
	return true
}

// without removes what is in other.
func (s sets) without(other sets) {
	for epoch, v := range other {
		if own, ok := s[epoch]; ok {
			s.put(epoch, own.Without(v))
		}
	}
}

// A position is what a subscriber has had: all that is stored up to a cursor,
// and of what came behind it some that were shown before they were stored.
//
// What was had includes what the subscriber may not see or does not want: of a
// position everything is decided.
type position struct {
	cursor store.Cursor
	ahead  sets
}
