// SPDX-License-Identifier: Apache-2.0

// Package verify judges a data directory: whether what lies in it is what was
// once stored, whole and unchanged.
//
//	r, err := verify.Run(ctx, "docket-data", verify.Options{Deep: true, Key: vkey})
//	if err == nil {
//		err = r.WriteText(os.Stdout)
//	}
//	os.Exit(r.Code())
//
// It only reads, needs no lock and no engine, and may run beside the owner of
// the directory. It believes nothing that it can derive again:
//
//   - every statement: its number, and the digest of the one before it;
//   - the manifest, which must be the fold of the statements to the byte;
//   - every segment and every quarantine file that a statement names: that it is
//     there, its size, its SHA-256;
//   - every file of stubs, which stand for the rows that left by retention or by
//     an erasure, and count, hash and link where these were;
//   - what the statements count, against the files and sequences that they name;
//   - where each epoch ends, and how far its heads are signed, from the events
//     that say so;
//   - the ledger: the signature, the tree from its leaves up, and a leaf for
//     each statement.
//
// That finds whatever was changed behind the back of the ledger's owner. Deep
// does not believe the owner either: it derives the counts and Merkle roots per
// tenant, class and day, the interval sets of the epochs, the descriptions of the
// files and the hash chains from the rows, hashes every event again, derives every
// column from the bytes beside it, and so finds a cell that someone changed
// together with all of the digests. It also compares the indexes that look-ups
// go by with the segments.
//
// Where anything is wrong with a file or a statement, the rows are read without
// Deep, too, to say which events it comes to.
//
// A run can be narrowed to what was stored since a time, and to one tenant, see
// [Options]: the ledger, the statements and the manifest are judged whole, of the
// rest only that; what was passed over is in the report.
//
// # What it proves
//
// Against a key that the reader brings along, that the owner of the ledger's
// key signed for this history. With the key from the directory itself, only
// that the directory agrees with itself: whoever can write all of it could have
// made all of it. Against a kept checkpoint, that the history is no shorter and
// no other than it was then.
//
// What an emitter never sent, and what no epoch's end speaks of, it cannot know;
// the line of the epoch says where knowledge ends.
package verify
