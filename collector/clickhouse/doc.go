// SPDX-License-Identifier: Apache-2.0

// Package clickhouse keeps events in ClickHouse, for when one machine is not enough.
//
//	st, err := clickhouse.Open(ctx, "https://docket:secret@ch:8443/audit", clickhouse.Options{}) // the one writer
//	c, err := st.Commit(ctx, batch)                                                              // durable when it returns
//	for e, err := range st.Scan(ctx, store.Query{Tenant: "acme"}) { ... }
//
//	r, err := clickhouse.OpenReader(ctx, dsn, clickhouse.Options{}) // any number; needs SELECT only
//
// A DSN begins with clickhouse (the native protocol), http or https. Its password is
// in no error and in no log.
//
// # The tables
//
// They are in schemas/clickhouse, with the views that people and dashboards read:
// events, operations, evaluations and one for each class of OCSF, whose columns are
// those of the lake; quarantine, stubs and commits. The tables behind them begin with
// docket_. Open makes them and brings older ones up to date; it refuses newer ones.
//
// A server lets go of events by a TTL that follows from [Options].Retention. The
// stubs of all events stay for ever: what left is still a duplicate when it comes
// again, and can be counted.
//
// # Commits
//
// ClickHouse has no transactions. It has two things that are enough. The rows of one
// INSERT into one partition are there as a whole or not at all; and of two INSERTs
// with one insert_deduplication_token, the second does nothing. So the tables are
// partitioned by the number of the commit, and tokens name the number: each number is
// a register that is written once, whoever comes first.
//
// Each opening, and each recovery from an error, is a writer: a row in docket_writers
// with the next generation. All rows have the number of the commit and the generation
// of the writer that they are of. A commit puts, in this order,
//
//	docket_quarantine, docket_stubs   what belongs to it, under (number, writer)
//	docket_prepared                   its statement
//	docket_events                     token: the number
//	docket_commits                    token: the number; copied from docket_prepared if
//	                                  the number before is the last one, and the rows
//	                                  of events are there
//
// and reads back after each of the last two whether it is its own that is there. The
// row in docket_commits is the commit: readers see rows whose (number, writer) it has.
// As a writer's commits follow each other, a few ranges say that of any number of
// commits (a projection of docket_commits has them in one row of a part). The views ask
// for them with every query. Who looks an event up by its uid remembers them: what was of
// a commit is so for ever, and only a row that is of none of these has it ask again.
//
// It is exactly once, because:
//
//   - What was committed is known from the statements, which are part of the commit.
//     A batch is sifted by them, and for all that is done to the server in between,
//     it is committed only if the statement that it was sifted by is still the last.
//   - A writer that died before the events were there left rows of no commit. Nobody
//     sees them. A later writer has another generation, so it never mixes with them,
//     and removes them when their number is decided.
//   - A writer that died when the events were there, and before the commit, decided
//     what this number is. The next writer makes that commit, from docket_prepared.
//     So a materialised view, which saw the events, counts right, too. If there are
//     such views, the rows are put once more, by the same token: a view that a server
//     did not come to before it died gets them, the others know them.
//   - An INSERT of which nobody knows what became of it is that of a writer that died:
//     this one goes on under a new generation. Should the rows come late, they lose
//     against those that are there, or they win, which is found by reading back, and
//     then they are committed and what is to be committed is sifted anew.
//
// # Writers
//
// There is one writer. Who opens the store ends the one before, whose next Commit
// fails with [store.ErrFenced]: so a store is opened when its lease is held. No
// agreement is needed for that to be safe. A stale writer that is in the midst of a
// commit goes on until its number is decided. If it wins the number, its commit stands
// and it may say so: the new writer finds, before or instead of its own commit, that
// the number is taken, reads on, and sifts anew. If it loses, it is told. In no case
// is a number decided twice, or a commit that was seen gone.
//
// A writer checks, when it has read everything and is about to begin, that it is still
// the last one that registered. So rows of a writer never lie behind commits of a later
// one, and a number that somebody left undecided can always be decided.
//
// A test runs several writers against a server in memory that loses answers, takes
// inserts late, forgets tokens, or dies between any two of its own steps, and looks
// after each step that readers see each event once and nothing of it vanish.
//
// # Materialised views
//
// Those of users are made on docket_events, and count each event once if the table
// of the view remembers tokens: a replicated one does, another needs the setting
// non_replicated_deduplication_window. Open warns of those that have none. What a
// view cannot be kept from is an insert that comes to a server when the number has
// become a commit without events, and what a server forgets that loses power; then
// make it anew from the view events.
//
// # Clusters
//
// With [Options].Cluster the tables are replicated; events and stubs are shared out
// over the shards by commits, all else is on every node. Inserts wait for a quorum,
// reads for what a quorum has. This follows the server's documentation: the engine
// that tests have is one node, so that for a cluster the statements are tested and
// not what a cluster makes of them.
//
// # What it is not
//
// Reading verifies nothing: who may write to the tables can change what readers see.
// The statements' digests, and the ledger that has them, are what makes that known.
// Legal holds do not keep a TTL away from events; give what is under one a rule in
// [Options].Retention. There is no erasure yet.
package clickhouse
