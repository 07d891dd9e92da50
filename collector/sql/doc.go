// SPDX-License-Identifier: Apache-2.0

// Package sql answers SQL over the segments of a lake, by an embedded DuckDB
// that can read these segments and do nothing else.
//
//	db, err := sql.Open(ctx, sql.Scope{Dir: "lake", Files: files}) // as the manifest names them
//	rows, err := db.Query(ctx, `SELECT decision, count(*) FROM events GROUP BY ALL`)
//	for rows.Next() {
//		fmt.Println(rows.Values()...)
//	}
//	err = rows.Close()
//
// # What can be asked
//
// The view events has a row per event and every column of a segment; its
// columns _raw (the exact bytes) and metadata_uid are a fixed contract.
// operations has a row per operation that came to its outcome: tenant, who
// (principal), what (service, method), decision, the binding that decided, reason,
// latency (duration_ms) and status. evaluations has one per evaluation with the
// result or the failure that answered it, if one did. Each class of OCSF has a
// view of its name, such as api_activity.
//
// A [Scope] may see less: the events of some tenants, and those that a filter
// selects.
//
// # What cannot be done
//
// A query is exactly one SELECT. It is parsed before anything else of it is
// looked at, and whatever is not a SELECT, or calls a table function that
// reaches beyond the views, is refused with a [StatementError]. That is the
// first of three walls. The second is the engine's own: no extension is loaded,
// no file may be opened but the segments of the scope, and none of these
// settings can be changed afterwards. The third is that segments are only ever
// named, never searched for: a file that is not in the scope is in no view. Of a
// file that holds events of tenants that the scope does not see, those that it
// sees are copied into memory, before the first query, and the file is closed to
// all.
//
// A query may still be expensive. An answer is handed on while it is made, so
// that its length costs no memory, and nothing is spilled to disk unless the
// scope says where. But the limit of memory that the engine keeps to leaves out
// much of what a query can make it allocate, and while it parses it hears no
// interrupt. A [DB] is therefore for those who trust the text.
//
// # Processes
//
// [Processes] are for everyone else. They run each query in a process of its
// own, the same program started again to run [Answer], which first limits itself
// (on Linux the memory that it can write to, and processor time; elsewhere it
// watches the memory it has), and then opens a DB. It is killed when whoever
// asked is gone, when no part of the answer comes for too long, and ends by
// itself when its standard input does, that is, with the one who started it. A
// few run at a time, a few wait, the others are turned away.
//
// An answer is rows in JSON ([Processes.Query]) or record batches of Arrow
// ([Processes.Arrow]), which are made of the engine's own columns. Which of
// Arrow's types stands for which of DuckDB's is in docs/flightsql.md; what Arrow
// has no type for is text. [Processes.Describe] says what a statement would answer,
// and what its parameters are, without running it.
//
// # Without cgo
//
// DuckDB is C++, and this is the only package of Docket that needs cgo. Without
// it everything compiles, and [Open] fails with [ErrUnavailable].
package sql
