// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

var trees = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// A Tally makes the counts and Merkle roots of a statement from the headers of its
// rows. The zero value is empty.
type Tally struct {
	trees map[group]*compact.Range
}

// A group is what a [Count] is about.
type group struct {
	tenant string
	class  int32
	day    string
}

// Day returns the day of an event time, as a count names it.
func Day(ms int64) string { return time.UnixMilli(ms).UTC().Format("20060102") }

// Add counts the next row in the order of _pos. It fails when the fingerprint is
// not 32 bytes of hex.
func (t *Tally) Add(h profile.Header) error {
	leaf, err := fingerprint(&h)
	if err != nil {
		return err
	}
	if t.trees == nil {
		t.trees = make(map[group]*compact.Range)
	}
	key := group{h.Tenant, h.ClassUID, Day(h.Time)}
	tree := t.trees[key]
	if tree == nil {
		tree = trees.NewEmptyRange(0)
		t.trees[key] = tree
	}
	return tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil)
}

// Counts returns the counts so far, sorted by tenant, class and day.
func (t *Tally) Counts() ([]Count, error) {
	counts := make([]Count, 0, len(t.trees))
	for key, tree := range t.trees {
		root, err := tree.GetRootHash(nil)
		if err != nil {
			return nil, fmt.Errorf("compute Merkle root: %w", err)
		}
		counts = append(counts, Count{key.tenant, key.class, key.day, int64(tree.End()), hex.EncodeToString(root)})
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ClassUID, b.ClassUID), cmp.Compare(a.Day, b.Day))
	})
	return counts, nil
}

// fingerprint returns the bytes of an event's.
func fingerprint(h *profile.Header) ([]byte, error) {
	b, err := hex.DecodeString(h.Fingerprint)
	if err != nil || len(b) != sha256.Size {
		return nil, fmt.Errorf("count event %s: fingerprint %.80q is not a SHA-256", h.MetadataUID, h.Fingerprint)
	}
	return b, nil
}

// HeldLeaf returns the bytes of which a message in quarantine is a leaf: JSON with
// all that is kept of it. What is no UTF-8 in its texts is U+FFFD there; its data
// are exact.
func HeldLeaf(q *store.Quarantined) ([]byte, error) {
	// What is empty is the same, whichever way it is.
	c := *q
	c.Data = append([]byte{}, q.Data...)
	c.Headers = make(map[string][]string, len(q.Headers))
	for name, values := range q.Headers {
		c.Headers[name] = append([]string{}, values...)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return b, nil
}

// heldRoot returns the root over messages.
func heldRoot(messages []store.Quarantined) (string, error) {
	tree := trees.NewEmptyRange(0)
	for i := range messages {
		leaf, err := HeldLeaf(&messages[i])
		if err != nil {
			return "", err
		}
		if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
			return "", fmt.Errorf("compute Merkle root: %w", err)
		}
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return "", fmt.Errorf("compute Merkle root: %w", err)
	}
	return hex.EncodeToString(root), nil
}
