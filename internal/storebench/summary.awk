# SPDX-License-Identifier: Apache-2.0
#
# Reads what the benchmarks of the store print, and prints medians and their
# ratios beside the targets: of bench-store, or of bench-clickhouse.

/^Benchmark/ {
	sub(/-[0-9]+$/, "", $1)
	sub(/^Benchmark/, "", $1)
	for (i = 3; i < NF; i += 2)
		values[$1, $(i + 1), ++count[$1, $(i + 1)]] = $i
}

# median returns that of a unit of a benchmark, and 0 if it did not run.
function median(name, unit,   n, i, j, t) {
	n = count[name, unit]
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && values[name, unit, j - 1] + 0 > values[name, unit, j] + 0; j--) {
			t = values[name, unit, j]
			values[name, unit, j] = values[name, unit, j - 1]
			values[name, unit, j - 1] = t
		}
	return n ? values[name, unit, int((n + 1) / 2)] + 0 : 0
}

function ratio(a, b) { return b ? a / b : 0 }

function line(what, is, target) { printf "%-66s %10s   %s\n", what, is, target }

function lake(   bare, open) {
	bare = median("Ingest/bare", "events/s")
	line("stream to segments / bare writer", sprintf("%.2f", ratio(median("Ingest/hot", "events/s"), bare)), sprintf("(%d / %d events/s)", median("Ingest/hot", "events/s"), bare))
	line("  with compaction", sprintf("%.2f", ratio(median("Ingest/compacting", "events/s"), bare)), ">= 0.3")
	line("  with compaction / the bare writer of rows that are there already", sprintf("%.2f", ratio(median("Ingest/compacting", "events/s"), median("Ingest/rows", "events/s"))), sprintf("(%d events/s)", median("Ingest/rows", "events/s")))
	line("  with the chain that records it, too", sprintf("%.2f", ratio(median("Ingest/chain", "events/s"), bare)), sprintf("(%d events/s)", median("Ingest/chain", "events/s")))
	line("  the least that a stream costs / bare writer", sprintf("%.2f", ratio(median("Ingest/least", "events/s"), bare)), sprintf("(%d events/s, %.0f us)", median("Ingest/least", "events/s"), median("Ingest/least", "cpu-us/event")))
	line("  processor time of an event, all of it / bare writer", sprintf("%.1f", ratio(median("Ingest/compacting", "cpu-us/event"), median("Ingest/bare", "cpu-us/event"))), sprintf("(%.0f / %.0f us; without compaction %.0f us)", median("Ingest/compacting", "cpu-us/event"), median("Ingest/bare", "cpu-us/event"), median("Ingest/hot", "cpu-us/event")))
	line("  most memory of the process, with broker and emitter", sprintf("%d MiB", median("Ingest/compacting", "peak-MiB")), "<= 1024 MiB")
	line("recovery of a backlog / bare writer, with compaction", sprintf("%.2f", ratio(median("Backlog/compacting", "events/s"), bare)), sprintf("(%d events/s)", median("Backlog/compacting", "events/s")))
	line("  most memory of the process, with broker", sprintf("%d MiB", median("Backlog/compacting", "peak-MiB")), "<= 1024 MiB")
	line("stored of an operation with a request of 1 KB", sprintf("%d B", median("Stored/1KB/compacted", "stored-B/op")), "<= 2500 B")
	line("stored of one of 100 KB / the request", sprintf("%.2f", median("Stored/100KB/compacted", "of-request")), "<= 1.3")
	open = median("Query/open", "ms/op")
	line("opening SQL", sprintf("%.0f ms", open), "")
	line("principal + range, without opening", sprintf("%.0f ms", median("Query/principal+range", "ms/op") - open), "<= 75 ms at 5M events")
	line("top denied, without opening", sprintf("%.0f ms", median("Query/top-denied", "ms/op") - open), "<= 60 ms")
	line("per minute, without opening", sprintf("%.0f ms", median("Query/per-minute", "ms/op") - open), "<= 450 ms")
	line("by event uid", sprintf("%.1f ms", median("LookUp/event/index", "ms/op")), sprintf("<= 10 ms; DuckDB alone %.0f ms", median("LookUp/event/DuckDB", "ms/op")))
	line("by operation uid", sprintf("%.1f ms", median("LookUp/operation/index", "ms/op")), sprintf("<= 15 ms; DuckDB alone %.0f ms", median("LookUp/operation/DuckDB", "ms/op")))
	line("verify / bare SHA-256", sprintf("%.2f", ratio(median("Verify/fast", "events/s"), median("Verify/bare_SHA-256", "events/s"))), ">= 0.5")
	line("verify --deep / reading and hashing the events", sprintf("%.2f", ratio(median("Verify/deep", "events/s"), median("Verify/read_and_hash", "events/s"))), ">= 0.7")
}

# ways prints what a query takes by the view that readers have, beside the bare table.
function ways(what, name, target) {
	line(what, sprintf("%.1f ms", median(name, "view-ms")), sprintf("%s; %.1f times the bare table, %.1f ms", target, ratio(median(name, "view-ms"), median(name, "table-ms")), median(name, "table-ms")))
}

function clickhouse(   i, n, sizes, name, stored) {
	split("20000 2000", sizes, " ")
	for (i = 1; i in sizes; i++) {
		name = "ClickHouseInsert/events=" sizes[i]
		line("commits of " sizes[i] " events / bare clickhouse-go", sprintf("%.2f", median(name, "store/bare")), sprintf("%s(%d / %d events/s)", i == 1 ? ">= 0.8 " : "", median(name, "store-events/s"), median(name, "bare-events/s")))
		line("  of a commit: stubs, statement", sprintf("%.0f, %.0f ms", median(name, "stubs-ms/commit"), median(name, "statement-ms/commit")), "")
		line("  events, the commit itself, between them", sprintf("%.0f, %.0f, %.0f ms", median(name, "events-ms/commit"), median(name, "commit-ms/commit"), median(name, "other-ms/commit")), "")
		line("  processor time of an event, in this process", sprintf("%.1f us", median(name, "store-cpu-us/event")), sprintf("bare %.1f us", median(name, "bare-cpu-us/event")))
	}
	name = "ClickHouseStored"
	stored = median(name, "events-B/event") + median(name, "stubs-B/event") + median(name, "rest-B/event")
	line("stored of an event", sprintf("%.0f B", stored), sprintf("of %.0f B of JSON; in %d parts", median(name, "json-B/event"), median(name, "parts")))
	line("  events, their bytes, their indexes", sprintf("%.0f, %.0f, %.0f B", median(name, "events-B/event"), median(name, "raw-B/event"), median(name, "indexes-B/event")), "")
	line("  stubs, the rest", sprintf("%.0f, %.1f B", median(name, "stubs-B/event"), median(name, "rest-B/event")), "")
	ways("a query for nothing", "ClickHouseQuery/nothing", "")
	ways("principal + range", "ClickHouseQuery/principal+range", "<= 75 ms at 5M events")
	ways("top denied", "ClickHouseQuery/top-denied", "<= 60 ms")
	ways("per minute", "ClickHouseQuery/per-minute", "<= 450 ms")
	ways("by event uid", "ClickHouseLookUp/event", "<= 10 ms")
	line("  by Docket's reader", sprintf("%.1f ms", median("ClickHouseLookUp/event", "scan-ms")), "<= 10 ms")
	ways("by operation uid", "ClickHouseLookUp/operation", "<= 15 ms")
	line("  by Docket's reader", sprintf("%.1f ms", median("ClickHouseLookUp/operation", "scan-ms")), "<= 15 ms")
}

END {
	print ""
	if (median("ClickHouseInsert/events=20000", "store/bare"))
		clickhouse()
	else
		lake()
}
