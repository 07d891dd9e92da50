// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	duckdb "github.com/duckdb/duckdb-go-bindings"
	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// filledLake makes a lake of two tenants: four commits in public files of two
// compactions, and one hot one.
func filledLake(t *testing.T) (*lake.Lake, *storetest.Epoch) {
	t.Helper()
	l, err := lake.Open(filepath.Join(t.TempDir(), "it's a lake"), lake.Options{Region: "eu 1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	acme, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "a/b c", "gateway-0")
	put(t, l, acme.Start(), other.Start())
	for i := range 4 {
		put(t, l, slices.Concat(acme.Operation(), other.Operation())...)
		if i%2 == 1 {
			compact(t, l)
		}
		acme.Time += 12 * 60 * 60 * 1000
	}
	put(t, l, acme.Operation()...)
	return l, acme
}

func put(t *testing.T, l *lake.Lake, entries ...store.Entry) {
	t.Helper()
	if _, err := l.Commit(t.Context(), store.Batch{Entries: entries}); err != nil {
		t.Fatal(err)
	}
}

func compact(t *testing.T, l *lake.Lake) {
	t.Helper()
	if _, err := l.Compact(t.Context(), true, func(put func(uint64) error) error { return put(0) }); err != nil {
		t.Fatal(err)
	}
}

// scanned returns the bytes of all events that a lake holds, in order.
func scanned(t *testing.T, r store.Reader) []string {
	t.Helper()
	var raws []string
	for e, err := range r.Scan(context.Background(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		raws = append(raws, string(e.Raw))
	}
	return raws
}

// firstColumn returns the first column of a query's rows.
func firstColumn(t *testing.T, db *DB, query string) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for rows.Next() {
		out = append(out, fmt.Sprint(rows.Values()[0]))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// The views are over hot and public files alike, and the rows are those of a
// scan, before a compaction, after it, and while it goes on.
func TestViewsOverCompactedLakes(t *testing.T) {
	l, e := filledLake(t)
	check := func() {
		t.Helper()
		m, release := l.Pin()
		defer release()
		s := Scope{Dir: l.Dir()}
		for _, f := range m.Files {
			s.Files = append(s.Files, f.Path)
		}
		var want []string
		for entry, err := range l.Scan(t.Context(), store.Query{AsOf: m.Number}) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(entry.Raw))
		}
		db, err := Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		got := firstColumn(t, db, "SELECT _raw FROM events ORDER BY _commit, _pos")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("commit %d (-scan +SQL):\n%s", m.Number, d)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	check()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 4 {
			if _, err := l.Commit(context.Background(), store.Batch{Entries: e.Operation()}); err != nil {
				t.Error(err)
			}
			if _, err := l.Compact(context.Background(), true, func(put func(uint64) error) error { return put(0) }); err != nil {
				t.Error(err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		check()
	}
}

// Whoever points DuckDB at the directory, without us, reads the public files as
// they lie: the bytes of every event, partitions by name, attributes by name.
func TestPublicFilesAsTheyLie(t *testing.T) {
	l, _ := filledLake(t)
	compact(t, l)
	db := new(DB)
	if duckdb.Open("", &db.db) == duckdb.StateError {
		t.Fatal("open DuckDB")
	}
	t.Cleanup(func() { duckdb.Close(&db.db) })
	conn, err := connect(db.db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	glob := literal(l.Dir() + "/*/region=*/accountId=*/eventDay=*/*.parquet")
	if err := conn.exec([]string{
		"SET TimeZone = 'UTC'",
		"CREATE VIEW public AS SELECT * FROM read_parquet(" + glob + ", hive_partitioning = true, hive_types_autocast = false, union_by_name = true)",
	}); err != nil {
		t.Fatal(err)
	}
	want := scanned(t, l)
	slices.Sort(want)
	if d := cmp.Diff(want, firstColumn(t, db, "SELECT _raw FROM public ORDER BY _raw")); d != "" {
		t.Errorf("events (-scan +DuckDB):\n%s", d)
	}
	// What the bytes say is what the attributes say.
	for attribute, path := range map[string]string{
		"actor.user.uid": "$.actor.user.uid", "metadata.correlation_uid": "$.metadata.correlation_uid", "metadata.product.name": "$.metadata.product.name",
		"api.service.name": "$.api.service.name", "src_endpoint.ip": "$.src_endpoint.ip", "app.name": "$.app.name",
	} {
		same := fmt.Sprintf("SELECT count(*) FILTER (%s IS NOT DISTINCT FROM json_extract_string(_raw, '%s')) || ' of ' || count(*) || ', ' || (count(%s) > 0) FROM public", attribute, path, attribute)
		if got := firstColumn(t, db, same)[0]; got != fmt.Sprintf("%d of %d, true", len(want), len(want)) {
			t.Errorf("attribute %s: %s are right", attribute, got)
		}
	}
	for name, test := range map[string]struct{ query, want string }{
		"lists":      {"SELECT count(*) FROM public WHERE CAST(to_json(metadata.profiles) AS VARCHAR) <> CAST(json_extract(_raw, '$.metadata.profiles') AS VARCHAR)", "0"},
		"time":       {"SELECT count(*) FROM public WHERE epoch_ms(time_dt) <> time OR strftime(time_dt, '%Y%m%d') <> eventDay", "0"},
		"tenants":    {"SELECT string_agg(DISTINCT accountId, ' and ' ORDER BY accountId) FROM public WHERE accountId = tenant", "a/b c and acme"},
		"partitions": {"SELECT count(*) FROM public WHERE accountId <> tenant OR region <> 'eu 1'", "0"},
	} {
		if got := firstColumn(t, db, test.query)[0]; got != test.want {
			t.Errorf("%s: %s, not %s", name, got, test.want)
		}
	}
}
