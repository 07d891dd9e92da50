// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package storebench

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/clickhouse"
	chquery "github.com/docket-audit/docket/collector/clickhouse/query"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/chdbtest"
	"github.com/docket-audit/docket/internal/profile"
	tables "github.com/docket-audit/docket/schemas/clickhouse"
)

var inserted = flag.Int("insert", 100_000, "how many events each round of BenchmarkClickHouseInsert stores, each way")

// madeClickHouse is the number of the generation of the database that is kept, as
// made is that of the lake.
const madeClickHouse = 1

// BenchmarkClickHouseInsert stores -insert events in batches: bare, by nothing but
// clickhouse-go, into the very same table; then by the store, with its stubs, its
// statements and all that it reads back. Each round begins with two databases that
// are empty, and rounds take turns in who comes first. What is reported are medians of
// the rounds, and of the store how long each step of a commit took, on average.
func BenchmarkClickHouseInsert(b *testing.B) {
	engine := chdbtest.Start(b, "")
	var entries []store.Entry
	recorded(b, newLoad(3, 1000), *inserted/eventsPerOperation+1, time.Millisecond, func(e []store.Entry) { entries = append(entries, e...) })
	for _, size := range []int{20_000, 2_000} {
		batches := slices.Collect(slices.Chunk(entries[:min(*inserted, len(entries))], size))
		columns := make([][]bareColumn, len(batches))
		for i, batch := range batches {
			columns[i] = bareColumns(batch)
		}
		b.Run(fmt.Sprintf("events=%d", size), func(b *testing.B) {
			watch := stopwatch{spent: map[string]time.Duration{}}
			bare := way{name: "bare", run: func(dsn string) (time.Duration, error) { return insertBare(b.Context(), dsn, columns) }}
			stored := way{name: "store", run: func(dsn string) (time.Duration, error) { return insertStored(b.Context(), dsn, batches, &watch) }}
			for i := 0; b.Loop(); i++ {
				turns := []*way{&bare, &stored}
				if i%2 == 1 {
					slices.Reverse(turns)
				}
				for _, w := range turns {
					dsn, drop := database(b, engine, fmt.Sprintf("%s_%d_%d", w.name, size, i))
					began := processor()
					took, err := w.run(dsn)
					if err != nil {
						b.Fatal(err)
					}
					w.took, w.used = append(w.took, took), append(w.used, processor()-began)
					drop()
				}
			}
			n := float64(min(*inserted, len(entries)))
			for _, w := range []*way{&bare, &stored} {
				b.ReportMetric(n/median(w.took).Seconds(), w.name+"-events/s")
				b.ReportMetric(float64(median(w.used).Microseconds())/n, w.name+"-cpu-us/event")
			}
			b.ReportMetric(median(bare.took).Seconds()/median(stored.took).Seconds(), "store/bare")
			for step, spent := range watch.spent {
				b.ReportMetric(ms(spent)/float64(watch.commits), step+"-ms/commit")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// A way is one to do the same as another.
type way struct {
	name       string
	run        func(dsn string) (time.Duration, error)
	took, used []time.Duration // of a round; the processor time is that of this process
}

// insertStored commits batches to a store that it makes, and returns how long the
// commits took.
func insertStored(ctx context.Context, dsn string, batches [][]store.Entry, watch *stopwatch) (time.Duration, error) {
	st, err := clickhouse.Open(ctx, dsn, clickhouse.Options{Fault: watch.at})
	if err != nil {
		return 0, err
	}
	defer st.Close()
	began := time.Now()
	for _, batch := range batches {
		watch.begin()
		c, err := st.Commit(ctx, store.Batch{Entries: batch, StreamSeq: batch[len(batch)-1].StreamSeq})
		if err != nil {
			return 0, err
		}
		watch.end()
		if len(c.Added) != len(batch) {
			return 0, fmt.Errorf("%d events of %d were added", len(c.Added), len(batch))
		}
	}
	return time.Since(began), nil
}

// A stopwatch tells how long the steps of commits took, by the points at which a
// store asks for faults. What is between steps is "other".
type stopwatch struct {
	last    time.Time
	spent   map[string]time.Duration
	commits int
}

func (w *stopwatch) lap(step string) {
	now := time.Now()
	w.spent[step] += now.Sub(w.last)
	w.last = now
}

func (w *stopwatch) begin() { w.last = time.Now() }

func (w *stopwatch) end() {
	w.lap("other")
	w.commits++
}

func (w *stopwatch) at(point string) error {
	if step, written := strings.CutSuffix(point, " written"); written {
		w.lap(step)
	} else {
		w.lap("other")
	}
	return nil
}

// A bareColumn is what an insert has of a column.
type bareColumn struct {
	name, typ string
	values    any
}

// bareColumns are those of docket_events, but for the number of the commit, in the
// form in which clickhouse-go takes them. Making them is no part of what is measured:
// a bare writer might have them so.
func bareColumns(entries []store.Entry) []bareColumn {
	var columns []bareColumn
	for _, f := range reflect.VisibleFields(reflect.TypeFor[profile.Header]()) {
		of := func(i int) reflect.Value { return reflect.ValueOf(&entries[i].Header).Elem().FieldByIndex(f.Index) }
		values := reflect.MakeSlice(reflect.SliceOf(f.Type), len(entries), len(entries))
		for i := range entries {
			values.Index(i).Set(of(i))
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		typ := map[reflect.Kind]string{reflect.String: "String", reflect.Int64: "Int64", reflect.Int32: "Int32", reflect.Bool: "Bool"}[f.Type.Kind()]
		columns = append(columns, bareColumn{name, typ, values.Interface()})
	}
	raw, stored, streamSeq, pos, writer := make([][]byte, len(entries)), make([]int64, len(entries)), make([]int64, len(entries)), make([]int32, len(entries)), make([]int64, len(entries))
	for i := range entries {
		raw[i], stored[i], streamSeq[i], pos[i], writer[i] = entries[i].Raw, 1_790_000_000_000, int64(entries[i].StreamSeq), int32(i), 1
	}
	return append(columns, bareColumn{"_raw", "String", raw}, bareColumn{"_stored_time", "Int64", stored}, bareColumn{"_stream_seq", "Int64", streamSeq},
		bareColumn{"_pos", "Int32", pos}, bareColumn{"_writer", "Int64", writer})
}

// insertBare puts batches into the table docket_events of a store that nobody has
// open, and returns how long that took. The server does not even look whether it has
// them.
func insertBare(ctx context.Context, dsn string, batches [][]bareColumn) (time.Duration, error) {
	st, err := clickhouse.Open(ctx, dsn, clickhouse.Options{}) // makes the table
	if err != nil {
		return 0, err
	}
	if err := st.Close(); err != nil {
		return 0, err
	}
	opts, err := driver.ParseDSN(dsn)
	if err != nil {
		return 0, err
	}
	conn, err := driver.Open(opts)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.Ping(ctx); err != nil { // as the store has asked things, too
		return 0, err
	}
	began := time.Now()
	for i, columns := range batches {
		number := make([]int64, reflect.ValueOf(columns[0].values).Len())
		for j := range number {
			number[j] = int64(i + 1)
		}
		if err := insertBatch(ctx, conn, append(slices.Clip(columns), bareColumn{"_commit", "Int64", number})); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func insertBatch(ctx context.Context, conn driver.Conn, columns []bareColumn) error {
	names := make([]string, len(columns))
	types := make([]driver.ColumnNameAndType, len(columns))
	for i, c := range columns {
		names[i], types[i] = c.name, driver.ColumnNameAndType{Name: c.name, Type: c.typ}
	}
	ctx = driver.Context(ctx, driver.WithSettings(driver.Settings{"async_insert": 0, "insert_deduplicate": 0}), driver.WithColumnNamesAndTypes(types))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO docket_events ("+strings.Join(names, ", ")+")")
	if err != nil {
		return err
	}
	defer func() { _ = batch.Close() }() // was sent, or will not be
	for i, c := range columns {
		if err := batch.Column(i).Append(c.values); err != nil {
			return err
		}
	}
	return batch.Send()
}

// database makes one on an engine.
func database(tb testing.TB, e *chdbtest.Engine, name string) (dsn string, drop func()) {
	tb.Helper()
	conn := connect(tb, e.DSN())
	if err := conn.Exec(tb.Context(), "CREATE DATABASE "+name); err != nil {
		tb.Fatal(err)
	}
	return inDatabase(tb, e, name), func() {
		if err := conn.Exec(tb.Context(), "DROP DATABASE "+name+" SYNC"); err != nil {
			tb.Fatal(err)
		}
	}
}

func inDatabase(tb testing.TB, e *chdbtest.Engine, name string) (dsn string) {
	tb.Helper()
	u, err := url.Parse(e.DSN())
	if err != nil {
		tb.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// connect opens a connection for as long as the test takes.
func connect(tb testing.TB, dsn string) driver.Conn {
	tb.Helper()
	opts, err := driver.ParseDSN(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := driver.Open(opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Error(err)
		}
	})
	return conn
}

// tablesMade names the tables that there are, by the digest of what makes them: those of
// before would be asked in the place of these.
func tablesMade(b *testing.B) string {
	b.Helper()
	h := sha256.New()
	names, err := fs.Glob(tables.Files, "*.sql")
	if err != nil || len(names) == 0 {
		b.Fatal(names, err)
	}
	for _, name := range names {
		file, err := fs.ReadFile(tables.Files, name)
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(file), file)
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}

// bigClickHouse returns a database with the events of [bigLake], which an engine
// serves until the benchmark ends. It is made anew when the tables are other ones.
func bigClickHouse(b *testing.B) (dsn string) {
	b.Helper()
	const name = "audit"
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("docket-storebench-clickhouse-%d-%s-%d", madeClickHouse, tablesMade(b), *events))
	if _, err := os.Stat(dir); err != nil {
		building := dir + ".tmp"
		if err := os.RemoveAll(building); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		fillClickHouse(b, building, name)
		if err := os.Rename(building, dir); err != nil {
			b.Fatal(err)
		}
		b.Logf("made %s in %v", dir, time.Since(began).Round(time.Second))
	}
	dsn = inDatabase(b, chdbtest.Start(b, dir), name)
	settle(b, connect(b, dsn))
	return dsn
}

func fillClickHouse(b *testing.B, dir, name string) {
	b.Helper()
	e := chdbtest.Start(b, dir)
	dsn, _ := database(b, e, name)
	st, err := clickhouse.Open(b.Context(), dsn, clickhouse.Options{})
	if err != nil {
		b.Fatal(err)
	}
	recorded(b, newLoad(1, 1000), *events/eventsPerOperation, 25*time.Millisecond, func(entries []store.Entry) {
		if _, err := st.Commit(b.Context(), store.Batch{Entries: entries, StreamSeq: entries[len(entries)-1].StreamSeq}); err != nil {
			b.Fatal(err)
		}
	})
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	settle(b, connect(b, dsn))
	e.Stop()
}

// settle waits until the server has found nothing to merge for a while. It looks for
// something every few seconds.
func settle(b *testing.B, conn driver.Conn) {
	b.Helper()
	const each, enough = 500 * time.Millisecond, 20
	for idle := 0; idle < enough; idle++ {
		var merges uint64
		if err := conn.QueryRow(b.Context(), "SELECT count() FROM system.merges").Scan(&merges); err != nil {
			b.Fatal(err)
		}
		if merges > 0 {
			idle = 0
		}
		time.Sleep(each)
	}
}

// BenchmarkClickHouseQuery asks what BenchmarkQuery asks, of as many events, by the
// views that readers have, and beside each of the bare table, where rows of no commit
// would be seen. What is reported are medians.
func BenchmarkClickHouseQuery(b *testing.B) {
	dsn := bigClickHouse(b)
	conn := connect(b, dsn)
	var first, last int64
	if err := conn.QueryRow(b.Context(), "SELECT min(time), max(time) FROM docket_events").Scan(&first, &last); err != nil {
		b.Fatal(err)
	}
	middle := first + (last-first)/2
	span := (last - first) * 300_000 / int64(*events) // that of 300,000 events
	for _, q := range []struct{ name, text string }{
		{"nothing", "SELECT 1 FROM %s LIMIT 0"},
		{"principal+range", fmt.Sprintf("SELECT time, method, decision, message FROM %%s WHERE principal = 'user-7' AND time BETWEEN %d AND %d ORDER BY time", middle, middle+span)},
		{"top-denied", "SELECT principal, count(*) AS n FROM %s WHERE decision = 'deny' AND kind = 'outcome' GROUP BY principal ORDER BY n DESC LIMIT 10"},
		{"per-minute", "SELECT intDiv(time, 60000) AS minute, decision, count(*) FROM %s GROUP BY ALL ORDER BY ALL"},
	} {
		b.Run(q.name, func(b *testing.B) {
			beside(b, -1, map[string]func() (int, error){
				"view":  func() (int, error) { return rowsOf(b.Context(), conn, fmt.Sprintf(q.text, "events")) },
				"table": func() (int, error) { return rowsOf(b.Context(), conn, fmt.Sprintf(q.text, "docket_events")) },
			})
		})
	}
}

// BenchmarkClickHouseLookUp gives the exact bytes of an event, and of the events of an
// operation, another each time: by the reader that Docket has, by what answers SQL for
// its callers, by the view, and of the bare table.
func BenchmarkClickHouseLookUp(b *testing.B) {
	dsn := bigClickHouse(b)
	conn := connect(b, dsn)
	r, err := clickhouse.OpenReader(b.Context(), dsn, clickhouse.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	behind, err := clickhouse.OpenBehind(b.Context(), dsn, clickhouse.Options{KeepRetention: true})
	if err != nil {
		b.Fatal(err)
	}
	defer behind.Close()
	engine := chquery.New(behind, sql.Limits{})
	view, err := (&authz.Grant{Subject: "bench", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{authz.Everywhere}}).View(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	var wanted []struct {
		Event     string `ch:"metadata_uid"`
		Operation string `ch:"operation_uid"`
	}
	if err := conn.Select(b.Context(), &wanted, "SELECT metadata_uid, operation_uid FROM events WHERE kind = 'outcome' ORDER BY cityHash64(metadata_uid) LIMIT 64"); err != nil {
		b.Fatal(err)
	}
	for _, by := range []struct {
		name, column string
		uid          func(i int) string
		query        func(uid string) store.Query
		rows         int
	}{
		{"event", "metadata_uid", func(i int) string { return wanted[i].Event }, func(uid string) store.Query { return store.Query{Event: uid} }, 1},
		{"operation", "operation_uid", func(i int) string { return wanted[i].Operation }, func(uid string) store.Query { return store.Query{Operation: uid} }, eventsPerOperation},
	} {
		b.Run(by.name, func(b *testing.B) {
			// Another one also for each way: what one has read, the other would find in memory.
			i := 0
			next := func() string { i++; return by.uid(i % len(wanted)) }
			of := func(table string) (int, error) {
				return rowsOf(b.Context(), conn, fmt.Sprintf("SELECT _raw FROM %s WHERE %s = '%s' ORDER BY _commit, _pos", table, by.column, next()))
			}
			beside(b, by.rows, map[string]func() (int, error){
				"scan": func() (int, error) { return scanned(b, r, by.query(next())), nil },
				"query": func() (int, error) {
					var rows lineCount
					text := fmt.Sprintf("SELECT _raw FROM events WHERE %s = '%s' ORDER BY _commit, _pos", by.column, next())
					err := engine.Rows(b.Context(), chquery.Scope{View: view}, text, func([]string) error { return nil }, &rows)
					return int(rows), err
				},
				"view":  func() (int, error) { return of("events") },
				"table": func() (int, error) { return of("docket_events") },
			})
		})
	}
}

// beside does the same in several ways, which take turns, and reports of each the
// median. All must give as many rows; -1 is any number.
func beside(b *testing.B, rows int, ways map[string]func() (int, error)) {
	b.Helper()
	took := make(map[string][]time.Duration)
	names := make([]string, 0, len(ways))
	for name := range ways {
		names = append(names, name)
	}
	slices.Sort(names)
	for i := 0; b.Loop(); i++ {
		for j := range names {
			name := names[(i+j)%len(names)]
			began := time.Now()
			n, err := ways[name]()
			took[name] = append(took[name], time.Since(began))
			if err != nil {
				b.Fatal(err)
			}
			if rows < 0 {
				rows = n
			}
			if n != rows {
				b.Fatalf("%s: %d rows, not %d", name, n, rows)
			}
		}
	}
	for _, name := range names {
		b.ReportMetric(ms(median(took[name])), name+"-ms")
	}
	b.ReportMetric(float64(rows), "rows")
	b.ReportMetric(0, "ns/op")
}

// A lineCount counts the lines that are written to it.
type lineCount int

var _ io.Writer = (*lineCount)(nil)

func (n *lineCount) Write(p []byte) (int, error) {
	*n += lineCount(bytes.Count(p, []byte("\n")))
	return len(p), nil
}

func rowsOf(ctx context.Context, conn driver.Conn, sql string) (n int, err error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		n++
	}
	return n, cmp.Or(rows.Err(), rows.Close())
}

// BenchmarkClickHouseStored is what is on disk for an event when the server has
// nothing to merge any more: columns, indexes and marks, of all tables.
func BenchmarkClickHouseStored(b *testing.B) {
	conn := connect(b, bigClickHouse(b))
	var n, json uint64
	if err := conn.QueryRow(b.Context(), "SELECT count(), sum(length(_raw)) FROM events").Scan(&n, &json); err != nil {
		b.Fatal(err)
	}
	each := func(bytes uint64) float64 { return float64(bytes) / float64(n) }
	var of struct{ events, raw, indexes, stubs, rest, parts uint64 }
	for b.Loop() {
		err := conn.QueryRow(b.Context(), "SELECT sumIf(bytes_on_disk, table = 'docket_events'), sumIf(secondary_indices_compressed_bytes, table = 'docket_events'),"+
			" sumIf(bytes_on_disk, table = 'docket_stubs'), sumIf(bytes_on_disk, table NOT IN ('docket_events', 'docket_stubs')), countIf(table = 'docket_events')"+
			" FROM system.parts WHERE active AND database = currentDatabase()").Scan(&of.events, &of.indexes, &of.stubs, &of.rest, &of.parts)
		if err != nil {
			b.Fatal(err)
		}
		if err := conn.QueryRow(b.Context(), "SELECT data_compressed_bytes FROM system.columns WHERE database = currentDatabase() AND table = 'docket_events' AND name = '_raw'").Scan(&of.raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(each(json), "json-B/event")
	b.ReportMetric(each(of.events), "events-B/event")
	b.ReportMetric(each(of.raw), "raw-B/event")
	b.ReportMetric(each(of.indexes), "indexes-B/event")
	b.ReportMetric(each(of.stubs), "stubs-B/event")
	b.ReportMetric(each(of.rest), "rest-B/event")
	b.ReportMetric(float64(of.parts), "parts")
	b.ReportMetric(0, "ns/op")
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

func median(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
