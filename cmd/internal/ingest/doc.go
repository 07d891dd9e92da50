// SPDX-License-Identifier: Apache-2.0

// Package ingest takes OCSF events of other producers into a data directory,
// through the stream, like events of Docket's own.
//
// A [Converter] makes an event of ours of one of theirs: what each event of ours
// must have is put in its place, what stood there is kept beside it, and
// everything else stays as it was. A [Run] emits them with an emitter of its own,
// whose WAL lies in the data directory, so that a run that is killed at any point
// can be made again: each event has a uid that follows from its content, and what
// the store has by that uid is not sent again. docs/ingest.md says what is kept
// where.
package ingest
