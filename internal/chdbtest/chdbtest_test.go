// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package chdbtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a DSN until the test ends.
func open(t testing.TB, dsn string) driver.Conn {
	t.Helper()
	opts, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db, err := clickhouse.Open(opts)
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

func run(t testing.TB, ctx context.Context, db driver.Conn, sql string, args ...any) {
	t.Helper()
	if err := db.Exec(ctx, sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// value asks for a row of one column.
func value[T any](t testing.TB, ctx context.Context, db driver.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func with(ctx context.Context, s clickhouse.Settings) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(s))
}

// wantCode asks that err be an error of ClickHouse with the code.
func wantCode(t testing.TB, err error, code int32) {
	t.Helper()
	var e *clickhouse.Exception
	if !errors.As(err, &e) {
		t.Errorf("%v is no exception of ClickHouse, want code %d", err, code)
	} else if e.Code != code {
		t.Errorf("code %d (%v), want %d", e.Code, err, code)
	}
}

func TestPing(t *testing.T) {
	db := open(t, Database(t))
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := db.ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := v.Version.String(), value[string](t, t.Context(), db, "SELECT version()"); !strings.HasPrefix(want, got) {
		t.Errorf("handshake says version %s, the engine %s", got, want)
	}
	if got := value[string](t, t.Context(), db, "SELECT currentDatabase()"); !strings.HasPrefix(got, "test_docket_") {
		t.Errorf("current database is %s", got)
	}
}

// Who is granted something may do that, and nothing beside it.
func TestStartAs(t *testing.T) {
	ctx, e := t.Context(), Start(t, "")
	run(t, ctx, open(t, e.DSN()), "CREATE DATABASE d")
	e.Stop()
	e = StartAs(t, e.Dir(), []string{"GRANT CREATE TABLE, SELECT ON d.*"})
	db := open(t, strings.TrimSuffix(e.DSN(), "default")+"d")
	run(t, ctx, db, "CREATE TABLE d.t (n UInt64) ENGINE = MergeTree ORDER BY n")
	if n := value[uint64](t, ctx, db, "SELECT count() FROM d.t"); n != 0 {
		t.Errorf("%d rows", n)
	}
	for _, sql := range []string{"INSERT INTO d.t SELECT 1", "DROP TABLE d.t", "CREATE DATABASE other"} {
		wantCode(t, db.Exec(ctx, sql), 497)
	}
}

type event struct {
	ID       string            `ch:"id"`
	Tenant   string            `ch:"tenant"`
	Time     time.Time         `ch:"time"`
	Exact    time.Time         `ch:"exact"`
	Signed   int64             `ch:"signed"`
	Sequence uint64            `ch:"sequence"`
	Class    uint32            `ch:"class"`
	Labels   []string          `ch:"labels"`
	Tags     map[string]string `ch:"tags"`
	Reason   *string           `ch:"reason"`
	Allowed  bool              `ch:"allowed"`
	Digest   string            `ch:"digest"`
}

const events = `CREATE TABLE events (
	id String CODEC(ZSTD(3)), tenant LowCardinality(String), time DateTime64(3, 'UTC'), exact DateTime64(6, 'UTC'),
	signed Int64, sequence UInt64, class UInt32, labels Array(String), tags Map(String, String),
	reason Nullable(String), allowed Bool, digest FixedString(4),
	INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree PARTITION BY toYYYYMM(time) ORDER BY (tenant, time, sequence)
TTL toDateTime(time) + INTERVAL 50 YEAR`

func TestTypes(t *testing.T) {
	ctx, db := t.Context(), open(t, Database(t))
	run(t, ctx, db, events)
	reason := "\x00 no \xff\\'\t\n"
	at := time.Date(2026, 11, 30, 10, 0, 0, 123_456_000, time.UTC)
	want := []event{
		{ID: "a", Tenant: "one", Time: at.Truncate(time.Millisecond), Exact: at, Signed: -1 << 63, Sequence: 1<<64 - 1, Class: 6003, Labels: []string{"x", ""}, Tags: map[string]string{"k": "v"}, Reason: &reason, Allowed: true, Digest: "\x00\x01\x02\xff"},
		{ID: "b", Tenant: "two", Time: at.Truncate(time.Millisecond), Exact: at, Labels: []string{}, Tags: map[string]string{}, Digest: "\x00\x00\x00\x00"},
	}
	b, err := db.PrepareBatch(ctx, "INSERT INTO events")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range want {
		if err := b.AppendStruct(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
	var got []event
	if err := db.Select(ctx, &got, "SELECT * FROM events ORDER BY id"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for name, sql := range map[string]string{
		"client": "SELECT count() FROM events WHERE reason = ? AND signed < ?",
		"server": "SELECT count() FROM events WHERE reason = {reason:String} AND signed < {n:Int64}",
	} {
		args := []any{reason, int64(0)}
		if name == "server" {
			args = []any{clickhouse.Named("reason", reason), clickhouse.Named("n", int64(0))}
		}
		if got := value[uint64](t, ctx, db, sql, args...); got != 1 {
			t.Errorf("parameters bound by the %s: %d rows, want 1", name, got)
		}
	}
	create := value[string](t, ctx, db, "SHOW CREATE TABLE events")
	for _, part := range []string{"CODEC(ZSTD(3))", "TTL ", "TYPE bloom_filter"} {
		if !strings.Contains(create, part) {
			t.Errorf("%s: no %s", create, part)
		}
	}
	plan := ""
	rows, err := db.Query(ctx, "EXPLAIN indexes = 1 SELECT * FROM events WHERE id = 'nobody'")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan += line + "\n"
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(plan, "bloom_filter") {
		t.Errorf("the plan uses no bloom filter:\n%s", plan)
	}
}

func TestView(t *testing.T) {
	ctx, db := t.Context(), open(t, Database(t))
	run(t, ctx, db, "CREATE TABLE raw (k String, n UInt64) ENGINE = MergeTree ORDER BY k")
	run(t, ctx, db, "CREATE TABLE sums (k String, n UInt64) ENGINE = SummingMergeTree ORDER BY k")
	run(t, ctx, db, "CREATE MATERIALIZED VIEW v TO sums AS SELECT k, sum(n) AS n FROM raw GROUP BY k")
	insert(t, ctx, db, "raw", []string{"a", "b", "a"}, []uint64{1, 2, 3})
	insert(t, ctx, db, "raw", []string{"a"}, []uint64{4})
	if got := value[uint64](t, ctx, db, "SELECT sum(n) FROM sums WHERE k = 'a'"); got != 8 {
		t.Errorf("view has %d, want 8", got)
	}
}

// send inserts a batch by columns into a table of a String and a UInt64.
func send(ctx context.Context, db driver.Conn, table string, keys []string, numbers []uint64) error {
	b, err := db.PrepareBatch(ctx, "INSERT INTO "+table)
	if err != nil {
		return err
	}
	defer b.Close()
	return errors.Join(b.Column(0).Append(keys), b.Column(1).Append(numbers), b.Send())
}

func insert(t testing.TB, ctx context.Context, db driver.Conn, table string, keys []string, numbers []uint64) {
	t.Helper()
	if err := send(ctx, db, table, keys, numbers); err != nil {
		t.Fatal(err)
	}
}

const numbered = "CREATE TABLE n (k String, n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100"

// A batch that is sent again with its token is dropped; its content does not matter.
func TestDeduplication(t *testing.T) {
	ctx, db := t.Context(), open(t, Database(t))
	run(t, ctx, db, numbered)
	for _, s := range []struct {
		token string
		n     uint64
		want  uint64
	}{{"first", 1, 1}, {"first", 1, 1}, {"first", 2, 1}, {"second", 1, 2}, {"it's \\ a `token`", 3, 3}, {"it's \\ a `token`", 4, 3}} {
		insert(t, with(ctx, clickhouse.Settings{"insert_deduplication_token": s.token}), db, "n", []string{"k"}, []uint64{s.n})
		if got := value[uint64](t, ctx, db, "SELECT count() FROM n"); got != s.want {
			t.Errorf("after token %s with %d: %d rows, want %d", s.token, s.n, got, s.want)
		}
	}
}

func TestErrors(t *testing.T) {
	ctx, db := t.Context(), open(t, Database(t))
	run(t, ctx, db, numbered)
	for _, c := range []struct {
		code     int32
		sql      string
		settings clickhouse.Settings
	}{
		{62, "SELECT (", nil},
		{62, "SELECT 1; SELECT 2", nil},
		{60, "SELECT * FROM nobody", nil},
		{81, "SELECT * FROM nobody.nothing", nil},
		{57, "CREATE TABLE n (k String) ENGINE = Memory", nil},
		{115, "SELECT 1", clickhouse.Settings{"no_such_setting": 1}},
		{164, "DROP TABLE n", clickhouse.Settings{"readonly": 1}},
		{159, "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 3", clickhouse.Settings{"max_execution_time": 0.2}},
		{241, "SELECT groupArray(number) FROM numbers(100000000)", clickhouse.Settings{"max_memory_usage": 10_000_000}},
		{395, "SELECT throwIf(number = 3) FROM numbers(10)", nil},
	} {
		wantCode(t, db.Exec(with(ctx, c.settings), c.sql), c.code)
	}
	// An error after rows were sent.
	rows, err := db.Query(ctx, "SELECT throwIf(number = 1000000) FROM numbers(2000000)")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	if n == 0 {
		t.Error("no row came before the error")
	}
	wantCode(t, rows.Err(), 395)
	_ = rows.Close() // says it again
	// A batch for a table that has other columns by now.
	b, err := db.PrepareBatch(ctx, "INSERT INTO n")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	run(t, ctx, db, "DROP TABLE n SYNC")
	if err := b.Append("k", uint64(1)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.Send(), 60)
	if err := db.Ping(ctx); err != nil {
		t.Error(err)
	}
}

// Settings are those of one request, in whatever order and however many there are
// at a time.
func TestSettings(t *testing.T) {
	ctx, db := t.Context(), open(t, Database(t))
	const ask = "SELECT toString(getSetting('max_execution_time'))"
	plain := value[string](t, ctx, db, ask)
	if got := value[string](t, with(ctx, clickhouse.Settings{"max_execution_time": 61}), db, ask); got != "61" {
		t.Errorf("max_execution_time is %s, want 61", got)
	}
	if got := value[string](t, ctx, db, ask); got != plain {
		t.Errorf("in the next request max_execution_time is %s, want %s", got, plain)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			want := fmt.Sprint(100 + i)
			for range 10 {
				var got string
				if err := db.QueryRow(with(ctx, clickhouse.Settings{"max_execution_time": want}), ask).Scan(&got); err != nil {
					t.Error(err)
				} else if got != want {
					t.Errorf("max_execution_time is %s, want %s", got, want)
				}
			}
		})
	}
	wg.Wait()
	wantCode(t, db.Exec(with(ctx, clickhouse.Settings{"readonly": 1}), "CREATE TABLE r (a Int8) ENGINE = Memory"), 164)
	run(t, ctx, db, "CREATE TABLE r (a Int8) ENGINE = Memory")
	run(t, ctx, db, "SET max_execution_time = 62")
	if got := value[string](t, ctx, db, ask); got != plain {
		t.Errorf("after SET in another request max_execution_time is %s, want %s", got, plain)
	}
	run(t, with(ctx, clickhouse.Settings{"mutations_sync": 2}), db, "ALTER TABLE r DELETE WHERE a = 1")
}
