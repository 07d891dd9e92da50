// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps the log of the lake's commit statements: an append-only
// Merkle tree in the C2SP tlog-tiles layout, with signed checkpoints.
//
// Each leaf is the SHA-256 of one canonical statement. Whoever holds a
// checkpoint of yesterday can tell today that nothing which it covers was
// changed or taken away, without having kept any of it, and whoever wants to
// rewrite history needs the ledger's private key, which need not lie beside the
// data.
//
// # Writing
//
//	key, err := ledger.OpenKey("keys/ledger.key", "keys/ledger.vkey") // made on the first start
//	l, err := ledger.Open(ctx, "ledger", key, ledger.Options{})
//	err = l.Add(ctx, statement) // integrated, and under a published checkpoint
//	err = l.Close(ctx)
//
// Adding is not idempotent: a statement added twice has two leaves. That is
// harmless, a missing leaf is not. So a statement is durable before it is added,
// and after a crash [Ledger.Ensure] adds what the crash kept from the log.
//
// What only adds to the record may be signed for after a crash whoever wrote it: it
// is judged like anything else. What takes events away may not, as nothing would be
// left to judge. So the key lets such a statement go before it is put, by
// [Ledger.Warrant], and one that has neither leaf nor warrant is never signed for.
//
// A kill at any moment leaves a log that opens again. Each file is written
// aside, synced and renamed; the tree's state is renamed last, so that what an
// interrupted addition left behind lies beyond the state and is overwritten by
// the next one. A checkpoint that an interruption kept back is published at the
// next start.
//
// # Reading
//
// [Read] needs no writer and no lock. It re-derives the whole tree from the
// leaves and compares every tile with it; what differs is a [Problem], not an
// error, so that all of the damage is told at once.
//
// # What it is not
//
// The log proves order, presence and content of statements, not of events:
// package verify goes on from a statement to its files and rows. It has no
// witnesses yet; one who owns the key can still fork the history for readers
// who never compare checkpoints.
package ledger
