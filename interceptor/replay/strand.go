// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"fmt"
	"maps"
	"slices"

	"github.com/docket-audit/docket/internal/profile"
)

// A strand is events of one epoch that follow one another in its hash chain.
type strand struct {
	first, last int64  // sequences
	before      string // fingerprint of the event before the first, as that one has it
	head        string // fingerprint of the last
}

// woven adds an event to the strands of its epoch, which are in their order and do
// not touch. An export need not be in the order of sequences: what was sent again
// after a hole was stored later.
func woven(strands []strand, h *profile.Header) ([]strand, error) {
	n, _ := slices.BinarySearchFunc(strands, h.Sequence, func(s strand, sequence int64) int {
		if s.first <= sequence {
			return -1
		}
		return 1
	})
	breaks := func(sequence int64) error {
		return fmt.Errorf("the hash chain of epoch %s breaks before sequence %d", h.Epoch, sequence)
	}
	follows := n > 0 && strands[n-1].last+1 == h.Sequence
	leads := n < len(strands) && h.Sequence+1 == strands[n].first
	switch {
	case n > 0 && h.Sequence <= strands[n-1].last:
		return nil, fmt.Errorf("sequence %d of epoch %s is there twice", h.Sequence, h.Epoch)
	case follows && h.PrevFingerprint != strands[n-1].head:
		return nil, breaks(h.Sequence)
	case leads && strands[n].before != h.Fingerprint:
		return nil, breaks(strands[n].first)
	case follows && leads:
		strands[n-1].last, strands[n-1].head = strands[n].last, strands[n].head
		return slices.Delete(strands, n, n+1), nil
	case follows:
		strands[n-1].last, strands[n-1].head = h.Sequence, h.Fingerprint
	case leads:
		strands[n].first, strands[n].before = h.Sequence, h.PrevFingerprint
	default:
		return slices.Insert(strands, n, strand{h.Sequence, h.Sequence, h.PrevFingerprint, h.Fingerprint}), nil
	}
	return strands, nil
}

// whole says which events are missing within the epochs of an export.
func whole(epochs map[string][]strand) error {
	for _, epoch := range slices.Sorted(maps.Keys(epochs)) {
		s := epochs[epoch]
		if len(s) < 2 {
			continue
		}
		return fmt.Errorf("events of epoch %s are missing: sequences %d to %d, the first of so many gaps: %d", epoch, s[0].last+1, s[1].first-1, len(s)-1)
	}
	return nil
}
