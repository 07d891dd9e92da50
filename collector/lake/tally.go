// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/docket-audit/docket/internal/profile"
)

// A Tally makes the counts and Merkle roots of a statement from the headers of
// its rows. The zero value is empty.
type Tally struct {
	trees map[tallyKey]*compact.Range
}

type tallyKey struct {
	tenant string
	class  int32
	day    int64 // see dayOf
}

var trees = compact.RangeFactory{Hash: hashChildren}

// hashLeaf and hashChildren are those of [rfc6962.DefaultHasher], which makes a new
// hash of each event on the heap.
func hashLeaf(leaf *[sha256.Size]byte) []byte {
	var b [1 + sha256.Size]byte
	b[0] = rfc6962.RFC6962LeafHashPrefix
	copy(b[1:], leaf[:])
	sum := sha256.Sum256(b[:])
	return sum[:]
}

func hashChildren(l, r []byte) []byte {
	var room [1 + 2*sha256.Size]byte
	sum := sha256.Sum256(append(append(append(room[:0], rfc6962.RFC6962NodeHashPrefix), l...), r...))
	return sum[:]
}

// Day returns the day of an event time, as a count names it.
func Day(ms int64) string { return time.UnixMilli(ms).UTC().Format("20060102") }

const msPerDay = 24 * 60 * 60 * 1000

// dayOf returns the day of an event time as a number, since 1970: that of each
// event is asked for, and a name takes longer.
func dayOf(ms int64) int64 {
	day := ms / msPerDay
	if ms%msPerDay < 0 {
		day--
	}
	return day
}

// Add counts the next row in the order of _pos. It fails when the fingerprint
// is not 32 bytes of hex.
func (t *Tally) Add(h profile.Header) error {
	var leaf [sha256.Size]byte
	err := hex.ErrLength
	if len(h.Fingerprint) == hex.EncodedLen(len(leaf)) {
		_, err = hex.Decode(leaf[:], bytesOf(h.Fingerprint))
	}
	if err != nil {
		return fmt.Errorf("count event %s: fingerprint %.80q is not a SHA-256", h.MetadataUID, h.Fingerprint)
	}
	if t.trees == nil {
		t.trees = make(map[tallyKey]*compact.Range)
	}
	key := tallyKey{h.Tenant, h.ClassUID, dayOf(h.Time)}
	tree := t.trees[key]
	if tree == nil {
		tree = trees.NewEmptyRange(0)
		t.trees[key] = tree
	}
	return tree.Append(hashLeaf(&leaf), nil)
}

// Counts returns the counts so far, sorted by tenant, class and day.
func (t *Tally) Counts() ([]Count, error) {
	counts := make([]Count, 0, len(t.trees))
	for key, tree := range t.trees {
		root, err := tree.GetRootHash(nil)
		if err != nil {
			return nil, fmt.Errorf("compute Merkle root: %w", err)
		}
		counts = append(counts, Count{key.tenant, key.class, Day(key.day * msPerDay), int64(tree.End()), hex.EncodeToString(root)})
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ClassUID, b.ClassUID), cmp.Compare(a.Day, b.Day))
	})
	return counts, nil
}
