// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

var ranges = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// A Tree is a growing RFC 6962 Merkle tree of which only the right edge is
// kept, so that it is small whatever its size. The zero Tree is empty.
type Tree struct {
	// Node, when set, is told each node of a perfect subtree as soon as it is
	// complete: level 0 are the leaf hashes. Set it before the first Add.
	Node func(level uint, index uint64, hash []byte)

	edge *compact.Range
}

// LeafHash returns the hash of a leaf with this data.
func LeafHash(data []byte) [32]byte { return [32]byte(rfc6962.DefaultHasher.HashLeaf(data)) }

// Add appends a leaf with this data.
func (t *Tree) Add(data []byte) { t.AddHash(rfc6962.DefaultHasher.HashLeaf(data)) }

// AddHash appends a leaf of which the leaf hash is known.
func (t *Tree) AddHash(leaf []byte) {
	if t.edge == nil {
		t.edge = ranges.NewEmptyRange(0)
	}
	var visit compact.VisitFn
	if t.Node != nil {
		visit = func(id compact.NodeID, hash []byte) { t.Node(id.Level, id.Index, hash) }
	}
	// Append fails only where a range does not start at 0 or overflows 64 bits.
	if err := t.edge.Append(leaf, visit); err != nil {
		panic(err)
	}
}

// Size returns how many leaves the tree has.
func (t *Tree) Size() uint64 {
	if t.edge == nil {
		return 0
	}
	return t.edge.End()
}

// Root returns the root of the tree as it is now; that of the empty tree is the
// SHA-256 of nothing.
func (t *Tree) Root() [32]byte {
	if t.Size() == 0 {
		return [32]byte(rfc6962.DefaultHasher.EmptyRoot())
	}
	root, err := t.edge.GetRootHash(nil)
	if err != nil { // only where a range does not start at 0
		panic(err)
	}
	return [32]byte(root)
}
