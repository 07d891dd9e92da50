-- 001_tables.sql
CREATE TABLE IF NOT EXISTS docket_events_local ON CLUSTER 'audit\x27s' (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{database}/docket_events/{shard}', '{replica}')
PARTITION BY intDiv(_commit, 100000)
ORDER BY (tenant, time, _commit, _pos)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, index_granularity = 2048;

CREATE TABLE IF NOT EXISTS docket_stubs_local ON CLUSTER 'audit\x27s' (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{database}/docket_stubs/{shard}', '{replica}')
PARTITION BY intDiv(_commit, 10000000)
ORDER BY (epoch, sequence)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS docket_events ON CLUSTER 'audit\x27s' AS docket_events_local
ENGINE = Distributed('audit\x27s', currentDatabase(), docket_events_local, _commit);

CREATE TABLE IF NOT EXISTS docket_stubs ON CLUSTER 'audit\x27s' AS docket_stubs_local
ENGINE = Distributed('audit\x27s', currentDatabase(), docket_stubs_local, _commit);

CREATE TABLE IF NOT EXISTS docket_quarantine ON CLUSTER 'audit\x27s' (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{database}/docket_quarantine', '{shard}-{replica}')
PARTITION BY intDiv(_commit, 10000000)
ORDER BY (_commit, _index)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS docket_prepared ON CLUSTER 'audit\x27s' (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{database}/docket_prepared', '{shard}-{replica}')
ORDER BY (number, writer)
TTL put + INTERVAL 30 DAY
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS docket_commits ON CLUSTER 'audit\x27s' (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{database}/docket_commits', '{shard}-{replica}')
ORDER BY number
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS docket_writers ON CLUSTER 'audit\x27s' (
	generation Int64,
	uid String,
	opened DateTime64(3, 'UTC')
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{database}/docket_writers', '{shard}-{replica}')
ORDER BY generation
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS docket_snapshots ON CLUSTER 'audit\x27s' (
	number Int64,
	digest String COMMENT 'of the statement of that number',
	state String CODEC(ZSTD(1))
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/docket_snapshots', '{shard}-{replica}', number)
ORDER BY tuple()
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS docket_retention ON CLUSTER 'audit\x27s' (
	set DateTime64(6, 'UTC'),
	ttl String
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{database}/docket_retention', '{shard}-{replica}')
ORDER BY set;

CREATE TABLE IF NOT EXISTS docket_schema ON CLUSTER 'audit\x27s' (
	version Int64,
	name String,
	applied DateTime64(3, 'UTC')
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{database}/docket_schema', '{shard}-{replica}')
ORDER BY version;

-- 002_views.sql
CREATE OR REPLACE VIEW docket_ranges ON CLUSTER 'audit\x27s' AS
SELECT writer, first, least(last, leadInFrame(first, 1, 9223372036854775807)
	OVER (ORDER BY writer ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) - 1) AS last
FROM (SELECT writer, min(number) AS first, max(number) AS last FROM docket_commits GROUP BY writer);

CREATE OR REPLACE VIEW events ON CLUSTER 'audit\x27s' AS
WITH (SELECT (groupArray(writer), groupArray(first), groupArray(last)) FROM docket_ranges) AS r
SELECT
	metadata_uid, time, tenant, kind, decision, class_uid, type_uid, activity_id, severity_id,
	status_id, status_code, status_detail, message, operation_uid, evaluation_uid, trace_uid, service,
	method, principal, source, interceptor, binding, phase, failure_kind, failure_policy, plan_digest,
	replay_grade, ran, duration_ms, emitter, epoch, sequence, fingerprint, prev_fingerprint, _raw,
	_stored_time, _stream_seq, _commit, _pos, time_dt
FROM docket_events
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW commits ON CLUSTER 'audit\x27s' AS
WITH (SELECT (groupArray(writer), groupArray(first), groupArray(last)) FROM docket_ranges) AS r
SELECT number, writer, time, events, bytes, quarantined, fence, stream_seq, digest, statement
FROM docket_commits
WHERE number BETWEEN transform(writer, r.1, r.2, 0) AND transform(writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW stubs ON CLUSTER 'audit\x27s' AS
WITH (SELECT (groupArray(writer), groupArray(first), groupArray(last)) FROM docket_ranges) AS r
SELECT epoch, sequence, lower(hex(fingerprint)) AS fingerprint, kind, tenant, class_uid, time, day, uid, _commit, _pos
FROM docket_stubs
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW quarantine ON CLUSTER 'audit\x27s' AS
WITH (SELECT (groupArray(writer), groupArray(first), groupArray(last)) FROM docket_ranges) AS r
SELECT concat(toString(_commit), '.', toString(_index)) AS id, subject, headers, data, digest, reason, epoch, sequence,
	_stored_time, _stream_seq, _commit, _index
FROM docket_quarantine
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW operations ON CLUSTER 'audit\x27s' AS
SELECT operation_uid, tenant, time, service, method, principal, source, decision, ran,
	status_code, status_detail AS reason, message, duration_ms, interceptor, binding,
	plan_digest, trace_uid, metadata_uid, emitter, epoch, sequence, _commit, _pos
FROM events WHERE kind = 'outcome';

CREATE OR REPLACE VIEW evaluations ON CLUSTER 'audit\x27s' AS
SELECT e.evaluation_uid AS evaluation_uid, e.operation_uid AS operation_uid, e.tenant AS tenant, e.time AS time,
	e.service AS service, e.method AS method, e.principal AS principal, e.source AS source,
	e.interceptor AS interceptor, e.binding AS binding, e.phase AS phase, a.kind AS answer, a.decision AS decision,
	a.status_code AS status_code, a.status_detail AS reason, a.failure_kind AS failure_kind,
	a.failure_policy AS failure_policy, a.duration_ms AS duration_ms, e.replay_grade AS replay_grade,
	e.plan_digest AS plan_digest, e.trace_uid AS trace_uid, e.metadata_uid AS metadata_uid,
	a.metadata_uid AS answer_uid, e.emitter AS emitter, e.epoch AS epoch, e.sequence AS sequence,
	a.sequence AS answer_sequence, e._commit AS _commit, e._pos AS _pos
FROM (SELECT * FROM events WHERE kind = 'evaluation') AS e
LEFT JOIN (SELECT * FROM events WHERE kind IN ('result', 'failure')) AS a
	ON a.evaluation_uid = e.evaluation_uid AND a.operation_uid = e.operation_uid
SETTINGS join_use_nulls = 1;

CREATE OR REPLACE VIEW account_change ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 3001;

CREATE OR REPLACE VIEW admin_group_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5009;

CREATE OR REPLACE VIEW airborne_broadcast_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 8002;

CREATE OR REPLACE VIEW api_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 6003;

CREATE OR REPLACE VIEW application_error ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 6008;

CREATE OR REPLACE VIEW application_lifecycle ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 6002;

CREATE OR REPLACE VIEW application_security_posture_finding ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 2007;

CREATE OR REPLACE VIEW authentication ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 3002;

CREATE OR REPLACE VIEW authorize_session ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 3003;

CREATE OR REPLACE VIEW clipboard_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1012;

CREATE OR REPLACE VIEW cloud_resources_inventory_info ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5023;

CREATE OR REPLACE VIEW compliance_finding ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 2003;

CREATE OR REPLACE VIEW config_state ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5002;

CREATE OR REPLACE VIEW data_security_finding ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 2006;

CREATE OR REPLACE VIEW datastore_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 6005;

CREATE OR REPLACE VIEW detection_finding ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 2004;

CREATE OR REPLACE VIEW device_config_state_change ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5019;

CREATE OR REPLACE VIEW device_power_state_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1011;

CREATE OR REPLACE VIEW dhcp_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4004;

CREATE OR REPLACE VIEW dns_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4003;

CREATE OR REPLACE VIEW drone_flights_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 8001;

CREATE OR REPLACE VIEW email_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4009;

CREATE OR REPLACE VIEW email_file_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4011;

CREATE OR REPLACE VIEW email_url_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4012;

CREATE OR REPLACE VIEW entity_management ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 3004;

CREATE OR REPLACE VIEW event_log_actvity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1008;

CREATE OR REPLACE VIEW evidence_info ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5040;

CREATE OR REPLACE VIEW file_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1001;

CREATE OR REPLACE VIEW file_hosting ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 6006;

CREATE OR REPLACE VIEW file_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5007;

CREATE OR REPLACE VIEW file_remediation_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 7002;

CREATE OR REPLACE VIEW folder_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5008;

CREATE OR REPLACE VIEW ftp_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4008;

CREATE OR REPLACE VIEW group_management ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 3006;

CREATE OR REPLACE VIEW http_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4002;

CREATE OR REPLACE VIEW iam_analysis_finding ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 2008;

CREATE OR REPLACE VIEW incident_finding ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 2005;

CREATE OR REPLACE VIEW inventory_info ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5001;

CREATE OR REPLACE VIEW job_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5010;

CREATE OR REPLACE VIEW kernel_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1003;

CREATE OR REPLACE VIEW kernel_extension_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1002;

CREATE OR REPLACE VIEW kernel_object_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5006;

CREATE OR REPLACE VIEW memory_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1004;

CREATE OR REPLACE VIEW module_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1005;

CREATE OR REPLACE VIEW module_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5011;

CREATE OR REPLACE VIEW network_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4001;

CREATE OR REPLACE VIEW network_connection_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5012;

CREATE OR REPLACE VIEW network_file_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4010;

CREATE OR REPLACE VIEW network_remediation_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 7004;

CREATE OR REPLACE VIEW networks_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5013;

CREATE OR REPLACE VIEW ntp_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4013;

CREATE OR REPLACE VIEW osint_inventory_info ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5021;

CREATE OR REPLACE VIEW patch_state ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5004;

CREATE OR REPLACE VIEW peripheral_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1010;

CREATE OR REPLACE VIEW peripheral_device_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5014;

CREATE OR REPLACE VIEW prefetch_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 205019;

CREATE OR REPLACE VIEW process_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1007;

CREATE OR REPLACE VIEW process_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5015;

CREATE OR REPLACE VIEW process_remediation_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 7003;

CREATE OR REPLACE VIEW rdp_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4005;

CREATE OR REPLACE VIEW registry_key_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 201001;

CREATE OR REPLACE VIEW registry_key_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 205004;

CREATE OR REPLACE VIEW registry_value_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 201002;

CREATE OR REPLACE VIEW registry_value_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 205005;

CREATE OR REPLACE VIEW remediation_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 7001;

CREATE OR REPLACE VIEW role_management ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 3008;

CREATE OR REPLACE VIEW scan_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 6007;

CREATE OR REPLACE VIEW scheduled_job_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1006;

CREATE OR REPLACE VIEW script_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 1009;

CREATE OR REPLACE VIEW security_finding ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 2001;

CREATE OR REPLACE VIEW service_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5016;

CREATE OR REPLACE VIEW session_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5017;

CREATE OR REPLACE VIEW smb_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4006;

CREATE OR REPLACE VIEW software_info ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5020;

CREATE OR REPLACE VIEW ssh_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4007;

CREATE OR REPLACE VIEW startup_item_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5022;

CREATE OR REPLACE VIEW tunnel_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 4014;

CREATE OR REPLACE VIEW user_access ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 3005;

CREATE OR REPLACE VIEW user_inventory ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5003;

CREATE OR REPLACE VIEW user_management ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 3007;

CREATE OR REPLACE VIEW user_query ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 5018;

CREATE OR REPLACE VIEW vulnerability_finding ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 2002;

CREATE OR REPLACE VIEW web_resource_access_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 6004;

CREATE OR REPLACE VIEW web_resources_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 6001;

CREATE OR REPLACE VIEW windows_resource_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 201003;

CREATE OR REPLACE VIEW windows_service_activity ON CLUSTER 'audit\x27s' AS SELECT * FROM events WHERE class_uid = 201004;

-- 003_lookups.sql
ALTER TABLE docket_events_local ON CLUSTER 'audit\x27s'
	ADD INDEX IF NOT EXISTS by_operation_range operation_uid TYPE minmax GRANULARITY 8 FIRST,
	ADD INDEX IF NOT EXISTS by_event_range metadata_uid TYPE minmax GRANULARITY 8 FIRST;

ALTER TABLE docket_events_local ON CLUSTER 'audit\x27s' MATERIALIZE INDEX by_operation_range;

ALTER TABLE docket_events_local ON CLUSTER 'audit\x27s' MATERIALIZE INDEX by_event_range;

ALTER TABLE docket_commits ON CLUSTER 'audit\x27s' ADD PROJECTION IF NOT EXISTS spans (SELECT minMap(map(writer, number)), maxMap(map(writer, number)));

ALTER TABLE docket_commits ON CLUSTER 'audit\x27s' MATERIALIZE PROJECTION spans;

CREATE OR REPLACE VIEW docket_ranges ON CLUSTER 'audit\x27s' AS
WITH (SELECT (mapKeys(minMap(map(writer, number)) AS m), mapValues(m) AS f, arrayMap((l, n) -> least(l, n - 1),
	mapValues(maxMap(map(writer, number))), arrayPopFront(arrayPushBack(f, 9223372036854775807)))) FROM docket_commits) AS r, arrayJoin(arrayZip(r.1, r.2, r.3)) AS w
SELECT w.1 AS writer, w.2 AS first, w.3 AS last;

CREATE OR REPLACE VIEW events ON CLUSTER 'audit\x27s' AS
WITH (SELECT (mapKeys(minMap(map(writer, number)) AS m), mapValues(m) AS f, arrayMap((l, n) -> least(l, n - 1),
	mapValues(maxMap(map(writer, number))), arrayPopFront(arrayPushBack(f, 9223372036854775807)))) FROM docket_commits) AS r
SELECT
	metadata_uid, time, tenant, kind, decision, class_uid, type_uid, activity_id, severity_id,
	status_id, status_code, status_detail, message, operation_uid, evaluation_uid, trace_uid, service,
	method, principal, source, interceptor, binding, phase, failure_kind, failure_policy, plan_digest,
	replay_grade, ran, duration_ms, emitter, epoch, sequence, fingerprint, prev_fingerprint, _raw,
	_stored_time, _stream_seq, _commit, _pos, time_dt
FROM docket_events
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1)
SETTINGS use_skip_indexes_on_data_read = 0;

CREATE OR REPLACE VIEW commits ON CLUSTER 'audit\x27s' AS
WITH (SELECT (mapKeys(minMap(map(writer, number)) AS m), mapValues(m) AS f, arrayMap((l, n) -> least(l, n - 1),
	mapValues(maxMap(map(writer, number))), arrayPopFront(arrayPushBack(f, 9223372036854775807)))) FROM docket_commits) AS r
SELECT number, writer, time, events, bytes, quarantined, fence, stream_seq, digest, statement
FROM docket_commits
WHERE number BETWEEN transform(writer, r.1, r.2, 0) AND transform(writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW stubs ON CLUSTER 'audit\x27s' AS
WITH (SELECT (mapKeys(minMap(map(writer, number)) AS m), mapValues(m) AS f, arrayMap((l, n) -> least(l, n - 1),
	mapValues(maxMap(map(writer, number))), arrayPopFront(arrayPushBack(f, 9223372036854775807)))) FROM docket_commits) AS r
SELECT epoch, sequence, lower(hex(fingerprint)) AS fingerprint, kind, tenant, class_uid, time, day, uid, _commit, _pos
FROM docket_stubs
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW quarantine ON CLUSTER 'audit\x27s' AS
WITH (SELECT (mapKeys(minMap(map(writer, number)) AS m), mapValues(m) AS f, arrayMap((l, n) -> least(l, n - 1),
	mapValues(maxMap(map(writer, number))), arrayPopFront(arrayPushBack(f, 9223372036854775807)))) FROM docket_commits) AS r
SELECT concat(toString(_commit), '.', toString(_index)) AS id, subject, headers, data, digest, reason, epoch, sequence,
	_stored_time, _stream_seq, _commit, _index
FROM docket_quarantine
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1);

ALTER TABLE docket_commits ON CLUSTER 'audit\x27s' DROP PROJECTION IF EXISTS ranges;

