// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/ocsf/schema"
)

// houses are a lake of two tenants, each in a file of its own and both in a third,
// and the scope of each. Whatever is of a tenant says so by its mark.
func houses(t *testing.T) (dir string, scopes map[string]Scope) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "lake")
	row := func(tenant string, n int) map[string]any {
		return map[string]any{
			"metadata_uid": fmt.Sprintf("%s-mark-e%d", tenant, n), "tenant": tenant + "-mark", "kind": "outcome", "class_uid": 6003, "message": tenant + "-mark said",
			"operation_uid": tenant + "-mark-op", "principal": tenant + "-mark-user", "_raw": `{"x":"` + tenant + `-mark"}`, "sequence": n, "_commit": 1, "_pos": n,
		}
	}
	for _, tenant := range []string{"acme", "globex"} {
		writeSegment(t, filepath.Join(dir, "api_activity", "accountId="+tenant+"-mark", "a.parquet"), row(tenant, 1), row(tenant, 2))
	}
	writeSegment(t, filepath.Join(dir, "_hot", "both.parquet"), row("globex", 3), row("acme", 3), row("globex", 4), row("acme", 4))
	if err := os.WriteFile(filepath.Join(dir, "_manifest.json"), []byte(`{"x":"acme-mark globex-mark"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	scopes = map[string]Scope{}
	for _, tenant := range []string{"acme", "globex"} {
		scopes[tenant] = Scope{
			Dir: dir, Tenants: []string{tenant + "-mark"}, Shared: []string{"_hot/both.parquet"},
			Files: []string{"api_activity/accountId=" + tenant + "-mark/a.parquet"},
		}
	}
	return dir, scopes
}

// hostile are ways to what is not one's own, one's own directory being dir.
func hostile(dir, other string) []string {
	both, theirs := filepath.Join(dir, "_hot/both.parquet"), filepath.Join(dir, "api_activity/accountId="+other+"-mark/a.parquet")
	var all []string
	for _, path := range []string{both, theirs, filepath.Join(dir, "_manifest.json"), filepath.Join(dir, "**/*.parquet"), filepath.Join(dir, "_hot") + "/../_hot/both.parquet", "file://" + both} {
		p := literal(path)
		all = append(all,
			"FROM "+p, `FROM "`+path+`"`, `FROM "`+strings.TrimSuffix(path, ".parquet")+`"."parquet"`, "DESCRIBE "+p, "SUMMARIZE "+p, "SELECT * FROM "+p+" AS x", `TABLE "`+path+`"`,
			`WITH "`+path+`" AS (SELECT 1) SELECT * FROM (SELECT 1) a, `+p+" b",
			"FROM read_parquet("+p+")", "FROM parquet_scan(["+p+"])", "FROM read_text("+p+")", "FROM read_blob("+p+")", "FROM read_csv("+p+", sep = '\\0', header = false, all_varchar = true)", "FROM read_json("+p+")",
			"FROM glob("+p+")", "FROM parquet_metadata("+p+")", "FROM parquet_schema("+p+")", "FROM parquet_kv_metadata("+p+")", "FROM parquet_file_metadata("+p+")", "FROM parquet_bloom_probe("+p+", 'tenant', '"+other+"-mark')", "FROM sniff_csv("+p+")",
			"FROM query('FROM "+strings.ReplaceAll(p, "'", "''")+"')", "FROM query_table("+p+")",
			"SELECT (SELECT count(*) FROM "+p+")", "SELECT * FROM events, LATERAL (FROM "+p+")", "SELECT 1 WHERE EXISTS (FROM "+p+")",
			"COPY (SELECT 1) TO "+p, "COPY events TO "+literal(filepath.Join(dir, "out.parquet")), "COPY events FROM "+p, "ATTACH "+p, "ATTACH "+literal(dir+"/x.db")+" AS x",
			"CREATE TABLE t AS FROM "+p, "CREATE MACRO m() AS TABLE FROM "+p, "CREATE VIEW v AS FROM "+p, "PREPARE q AS FROM "+p, "EXECUTE q", "INSERT INTO _shared FROM "+p,
			"EXPLAIN ANALYZE FROM "+p, "PRAGMA import_database("+p+")", "CALL parquet_metadata("+p+")", "LOAD "+p,
		)
	}
	return append(all,
		"EXPORT DATABASE "+literal(filepath.Join(dir, "out")), "IMPORT DATABASE "+literal(dir), "PRAGMA database_list", "PRAGMA show_tables", "PRAGMA storage_info('_shared')",
		"INSTALL httpfs", "LOAD httpfs", "FROM 'https://127.0.0.1:1/x.parquet'", "SET allowed_directories = ["+literal(dir)+"]", "SET enable_external_access = true", "RESET allowed_paths", "SET VARIABLE x = 1",
		"SELECT getenv('HOME')", "SELECT current_setting('allowed_paths')", "SELECT current_setting('allowed_directories')", "SELECT getvariable('x')", "SELECT current_setting('temp_directory')",
		"FROM _shared", "FROM _inner._shared", "SUMMARIZE _inner._shared", "SELECT rowid, * FROM _inner._shared", "SELECT stats(principal) FROM _inner._shared", "PRAGMA storage_info('_inner._shared')", "SELECT * FROM main._shared", "FROM temp._shared", "FROM duckdb_tables()", "FROM duckdb_views()", "FROM duckdb_columns()", "FROM pragma_table_info('_shared')", "FROM information_schema.tables", "FROM information_schema.columns",
		"FROM pg_catalog.pg_class", "FROM sqlite_master", "FROM duckdb_constraints()", "FROM pragma_storage_info('_shared')", "FROM duckdb_external_file_cache()", "FROM duckdb_temporary_files()", "FROM duckdb_memory()", "FROM pragma_last_profiling_output()", "FROM duckdb_logs()",
		"SELECT stats(tenant), stats(message), stats(_raw) FROM events", "SELECT stats(principal) FROM _shared", "SELECT min(tenant), max(tenant) FROM events", "SELECT approx_top_k(tenant, 10), mode(principal) FROM events", "FROM histogram(events, tenant)",
		"SELECT error(message) FROM events", "SELECT * FROM events WHERE CAST(error(_raw) AS BOOLEAN)", "SELECT CAST(tenant AS INTEGER) FROM events", "SELECT CAST(message AS DATE) FROM events WHERE tenant LIKE '"+other+"%'",
		"SELECT * FROM events WHERE tenant = '"+other+"-mark' AND CAST(error(message) AS BOOLEAN)", "SELECT CASE WHEN tenant LIKE 'g%' THEN error(_raw) ELSE error(principal) END FROM events",
		"SELECT * FROM events WHERE regexp_matches(_raw, message) OR CAST(error(operation_uid) AS BOOLEAN)", "SELECT * FROM events e JOIN events f ON CAST(error(f._raw) AS BOOLEAN)",
		"SELECT * FROM events ORDER BY ALL", "SELECT string_agg(_raw) FROM events", "SELECT rowid, * FROM _shared", "SELECT * FROM events TABLESAMPLE 100%", "SELECT * FROM operations", "SELECT * FROM evaluations", "SELECT * FROM api_activity",
		"SELECT * FROM events WHERE '1' = '1' OR true; --", "SELECT * FROM events UNION ALL SELECT * FROM events", "FROM events SELECT filename", "FROM events SELECT file_row_number", "SELECT count(*) FROM events WHERE _raw LIKE '%"+other[:1]+"%'",
	)
}

// TestTwoTenants asks for everything in everybody's scope. There is no byte of the
// other's in what comes back, errors included, and nothing is written. It asks
// through the process, through the parse alone, and with the parse taken away.
func TestTwoTenants(t *testing.T) {
	dir, scopes := houses(t)
	before := digest(t, dir)
	for tenant, other := range map[string]string{"acme": "globex", "globex": "acme"} {
		scope := scopes[tenant]
		db := open(t, scope)
		if got, err := ask(t.Context(), db, "SELECT metadata_uid AS e FROM events ORDER BY 1"); err != nil ||
			got != strings.ReplaceAll(`{"e":"T-mark-e1"}`+"\n"+`{"e":"T-mark-e2"}`+"\n"+`{"e":"T-mark-e3"}`+"\n"+`{"e":"T-mark-e4"}`+"\n", "T", tenant) {
			t.Fatalf("%s sees %s, %v", tenant, got, err)
		}
		conn, err := connect(db.db)
		if err != nil {
			t.Fatal(err)
		}
		check := func(how, q, got string, err error) {
			t.Helper()
			// What the question says itself may be said back.
			said := strings.ReplaceAll(got+fmt.Sprint(err), q, "")
			if strings.Contains(said, other+"-mark") && !strings.Contains(q, other+"-mark") || strings.Contains(said, other+"-mark said") || strings.Contains(said, other+"-mark-e") || strings.Contains(said, `{"x":"`+other) {
				t.Errorf("%s, %s, %.200s\nsays %.2000s", tenant, how, q, said)
			}
		}
		p := processes(t, Limits{})
		for i, q := range hostile(dir, other) {
			got, err := ask(t.Context(), db, q)
			check("parse", q, got, err)
			if i%9 == 0 {
				got, err = askIn(t.Context(), p, scope, q)
				check("process", q, got, err)
			}
			if res, err := conn.start(q); err != nil {
				check("engine", q, "", err)
			} else {
				rows := newRows(t.Context(), conn, res)
				var out []byte
				for rows.Next() {
					if out, err = AppendRow(out, rows.Columns(), rows.Values()); err != nil {
						t.Fatal(err)
					}
				}
				err = rows.Err()
				rows.destroy()
				check("engine", q, string(out), err)
			}
		}
		// With the first wall gone a query may have made a table, or dropped a view:
		// in this database, and in no other.
		conn.close()
	}
	if digest(t, dir) != before {
		t.Error("the lake's directory has changed")
	}
}

// Shared files are for scopes of tenants only, and a scope's list of tenants is
// text and no SQL.
func TestScopeTenants(t *testing.T) {
	_, scopes := houses(t)
	s := scopes["acme"]
	s.Tenants = nil
	if db, err := Open(t.Context(), s); err == nil {
		t.Errorf("shared files without tenants: %v", db.Close())
	}
	for _, tenant := range []string{"x') OR ('1' = '1", `x", "globex-mark`, "x\x00", "GLOBEX-MARK", "%", ""} {
		s.Tenants = []string{tenant}
		if got, err := ask(t.Context(), open(t, s), "SELECT count(*) AS n FROM events"); err != nil || got != `{"n":0}`+"\n" {
			t.Errorf("tenant %q: %s, %v", tenant, got, err)
		}
	}
	s.Tenants = []string{"globex-mark", "acme-mark"}
	if got, err := ask(t.Context(), open(t, s), "SELECT count(*) AS n FROM events"); err != nil || got != `{"n":6}`+"\n" {
		t.Errorf("two tenants of three files: %s, %v", got, err)
	}
}

// A filter is what the views are made of.
func TestScopeFilter(t *testing.T) {
	s := story(t)
	for expression, want := range map[string]string{
		`kind == "evaluation"`:                 "2",
		`class_uid == 6003 && binding != "b1"`: "3",
		`sequence / sequence == 1`:             "",
		`kind.matches("^(result|outcome)$")`:   "2",
		`kind in [binding]`:                    "",
		`kind ==`:                              "",
	} {
		s.Filter = expression
		got, err := askIn(t.Context(), processes(t, Limits{}), s, "SELECT count(*) AS n FROM events")
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "filter") {
				t.Errorf("%s: %s, %v", expression, got, err)
			}
			continue
		}
		if err != nil || got != "n\n{\"n\":"+want+"}\n" {
			t.Errorf("%s: %s, %v", expression, got, err)
		}
	}
	s.Filter = `binding == "b2"`
	if got, err := ask(t.Context(), open(t, s), "SELECT binding, answer FROM evaluations"); err != nil || got != `{"binding":"b2","answer":null}`+"\n" {
		t.Errorf("a view over the filtered: %s, %v", got, err)
	}
	s.Filter = `1 / 0 == 1`
	var failed *QueryError
	if _, err := ask(t.Context(), open(t, s), "SELECT count(*) FROM events"); !errors.As(err, &failed) {
		t.Errorf("a filter that always fails: %v", err)
	}
}

// Each class of each version has a view, and no other name is one.
func TestClasses(t *testing.T) {
	want := map[string]int64{}
	for _, version := range schema.Versions() {
		s, err := schema.Load(version)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range s.Classes {
			if c.UID != 0 { // the class that all others come from, of which there are no events
				want[name] = int64(c.UID)
			}
		}
	}
	for _, c := range classes {
		if want[c.name] != c.uid {
			t.Errorf("%s is %d, in the catalogs %d", c.name, c.uid, want[c.name])
		}
		delete(want, c.name)
	}
	if len(want) > 0 || !slices.IsSortedFunc(classes, func(a, b struct {
		name string
		uid  int64
	},
	) int {
		return strings.Compare(a.name, b.name)
	}) {
		t.Errorf("classes without a view, or in no order: %v", want)
	}
	db := open(t, story(t))
	for _, c := range classes {
		got, err := ask(t.Context(), db, `SELECT count(*) AS n FROM "`+c.name+`"`)
		some := map[int64]string{6003: "4", 2004: "1", 6002: "1"}[c.uid]
		if some == "" {
			some = "0"
		}
		if err != nil || got != `{"n":`+some+"}\n" {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
	}
}

// Who asks which tables there are is shown views, also where rows of files that
// hold those of others were copied; the copy is there for the views alone.
func TestSharedIsNotShown(t *testing.T) {
	_, scopes := houses(t)
	scope := scopes["acme"]
	if len(scope.Shared) == 0 {
		t.Fatal("nothing is shared")
	}
	scope.Asked = "SHOW TABLES"
	db := open(t, scope)
	for _, q := range []string{
		"SELECT name FROM (SHOW TABLES) WHERE name LIKE '%shared%'", "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main' AND table_type <> 'VIEW'",
		"SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'",
	} {
		if got, err := ask(t.Context(), db, q); err != nil || got != "" {
			t.Errorf("%s: %s, %v", q, got, err)
		}
	}
	if got, err := ask(t.Context(), db, "SELECT count(*) > 3 AS views FROM (SHOW TABLES)"); err != nil || got != `{"views":true}`+"\n" {
		t.Errorf("views: %s, %v", got, err)
	}
	if got, err := ask(t.Context(), db, "FROM _shared"); err == nil {
		t.Errorf("by its name alone: %s", got)
	}
}
