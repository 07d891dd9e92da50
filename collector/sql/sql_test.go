// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	duckdb "github.com/duckdb/duckdb-go-bindings"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain also makes this program the one that answers for [Processes].
func TestMain(m *testing.M) {
	if os.Args[0] == answerName {
		if err := Answer(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// writeSegment makes a Parquet file of rows, each the values of some columns;
// the others get what is zero for them.
func writeSegment(t testing.TB, path string, rows ...map[string]any) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	var db duckdb.Database
	if duckdb.Open("", &db) == duckdb.StateError {
		t.Fatal("open DuckDB")
	}
	defer duckdb.Close(&db)
	conn, err := connect(db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	exec := func(q string) {
		t.Helper()
		if err := conn.exec([]string{q}); err != nil {
			t.Fatal(err)
		}
	}
	var defs []string
	for _, c := range columns {
		zero := map[string]string{"VARCHAR": "''", "BIGINT": "0", "INTEGER": "0", "BOOLEAN": "false"}[c.Type]
		defs = append(defs, c.Name+" "+c.Type+" DEFAULT "+zero)
	}
	exec("CREATE TABLE t (" + strings.Join(defs, ", ") + ")")
	for _, row := range rows {
		var names, values []string
		for name, v := range row {
			names, values = append(names, name), append(values, literal(fmt.Sprint(v)))
		}
		exec("INSERT INTO t (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")")
	}
	exec("COPY t TO " + literal(path) + " (FORMAT parquet)")
}

// story is one denied operation with two evaluations, a finding and a start.
func story(t *testing.T) Scope {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "it's a lake")
	writeSegment(t, filepath.Join(dir, "_hot", "a.parquet"),
		map[string]any{"metadata_uid": "e0", "kind": "lifecycle", "class_uid": 6002, "epoch": "ep", "sequence": 1, "_raw": `{"n":0}`, "_pos": 0, "_commit": 1},
		map[string]any{"metadata_uid": "e1", "kind": "evaluation", "class_uid": 6003, "operation_uid": "op", "evaluation_uid": "ev1", "binding": "b1", "_raw": `{"n":1}`, "_pos": 1, "_commit": 1},
		map[string]any{"metadata_uid": "e2", "kind": "result", "class_uid": 6003, "operation_uid": "op", "evaluation_uid": "ev1", "decision": "deny", "status_detail": "no root", "_raw": `{"n":2}`, "_pos": 2, "_commit": 1})
	writeSegment(t, filepath.Join(dir, "api_activity", "region=eu", "accountId=acme", "eventDay=20260101", "b.parquet"),
		map[string]any{"metadata_uid": "e3", "kind": "evaluation", "class_uid": 6003, "operation_uid": "op", "evaluation_uid": "ev2", "binding": "b2", "_raw": `{"n":3}`, "_commit": 2},
		map[string]any{"metadata_uid": "e4", "kind": "outcome", "class_uid": 6003, "operation_uid": "op", "decision": "deny", "status_code": "PERMISSION_DENIED", "_raw": `{"n":4}`, "_pos": 1, "_commit": 2},
		map[string]any{"metadata_uid": "e5", "kind": "finding", "class_uid": 2004, "_raw": `{"n":5}`, "_pos": 2, "_commit": 2})
	// A file that is in the lake's directory and not in its manifest.
	writeSegment(t, filepath.Join(dir, "_hot", "orphan.parquet"), map[string]any{"metadata_uid": "secret"})
	if err := os.WriteFile(filepath.Join(dir, "_manifest.json"), []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return Scope{Dir: dir, Files: []string{"_hot/a.parquet", "api_activity/region=eu/accountId=acme/eventDay=20260101/b.parquet"}}
}

func open(t *testing.T, s Scope) *DB {
	t.Helper()
	db, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// ask returns the answer as NDJSON.
func ask(ctx context.Context, db *DB, text string) (_ string, err error) {
	rows, err := db.Query(ctx, text)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var out []byte
	for rows.Next() {
		if out, err = AppendRow(out, rows.Columns(), rows.Values()); err != nil {
			return "", err
		}
		out = append(out, '\n')
	}
	return string(out), rows.Err()
}

func TestViews(t *testing.T) {
	db := open(t, story(t))
	for _, test := range []struct{ query, want string }{
		{"SELECT metadata_uid, _raw FROM events ORDER BY _commit, _pos LIMIT 2", `{"metadata_uid":"e0","_raw":"{\"n\":0}"}` + "\n" + `{"metadata_uid":"e1","_raw":"{\"n\":1}"}` + "\n"},
		{"SELECT count(*) AS n FROM events", `{"n":6}` + "\n"},
		{"FROM operations SELECT operation_uid, decision, status_code", `{"operation_uid":"op","decision":"deny","status_code":"PERMISSION_DENIED"}` + "\n"},
		{
			"SELECT binding, answer, decision, reason, answer_uid FROM evaluations ORDER BY binding",
			`{"binding":"b1","answer":"result","decision":"deny","reason":"no root","answer_uid":"e2"}` + "\n" +
				`{"binding":"b2","answer":null,"decision":null,"reason":null,"answer_uid":null}` + "\n",
		},
		{"SELECT count(*) FROM api_activity UNION ALL SELECT count(*) FROM detection_finding UNION ALL SELECT count(*) FROM application_lifecycle", `{"count_star()":4}` + "\n" + `{"count_star()":1}` + "\n" + `{"count_star()":1}` + "\n"},
		{"SELECT count(*) AS n FROM entity_management, application_error", `{"n":0}` + "\n"},
		{"SELECT _raw->>'$.n' AS n FROM events WHERE metadata_uid = 'e5'; -- done", `{"n":"5"}` + "\n"},
	} {
		got, err := ask(t.Context(), db, test.query)
		if err != nil || got != test.want {
			t.Errorf("%s\n got %q, %v\nwant %q", test.query, got, err, test.want)
		}
	}
}

// TestColumns holds the contract of the views. The two fixed ones of events are
// tested on their own, so that no update of the golden file can lose them.
func TestColumns(t *testing.T) {
	var golden strings.Builder
	empty := Scope{Dir: t.TempDir()}
	full := story(t)
	for _, view := range []string{"events", "operations", "evaluations", "api_activity", "application_error", "application_lifecycle", "detection_finding", "entity_management"} {
		var both [2]string
		for i, s := range []Scope{full, empty} {
			rows, err := open(t, s).Query(t.Context(), "SELECT * FROM "+view+" LIMIT 1")
			if err != nil {
				t.Fatal(err)
			}
			types := map[string]string{}
			for _, c := range rows.Columns() {
				both[i] += fmt.Sprintf("%s.%s %s\n", view, c.Name, c.Type)
				types[c.Name] = c.Type
			}
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
			if view == "events" && (types["_raw"] != "VARCHAR" || types["metadata_uid"] != "VARCHAR") {
				t.Errorf("_raw is %s, metadata_uid is %s", types["_raw"], types["metadata_uid"])
			}
		}
		if both[0] != both[1] {
			t.Errorf("an empty lake has other columns:\n%s", cmp.Diff(both[0], both[1]))
		}
		golden.WriteString(both[0])
	}
	path := filepath.Join("testdata", "columns.golden")
	if *update {
		if err := os.WriteFile(path, []byte(golden.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), golden.String()); diff != "" {
		t.Errorf("columns changed (-want +got):\n%s", diff)
	}
}

// digest is one SHA-256 over every file of a directory, its name and its bytes.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %v\n", path, d.Type())
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%d %s\n", len(b), b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestRefused sends what must not run. The last part of each name says by which
// wall it has to be stopped.
func TestRefused(t *testing.T) {
	scope := story(t)
	db := open(t, scope)
	outside := t.TempDir()
	csv := filepath.Join(outside, "secret.csv")
	if err := os.WriteFile(csv, []byte("a,b\ncanary,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(scope.Dir, "_hot", "link.parquet")
	writeSegment(t, filepath.Join(outside, "secret.parquet"), map[string]any{"metadata_uid": "canary"})
	if err := os.Symlink(filepath.Join(outside, "secret.parquet"), link); err != nil {
		t.Fatal(err)
	}
	lake := func(rel string) string { return literal(filepath.Join(scope.Dir, rel)) }
	granted := filepath.Join(scope.Dir, scope.Files[0])

	// statement: refused by the parse, with a StatementError.
	statement := []string{
		"", ";", "-- nothing", "SELECT 1e400", "SELECT * FROM events WHERE duration_ms < 1e999", "SELEC 1", "SELECT", "nonsense",
		"COPY events TO " + lake("x.csv"), "COPY (SELECT 1) TO " + literal(granted), "copy events to '/tmp/x.parquet' (format parquet)",
		"ATTACH " + lake("x.db"), "ATTACH " + lake("x.db") + " AS x; CREATE TABLE x.t AS SELECT 1", "DETACH memory", "USE memory",
		"EXPORT DATABASE " + lake("x"), "IMPORT DATABASE " + lake("x"),
		"EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1", "EXPLAIN ANALYZE COPY (SELECT 1) TO " + lake("x.csv"),
		"SELECT 1; SELECT 2", "SELECT 1; DROP VIEW events", "DROP VIEW events; SELECT 1", "SELECT 1;;COPY events TO " + lake("x.csv"),
		"/* SELECT */ DROP VIEW events", "(SELECT 1); CREATE TABLE x(i INT)",
		"PREPARE x AS SELECT 1", "EXECUTE x", "DEALLOCATE x", "PREPARE x AS COPY (SELECT 1) TO " + lake("x.csv"),
		"INSTALL httpfs", "LOAD httpfs", "FORCE INSTALL httpfs", "UPDATE EXTENSIONS",
		"SET enable_external_access = true", "RESET lock_configuration", "SET SESSION threads = 1", "SET VARIABLE x = 1",
		"PRAGMA enable_external_access", "PRAGMA memory_limit='1TB'", "PRAGMA database_list",
		"CREATE TABLE x(i INT)", "CREATE VIEW x AS SELECT 1", "CREATE MACRO x() AS 1", "CREATE SECRET s (TYPE s3)", "CREATE PERSISTENT SECRET s (TYPE s3)", "CREATE SEQUENCE s",
		"CREATE OR REPLACE VIEW events AS SELECT 1", "CREATE TEMP TABLE x AS SELECT 1", "ALTER VIEW events RENAME TO e", "DROP VIEW events",
		"INSERT INTO events VALUES (1)", "UPDATE events SET decision = 'allow'", "DELETE FROM events", "TRUNCATE events", "MERGE INTO events USING events ON true WHEN MATCHED THEN DELETE",
		"BEGIN", "COMMIT", "ROLLBACK", "CHECKPOINT", "VACUUM", "ANALYZE", "CALL enable_logging()", "COMMENT ON VIEW events IS 'x'",
		"WITH x AS (DELETE FROM events RETURNING *) SELECT * FROM x",
		"SELECT * FROM read_csv(" + literal(csv) + ")", "SELECT * FROM read_csv_auto(" + literal(csv) + ")", "FROM sniff_csv(" + literal(csv) + ")",
		"SELECT * FROM read_text(" + literal(csv) + ")", "FROM read_blob(" + literal(csv) + ")", "FROM READ_TEXT('/etc/passwd')", `FROM "read_text"('/etc/passwd')`,
		"FROM read_text(" + lake("_manifest.json") + ")", "FROM read_json(" + lake("_manifest.json") + ")",
		"FROM parquet_scan(" + literal(filepath.Join(outside, "secret.parquet")) + ")", "FROM read_parquet(" + lake("_hot/orphan.parquet") + ")",
		"FROM read_parquet(" + lake("_hot/*.parquet") + ")", "FROM read_parquet(" + literal(granted) + ")",
		"FROM parquet_metadata(" + literal(granted) + ")", "FROM parquet_kv_metadata(" + literal(granted) + ")",
		"FROM glob('/*')", "FROM glob(" + lake("**") + ")",
		"FROM query('SELECT 1')", "FROM query('COPY events TO ''/tmp/x''')", "FROM query_table('events')", "FROM query(getvariable('x'))",
		"FROM json_execute_serialized_sql('{}')", "FROM duckdb_secrets()", "FROM duckdb_settings()", "FROM which_secret('x', 's3')", "FROM duckdb_databases()",
		"FROM enable_logging(storage = 'file', storage_path = " + lake("x") + ")", "FROM checkpoint()", "FROM force_checkpoint()", "FROM duckdb_logs()",
		"SELECT (SELECT count(*) FROM read_text('/etc/passwd'))", "SELECT 1 WHERE EXISTS (FROM glob('/*'))", "SELECT * FROM events, LATERAL (FROM read_text(_raw))",
		"WITH a AS (WITH b AS (FROM read_blob('/etc/passwd')) FROM b) FROM a", "SELECT 1 UNION ALL SELECT content FROM read_text('/etc/passwd')",
		"SELECT list_transform([1], x -> (SELECT count(*) FROM read_text('/etc/passwd')))", "VALUES ((SELECT content FROM read_text('/etc/passwd')))",
		"DESCRIBE FROM read_text('/etc/passwd')", "SUMMARIZE FROM read_csv('/etc/passwd')",
		strings.Repeat(" ", maxText) + "SELECT 1",
	}
	// engine: a SELECT, stopped by the engine's settings.
	engine := []string{
		"FROM " + `"` + csv + `"`, "FROM '/etc/passwd'", "FROM " + literal(filepath.Join(outside, "secret.parquet")),
		"FROM " + lake("_hot/orphan.parquet"), "FROM " + lake("_hot/*.parquet"), "FROM " + literal(link),
		"FROM " + literal(filepath.Join(scope.Dir, "_hot")+"/../../../secret.parquet"),
		"FROM " + literal(filepath.Join(scope.Dir, "_hot")+"/../_hot/orphan.parquet"),
		"FROM " + literal("file://"+csv), "FROM 'http://127.0.0.1:1/x.parquet'", "FROM 's3://x/y.parquet'",
		"SELECT getenv('HOME')", "SELECT * FROM nowhere", "SELECT nothing FROM events", "SELECT $1", "SELECT ?", "SELECT nextval('s')",
		"SELECT error('told')",
	}
	before := digest(t, scope.Dir)
	for _, q := range statement {
		out, err := ask(t.Context(), db, q)
		var refused *StatementError
		if !errors.As(err, &refused) || refused.Hint() == "" {
			t.Errorf("%.200s: not refused as a statement: %q, %v", q, out, err)
		}
	}
	for _, q := range engine {
		out, err := ask(t.Context(), db, q)
		var failed *QueryError
		var refused *StatementError // the parser's own limits
		if !errors.As(err, &failed) && !errors.As(err, &refused) {
			t.Errorf("%.200s: not refused: %q, %v", q, out, err)
		}
	}
	if digest(t, scope.Dir) != before {
		t.Error("the lake's directory has changed")
	}
	if got, err := ask(t.Context(), db, "SELECT count(*) AS n FROM events"); err != nil || got != `{"n":6}`+"\n" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

// The hint of a query that fails is where to find the names, if that is what is wrong.
func TestHints(t *testing.T) {
	db := open(t, story(t))
	const names = "SHOW TABLES"
	for q, want := range map[string]string{
		"SELECT * FROM nowhere": names, "SELECT nothing FROM events": names, "SELECT nowhere.tenant FROM events": names, "SELECT events.nothing FROM events": names,
		"SELECT sum(tenant) FROM events": names, "SELECT * FROM events WHERE time > now()": names,
		"SELECT CAST(tenant AS INTEGER) FROM events": "", "SELECT error('told')": "", "SELECT 9223372036854775807 + count(*) FROM events": "", "SELECT nosuch(1)": "", "SELECT count(*) FROM events WHERE count(*) > 1": "",
	} {
		_, err := ask(t.Context(), db, q)
		var failed *QueryError
		if !errors.As(err, &failed) || (failed.Hint() == "") != (want == "") || !strings.Contains(failed.Hint(), want) {
			t.Errorf("%s: %v, want a hint of %q", q, err, want)
		}
	}
}

// TestEngineAlone takes the first wall away: what the parse would refuse is
// sent to the engine itself.
func TestEngineAlone(t *testing.T) {
	scope := story(t)
	db := open(t, scope)
	outside := filepath.Join(t.TempDir(), "canary.csv")
	if err := os.WriteFile(outside, []byte("a,b\ncanary,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lake := func(rel string) string { return literal(filepath.Join(scope.Dir, rel)) }
	conn, err := connect(db.db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	before := digest(t, scope.Dir)
	for _, q := range []string{
		"COPY (SELECT 1) TO " + lake("x.csv"), "COPY (SELECT 1) TO '/tmp/docket-x.csv'", "EXPORT DATABASE " + lake("x"),
		"ATTACH " + lake("x.db") + " AS x", "ATTACH '/tmp/docket-x.db' AS y",
		"FROM read_text(" + literal(outside) + ")", "FROM read_blob(" + lake("_manifest.json") + ")", "FROM read_parquet(" + lake("_hot/orphan.parquet") + ")",
		"FROM read_csv('/etc/passwd')", "FROM read_text('/proc/self/environ')",
		"SET enable_external_access = true", "SET allowed_paths = ['/etc/passwd']", "SET allowed_directories = ['/']", "SET lock_configuration = false",
		"SET temp_directory = '/tmp/docket-x'", "SET memory_limit = '1TB'", "SET GLOBAL threads = 99",
		"INSTALL httpfs", "LOAD '/tmp/x.duckdb_extension'", "CREATE PERSISTENT SECRET s (TYPE http)",
	} {
		if err := conn.exec([]string{q}); err == nil {
			t.Errorf("%s: the engine lets it pass", q)
		}
	}
	if rows, err := ask(t.Context(), db, "SELECT count(*) AS n FROM events"); err != nil || rows != `{"n":6}`+"\n" {
		t.Errorf("afterwards: %q, %v", rows, err)
	}
	if digest(t, scope.Dir) != before {
		t.Error("the lake's directory has changed")
	}
}

func TestAccepted(t *testing.T) {
	db := open(t, story(t))
	for _, q := range []string{
		"SELECT 1;", "(SELECT 1)", "/* a */ SELECT 1 -- b", "TABLE events", "VALUES (1)", "FROM events", "SHOW TABLES", "DESCRIBE events", "SUMMARIZE events",
		"WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT * FROM t",
		"SELECT * FROM range(3), generate_series(1, 2)", "SELECT unnest([1, 2])", "FROM json_each('[1]')", "FROM histogram(events, decision)",
		"SELECT decision, count(*) FROM events GROUP BY ALL ORDER BY ALL", "SELECT time_bucket(INTERVAL 1 MINUTE, epoch_ms(time)) AS minute, count(*) FROM events GROUP BY 1",
		"SELECT row_number() OVER () FROM events QUALIFY 1 = 1", "SELECT ';' AS x, '--' AS y, $$a;b$$ AS z",
		"SELECT * FROM duckdb_columns()", "SELECT table_name FROM information_schema.tables", "SELECT regexp_replace(_raw, 'n', 'm') FROM events",
		"FROM (PIVOT events ON decision IN ('allow', 'deny') USING count(*))",
	} {
		if _, err := ask(t.Context(), db, q); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// TestDeep sends what nests deeper than a stack is high. An engine that
// crashed would take the test with it.
func TestDeep(t *testing.T) {
	db := open(t, Scope{Dir: t.TempDir()})
	const n = 20_000
	for name, q := range map[string]string{
		"parentheses": "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n),
		"not":         "SELECT " + strings.Repeat("NOT ", n) + "true",
		"minus":       "SELECT " + strings.Repeat("- ", n) + "1",
		"plus":        "SELECT 1" + strings.Repeat("+1", n),
		"and":         "SELECT true" + strings.Repeat(" AND true", n),
		"lists":       "SELECT " + strings.Repeat("[", n) + "1" + strings.Repeat("]", n),
		"calls":       "SELECT " + strings.Repeat("abs(", n) + "1" + strings.Repeat(")", n),
		"subqueries":  "SELECT " + strings.Repeat("(SELECT ", n/10) + "1" + strings.Repeat(")", n/10),
		"from":        strings.Repeat("SELECT * FROM (", n/10) + "SELECT 1" + strings.Repeat(")", n/10),
		"unions":      "SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", n/100),
		"joins":       "SELECT 1 FROM range(1)" + strings.Repeat(", range(1)", n/10),
		"lambdas":     "SELECT " + strings.Repeat("list_transform([1], x -> ", n/10) + "1" + strings.Repeat(")", n/10),
		"casts":       "SELECT 1" + strings.Repeat("::INT", n),
		"dots":        "SELECT a" + strings.Repeat(".a", n),
		"cases":       "SELECT " + strings.Repeat("CASE WHEN true THEN ", n/10) + "1" + strings.Repeat(" END", n/10),
		"json":        "SELECT '" + strings.Repeat("[", n) + "'::JSON",
	} {
		_, err := ask(t.Context(), db, q)
		t.Logf("%s: %.120v", name, err)
	}
	if got, err := ask(t.Context(), db, "SELECT 1 AS x"); err != nil || got != `{"x":1}`+"\n" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestScopeOutside(t *testing.T) {
	for _, f := range []string{"../x.parquet", "/etc/passwd", "a/../../x.parquet"} {
		if db, err := Open(t.Context(), Scope{Dir: t.TempDir(), Files: []string{f}}); err == nil {
			t.Errorf("%s is accepted: %v", f, db.Close())
		}
	}
	if db, err := Open(t.Context(), Scope{Dir: t.TempDir(), Files: []string{"gone.parquet"}}); err == nil {
		t.Errorf("a missing file is accepted: %v", db.Close())
	}
}

func TestValues(t *testing.T) {
	db := open(t, Scope{Dir: t.TempDir()})
	for _, test := range []struct{ query, want string }{
		{"SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS A", `{"a":1,"a_2":2,"a_1":3,"A":4}`},
		{"SELECT NULL AS n, true AS b, 9223372036854775807 AS i, 18446744073709551615::UBIGINT AS u, 170141183460469231731687303715884105727::HUGEINT AS h", `{"n":null,"b":true,"i":9223372036854775807,"u":18446744073709551615,"h":170141183460469231731687303715884105727}`},
		{"SELECT sum(1) AS s, 1.50::DECIMAL(9,2) AS d, 0.1::DOUBLE AS f, 'nan'::DOUBLE AS nan, 1e300 AS e, 1.5::FLOAT AS r", `{"s":1,"d":1.50,"f":0.1,"nan":"NaN","e":1e+300,"r":1.5}`},
		{`SELECT 'a"<é' AS s, '\x00ab'::BLOB AS x, '6ccd780c-baba-1026-9564-5b8c656024db'::UUID AS u`, `{"s":"a\"<é","x":"AGFi","u":"6ccd780c-baba-1026-9564-5b8c656024db"}`},
		{"SELECT epoch_ms(1793215000100) AS ts, DATE '2026-01-02' AS d, TIME '03:04:05.5' AS t", `{"ts":"2026-10-28T19:16:40.1Z","d":"2026-01-02","t":"03:04:05.5"}`},
		{"SELECT [1, NULL] AS l, {'b': 1, 'a': [2]} AS s, MAP {'k': 1} AS m", `{"l":[1,null],"s":{"a":[2],"b":1},"m":{"k":1}}`},
		{`SELECT '{"b":1793215000100,"a":[null]}'::JSON AS j`, `{"j":{"b":1793215000100,"a":[null]}}`},
		{"SELECT -1.05::DECIMAL(4,2) AS a, 0::DECIMAL(18,3) AS b, 12345678901234567890.5::DECIMAL(38,1) AS c, 7::DECIMAL(3,0) AS d", `{"a":-1.05,"b":0.000,"c":12345678901234567890.5,"d":7}`},
		{"SELECT -1::TINYINT AS a, -2::SMALLINT AS b, 255::UTINYINT AS c, 65535::USMALLINT AS d, 4294967295::UINTEGER AS e, -5::HUGEINT AS f, 340282366920938463463374607431768211455::UHUGEINT AS g", `{"a":-1,"b":-2,"c":255,"d":65535,"e":4294967295,"f":-5,"g":340282366920938463463374607431768211455}`},
		{"SELECT [[1], [], NULL] AS l, [1, 2]::INTEGER[2] AS a, [{'x': [NULL, 'long enough to lie elsewhere']}] AS s, union_value(k := 'v') AS u", `{"l":[[1],[],null],"a":[1,2],"s":[{"x":[null,"long enough to lie elsewhere"]}],"u":"v"}`},
		{"SELECT make_timestamp_ns(1) AS ns, '2026-01-02 03:04:05+01'::TIMESTAMPTZ AS tz, '1969-12-31'::DATE AS d, NULL::INTEGER[] AS l, NULL::STRUCT(a INTEGER) AS s", `{"ns":"1970-01-01T00:00:00.000000001Z","tz":"2026-01-02T02:04:05Z","d":"1969-12-31","l":null,"s":null}`},
		{"SELECT '12:00:00+01'::TIMETZ::VARCHAR AS t, [] AS e, {} AS o FROM range(1)", ""},
		{"SELECT INTERVAL 90 SECOND AS i, 'x'::ENUM('x') AS e, '101'::BIT AS bit", `{"i":"0 months 0 days 1m30s","e":"x","bit":"101"}`},
	} {
		got, err := ask(t.Context(), db, test.query)
		if test.want == "" {
			continue // whether it is known to this engine or not: it must not crash
		}
		if err != nil || got != test.want+"\n" {
			t.Errorf("%s\n got %s, %v\nwant %s", test.query, got, err, test.want)
		}
	}
}

// TestCancel ends a query that would run for ages.
func TestCancel(t *testing.T) {
	db := open(t, Scope{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := ask(ctx, db, "SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE hash(a.range, b.range) = 0")
		done <- err
	}()
	cancel()
	if err := <-done; err == nil {
		t.Error("the query came to an end")
	}
	if got, err := ask(t.Context(), db, "SELECT 1 AS x"); err != nil || got != `{"x":1}`+"\n" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestMemoryLimit(t *testing.T) {
	const greedy = "SELECT count(*) FROM (SELECT DISTINCT hash(range)::VARCHAR FROM range(5000000))"
	db := open(t, Scope{Dir: t.TempDir(), MemoryLimit: 48 << 20, Threads: 1})
	var failed *QueryError
	if _, err := ask(t.Context(), db, greedy); !errors.As(err, &failed) || !strings.Contains(err.Error(), "Out of Memory") {
		t.Errorf("a query beyond the limit: %v", err)
	}
	// Where it may spill, it takes longer and comes to an end, and leaves nothing.
	tmp := t.TempDir()
	db = open(t, Scope{Dir: t.TempDir(), MemoryLimit: 128 << 20, Threads: 1, TempDir: tmp})
	if _, err := ask(t.Context(), db, greedy); err != nil {
		t.Errorf("a query that may spill: %v", err)
	}
}

// TestAnswerIsStreamed reads the beginning of an answer that no memory holds.
func TestAnswerIsStreamed(t *testing.T) {
	db := open(t, Scope{Dir: t.TempDir(), MemoryLimit: 64 << 20})
	rows, err := db.Query(t.Context(), "SELECT repeat('x', 1000) || range AS v FROM range(1000000000000)")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		if !rows.Next() {
			t.Fatalf("row %d: %v", i, rows.Err())
		}
		if v, _ := rows.Values()[0].(string); len(v) != 1000+len(strconv.Itoa(i)) {
			t.Fatalf("row %d has %d bytes", i, len(v))
		}
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	if rows.Next() || rows.Close() != nil {
		t.Error("closed rows go on")
	}
}

// TestLateError fails in the middle of an answer.
func TestLateError(t *testing.T) {
	db := open(t, Scope{Dir: t.TempDir()})
	rows, err := db.Query(t.Context(), "SELECT CASE WHEN range = 500000 THEN error('told late') ELSE range END AS n FROM range(1000000)")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	var failed *QueryError
	if err := rows.Err(); !errors.As(err, &failed) || !strings.Contains(err.Error(), "told late") || n > 500_000 {
		t.Errorf("after %d rows: %v", n, err)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	// And one that is given up in the middle.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if rows, err = db.Query(ctx, "FROM range(100000000000)"); err != nil {
		t.Fatal(err)
	}
	for n = 0; rows.Next(); n++ {
		if n == 10_000 {
			cancel()
		}
	}
	if err := rows.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("after %d rows: %v", n, err)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestConcurrent(t *testing.T) {
	db := open(t, story(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if got, err := ask(t.Context(), db, "SELECT count(*) AS n FROM evaluations"); err != nil || got != `{"n":2}`+"\n" {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}
