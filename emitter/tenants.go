// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"cmp"
	"slices"
)

// maxEpochs bounds the epochs that are open at once. Each takes some hundred
// bytes of memory and of the header of every WAL file. An epoch is one start for
// one tenant; only with more tenants than this does a tenant get another in the
// same start.
const maxEpochs = 1 << 16

// retire makes room for one more epoch: when there are as many as may be, the
// eighth that was not used for longest is ended, as at a stop. A tenant of theirs
// that comes back begins anew, with a start event. An operation that lies across
// looks as if the emitter had stopped in it.
func (s *sequencer) retire() {
	if len(s.epochs) < s.most {
		return
	}
	var idle []*epoch
	for _, p := range s.epochs {
		idle = append(idle, p)
	}
	slices.SortFunc(idle, func(a, b *epoch) int { return cmp.Or(cmp.Compare(a.used, b.used), byTenant(a, b)) })
	for _, p := range idle[:max(1, s.most/8)] {
		if s.own(s.stopEvent(p), flagCloses) {
			delete(s.epochs, p.state.Tenant)
			s.next.ended = append(s.next.ended, p)
		}
	}
}

func byTenant(a, b *epoch) int { return cmp.Compare(a.state.Tenant, b.state.Tenant) }
