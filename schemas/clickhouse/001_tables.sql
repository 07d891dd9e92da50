-- SPDX-License-Identifier: Apache-2.0
--
-- The tables of a store. Nothing is ever changed in a row: what is written belongs
-- to a commit, by its number, and to the writer that made it, and is there for
-- readers as soon as docket_commits has that pair. See package collector/clickhouse.
--
-- Partitions follow the number of the commit, so that one commit is one part of one
-- partition, which is there as a whole or not at all, and so that the server finds
-- the second insert for a number wherever the first one was.
--
-- Who wants one event has the bytes of as many read as there are between two marks, so that
-- these are nearer to each other than by default.

CREATE TABLE IF NOT EXISTS {{local "docket_events"}}{{.OnCluster}} (
	metadata_uid String CODEC(ZSTD(1)),
	time Int64 CODEC(Delta(8), ZSTD(1)),
	tenant LowCardinality(String),
	kind LowCardinality(String),
	decision LowCardinality(String),
	class_uid Int32,
	type_uid Int64,
	activity_id Int32,
	severity_id Int32,
	status_id Int32,
	status_code LowCardinality(String),
	status_detail LowCardinality(String),
	message String CODEC(ZSTD(1)),
	operation_uid String CODEC(ZSTD(1)),
	evaluation_uid String CODEC(ZSTD(1)),
	trace_uid String CODEC(ZSTD(1)),
	service LowCardinality(String),
	method LowCardinality(String),
	principal LowCardinality(String),
	source LowCardinality(String),
	interceptor LowCardinality(String),
	binding LowCardinality(String),
	phase LowCardinality(String),
	failure_kind LowCardinality(String),
	failure_policy LowCardinality(String),
	plan_digest LowCardinality(String),
	replay_grade LowCardinality(String),
	ran Bool,
	duration_ms Int64,
	emitter LowCardinality(String),
	epoch LowCardinality(String),
	sequence Int64 CODEC(Delta(8), ZSTD(1)),
	fingerprint String CODEC(ZSTD(1)),
	prev_fingerprint String CODEC(ZSTD(1)),
	_raw String CODEC(ZSTD(1)),
	_stored_time Int64 CODEC(Delta(8), ZSTD(1)),
	_stream_seq Int64 CODEC(Delta(8), ZSTD(1)),
	_commit Int64 CODEC(Delta(8), ZSTD(1)),
	_pos Int32 CODEC(Delta(4), ZSTD(1)),
	_writer Int64 CODEC(Delta(8), ZSTD(1)),
	time_dt DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(least(greatest(time, -2208988800000), 10413791999999), 'UTC'),
	INDEX by_commit _commit TYPE minmax GRANULARITY 1,
	INDEX by_event metadata_uid TYPE bloom_filter(0.001) GRANULARITY 1,
	INDEX by_operation operation_uid TYPE bloom_filter(0.001) GRANULARITY 1,
	INDEX by_trace trace_uid TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = {{sharded "docket_events"}}
PARTITION BY intDiv(_commit, 100000)
ORDER BY (tenant, time, _commit, _pos)
SETTINGS {{.Window}}, index_granularity = 2048;

-- What stays of each event for ever: that it was, and its fingerprint.
CREATE TABLE IF NOT EXISTS {{local "docket_stubs"}}{{.OnCluster}} (
	epoch LowCardinality(String),
	sequence Int64 CODEC(Delta(8), ZSTD(1)),
	fingerprint FixedString(32) COMMENT 'the 32 bytes; hex(fingerprint) in events, in lower case',
	kind LowCardinality(String),
	tenant LowCardinality(String),
	class_uid Int32,
	time Int64 CODEC(Delta(8), ZSTD(1)),
	day LowCardinality(String) COMMENT 'of time, UTC, YYYYMMDD',
	uid String COMMENT 'of an event of another producer; empty for ours' CODEC(ZSTD(1)),
	_commit Int64 CODEC(Delta(8), ZSTD(1)),
	_pos Int32 CODEC(Delta(4), ZSTD(1)),
	_writer Int64 CODEC(Delta(8), ZSTD(1)),
	INDEX by_commit _commit TYPE minmax GRANULARITY 1
) ENGINE = {{sharded "docket_stubs"}}
PARTITION BY intDiv(_commit, 10000000)
ORDER BY (epoch, sequence)
SETTINGS {{.Window}};
{{if .Cluster}}
-- A commit lies on one shard, so that it is one part there, too.
CREATE TABLE IF NOT EXISTS docket_events{{.OnCluster}} AS docket_events_local
ENGINE = Distributed({{.Cluster}}, currentDatabase(), docket_events_local, _commit);

CREATE TABLE IF NOT EXISTS docket_stubs{{.OnCluster}} AS docket_stubs_local
ENGINE = Distributed({{.Cluster}}, currentDatabase(), docket_stubs_local, _commit);
{{end}}
-- Messages that could not be stored as events.
CREATE TABLE IF NOT EXISTS docket_quarantine{{.OnCluster}} (
	subject String,
	headers Map(String, Array(String)),
	data String CODEC(ZSTD(1)),
	digest FixedString(32) COMMENT 'SHA-256 of data',
	reason String,
	epoch String COMMENT 'that the message claims to be of',
	sequence Int64,
	_stored_time Int64,
	_stream_seq Int64,
	_commit Int64,
	_index Int32 COMMENT 'its place in the commit, from 1',
	_writer Int64
) ENGINE = {{shared "docket_quarantine"}}
PARTITION BY intDiv(_commit, 10000000)
ORDER BY (_commit, _index)
SETTINGS {{.Window}};

-- Statements of commits that are on their way. They are copied from here into
-- docket_commits when their rows are there, by whoever finds that.
CREATE TABLE IF NOT EXISTS docket_prepared{{.OnCluster}} (
	number Int64,
	writer Int64,
	time Int64,
	events Int64,
	bytes Int64,
	quarantined Int64,
	fence Int64,
	stream_seq Int64,
	digest String COMMENT 'hex SHA-256 of statement',
	statement String CODEC(ZSTD(1)),
	put DateTime('UTC') DEFAULT now() COMMENT 'by the clock of the server, as its TTL is: time is that of a collector, which may be far behind'
) ENGINE = {{shared "docket_prepared"}}
ORDER BY (number, writer)
TTL put + INTERVAL 30 DAY
SETTINGS {{.Window}};

-- A row here is the commit. The projection answers, out of one row a part, which
-- numbers are whose.
CREATE TABLE IF NOT EXISTS docket_commits{{.OnCluster}} (
	number Int64,
	writer Int64,
	time Int64,
	events Int64,
	bytes Int64,
	quarantined Int64,
	fence Int64,
	stream_seq Int64,
	digest String,
	statement String CODEC(ZSTD(1)),
	PROJECTION ranges (SELECT writer, min(number), max(number) GROUP BY writer)
) ENGINE = {{shared "docket_commits"}}
ORDER BY number
SETTINGS {{.Window}};

-- Each opening for writing, and each recovery from an error, is a writer of its own.
CREATE TABLE IF NOT EXISTS docket_writers{{.OnCluster}} (
	generation Int64,
	uid String,
	opened DateTime64(3, 'UTC')
) ENGINE = {{shared "docket_writers"}}
ORDER BY generation
SETTINGS {{.Window}};

-- What the statements up to one amount to, so that an opening need not read all.
CREATE TABLE IF NOT EXISTS docket_snapshots{{.OnCluster}} (
	number Int64,
	digest String COMMENT 'of the statement of that number',
	state String CODEC(ZSTD(1))
) ENGINE = {{replacing "docket_snapshots" "number"}}
ORDER BY tuple()
SETTINGS {{.Window}};

-- How long events are kept: the last row is the TTL that docket_events has.
CREATE TABLE IF NOT EXISTS docket_retention{{.OnCluster}} (
	set DateTime64(6, 'UTC'),
	ttl String
) ENGINE = {{shared "docket_retention"}}
ORDER BY set;

-- Which of these files were applied.
CREATE TABLE IF NOT EXISTS docket_schema{{.OnCluster}} (
	version Int64,
	name String,
	applied DateTime64(3, 'UTC')
) ENGINE = {{shared "docket_schema"}}
ORDER BY version;
