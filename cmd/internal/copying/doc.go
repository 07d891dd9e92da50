// SPDX-License-Identifier: Apache-2.0

// Package copying puts what one store holds into another: a lake into tables of
// ClickHouse, or back, or one lake into another.
//
//	from, err := copying.OpenSource(ctx, "docket-data")
//	to, err := copying.OpenDestination(ctx, "clickhouse://db/docket", "docket-tables", cfg, log)
//	done, err := copying.Run(ctx, from, to, copying.Options{})
//
// Events go byte for byte, in the order of their commits, with their places on the
// stream, by the destination's own commits: so each is stored exactly once, however
// often that is done, and whoever else has put it there. The destination's ledger
// gets its statements, as of everything that is stored in it; that the events were
// in another store before, their hash chains and the heads say, which are signed.
//
// A source is read as of when it was opened, beside whoever fills it. How far a copy
// came is kept with the destination, so that the next run goes on there. In the end
// [Compare] reads both.
//
// What it is not: a copy of the source's own history. Times of storing, numbers
// of commits and the ledger are the destination's own; what left the source leaves
// no stub in the destination.
package copying
