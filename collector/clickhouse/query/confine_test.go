// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	rowsof "github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// secret is in every column of globex that takes text. What is said of it to acme is a
// leak, in an answer and in an error.
const secret = "gl0bexS3cret"

// two are events of two tenants in one commit, which lie next to each other.
func two(t *testing.T) []store.Entry {
	var all []store.Entry
	for i := range 40 {
		tenant, say := "acme", "1"
		if i%2 == 1 {
			tenant, say = secret, secret
		}
		e := storetest.NewEpoch(t, tenant, "gateway").API("outcome", fmt.Sprintf("op-%d", i), "")
		h := &e.Header
		h.Message, h.Service, h.Method, h.Principal, h.StatusDetail, h.StatusCode, h.Binding, h.Interceptor = say, say, say, say, say, say, say, say
		h.OperationUID, h.MetadataUID, h.TraceUID = say+h.OperationUID, say+h.MetadataUID, say
		all = append(all, e)
	}
	return all
}

func view(t *testing.T, prefixes ...string) authz.View {
	t.Helper()
	v, err := (&authz.Grant{Subject: "test", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: prefixes}).View(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (e *Engine) answer(ctx context.Context, s Scope, text string) (string, error) {
	var b bytes.Buffer
	err := e.Rows(ctx, s, text, func(names []string) error {
		fmt.Fprintln(&b, strings.Join(names, ","))
		return nil
	}, &b)
	return b.String(), err
}

// refused are those that must not come to run.
var refused = []string{
	// the tables beneath, by every name
	"SELECT * FROM docket_events", "SELECT * FROM `docket_events`", "SELECT * FROM \"docket_events\"", "SELECT * FROM DB.docket_events",
	"SELECT * FROM DB.events", "SELECT * FROM `DB`.`events`", "SELECT * FROM DB.commits", "SELECT * FROM docket_stubs", "SELECT * FROM docket_commits",
	"SELECT * FROM stubs", "SELECT * FROM quarantine", "SELECT * FROM commits", "SELECT statement FROM docket_prepared", "SELECT state FROM docket_snapshots",
	"SELECT * FROM docket_ranges", "SELECT * FROM docket_scope", "SELECT * FROM \"docket\\x5fevents\"", "SELECT * FROM other", "SELECT * FROM _temporary_and_external_tables.x",
	"SELECT count() FROM events WHERE 'x' IN docket_events", "SELECT count() FROM events WHERE tenant IN DB.docket_stubs", "SELECT count() FROM events WHERE tenant IN other",
	"SELECT count() FROM events WHERE (message, tenant) NOT IN (SELECT message, tenant FROM docket_events)",
	"SELECT (SELECT groupArray(_raw) FROM docket_events)", "SELECT * FROM events UNION ALL SELECT * FROM docket_events",
	"SELECT * FROM events JOIN docket_events USING tenant", "SELECT * FROM events, docket_events", "SELECT * FROM (SELECT * FROM (SELECT * FROM docket_events))",
	"WITH (SELECT groupArray(message) FROM docket_events) AS x SELECT x", "WITH docket_events AS (SELECT 1) SELECT * FROM docket_events",
	"WITH x AS (WITH other AS (SELECT 1) SELECT * FROM other) SELECT * FROM other", "SELECT * FROM (WITH other AS (SELECT 1 AS a) SELECT a FROM other) AS z, other",
	"SELECT count() FROM events ARRAY JOIN [1] AS z, docket_events", "SELECT other.x FROM events, other", "EXISTS TABLE docket_events",
	// a name that is one of the query in one place and of a table in another: what a scalar
	// subquery reads is run when names are resolved, and its error tells
	"SELECT (SELECT toInt64(x) FROM other), (WITH other AS (SELECT 1) SELECT count() FROM other)", "SELECT (SELECT toInt64(any(statement)) FROM commits), (WITH commits AS (SELECT 1) SELECT count() FROM commits)",
	"SELECT (SELECT sum(toInt64(tenant)) FROM stubs), (WITH stubs AS MATERIALIZED (SELECT 1) SELECT count() FROM stubs)", "SELECT (SELECT sum(toInt64(message)) FROM DB.events), (WITH `DB.events` AS (SELECT 1) SELECT 1)", "SELECT (SELECT sum(toInt64(message)) FROM `DB`.`events`), CAST(1 AS `DB.events`)",
	"SELECT (SELECT throwIf('MARK' IN other))", "SELECT (SELECT throwIf('x' NOT IN other))", "SELECT (SELECT throwIf('MARK' IN DB.other))", "SELECT (SELECT throwIf('MARK' IN (other)))", "SELECT (SELECT throwIf(in('MARK', other)))", "SELECT (SELECT throwIf(globalNullIn('MARK', `other`)))", "SELECT (SELECT throwIf('MARK' IN c)), other AS c",
	// the server's own
	"SELECT * FROM system.tables", "SELECT * FROM `system`.`query_log`", "SELECT query FROM system.processes", "SELECT * FROM information_schema.tables", "SELECT * FROM INFORMATION_SCHEMA.COLUMNS",
	"SELECT count() FROM events WHERE tenant IN system.databases", "SHOW DATABASES", "SHOW CREATE TABLE docket_events", "SHOW PROCESSLIST", "SHOW GRANTS", "DESCRIBE docket_events", "DESCRIBE TABLE url('http://127.0.0.1/')",
	// table functions
	"SELECT * FROM merge('DB', '.*')", "SELECT * FROM merge('.*events')", "SELECT * FROM remote('127.0.0.1', DB.docket_events)", "SELECT * FROM cluster('default', DB, docket_events)", "SELECT * FROM clusterAllReplicas('default', system.one)",
	"SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')", "SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM s3('http://127.0.0.1/b')", "SELECT * FROM mysql('127.0.0.1:1','d','t','u','p')",
	"SELECT * FROM postgresql('127.0.0.1:1','d','t','u','p')", "SELECT * FROM executable('id', 'TSV', 'a String')", "SELECT * FROM input('a String')", "SELECT * FROM view(SELECT * FROM docket_events)", "SELECT * FROM viewIfPermitted(SELECT * FROM docket_events ELSE null('a Int8'))",
	"SELECT * FROM dictionary('d')", "SELECT * FROM loop(DB, docket_events)", "SELECT * FROM mergeTreeIndex(DB, docket_events)", "SELECT * FROM mergeTreeProjection(DB, docket_commits, ranges)", "SELECT * FROM generateRandom('a String') LIMIT 1",
	"SELECT * FROM `merge`('DB', '.*')", "SELECT * FROM sqlite('/x','y')", "SELECT * FROM jdbc('x','y')", "SELECT * FROM \"url\"('http://127.0.0.1:1/')", "SELECT * FROM icebergLocal('/x')", "SELECT * FROM fuzzJSON('x', '{}')", "SELECT * FROM timeSeriesData(docket_events)",
	"SELECT count() FROM events WHERE tenant IN merge('DB', '.*')", "SELECT * FROM numbers((SELECT count() FROM docket_events))", "SELECT * FROM format(LineAsString, 'x')", "SELECT * FROM values('a String', 'x')",
	// functions that read
	"SELECT file('/etc/passwd')", "SELECT joinGet('DB.j', 'x', 1)", "SELECT dictGet('d', 'x', 1)", "SELECT hasColumnInTable('DB', 'docket_events', 'tenant')", "SELECT getSetting('readonly')", "SELECT getMacro('shard')",
	"SELECT currentUser()", "SELECT hostName()", "SELECT version()", "SELECT currentDatabase()", "SELECT database()", "SELECT catboostEvaluate('/x', 1)", "SELECT sleep(3)", "SELECT sleepEachRow(1) FROM events", "SELECT serverUUID()", "SELECT getClientHTTPHeader('Authorization')",
	"SELECT lowCardinalityKeys(service) FROM events", "SELECT dumpColumnStructure(service) FROM events", "SELECT blockSerializedSize(service) FROM events", "SELECT addressToLine(1)", "SELECT aiGenerate('x', 'y')", "SELECT nosuchfunction(1)", "SELECT `file`('/etc/passwd')",
	"SELECT __getScalar('x')", "SELECT evalMLMethod(1, 2)", "SELECT regionToName(1)", "SELECT queryID()", "SELECT FQDN()", "SELECT showCertificate()", "SELECT filesystemAvailable()", "SELECT rowNumberInAllBlocks() FROM events",
	// what is no SELECT, and more than one
	"", ";", "SELECT 1; SELECT 2", "DROP TABLE docket_events", "INSERT INTO docket_events SELECT * FROM events", "ALTER TABLE docket_events DELETE WHERE 1", "CREATE VIEW v AS SELECT 1", "SET readonly = 0", "USE system", "KILL QUERY WHERE 1", "SYSTEM SHUTDOWN",
	"EXPLAIN SELECT * FROM events", "EXPLAIN AST SELECT 1", "OPTIMIZE TABLE docket_events", "TRUNCATE docket_events", "GRANT SELECT ON *.* TO x", "ATTACH TABLE x", "WATCH events", "CHECK TABLE docket_events", "BACKUP TABLE docket_events TO Disk('x','y')", "EXECUTE AS x SELECT 1",
	"SELECT 1) UNION ALL (SELECT 2", "(SELECT 1", "SELECT * FROM (SELECT 1", "SELECT /* */ 1 /*", "SELECT 'a", "SELECT 1 PARALLEL WITH SELECT 2",
	"SELECT count() FROM zeros(3)", "SELECT * FROM zeros_mt(3)",
	// what would change how it is read or run
	"SELECT 1 SETTINGS readonly = 0", "SELECT * FROM (SELECT * FROM events SETTINGS readonly = 0)", "SELECT 1 SETTINGS max_execution_time = 0", "SELECT 1 FORMAT JSON", "SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT {x:Identifier}", "SELECT * FROM {x:Identifier}", "SELECT $$a$$", "SELECT \u2018a\u2019", "SELECT 1 # x", "SELECT @@version",
	"SELECT 1 /* a /* b */ SETTINGS x = 1 */", "SELECT 1 -- x\n SETTINGS readonly = 0", "SELECT 1 S\u00a0ETTINGS x", "SELECT \x00", "SELECT \"a\x00\"",
}

// allowed come to run, and what they tell of others is nothing.
var allowed = []string{
	"SELECT * FROM events", "SELECT * FROM events FINAL", "SELECT *, _writer FROM events", "SELECT _table, _database, _part FROM events", "SELECT events.* FROM events", "SELECT COLUMNS('.*') FROM events", "SELECT * EXCEPT (time) FROM events", "SELECT * REPLACE (upper(tenant) AS tenant) FROM events",
	"FROM events SELECT tenant", "(SELECT tenant FROM events) UNION ALL (SELECT message FROM events)", "SELECT tenant FROM events EXCEPT SELECT 'acme'", "SELECT * FROM operations", "SELECT * FROM evaluations", "SELECT * FROM api_activity", "SELECT * FROM authentication",
	"SELECT count() FROM events", "SELECT count() FROM events WHERE 1 OR tenant != ''", "SELECT uniq(tenant), any(tenant), max(message), groupArray(service), topK(10)(method) FROM events", "SELECT DISTINCT tenant FROM events", "SELECT tenant FROM events ORDER BY tenant DESC LIMIT 1", "SELECT tenant, message FROM events LIMIT 1 BY tenant",
	"SELECT e.tenant FROM events AS e RIGHT JOIN (SELECT 1 AS x) AS y ON 1 = 1", "SELECT * FROM events AS a FULL JOIN events AS b ON a.message != b.message", "SELECT * FROM events AS a CROSS JOIN events AS b LIMIT 5000", "SELECT * FROM events AS a ANTI JOIN events AS b USING tenant", "SELECT tenant FROM events WHERE tenant IN events", "SELECT tenant FROM events PREWHERE 1 WHERE 1 SAMPLE 1",
	"WITH events AS (SELECT * FROM events) SELECT * FROM events", "WITH x AS (SELECT * FROM events) SELECT * FROM x", "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n, (SELECT groupUniqArray(tenant) FROM events) FROM r", "SELECT tenant, GROUPING(tenant) FROM events GROUP BY ROLLUP(tenant)", "SELECT tenant, row_number() OVER (PARTITION BY tenant ORDER BY time) FROM events",
	"WITH [1, 2] AS a SELECT 1 IN a", "SELECT tenant IN x FROM events, (SELECT 'acme' AS x) AS y", "WITH x AS (SELECT tenant FROM events) SELECT count() FROM events WHERE tenant IN x", "SELECT (SELECT sum(toInt64(message)) FROM `api_activity`)",
	"SELECT 1 UNION ALL SELECT (SELECT sum(toInt64(message)) FROM events)", "SELECT * FROM (SELECT 1 UNION ALL (SELECT 2 UNION DISTINCT SELECT (SELECT sum(toInt64(message)) FROM events)))", "SELECT count() FROM events WHERE accurateCast(_pos, 'Int8') > 1",
	"SELECT DB.events.tenant FROM events", "SHOW TABLES", "DESCRIBE events", "DESC evaluations;", "SELECT tenant FROM events;;", "SELECT 1 -- docket_events", "SELECT 'docket_events'", "SELECT * FROM numbers(3)", "SELECT arrayJoin([1, 2])", "SELECT 1", "SELECT NULL",
	// errors of values, wherever the server evaluates them: in conditions, in order, in keys
	"SELECT count() FROM events WHERE toInt64(message) = 1", "SELECT sum(toInt64(service)) FROM events", "SELECT count() FROM events WHERE toInt64(service) = 1", "SELECT sum(toInt64(message)) FROM events", "SELECT throwIf(message = '" + "MARK" + "') FROM events", "SELECT count() FROM events WHERE throwIf(message = 'MARK') = 0",
	"SELECT count() FROM events WHERE throwIf(tenant = 'MARK', 'there') = 0", "SELECT count() FROM events WHERE throwIf(service LIKE 'gl0%') = 0", "SELECT count() FROM events WHERE NOT (service = 'MARK' AND throwIf(service = 'MARK'))", "SELECT count() FROM events WHERE intDiv(1, toInt64(message = '1')) = 1", "SELECT time FROM events ORDER BY toInt64(message), toInt64(service) LIMIT 3",
	"SELECT toInt64(method), count() FROM events GROUP BY 1", "SELECT count() FROM events AS a JOIN events AS b ON toInt64(a.message) = toInt64(b.service)", "SELECT sum(toInt64(_CAST)) FROM (SELECT principal AS _CAST FROM events)", "SELECT count() FROM events WHERE toInt64(message) IN (SELECT toInt64(service) FROM events)", "SELECT argMax(toInt64(message), time) FROM events WHERE time > 0",
	"SELECT count() FROM events WHERE JSONExtractString(_raw, 'x') = toString(toInt64(message))", "SELECT count() FROM events WHERE time > 0 AND toInt64(binding) = 1 AND tenant = 'MARK'", "SELECT count() FROM events WHERE tenant = 'MARK' AND toInt64(message) = 1", "SELECT count() FROM events WHERE tenant = 'MARK' OR toInt64(message) = 1", "SELECT count() FROM events WHERE multiIf(message = 'MARK', throwIf(1 = 1), 0) = 0",
	"SELECT count() FROM operations WHERE toInt64(reason) = 1", "SELECT sum(toInt64(answer)) FROM evaluations", "SELECT count() FROM api_activity WHERE throwIf(message = 'MARK') = 0", "SELECT count() FROM events WHERE throwIf(operation_uid LIKE '%S3cret%') = 0", "SELECT count() FROM events WHERE throwIf(metadata_uid LIKE '%S3cret%') = 0 AND metadata_uid > ''",
	"SELECT count() FROM events WHERE operation_uid = 'MARKop-1'", "SELECT * FROM events WHERE trace_uid = 'MARK'", "SELECT toDateTime(tenant) FROM events WHERE toDateTime(tenant) > now()", "SELECT throwIf(position(toString(groupArray(tenant)), 'MARK') > 0) FROM events", "SELECT arrayReduce('groupArray', groupArray(message)) FROM events", "SELECT message FROM events ORDER BY message LIMIT 1 WITH TIES",
	"SELECT quantile(0.5)(toInt64(message)), countIf(tenant = 'MARK'), sumOrNullIf(1, tenant = 'MARK') FROM events", "SELECT time FROM events ORDER BY time WITH FILL STEP 1 LIMIT 3", "SELECT CAST(message AS Enum8('1' = 1)) FROM events", "SELECT count() FROM events WHERE CAST(service AS Enum8('1' = 1)) = '1'", "SELECT accurateCast(message, 'UInt8') FROM events WHERE accurateCast(message, 'UInt8') = 1",
}

// Of two tenants in one part of one table, neither is told a byte of the other, by no
// name, function, clause or error.
func TestConfined(t *testing.T) {
	s := filled(t, two(t))
	e := New(s, sql.Limits{Running: 3})
	// A table of somebody else in the same database.
	if err := s.Select(t.Context(), nil, "CREATE TABLE other ENGINE = MergeTree ORDER BY x AS SELECT '"+secret+"' AS x", func(rowsof.Rows) error { return nil }); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	database, _, _ := strings.Cut(strings.ReplaceAll(snap.Table, "`", ""), ".")
	fill := strings.NewReplacer("DB", database, "MARK", secret)
	acme := Scope{View: view(t, "acme")}
	for _, text := range refused {
		text = fill.Replace(text)
		answer, err := e.answer(t.Context(), acme, text)
		if stated := new(sql.StatementError); !errors.As(err, &stated) || answer != "" {
			t.Errorf("%s\nis not refused: %.300s, %v", text, answer, err)
		}
		leaks(t, text, answer, err)
	}
	ran := 0
	for _, text := range allowed {
		text = fill.Replace(text)
		answer, err := e.answer(t.Context(), acme, text)
		if stated := new(sql.StatementError); errors.As(err, &stated) && stated.Hint() != selectHint {
			t.Errorf("%s\nis refused: %v", text, err)
		}
		if err == nil {
			ran++
		}
		leaks(t, text, answer, err)
	}
	t.Logf("%d refused, %d of %d answered", len(refused), ran, len(allowed))
	if ran < len(allowed)*3/4 {
		t.Errorf("only %d answered", ran)
	}
	// Who sees both sees both, and the other way round it is the same.
	for who, want := range map[string]string{"acme": "20", authz.Everywhere: "40", secret: "20", "nobody": "0"} {
		answer, err := e.answer(t.Context(), Scope{View: view(t, who)}, "SELECT count() AS n FROM events")
		if err != nil || answer != "n\n{\"n\":"+want+"}\n" {
			t.Errorf("as %s: %s, %v", who, answer, err)
		}
	}
	answer, err := e.answer(t.Context(), Scope{View: view(t, secret)}, "SELECT * FROM events")
	if err != nil || strings.Contains(answer, "acme") {
		t.Errorf("as the other: %.300s, %v", answer, err)
	}
}

// leaks finds what is secret in an answer, or in an error that has more of it than the
// query had.
func leaks(t *testing.T, text, answer string, err error) {
	t.Helper()
	for _, word := range []string{secret, "S3cret"} {
		if strings.Contains(answer, word) && !strings.Contains(text, word) {
			t.Errorf("%s\ntells %.300s", text, answer)
		}
		if err != nil && strings.Contains(err.Error(), word) && !strings.Contains(text, word) {
			t.Errorf("%s\ntells by its error: %v", text, err)
		}
	}
	if err != nil && (strings.Contains(err.Error(), "non-zero") || strings.Contains(err.Error(), "there") || strings.Contains(err.Error(), "Division by zero") || strings.Contains(err.Error(), "Cannot parse string")) {
		t.Errorf("%s\ntells that there is something: %v", text, err)
	}
}
