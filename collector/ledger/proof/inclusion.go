// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Inclusion returns the RFC 6962 inclusion proof of leaf index in the tree of
// the given leaf hashes: from the leaf's sibling up to the child of the root. It
// fails when there is no such leaf.
func Inclusion(leaves [][32]byte, index uint64) ([][32]byte, error) {
	if index >= uint64(len(leaves)) {
		return nil, fmt.Errorf("prove inclusion: leaf %d of %d", index, len(leaves))
	}
	return inclusion(leaves, index), nil
}

// inclusion is PATH of RFC 6962, section 2.1.1.
func inclusion(leaves [][32]byte, index uint64) [][32]byte {
	if len(leaves) == 1 {
		return nil
	}
	k := uint64(1)
	for k*2 < uint64(len(leaves)) {
		k *= 2
	}
	if index < k {
		return append(inclusion(leaves[:k], index), rootOf(leaves[k:]))
	}
	return append(inclusion(leaves[k:], index-k), rootOf(leaves[:k]))
}

func rootOf(leaves [][32]byte) [32]byte {
	var t Tree
	for i := range leaves {
		t.AddHash(leaves[i][:])
	}
	return t.Root()
}

// verifyInclusion says whether the leaf with this data is leaf index of the tree
// of that size and root.
func verifyInclusion(data []byte, index, size uint64, path [][32]byte, root [32]byte) error {
	hashes := make([][]byte, len(path))
	for i := range path {
		hashes[i] = path[i][:]
	}
	leaf := LeafHash(data)
	return proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf[:], hashes, root[:])
}
