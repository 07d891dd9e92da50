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
//	_commits/*.unsigned-*       statements that were taken back, see [TakeBack]
//	_manifest.json              what the statements amount to
//	_index/<segment>.idx        in which rows a uid is, see package index
//	_pins/<uuid>                which manifest a process reads by
//	_lock                       held by the writer
//
//	<class>/region=R/accountId=TENANT/eventDay=YYYYMMDD/<uuidv7>.parquet
//
// Every file but the manifest is written once and never changed, and every one
// but the indexes is evidence or follows from it. A commit writes its segment,
// its quarantine file and its statement, each aside, synced and renamed, and the
// directory synced. The rename of the statement is the commit. A crash before it
// leaves files that no statement names, which the next writer removes; a crash
// after it leaves a manifest that is behind, which every reader makes up for.
//
// The manifest is a fold over the statements ([Fold]), so it can be thrown away,
// and whoever doubts it can make it again. When there are many files it is not
// written with every commit: it may be behind by a 64th of the number of files.
//
// An index is made by the writer behind the commit, for itself and for readers.
// It may be deleted: queries for an event, an operation or a trace then scan, with
// the same answer.
//
// # Hot and public files
//
// A flush writes one segment with events of all sorts, in the order in which they
// came by the stream. It is compressed as public files are, though it is read again
// within minutes: by a cheaper codec, or by none, it is longer, and what is saved goes
// into hashing it three times, for the statement, its index and the compaction.
// [Lake.Compact] cuts some of these into public files, one
// class, tenant and day each, sorted by time, in the layout of Amazon Security
// Lake, which every engine reads as it lies. It is a statement like another, that
// adds files and removes files: of an event nothing changes but where it is, and a
// public file is never merged again.
//
// Beside the columns of a hot segment it has the attributes of its class under
// their OCSF names, as structs and lists, and time_dt. They follow from _raw and
// are for others; Docket reads none of them. What a class does not have, and what
// is more than three structs deep, is in _raw, or text.
//
// Docket itself reads by the manifest, never by names. What a compaction removed
// is deleted when no reader's [Pin] holds a manifest from before it.
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
// The order of every scan is that in which events came by the stream: (_commit,
// _pos). The files of one compaction overlap in it; see [Runs].
package lake
