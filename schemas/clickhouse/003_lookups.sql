-- SPDX-License-Identifier: Apache-2.0
--
-- What makes it cheap to find one event. Uids begin with a time, and so do the rows of a
-- tenant: the lowest and the highest uid of some rows leave few of them to look at, before
-- the filters by_event and by_operation are read, which are 2 bytes an event. A uid with
-- the time of a wrong clock, or without one, makes that less, and not wrong.
--
-- They come first, as a server may take indexes in the order in which they stand. Rows that
-- are there already get them by and by.
ALTER TABLE {{local "docket_events"}}{{.OnCluster}}
	ADD INDEX IF NOT EXISTS by_operation_range operation_uid TYPE minmax GRANULARITY 8 FIRST,
	ADD INDEX IF NOT EXISTS by_event_range metadata_uid TYPE minmax GRANULARITY 8 FIRST;
ALTER TABLE {{local "docket_events"}}{{.OnCluster}} MATERIALIZE INDEX by_operation_range;
ALTER TABLE {{local "docket_events"}}{{.OnCluster}} MATERIALIZE INDEX by_event_range;

-- Which numbers are whose: all of it out of one row a part, without grouping, which costs
-- more than to read them.
ALTER TABLE docket_commits{{.OnCluster}} ADD PROJECTION IF NOT EXISTS spans (SELECT minMap(map(writer, number)), maxMap(map(writer, number)));
ALTER TABLE docket_commits{{.OnCluster}} MATERIALIZE PROJECTION spans;

-- The writers, the first number of each and the last. Should a writer whose time was over
-- have got a row in nevertheless, the later one's begin ends its range. The views below ask
-- for this whatever is asked of them; docket_ranges stays for programs of before.
{{define "ranges"}}SELECT (mapKeys(minMap(map(writer, number)) AS m), mapValues(m) AS f, arrayMap((l, n) -> least(l, n - 1),
	mapValues(maxMap(map(writer, number))), arrayPopFront(arrayPushBack(f, 9223372036854775807)))) FROM docket_commits{{end}}
CREATE OR REPLACE VIEW docket_ranges{{.OnCluster}} AS
WITH ({{template "ranges"}}) AS r, arrayJoin(arrayZip(r.1, r.2, r.3)) AS w
SELECT w.1 AS writer, w.2 AS first, w.3 AS last;

-- A server that can would look at the indexes of a part when it comes to read it, and sets
-- more in motion for that than one event is worth.
CREATE OR REPLACE VIEW events{{.OnCluster}} AS
WITH ({{template "ranges"}}) AS r
SELECT
	metadata_uid, time, tenant, kind, decision, class_uid, type_uid, activity_id, severity_id,
	status_id, status_code, status_detail, message, operation_uid, evaluation_uid, trace_uid, service,
	method, principal, source, interceptor, binding, phase, failure_kind, failure_policy, plan_digest,
	replay_grade, ran, duration_ms, emitter, epoch, sequence, fingerprint, prev_fingerprint, _raw,
	_stored_time, _stream_seq, _commit, _pos, time_dt
FROM docket_events
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1)
{{- if knows "use_skip_indexes_on_data_read"}}
SETTINGS use_skip_indexes_on_data_read = 0{{end}};

CREATE OR REPLACE VIEW commits{{.OnCluster}} AS
WITH ({{template "ranges"}}) AS r
SELECT number, writer, time, events, bytes, quarantined, fence, stream_seq, digest, statement
FROM docket_commits
WHERE number BETWEEN transform(writer, r.1, r.2, 0) AND transform(writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW stubs{{.OnCluster}} AS
WITH ({{template "ranges"}}) AS r
SELECT epoch, sequence, lower(hex(fingerprint)) AS fingerprint, kind, tenant, class_uid, time, day, uid, _commit, _pos
FROM docket_stubs
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW quarantine{{.OnCluster}} AS
WITH ({{template "ranges"}}) AS r
SELECT concat(toString(_commit), '.', toString(_index)) AS id, subject, headers, data, digest, reason, epoch, sequence,
	_stored_time, _stream_seq, _commit, _index
FROM docket_quarantine
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1);

-- What was grouped by writer is asked no more.
ALTER TABLE docket_commits{{.OnCluster}} DROP PROJECTION IF EXISTS ranges;
