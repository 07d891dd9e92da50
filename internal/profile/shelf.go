// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// A shelf holds the moulds of the last events, few of them.
type shelf struct {
	moulds []*mould
	last   *mould // that was used
	end    *mould // which the event that was looked for strayed from, with nowhere to go
	luck   int    // that events come in turns

	searches, clock, ids uint64
}

const (
	// maxSought is how many times an event's length is looked at in vain: what it
	// does not fit differs from it early on, or costs more than reading it.
	maxSought = 2
	maxForks  = 32
	maxLuck   = 8
)

// find finds the mould of an event read for seals which raw fits, and what differs.
//
// Where events come in turns, the mould that followed the last one before is asked
// first. Then one leads to the other, as in a tree: what strayed from the first one at
// a certain place goes to the one that it fitted in the end. Others are only asked when
// that leads nowhere.
func (f *shelf) find(raw []byte, seals *form) *mould {
	f.end = nil
	var s source
	if len(f.moulds) == 0 || !s.open(raw) {
		return nil
	}
	f.searches++
	left := maxSought * len(raw)
	fits := func(m *mould) bool {
		if m == nil || m.id == 0 || m.seals != seals || m.asked == f.searches || left < 0 {
			return false
		}
		m.asked = f.searches
		fits, looked := m.fits(s)
		if fits {
			m.escapes = s.escapes
		}
		left -= looked
		return fits
	}
	if f.last != nil && (f.luck > 0 || f.searches%maxLuck == 0) {
		if fits(f.last.next) {
			f.luck = min(f.luck+1, maxLuck)
			return f.last.next
		}
		f.luck = max(f.luck-1, 0)
	}
	m := f.moulds[0]
	for range f.moulds {
		if fits(m) {
			return m
		}
		if m.asked != f.searches {
			break
		}
		f.end = m
		if m = m.beyond(m.strayed); m == nil {
			break
		}
	}
	for _, m := range f.moulds {
		if fits(m) {
			f.lead(m)
			return m
		}
	}
	return nil
}

// A place is where an event strayed from a mould: of a node or behind it, by what is
// there.
type place struct {
	node int
	text uint64
}

// glance returns the first of b.
func glance(b []byte) uint64 {
	var room [8]byte
	copy(room[:], b)
	return binary.LittleEndian.Uint64(room[:])
}

// A fork is the mould that an event fitted which strayed from another.
type fork struct {
	place
	to *mould
}

// lead says which mould the event fits that was looked for.
func (f *shelf) lead(to *mould) {
	m := f.end
	if m == nil || m == to {
		return
	}
	i := slices.IndexFunc(m.forks, func(k fork) bool { return k.place == m.strayed })
	switch {
	case i >= 0:
	case len(m.forks) < maxForks:
		i, m.forks = len(m.forks), append(m.forks, fork{})
	default: // not all are of use for long
		i = int(f.searches % maxForks)
	}
	m.forks[i] = fork{m.strayed, to}
}

// beyond returns the mould for an event that strayed from m; nil when none is known.
func (m *mould) beyond(at place) *mould {
	for _, k := range m.forks {
		if k.place == at {
			return k.to
		}
	}
	return nil
}

// use says that m is the mould of the event that was read last.
func (f *shelf) use(m *mould) {
	f.clock++
	m.used = f.clock
	if f.last != nil {
		f.last.next = m
	}
	f.last = m
}

// spare returns a mould to be made anew: one that is none, one more if there are not as
// many as there may be, or the one that was used least recently.
func (f *shelf) spare(most int) *mould {
	if i := slices.IndexFunc(f.moulds, func(m *mould) bool { return m.id == 0 }); i >= 0 {
		return f.moulds[i]
	}
	if len(f.moulds) < most {
		f.moulds = append(f.moulds, new(mould))
		return f.moulds[len(f.moulds)-1]
	}
	m := slices.MinFunc(f.moulds, func(a, b *mould) int { return cmp.Compare(a.used, b.used) })
	m.id = 0
	return m
}

// newID is one that no mould had.
func (f *shelf) newID() uint64 {
	f.ids++
	return f.ids
}
