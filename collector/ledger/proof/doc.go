// SPDX-License-Identifier: Apache-2.0

// Package proof is what a stranger needs in order to believe the ledger: the
// signed tree heads of the log, and the arithmetic of its Merkle trees.
//
// It reads no data directory and knows no storage. It imports nothing but note
// signatures and Merkle trees, so that whoever audits a Docket can read this
// package whole and link it into a program of his own.
//
// A checkpoint is a C2SP tlog-checkpoint: a note of three lines (origin, size,
// root) signed with Ed25519. [OpenCheckpoint] believes it only under a verifier
// key that the reader brings along; [ParseCheckpoint] believes it not at all.
// A [Tree] accumulates leaves and tells the root at any size on the way, which
// is all that it takes to judge whether an older checkpoint is a prefix of a
// newer log:
//
//	old, err := proof.OpenCheckpoint(kept, vkey)
//	...
//	var t proof.Tree
//	for _, leaf := range leaves[:old.Size] {
//		t.Add(leaf[:])
//	}
//	rolledBack := t.Root() != old.Root
//
// An [EventProof] is the proof of a single event, in the form of a C2SP
// tlog-proof. [Verify] needs nothing but its bytes and the key:
//
//	proven, err := proof.Verify(file, vkey)
//
// What it does not show: that there is no other event, and that what the event
// says is true. docs/proofs.md describes the bytes.
package proof
