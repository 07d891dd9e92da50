-- SPDX-License-Identifier: Apache-2.0
--
-- What readers see. Columns have the names that they have in the lake.

-- Which numbers each writer's commits have. They follow each other; should a writer
-- whose time was over have got a row in nevertheless, the later one's begin ends
-- its range.
CREATE OR REPLACE VIEW docket_ranges{{.OnCluster}} AS
SELECT writer, first, least(last, leadInFrame(first, 1, 9223372036854775807)
	OVER (ORDER BY writer ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) - 1) AS last
FROM (SELECT writer, min(number) AS first, max(number) AS last FROM docket_commits GROUP BY writer);

CREATE OR REPLACE VIEW events{{.OnCluster}} AS
WITH (SELECT (groupArray(writer), groupArray(first), groupArray(last)) FROM docket_ranges) AS r
SELECT
	metadata_uid, time, tenant, kind, decision, class_uid, type_uid, activity_id, severity_id,
	status_id, status_code, status_detail, message, operation_uid, evaluation_uid, trace_uid, service,
	method, principal, source, interceptor, binding, phase, failure_kind, failure_policy, plan_digest,
	replay_grade, ran, duration_ms, emitter, epoch, sequence, fingerprint, prev_fingerprint, _raw,
	_stored_time, _stream_seq, _commit, _pos, time_dt
FROM docket_events
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW commits{{.OnCluster}} AS
WITH (SELECT (groupArray(writer), groupArray(first), groupArray(last)) FROM docket_ranges) AS r
SELECT number, writer, time, events, bytes, quarantined, fence, stream_seq, digest, statement
FROM docket_commits
WHERE number BETWEEN transform(writer, r.1, r.2, 0) AND transform(writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW stubs{{.OnCluster}} AS
WITH (SELECT (groupArray(writer), groupArray(first), groupArray(last)) FROM docket_ranges) AS r
SELECT epoch, sequence, lower(hex(fingerprint)) AS fingerprint, kind, tenant, class_uid, time, day, uid, _commit, _pos
FROM docket_stubs
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW quarantine{{.OnCluster}} AS
WITH (SELECT (groupArray(writer), groupArray(first), groupArray(last)) FROM docket_ranges) AS r
SELECT concat(toString(_commit), '.', toString(_index)) AS id, subject, headers, data, digest, reason, epoch, sequence,
	_stored_time, _stream_seq, _commit, _index
FROM docket_quarantine
WHERE _commit BETWEEN transform(_writer, r.1, r.2, 0) AND transform(_writer, r.1, r.3, -1);

CREATE OR REPLACE VIEW operations{{.OnCluster}} AS
SELECT operation_uid, tenant, time, service, method, principal, source, decision, ran,
	status_code, status_detail AS reason, message, duration_ms, interceptor, binding,
	plan_digest, trace_uid, metadata_uid, emitter, epoch, sequence, _commit, _pos
FROM events WHERE kind = 'outcome';

-- An evaluation that is not answered yet has NULL in the columns of the answer.
CREATE OR REPLACE VIEW evaluations{{.OnCluster}} AS
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

-- One view for each class of OCSF.
CREATE OR REPLACE VIEW account_change{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 3001;
CREATE OR REPLACE VIEW admin_group_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5009;
CREATE OR REPLACE VIEW airborne_broadcast_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 8002;
CREATE OR REPLACE VIEW api_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 6003;
CREATE OR REPLACE VIEW application_error{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 6008;
CREATE OR REPLACE VIEW application_lifecycle{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 6002;
CREATE OR REPLACE VIEW application_security_posture_finding{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 2007;
CREATE OR REPLACE VIEW authentication{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 3002;
CREATE OR REPLACE VIEW authorize_session{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 3003;
CREATE OR REPLACE VIEW clipboard_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1012;
CREATE OR REPLACE VIEW cloud_resources_inventory_info{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5023;
CREATE OR REPLACE VIEW compliance_finding{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 2003;
CREATE OR REPLACE VIEW config_state{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5002;
CREATE OR REPLACE VIEW data_security_finding{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 2006;
CREATE OR REPLACE VIEW datastore_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 6005;
CREATE OR REPLACE VIEW detection_finding{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 2004;
CREATE OR REPLACE VIEW device_config_state_change{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5019;
CREATE OR REPLACE VIEW device_power_state_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1011;
CREATE OR REPLACE VIEW dhcp_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4004;
CREATE OR REPLACE VIEW dns_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4003;
CREATE OR REPLACE VIEW drone_flights_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 8001;
CREATE OR REPLACE VIEW email_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4009;
CREATE OR REPLACE VIEW email_file_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4011;
CREATE OR REPLACE VIEW email_url_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4012;
CREATE OR REPLACE VIEW entity_management{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 3004;
CREATE OR REPLACE VIEW event_log_actvity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1008;
CREATE OR REPLACE VIEW evidence_info{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5040;
CREATE OR REPLACE VIEW file_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1001;
CREATE OR REPLACE VIEW file_hosting{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 6006;
CREATE OR REPLACE VIEW file_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5007;
CREATE OR REPLACE VIEW file_remediation_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 7002;
CREATE OR REPLACE VIEW folder_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5008;
CREATE OR REPLACE VIEW ftp_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4008;
CREATE OR REPLACE VIEW group_management{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 3006;
CREATE OR REPLACE VIEW http_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4002;
CREATE OR REPLACE VIEW iam_analysis_finding{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 2008;
CREATE OR REPLACE VIEW incident_finding{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 2005;
CREATE OR REPLACE VIEW inventory_info{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5001;
CREATE OR REPLACE VIEW job_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5010;
CREATE OR REPLACE VIEW kernel_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1003;
CREATE OR REPLACE VIEW kernel_extension_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1002;
CREATE OR REPLACE VIEW kernel_object_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5006;
CREATE OR REPLACE VIEW memory_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1004;
CREATE OR REPLACE VIEW module_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1005;
CREATE OR REPLACE VIEW module_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5011;
CREATE OR REPLACE VIEW network_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4001;
CREATE OR REPLACE VIEW network_connection_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5012;
CREATE OR REPLACE VIEW network_file_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4010;
CREATE OR REPLACE VIEW network_remediation_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 7004;
CREATE OR REPLACE VIEW networks_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5013;
CREATE OR REPLACE VIEW ntp_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4013;
CREATE OR REPLACE VIEW osint_inventory_info{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5021;
CREATE OR REPLACE VIEW patch_state{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5004;
CREATE OR REPLACE VIEW peripheral_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1010;
CREATE OR REPLACE VIEW peripheral_device_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5014;
CREATE OR REPLACE VIEW prefetch_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 205019;
CREATE OR REPLACE VIEW process_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1007;
CREATE OR REPLACE VIEW process_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5015;
CREATE OR REPLACE VIEW process_remediation_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 7003;
CREATE OR REPLACE VIEW rdp_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4005;
CREATE OR REPLACE VIEW registry_key_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 201001;
CREATE OR REPLACE VIEW registry_key_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 205004;
CREATE OR REPLACE VIEW registry_value_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 201002;
CREATE OR REPLACE VIEW registry_value_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 205005;
CREATE OR REPLACE VIEW remediation_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 7001;
CREATE OR REPLACE VIEW role_management{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 3008;
CREATE OR REPLACE VIEW scan_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 6007;
CREATE OR REPLACE VIEW scheduled_job_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1006;
CREATE OR REPLACE VIEW script_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 1009;
CREATE OR REPLACE VIEW security_finding{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 2001;
CREATE OR REPLACE VIEW service_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5016;
CREATE OR REPLACE VIEW session_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5017;
CREATE OR REPLACE VIEW smb_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4006;
CREATE OR REPLACE VIEW software_info{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5020;
CREATE OR REPLACE VIEW ssh_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4007;
CREATE OR REPLACE VIEW startup_item_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5022;
CREATE OR REPLACE VIEW tunnel_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 4014;
CREATE OR REPLACE VIEW user_access{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 3005;
CREATE OR REPLACE VIEW user_inventory{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5003;
CREATE OR REPLACE VIEW user_management{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 3007;
CREATE OR REPLACE VIEW user_query{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 5018;
CREATE OR REPLACE VIEW vulnerability_finding{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 2002;
CREATE OR REPLACE VIEW web_resource_access_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 6004;
CREATE OR REPLACE VIEW web_resources_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 6001;
CREATE OR REPLACE VIEW windows_resource_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 201003;
CREATE OR REPLACE VIEW windows_service_activity{{.OnCluster}} AS SELECT * FROM events WHERE class_uid = 201004;
