// SPDX-License-Identifier: Apache-2.0

// Package storebench measures the store as a whole: what `make bench-store`
// prints. It has no other code.
//
// Every figure stands beside the least that could do the same work, taken in
// the same run: only the ratios mean something on a busy machine, and of several
// rounds the medians.
//
//   - BenchmarkIngest: from a chain with three bindings over the emitter, the
//     broker and the collector to durable segments, all in this process, beside
//     a bare Parquet writer on the same events; and the recovery of a backlog,
//     with the most memory that the process had.
//   - BenchmarkCommit, BenchmarkCompact: the processor time of commits and of
//     compactions alone, and how long the files are that they write.
//   - BenchmarkStored: bytes on disk for an operation.
//   - BenchmarkQuery: SQL over a lake of -events events.
//   - BenchmarkFlight: many rows by Flight SQL, beside the engine alone.
//   - BenchmarkLookUp: events by uid in that lake, by our index, by DuckDB without
//     it, and by a scan.
//   - BenchmarkClickHouseInsert: the store on ClickHouse, beside bare clickhouse-go
//     into the same table; what `make bench-clickhouse` prints, with the next three.
//   - BenchmarkClickHouseQuery, BenchmarkClickHouseLookUp: SQL by its views and by the
//     bare tables, and events by uid.
//   - BenchmarkClickHouseStored: bytes on disk for an event.
//
// The lake and the database are made once, by the real chain, recorder, encoder and
// store, and kept in the directory for temporary files: delete docket-storebench-* there to
// have it made again.
package storebench
