// SPDX-License-Identifier: Apache-2.0

// Package lake keeps events in a directory of Parquet files that anyone can
// read and nobody can quietly change.
//
//	l, err := lake.Open("docket-data/lake", lake.Options{}) // the one writer
//	c, err := l.Commit(ctx, batch)                          // durable when it returns
//	for e, err := range l.Scan(ctx, store.Query{Tenant: "acme"}) { ... }
//
//	r, err := lake.OpenReader("docket-data/lake") // any number, no lock
//
// # The directory
//
//	_hot/<uuidv7>.parquet       segments: typed columns beside _raw, the exact bytes
//	_quarantine/<uuidv7>.ndjson messages that could not be stored as events
//	_commits/000000000001.json  statements: what each commit added, and the digest of the one before
//	_manifest.json              what the statements amount to
//	_lock                       held by the writer
//
// Every file but the manifest is written once and never changed. A commit
// writes its segment, its quarantine file and its statement, each aside, synced
// and renamed, and the directory synced. The rename of the statement is the
// commit. A crash before it leaves files that no statement names, which the
// next writer removes; a crash after it leaves a manifest that is behind, which
// every reader makes up for.
//
// The manifest is a fold over the statements ([Fold]), so it can be thrown away,
// and whoever doubts it can make it again. When there are many files it is not
// written with every commit: it may be behind by a 64th of the number of files.
//
// # Exactly once
//
// Per epoch, the statements tell which sequences are stored. An event whose
// sequence is among them is a duplicate when a stored one has its fingerprint,
// and a conflict when none has: conflicts are kept, and told. A quarantined
// message counts by the sequence that it claims, but never keeps an event out.
//
// # What it is not
//
// Reading verifies nothing: Scan trusts what files say of themselves in order
// to pass over them. The statements' digests, the ledger that has the digest of
// each statement, and package verify, which re-derives all of it, are what
// makes the lake evidence.
//
// Within a segment rows stand in the order in which they came by the stream;
// that order, (_commit, _pos), is the order of every scan.
package lake
