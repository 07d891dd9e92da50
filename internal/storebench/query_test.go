// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package storebench

import (
	"fmt"
	"slices"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// BenchmarkQuery asks as a user does, each time of a database of its own: "open"
// is what of it is none of the query's. The process that it runs in is not
// counted.
func BenchmarkQuery(b *testing.B) {
	dir := bigLake(b)
	scope, first, last := scopeOf(b, dir)
	middle := first + (last-first)/2
	span := (last - first) * 300_000 / int64(*events) // that of 300,000 events
	for _, q := range []struct{ name, text string }{
		{"open", "SELECT 1"},
		{"principal+range", fmt.Sprintf("SELECT time, method, decision, message FROM events WHERE principal = 'user-7' AND time BETWEEN %d AND %d ORDER BY time", middle, middle+span)},
		{"top-denied", "SELECT principal, count(*) AS n FROM events WHERE decision = 'deny' AND kind = 'outcome' GROUP BY principal ORDER BY n DESC LIMIT 10"},
		{"per-minute", "SELECT time // 60000 AS minute, decision, count(*) FROM events GROUP BY ALL ORDER BY ALL"},
	} {
		b.Run(q.name, func(b *testing.B) {
			rows := 0
			for b.Loop() {
				scope.Asked = q.text // as it is where each query has a process
				db, err := sql.Open(b.Context(), scope)
				if err != nil {
					b.Fatal(err)
				}
				rows = ask(b, db, q.text)
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows), "rows")
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms/op")
		})
	}
}

func scopeOf(b *testing.B, dir string) (scope sql.Scope, first, last int64) {
	b.Helper()
	r, err := lake.OpenReader(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	scope = sql.Scope{Dir: dir}
	for _, f := range r.Files() {
		scope.Files = append(scope.Files, f.Path)
		if first == 0 || f.MinTime < first {
			first = f.MinTime
		}
		last = max(last, f.MaxTime)
	}
	return scope, first, last
}

func ask(b *testing.B, db *sql.DB, text string) (n int) {
	b.Helper()
	rows, err := db.Query(b.Context(), text)
	if err != nil {
		b.Fatal(err)
	}
	for rows.Next() {
		n++
	}
	if err := rows.Close(); err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkLookUp gives the exact bytes of an event, and of the events of an
// operation, another each time.
func BenchmarkLookUp(b *testing.B) {
	dir := bigLake(b)
	scope, _, _ := scopeOf(b, dir)
	r, err := lake.OpenReader(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	wanted := outcomes(b, r, 64)
	next := func(i int) profile.Header { return wanted[i*7%len(wanted)] }
	for _, by := range []struct {
		name, column string
		uid          func(profile.Header) string
		query        func(uid string) store.Query
		rows         int
	}{
		{"event", "metadata_uid", func(h profile.Header) string { return h.MetadataUID }, func(uid string) store.Query { return store.Query{Event: uid} }, 1},
		{"operation", "operation_uid", func(h profile.Header) string { return h.OperationUID }, func(uid string) store.Query { return store.Query{Operation: uid} }, eventsPerOperation},
	} {
		run := func(how string, find func(b *testing.B, uid string) int) {
			b.Run(by.name+"/"+how, func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					if n := find(b, by.uid(next(i))); n != by.rows {
						b.Fatalf("%d events, not %d", n, by.rows)
					}
				}
				b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms/op")
			})
		}
		run("index", func(b *testing.B, uid string) int { return scanned(b, r, by.query(uid)) })
		db, err := sql.Open(b.Context(), scope)
		if err != nil {
			b.Fatal(err)
		}
		run("DuckDB", func(b *testing.B, uid string) int {
			return ask(b, db, fmt.Sprintf("SELECT _raw FROM events WHERE %s = '%s' ORDER BY _commit, _pos", by.column, uid))
		})
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// outcomes returns the headers of so many outcomes from all over the lake.
func outcomes(b *testing.B, r *lake.Reader, n int) []profile.Header {
	b.Helper()
	var all []profile.Header
	files := r.Files()
	for i := range n {
		f := files[i*len(files)/n]
		after := store.Cursor{Commit: f.FirstCommit, Pos: uint32(i * 137 % int(f.Rows/2))}
		for e, err := range r.Scan(b.Context(), store.Query{After: after, Kinds: []string{profile.KindOutcome}, WithoutRaw: true, Limit: 1}) {
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, e.Header)
		}
	}
	slices.SortFunc(all, func(a, b profile.Header) int { return int(a.Sequence%13 - b.Sequence%13) })
	return all
}
