// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package chdbtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// An engine that is killed while batches come in has each that was acknowledged,
// and no part of any other.
func TestKill(t *testing.T) {
	ctx, e := t.Context(), Start(t, "")
	dir := e.Dir()
	db := open(t, e.DSN())
	run(t, ctx, db, numbered)
	const size, before = 1000, 20
	acknowledged, enough := 0, make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for ; ; acknowledged++ {
			if acknowledged == before {
				close(enough)
			}
			numbers := make([]uint64, size)
			for i := range numbers {
				numbers[i] = uint64(acknowledged)
			}
			if send(ctx, db, "n", make([]string, size), numbers) != nil {
				return // the engine is gone
			}
		}
	})
	<-enough
	e.Kill()
	wg.Wait()
	e.Stop() // there is nothing to stop

	e = Start(t, dir)
	db = open(t, e.DSN())
	if got := value[uint64](t, ctx, db, "SELECT uniqExact(n) FROM n WHERE n < ?", uint64(acknowledged)); got != uint64(acknowledged) {
		t.Errorf("%d of %d acknowledged batches are there", got, acknowledged)
	}
	if got := value[uint64](t, ctx, db, "SELECT count() FROM (SELECT n FROM n GROUP BY n HAVING count() <> ?)", uint64(size)); got != 0 {
		t.Errorf("%d batches are there in part", got)
	}
	insert(t, ctx, db, "n", []string{"after"}, []uint64{0})
	e.Stop()

	db = open(t, Start(t, dir).DSN())
	if got := value[uint64](t, ctx, db, "SELECT count() FROM n WHERE k = 'after'"); got != 1 {
		t.Errorf("%d rows that were inserted before a stop in order, want 1", got)
	}
}

// What does not start says why.
func TestRefusals(t *testing.T) {
	e := Start(t, "")
	if p, err := start(need(t), e.Dir()); err == nil {
		p.kill()
		t.Error("two engines over one directory")
	} else if !strings.Contains(err.Error(), "another process") {
		t.Errorf("second engine: %v", err)
	}
	if p, err := start("/nowhere/libchdb.so", t.TempDir()); err == nil {
		p.kill()
		t.Error("an engine without a library")
	} else if !strings.Contains(err.Error(), "/nowhere/libchdb.so") {
		t.Errorf("without a library: %v", err)
	}
}

func TestParallel(t *testing.T) {
	ctx, db := t.Context(), open(t, Database(t))
	run(t, ctx, db, numbered)
	var wg sync.WaitGroup
	const writers, batches, size = 4, 5, 100
	for w := range writers {
		wg.Go(func() {
			for i := range batches {
				keys, numbers := make([]string, size), make([]uint64, size)
				for j := range numbers {
					numbers[j] = uint64((w*batches+i)*size + j)
				}
				if err := send(ctx, db, "n", keys, numbers); err != nil {
					t.Error(err)
				}
				// Each query sees all or nothing of a batch.
				var n uint64
				if err := db.QueryRow(ctx, "SELECT count() FROM n").Scan(&n); err != nil {
					t.Error(err)
				} else if n%size != 0 {
					t.Errorf("%d rows: a batch is seen in part", n)
				}
			}
		})
	}
	wg.Wait()
	if got := value[uint64](t, ctx, db, "SELECT uniqExact(n) FROM n"); got != writers*batches*size {
		t.Errorf("%d rows, want %d", got, writers*batches*size)
	}
}

// A large batch by columns goes in as one and comes out as it was.
func TestColumns(t *testing.T) {
	ctx, db := t.Context(), open(t, Database(t))
	run(t, ctx, db, numbered)
	const rows = 200_000
	keys, numbers := make([]string, rows), make([]uint64, rows)
	for i := range keys {
		keys[i], numbers[i] = strings.Repeat("x", i%100), uint64(i)
	}
	insert(t, ctx, db, "n", keys, numbers)
	if got := value[uint64](t, ctx, db, "SELECT uniqExact(_part) FROM n"); got != 1 {
		t.Errorf("the batch became %d parts, want 1", got)
	}
	r, err := db.Query(ctx, "SELECT k, n FROM n ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for r.Next() {
		var (
			k string
			n uint64
		)
		if err := r.Scan(&k, &n); err != nil {
			t.Fatal(err)
		}
		if k != keys[i] || n != numbers[i] {
			t.Fatalf("row %d is %q, %d", i, k, n)
		}
		i++
	}
	if err := errors.Join(r.Err(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if i != rows {
		t.Errorf("%d rows, want %d", i, rows)
	}
}

// A query ends when its client goes away.
func TestCancel(t *testing.T) {
	db := open(t, Database(t))
	const running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT count() FROM numbers(1000000000000)%'"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- db.Exec(ctx, "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 3")
	}()
	for value[uint64](t, t.Context(), db, running) == 0 {
		select {
		case err := <-ended:
			t.Fatalf("the query ended: %v", err)
		default:
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the query ended with %v", err)
	}
	for value[uint64](t, t.Context(), db, running) != 0 {
		// until the test's time is over
	}
}

// A batch whose client goes away in the middle of it is not inserted.
func TestCutOff(t *testing.T) {
	ctx, dsn := t.Context(), Database(t)
	db := open(t, dsn)
	run(t, ctx, db, "CREATE TABLE c (n UInt64) ENGINE = MergeTree ORDER BY n")
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = url.Values{"database": {strings.TrimPrefix(u.Path, "/")}, "query": {"INSERT INTO c FORMAT TSV"}}.Encode()
	u.Path = "/"
	post := func(body io.Reader) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), body)
		if err != nil {
			return err
		}
		transport := new(http.Transport)
		defer transport.CloseIdleConnections()
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
		return err
	}
	whole := strings.NewReader("1\n2\n")
	if err := post(whole); err != nil {
		t.Fatal(err)
	}
	const running = "SELECT count() FROM system.processes WHERE query LIKE '%INSERT INTO c%' AND query NOT LIKE '%system.processes%'"
	broken := errors.New("broken")
	r, w := io.Pipe()
	cut := make(chan struct{})
	go func() {
		_, _ = io.WriteString(w, "3\n4\n")
		<-cut
		_ = w.CloseWithError(broken)
	}()
	ended := make(chan error, 1)
	go func() { ended <- post(r) }()
	for value[uint64](t, ctx, db, running) == 0 {
		// until it has begun
	}
	close(cut)
	if err := <-ended; !errors.Is(err, broken) {
		t.Errorf("the request ended with %v", err)
	}
	for value[uint64](t, ctx, db, running) != 0 {
		// until the test's time is over
	}
	if got := value[uint64](t, ctx, db, "SELECT sum(n) FROM c"); got != 3 {
		t.Errorf("the sum is %d, want 3", got)
	}
}

// An answer has what clients of the HTTP interface read beside the body.
func TestHeaders(t *testing.T) {
	dsn := Database(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, sql, format string
		status              int
		code, body          string
	}{
		{http.MethodPost, "SELECT 1 AS a, 'x' AS b", "", 200, "", "1\tx\n"},
		{http.MethodPost, "SELECT 1 AS a FORMAT JSONEachRow;", "Native", 200, "", "{\"a\":1}\n"},
		{http.MethodPost, "SELECT * FROM nobody", "", 404, "60", "Code: 60. DB::Exception: "},
		{http.MethodPost, "SELEC", "", 400, "62", "Code: 62. DB::Exception: Syntax error: failed at position 1 "},
		{http.MethodGet, "CREATE TABLE g (a Int8) ENGINE = Memory", "", 403, "164", "Code: 164. DB::Exception: "},
	} {
		q := url.Values{"query": {c.sql}, "query_id": {"mine"}, "database": {strings.TrimPrefix(u.Path, "/")}}
		if c.format != "" {
			q.Set("default_format", c.format)
		}
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+u.Host+"/?"+q.Encode(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		transport := new(http.Transport)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		transport.CloseIdleConnections()
		if resp.StatusCode != c.status || resp.Header.Get("X-Clickhouse-Exception-Code") != c.code || !strings.HasPrefix(string(body), c.body) {
			t.Errorf("%s: status %d, code %q, %q", c.sql, resp.StatusCode, resp.Header.Get("X-Clickhouse-Exception-Code"), body)
		}
		if id := resp.Header.Get("X-Clickhouse-Query-Id"); id != "mine" {
			t.Errorf("%s: query id %q", c.sql, id)
		}
	}
}

// Two tests do not see each other's tables, and nothing of a test stays.
func TestDatabases(t *testing.T) {
	var first string
	t.Run("first", func(t *testing.T) {
		db := open(t, Database(t))
		first = value[string](t, t.Context(), db, "SELECT currentDatabase()")
		run(t, t.Context(), db, "CREATE TABLE d (a Int8) ENGINE = Memory")
	})
	db := open(t, Database(t))
	wantCode(t, db.Exec(t.Context(), "SELECT * FROM d"), 60)
	if got := value[uint64](t, t.Context(), db, "SELECT count() FROM system.databases WHERE name = {d:String}", clickhouse.Named("d", first)); got != 0 {
		t.Errorf("%s is still there", first)
	}
}

// A server that the environment names is used as it is.
func TestNamedServer(t *testing.T) {
	e := Start(t, "")
	t.Setenv("DOCKET_TEST_CLICKHOUSE", e.DSN()+"?max_execution_time=61")
	t.Run("database", func(t *testing.T) {
		dsn := Database(t)
		db := open(t, dsn)
		run(t, t.Context(), db, "CREATE TABLE d (a Int8) ENGINE = Memory")
		if got := value[string](t, t.Context(), db, "SELECT toString(getSetting('max_execution_time'))"); got != "61" {
			t.Errorf("max_execution_time of %s is %s, want 61", dsn, got)
		}
		if got := value[uint64](t, t.Context(), open(t, e.DSN()), "SELECT count() FROM system.tables WHERE name = 'd'"); got != 1 {
			t.Errorf("the table is not on the server that was named; %s is", dsn)
		}
	})
	if got := value[uint64](t, t.Context(), open(t, e.DSN()), "SELECT count() FROM system.databases WHERE name LIKE 'test_docket_%'"); got != 0 {
		t.Errorf("%d databases are left", got)
	}
}
