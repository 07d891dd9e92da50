// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package flight

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/sql"
)

const answerName = "docket-sql-answer"

// TestMain also makes this program the one that answers for [sql.Processes].
func TestMain(m *testing.M) {
	if os.Args[0] == answerName {
		if err := sql.Answer(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// A house is a door with its callers, over views in which there is nothing.
type house struct {
	t         testing.TB
	door      *Door
	addr      string
	grants    map[string]*authz.Grant // by token
	processes *sql.Processes
	clock     atomic.Int64 // seconds that have passed
}

func grant(subject string, prefixes ...string) *authz.Grant {
	return &authz.Grant{Subject: subject, By: authz.ByToken, Capabilities: []authz.Capability{authz.SQL}, Prefixes: prefixes}
}

func newHouse(t testing.TB, limits sql.Limits, change func(*Config)) *house {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, processes: sql.NewProcesses(exe, []string{answerName}, limits), grants: map[string]*authz.Grant{
		"acme": grant("ann", "acme"), "globex": grant("gus", "globex"), "none": grant("nobody"),
		"reader": {Subject: "ray", Capabilities: []authz.Capability{authz.Read, authz.List, authz.Tail}, Prefixes: []string{"/"}},
	}}
	dir := t.TempDir()
	cfg := Config{
		Engine: SQL(h.processes, func(Question) (sql.Scope, func(), error) { return sql.Scope{Dir: dir}, func() {}, nil }),
		Authorize: func(_ context.Context, md metadata.MD) (*authz.Grant, error) {
			token := strings.TrimPrefix(strings.Join(md.Get("authorization"), ","), "Bearer ")
			if token == "broken" {
				return nil, errors.New("cannot read /secret/key")
			}
			if g := h.grants[token]; g != nil {
				return g, nil
			}
			return nil, &authz.Error{Err: authz.ErrUnauthenticated, Reason: "no token that is known", Advice: "send one"}
		},
		Version: "test",
		Now:     func() time.Time { return time.Now().Add(time.Duration(h.clock.Load()) * time.Second) },
	}
	if change != nil {
		change(&cfg)
	}
	if h.door, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	served := make(chan error)
	go func() { served <- h.door.Serve(l) }()
	t.Cleanup(func() {
		h.shut()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return h
}

// shut ends the door at once, and finds nothing that runs behind it.
func (h *house) shut() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.door.Shutdown(ctx); err != nil {
		h.t.Error(err)
	}
	if left := children(h.t); len(left) > 0 {
		h.t.Errorf("processes are left: %v", left)
	}
}

// children returns the processes that this one has.
func children(t testing.TB) (pids []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil { // else the thread is gone
			pids = append(pids, strings.Fields(string(b))...)
		}
	}
	return pids
}

// as returns the context of a caller's calls.
func as(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func (h *house) client() *flightsql.Client {
	h.t.Helper()
	c, err := flightsql.NewClient(h.addr, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// got returns what the tickets of an info give: the columns in the first line, and
// a row in each.
func got(ctx context.Context, c *flightsql.Client, info *flight.FlightInfo, err error) (string, error) {
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, e := range info.Endpoint {
		r, err := c.DoGet(ctx, e.Ticket)
		if err != nil {
			return out.String(), err
		}
		defer r.Release()
		for _, f := range r.Schema().Fields() {
			out.WriteString(f.Name + ";")
		}
		out.WriteByte('\n')
		for r.Next() {
			for i := range int(r.Record().NumRows()) {
				for _, c := range r.Record().Columns() {
					out.WriteString(c.ValueStr(i) + ";")
				}
				out.WriteByte('\n')
			}
		}
		if err := r.Err(); err != nil && !errors.Is(err, io.EOF) {
			return out.String(), err
		}
	}
	return out.String(), nil
}

// ask runs one query.
func ask(ctx context.Context, c *flightsql.Client, query string) (string, error) {
	info, err := c.Execute(ctx, query)
	return got(ctx, c, info, err)
}

func wantCode(t *testing.T, what string, err error, want codes.Code, says string) {
	t.Helper()
	if status.Code(err) != want || !strings.Contains(fmt.Sprint(err), says) {
		t.Errorf("%s: %v, want %v that says %q", what, err, want, says)
	}
}

func TestQuery(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c, ctx := h.client(), as(t.Context(), "acme")
	for query, want := range map[string]string{
		"SELECT 1 AS a, NULL AS b, 'é' AS a":                       "a;b;a_1;\n1;(null);é;\n",
		"SELECT count(*) AS n FROM events":                         "n;\n0;\n",
		"SELECT * FROM range(0)":                                   "range;\n",
		"SELECT sum(range) AS s FROM memory.main.events, range(3)": "s;\n(null);\n",
	} {
		if s, err := ask(ctx, c, query); err != nil || s != want {
			t.Errorf("%s: %q, %v", query, s, err)
		}
	}
	s, err := ask(ctx, c, "SELECT range AS n FROM range(300000)")
	if lines := strings.Split(s, "\n"); err != nil || len(lines) != 300_002 || lines[300_000] != "299999;" {
		t.Errorf("many rows: %d, %v", len(lines), err)
	}
	schema, err := c.GetExecuteSchema(ctx, "SELECT error('told') AS x, 1::DECIMAL(4,1) AS y")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := flight.DeserializeSchema(schema.Schema, memory.DefaultAllocator); err != nil || s.Field(1).Type.String() != "decimal(4, 1)" {
		t.Errorf("the schema alone: %v, %v", s, err)
	}
}

// What comes over the wire is what the engine has made, of every type, and the
// schema was known before.
func TestTypes(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c, ctx := h.client(), as(t.Context(), "acme")
	const query = `SELECT range % 2 = 0 AS b, range::TINYINT AS t, range::SMALLINT AS s, range::INTEGER AS i, range AS l, range::UTINYINT AS ut,
		range::USMALLINT AS us, range::UINTEGER AS ui, range::UBIGINT AS ul, range::HUGEINT * 1000000000000000000000 AS h, range::FLOAT / 3 AS f, range / 3 AS d,
		(range / 3)::DECIMAL(4,2) AS d4, (range / 3)::DECIMAL(9,2) AS d9, (range / 3)::DECIMAL(18,2) AS d18, (range / 3)::DECIMAL(38,2) AS d38,
		repeat('xé', range::INTEGER) AS v, ('\x00' || range)::BLOB AS bl, (['x', 'y', 'z'])[1 + range % 3]::ENUM('x', 'y', 'z') AS e, uuid() IS NULL AS u,
		DATE '2026-01-01' + range::INTEGER AS da, TIME '00:00:00' + INTERVAL (range) MINUTE AS ti, TIMESTAMP '2026-01-01' + INTERVAL (range) HOUR AS ts,
		(TIMESTAMP '2026-01-01' + INTERVAL (range) HOUR)::TIMESTAMP_MS AS tm, (TIMESTAMP '2026-01-01' + INTERVAL (range) HOUR)::TIMESTAMP_NS AS tn,
		TIMESTAMPTZ '2026-01-01 00:00:00+00' + INTERVAL (range) HOUR AS tz, INTERVAL (range) DAY AS iv, range(range) AS li, {'a': range, 'b': ['x']} AS st,
		MAP {range: 'x'} AS m, NULL AS n, CASE WHEN range % 3 > 0 THEN [{'k': repeat('long ', range::INTEGER)}] END AS ns
		FROM range(100)`
	var want []arrow.Record
	err := h.processes.Arrow(ctx, sql.Scope{Dir: t.TempDir()}, sql.Statement{Text: query}, func(*arrow.Schema) error { return nil }, func(r arrow.Record) error {
		r.Retain()
		want = append(want, r)
		return nil
	})
	if err != nil || len(want) != 1 {
		t.Fatal(len(want), err)
	}
	info, err := c.Execute(ctx, query)
	if err != nil {
		t.Fatal(err)
	}
	before, err := flight.DeserializeSchema(info.Schema, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() || !array.RecordEqual(r.Record(), want[0]) || r.Record().NumRows() != 100 {
		t.Errorf("got %v, %v; want %v", r.Record(), r.Err(), want[0])
	}
	if !before.Equal(r.Schema()) || r.Next() {
		t.Errorf("said %v, then %v", before, r.Schema())
	}
}

func TestErrors(t *testing.T) {
	h := newHouse(t, sql.Limits{Memory: 600 << 20}, nil)
	c, ctx := h.client(), as(t.Context(), "acme")
	for query, says := range map[string]string{
		"DROP VIEW events": "docket only reads", "SELECT 1; SELECT 2": "one at a time", "SELECT nothing FROM events": "nothing", "": "no statement",
		"FROM '/etc/passwd'": "passwd", "FROM read_text('/etc/passwd')": "read_text", "SELECT error('told')": "told", "SELECT ?": "prepare it",
		"COPY events TO '/tmp/x'": "COPY", "ATTACH '/tmp/x.db'": "ATTACH", "INSTALL httpfs": "INSTALL", "SET memory_limit = '1TB'": "SET", "EXPLAIN ANALYZE SELECT 1": "EXPLAIN",
	} {
		_, err := ask(ctx, c, query)
		wantCode(t, query, err, codes.InvalidArgument, says)
	}
	_, err := ask(ctx, c, "SELECT len(range(2000000000))")
	wantCode(t, "memory", err, codes.ResourceExhausted, "more memory than")
	s, err := ask(ctx, c, "SELECT CASE WHEN range = 900000 THEN error('told late') ELSE range END AS n FROM range(1000000)")
	wantCode(t, "late", err, codes.InvalidArgument, "told late")
	if !strings.HasPrefix(s, "n;\n0;\n") {
		t.Errorf("before a late error comes %.20q", s)
	}
	for what, call := range map[string]func() error{
		"update": func() error { _, err := c.ExecuteUpdate(ctx, "DELETE FROM events"); return err },
		"begin":  func() error { _, err := c.BeginTransaction(ctx); return err },
		"substrait": func() error {
			_, err := c.ExecuteSubstrait(ctx, flightsql.SubstraitPlan{Plan: []byte("x"), Version: "1"})
			return err
		},
		"ingest": func() error {
			b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8}}, nil))
			b.Field(0).AppendNull()
			r, err := array.NewRecordReader(b.Schema(), []arrow.Record{b.NewRecord()})
			if err != nil {
				return err
			}
			_, err = c.ExecuteIngest(ctx, r, &flightsql.ExecuteIngestOpts{Table: "events", TableDefinitionOptions: &flightsql.TableDefinitionOptions{}})
			return err
		},
	} {
		wantCode(t, what, call(), codes.Unimplemented, "")
	}
}

// Who may not is told so by each call, and no secret.
func TestWhoMay(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c := h.client()
	info, err := c.Execute(as(t.Context(), "acme"), "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func(ctx context.Context) error{
		"Execute":    func(ctx context.Context) error { _, err := c.Execute(ctx, "SELECT 1"); return err },
		"DoGet":      func(ctx context.Context) error { _, err := c.DoGet(ctx, info.Endpoint[0].Ticket); return err },
		"Prepare":    func(ctx context.Context) error { _, err := c.Prepare(ctx, "SELECT 1"); return err },
		"GetTables":  func(ctx context.Context) error { _, err := c.GetTables(ctx, &flightsql.GetTablesOpts{}); return err },
		"GetSqlInfo": func(ctx context.Context) error { _, err := c.GetSqlInfo(ctx, nil); return err },
		"Update":     func(ctx context.Context) error { _, err := c.ExecuteUpdate(ctx, "SELECT 1"); return err },
		"Cancel": func(ctx context.Context) error {
			_, err := c.CancelFlightInfo(ctx, &flight.CancelFlightInfoRequest{Info: info})
			return err
		},
		"Handshake": func(ctx context.Context) error {
			s, err := c.Client.Handshake(ctx)
			if err != nil {
				return err
			}
			_, err = s.Recv()
			return err
		},
		"ListFlights": func(ctx context.Context) error {
			s, err := c.Client.ListFlights(ctx, &flight.Criteria{})
			if err != nil {
				return err
			}
			_, err = s.Recv()
			return err
		},
		"DoExchange": func(ctx context.Context) error {
			s, err := c.Client.DoExchange(ctx)
			if err != nil {
				return err
			}
			_, err = s.Recv()
			return err
		},
	}
	for name, call := range calls {
		wantCode(t, name+" without a token", call(t.Context()), codes.Unauthenticated, "no token that is known")
		wantCode(t, name+" with another's", call(as(t.Context(), "forged")), codes.Unauthenticated, "")
		wantCode(t, name+" without sql", call(as(t.Context(), "reader")), codes.PermissionDenied, "sql")
		err := call(as(t.Context(), "broken"))
		if wantCode(t, name+" where it fails", err, codes.Unauthenticated, ""); strings.Contains(err.Error(), "secret") {
			t.Errorf("%s tells %v", name, err)
		}
	}
}

// A ticket and a handle are their caller's, and good for a while.
func TestTicketsAndHandles(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c, acme, globex := h.client(), as(t.Context(), "acme"), as(t.Context(), "globex")
	info, err := c.Execute(acme, "SELECT 'acme''s question' AS q")
	if err != nil {
		t.Fatal(err)
	}
	ticket := info.Endpoint[0].Ticket
	if bytes.Contains(ticket.Ticket, []byte("question")) {
		t.Error("the ticket is not sealed")
	}
	again := func(ctx context.Context) error { _, err := got(ctx, c, info, nil); return err }
	if err := errors.Join(again(acme), again(acme)); err != nil {
		t.Error(err)
	}
	wantCode(t, "another's ticket", again(globex), codes.NotFound, "another caller's")
	_, err = c.CancelFlightInfo(globex, &flight.CancelFlightInfoRequest{Info: info})
	wantCode(t, "another's cancel", err, codes.OK, "")
	sealed, err := handleOf(ticket.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		ticket, err := flightsql.CreateStatementQueryTicket(changed)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.DoGet(acme, &flight.Ticket{Ticket: ticket})
		wantCode(t, fmt.Sprintf("byte %d changed", i), err, codes.NotFound, "no such ticket")
	}
	p, err := c.Prepare(acme, "SELECT ?::VARCHAR AS q")
	if err != nil {
		t.Fatal(err)
	}
	theirs := func(ctx context.Context) error {
		info, err := p.Execute(ctx)
		_, err = got(ctx, c, info, err)
		return err
	}
	wantCode(t, "without a value", theirs(acme), codes.InvalidArgument, "takes 1")
	p.SetParameters(values(t, "mine"))
	if err := theirs(acme); err != nil {
		t.Error(err)
	}
	wantCode(t, "another's statement", theirs(globex), codes.NotFound, "no such")
	same, err := c.LoadPreparedStatementFromResult(&flightsql.CreatePreparedStatementResult{PreparedStatementHandle: p.Handle()})
	if err != nil {
		t.Fatal(err)
	}
	if err := same.Close(globex); err != nil { // it is not known there
		t.Error(err)
	}
	if err := theirs(acme); err != nil {
		t.Errorf("another has closed it: %v", err)
	}
	h.clock.Add(9 * 60)
	if err := theirs(acme); err != nil {
		t.Error(err)
	}
	h.clock.Add(9 * 60)
	if err := theirs(acme); err != nil {
		t.Errorf("9 minutes after it was used: %v", err)
	}
	h.clock.Add(11 * 60)
	wantCode(t, "an old statement", theirs(acme), codes.NotFound, "no such")
	if err := again(acme); err != nil {
		t.Errorf("a ticket within its hour: %v", err)
	}
	h.clock.Add(31 * 60)
	wantCode(t, "an old ticket", again(acme), codes.NotFound, "expired")
}

// values makes a row of texts.
func values(t *testing.T, texts ...string) arrow.Record {
	t.Helper()
	fields, columns := make([]arrow.Field, len(texts)), make([]arrow.Array, len(texts))
	for i, s := range texts {
		b := array.NewStringBuilder(memory.DefaultAllocator)
		b.Append(s)
		fields[i] = arrow.Field{Name: fmt.Sprint(i), Type: arrow.BinaryTypes.String, Nullable: true}
		columns[i] = b.NewArray()
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, 1)
}

func TestPrepared(t *testing.T) {
	h := newHouse(t, sql.Limits{}, func(c *Config) { c.Statements = Statements{PerCaller: 3, All: 4} })
	c, ctx := h.client(), as(t.Context(), "acme")
	p, err := c.Prepare(ctx, "SELECT name FROM (SELECT unnest(['a', 'b''c', 'd']) AS name) WHERE name = $1 OR length(name) = $2")
	if err != nil {
		t.Fatal(err)
	}
	if p.DatasetSchema().NumFields() != 1 || p.ParameterSchema().NumFields() != 2 || p.ParameterSchema().Field(1).Type.ID() != arrow.INT64 {
		t.Errorf("prepared: %v, %v", p.DatasetSchema(), p.ParameterSchema())
	}
	schema, err := p.GetSchema(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := flight.DeserializeSchema(schema.Schema, memory.DefaultAllocator); err != nil || !s.Equal(p.DatasetSchema()) {
		t.Errorf("its schema: %v, %v", s, err)
	}
	for _, test := range []struct{ a, b, want string }{
		{"b'c", "9", "name;\nb'c;\n"},
		{"x' OR '1'='1", "9", "name;\n"},
		{"a' UNION SELECT _raw FROM events --", "3", "name;\nb'c;\n"},
		{"'; DROP VIEW events; --", "1", "name;\na;\nd;\n"},
	} {
		p.SetParameters(values(t, test.a, test.b))
		info, err := p.Execute(ctx)
		if s, err := got(ctx, c, info, err); err != nil || s != test.want {
			t.Errorf("%q, %q: %q, %v", test.a, test.b, s, err)
		}
	}
	// As many values as it takes, in one row.
	for what, rec := range map[string]arrow.Record{"one value": values(t, "a"), "three": values(t, "a", "b", "c")} {
		p.SetParameters(rec)
		_, err := p.Execute(ctx)
		wantCode(t, what, err, codes.InvalidArgument, "takes 2 parameters")
	}
	if _, err = p.ExecuteUpdate(ctx); status.Code(err) != codes.Unimplemented {
		t.Errorf("as an update: %v", err)
	}
	// They are few, and each caller has its part.
	var more []*flightsql.PreparedStatement
	for range 2 {
		p, err := c.Prepare(ctx, "SELECT 1 AS x")
		if err != nil {
			t.Fatal(err)
		}
		more = append(more, p)
	}
	_, err = c.Prepare(ctx, "SELECT 1")
	wantCode(t, "a fourth", err, codes.ResourceExhausted, "close some")
	if _, err := c.Prepare(as(t.Context(), "globex"), "SELECT 1"); err != nil {
		t.Errorf("another's first: %v", err)
	}
	_, err = c.Prepare(as(t.Context(), "globex"), "SELECT 1")
	wantCode(t, "a fifth of all", err, codes.ResourceExhausted, "close some")
	info, err := more[0].Execute(ctx)
	if s, err := got(ctx, c, info, err); err != nil || s != "x;\n1;\n" || len(info.Schema) == 0 {
		t.Errorf("without parameters: %q, %v", s, err)
	}
	if err := more[0].Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Prepare(ctx, "SELECT 1"); err != nil {
		t.Errorf("with one closed: %v", err)
	}
	for _, q := range []string{"DROP VIEW events", "SELECT 1; SELECT ?", "FROM query(?)", "PREPARE q AS SELECT 1"} {
		_, err := c.Prepare(ctx, q)
		wantCode(t, q, err, codes.InvalidArgument, "")
	}
}

func TestCatalog(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c, ctx := h.client(), as(t.Context(), "acme")
	check := func(what, want string, info *flight.FlightInfo, err error) {
		t.Helper()
		if s, err := got(ctx, c, info, err); err != nil || !strings.Contains(s, want) {
			t.Errorf("%s: %.300q, %v, want %q", what, s, err, want)
		}
	}
	text := func(s string) *string { return &s }
	info, err := c.GetCatalogs(ctx)
	check("catalogs", "catalog_name;\nmemory;\n", info, err)
	info, err = c.GetDBSchemas(ctx, &flightsql.GetDBSchemasOpts{})
	check("schemas", "\nmemory;main;\n", info, err)
	info, err = c.GetDBSchemas(ctx, &flightsql.GetDBSchemasOpts{DbSchemaFilterPattern: text("other%")})
	check("no schemas", "catalog_name;db_schema_name;\n", info, err)
	info, err = c.GetTableTypes(ctx)
	check("table types", "table_type;\nVIEW;\n", info, err)
	info, err = c.GetTables(ctx, &flightsql.GetTablesOpts{TableNameFilterPattern: text("e%s")})
	check("tables", "table_type;\nmemory;main;evaluations;VIEW;\nmemory;main;events;VIEW;\n", info, err)
	info, err = c.GetTables(ctx, &flightsql.GetTablesOpts{})
	check("all tables", "memory;main;api_activity;VIEW;\n", info, err)
	for what, opts := range map[string]*flightsql.GetTablesOpts{
		"another type": {TableTypes: []string{"TABLE"}}, "another catalog": {Catalog: text("x")}, "no catalog": {Catalog: text("")}, "another schema": {DbSchemaFilterPattern: text("mai")},
	} {
		info, err = c.GetTables(ctx, opts)
		if s, err := got(ctx, c, info, err); err != nil || strings.Count(s, "\n") != 1 {
			t.Errorf("tables of %s: %q, %v", what, s, err)
		}
	}
	info, err = c.GetSqlInfo(ctx, []flightsql.SqlInfo{flightsql.SqlInfoFlightSqlServerName, flightsql.SqlInfoFlightSqlServerReadOnly})
	check("info", "docket", info, err)
	info, err = c.GetSqlInfo(ctx, nil)
	check("all info", "test", info, err)
	info, err = c.GetXdbcTypeInfo(ctx, nil)
	check("types", "\nBOOLEAN;-7;", info, err)
	number := int32(12)
	info, err = c.GetXdbcTypeInfo(ctx, &number)
	check("types of a number", "\nVARCHAR;12;", info, err)
	ref := flightsql.TableRef{Table: "events"}
	info, err = c.GetPrimaryKeys(ctx, ref)
	check("keys", "key_name;\n", info, err)
	info, err = c.GetImportedKeys(ctx, ref)
	check("keys", "delete_rule;\n", info, err)
	info, err = c.GetExportedKeys(ctx, ref)
	check("keys", "delete_rule;\n", info, err)
	info, err = c.GetCrossReference(ctx, ref, ref)
	check("keys", "delete_rule;\n", info, err)
	// With their columns, which are those that a query has.
	info, err = c.GetTables(ctx, &flightsql.GetTablesOpts{TableNameFilterPattern: text("operations"), IncludeSchema: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		t.Fatal(r.Err())
	}
	columns, err := flight.DeserializeSchema(r.Record().Column(4).(*array.Binary).Value(0), memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	info, err = c.Execute(ctx, "FROM operations")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := flight.DeserializeSchema(info.Schema, memory.DefaultAllocator); err != nil || !s.Equal(columns) {
		t.Errorf("operations is said to have %v, and has %v (%v)", columns, s, err)
	}
}

func TestLike(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"%", "", true},
		{"%", "abc", true},
		{"a%", "abc", true},
		{"%c", "abc", true},
		{"%b", "abc", false},
		{"a_c", "abc", true},
		{"a_c", "ac", false},
		{`a\_c`, "a_c", true},
		{`a\_c`, "abc", false},
		{`\%`, "%", true},
		{`\%`, "a", false},
		{`a\`, `a\`, true},
		{"%a%b%", "xxaxxbxx", true},
		{"%a%b", "abab", true},
		{"%ab%ab", "ab", false},
		{"abc", "ABC", false},
		{strings.Repeat("%a", 50) + "%b", strings.Repeat("a", 5000), false},
	} {
		if got := like(test.pattern, test.name); got != test.want {
			t.Errorf("%q like %q: %v", test.name, test.pattern, got)
		}
	}
}

const endless = "SELECT range AS n, repeat('x', 100) AS s FROM range(100000000000)"

// Whoever leaves, cancels, or is not entitled any more in the midst of a large
// answer leaves nothing running.
func TestEnds(t *testing.T) {
	begin := func(t *testing.T, h *house, ctx context.Context) (*flightsql.Client, *flight.FlightInfo, *flight.Reader) {
		t.Helper()
		c := h.client()
		info, err := c.Execute(ctx, endless)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.DoGet(ctx, info.Endpoint[0].Ticket)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Next() {
			t.Fatal(r.Err())
		}
		return c, info, r
	}
	// end reads to the end of a stream.
	end := func(r *flight.Reader) error {
		defer r.Release()
		for r.Next() {
		}
		return r.Err()
	}
	t.Run("context", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		ctx, cancel := context.WithCancel(as(t.Context(), "acme"))
		_, _, r := begin(t, h, ctx)
		cancel()
		wantCode(t, "read on", end(r), codes.Canceled, "")
		if err := h.door.Shutdown(t.Context()); err != nil { // which waits
			t.Error(err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		ctx, cancel := context.WithTimeout(as(t.Context(), "acme"), 2*time.Second)
		defer cancel()
		c := h.client()
		info, err := c.Execute(as(t.Context(), "acme"), "SELECT count(*) FROM range(100000) a, range(10000000) b WHERE hash(a.range, b.range) = 0")
		if err != nil {
			t.Fatal(err)
		}
		_, err = got(ctx, c, info, nil)
		wantCode(t, "a cross join", err, codes.DeadlineExceeded, "")
		if err := h.door.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("limit", func(t *testing.T) {
		h := newHouse(t, sql.Limits{Total: time.Second}, nil)
		_, err := ask(as(t.Context(), "acme"), h.client(), "SELECT count(*) FROM range(100000) a, range(10000000) b WHERE hash(a.range, b.range) = 0")
		wantCode(t, "a cross join", err, codes.DeadlineExceeded, "longer than 1s")
	})
	t.Run("cancel", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		ctx := as(t.Context(), "acme")
		c, info, r := begin(t, h, ctx)
		out, err := c.CancelFlightInfo(as(t.Context(), "globex"), &flight.CancelFlightInfoRequest{Info: info})
		if err != nil || out.Status != flight.CancelStatusNotCancellable {
			t.Errorf("another's cancel: %v, %v", out, err)
		}
		if out, err = c.CancelFlightInfo(ctx, &flight.CancelFlightInfoRequest{Info: info}); err != nil || out.Status != flight.CancelStatusCancelled {
			t.Errorf("cancel: %v, %v", out, err)
		}
		wantCode(t, "read on", end(r), codes.Canceled, "cancelled")
		if out, err = c.CancelFlightInfo(ctx, &flight.CancelFlightInfoRequest{Info: info}); err != nil || out.Status != flight.CancelStatusNotCancellable {
			t.Errorf("a second cancel: %v, %v", out, err)
		}
		if err := h.door.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("expiry", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		g := grant("ann", "acme")
		g.Expires = time.Now().Add(2 * time.Second)
		h.grants["short"] = g
		_, _, r := begin(t, h, as(t.Context(), "short"))
		wantCode(t, "read on", end(r), codes.Unauthenticated, "expired")
		_, err := ask(as(t.Context(), "short"), h.client(), "SELECT 1")
		wantCode(t, "ask again", err, codes.Unauthenticated, "expired")
	})
	t.Run("expiry while nobody reads", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		g := grant("ann", "acme")
		g.Expires = time.Now().Add(2 * time.Second)
		h.grants["short"] = g
		_, _, r := begin(t, h, as(t.Context(), "short"))
		h.door.work.Wait() // the caller has yet to hear of it
		if left := children(t); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
		wantCode(t, "read on", end(r), codes.Unauthenticated, "expired")
	})
	t.Run("stall", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, func(c *Config) { c.Stall = 500 * time.Millisecond })
		_, _, r := begin(t, h, as(t.Context(), "acme"))
		h.door.work.Wait()
		if left := children(t); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
		wantCode(t, "read on", end(r), codes.DeadlineExceeded, "no batch was taken")
	})
	t.Run("stop", func(t *testing.T) {
		h := newHouse(t, sql.Limits{}, nil)
		_, _, r := begin(t, h, as(t.Context(), "acme"))
		h.shut()
		if err := end(r); err == nil {
			t.Error("the answer has an end")
		}
	})
}

// What cannot be read is an error of its call, and no more.
func TestGarbage(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c, ctx := h.client(), as(t.Context(), "acme")
	put := func(data ...*flight.FlightData) error {
		s, err := c.Client.DoPut(ctx)
		if err != nil {
			return err
		}
		for _, d := range data {
			if err := s.Send(d); err != nil {
				break // the status says why
			}
		}
		if err := s.CloseSend(); err != nil {
			return err
		}
		_, err = s.Recv()
		return err
	}
	for what, call := range map[string]func() error{
		"DoPut of nothing":         func() error { return put() },
		"DoPut without a command":  func() error { return put(&flight.FlightData{}) },
		"DoPut of a broken header": func() error { return put(&flight.FlightData{DataHeader: []byte("broken broken broken")}) },
		"DoPut of a broken command": func() error {
			return put(&flight.FlightData{FlightDescriptor: &flight.FlightDescriptor{Cmd: []byte{0xff}}, DataHeader: bytes.Repeat([]byte{0xff}, 64)})
		},
		"DoGet of garbage": func() error { _, err := c.DoGet(ctx, &flight.Ticket{Ticket: []byte("garbage")}); return err },
		"DoGet of nothing": func() error { _, err := c.DoGet(ctx, &flight.Ticket{}); return err },
		"GetFlightInfo of nothing": func() error {
			_, err := c.Client.GetFlightInfo(ctx, &flight.FlightDescriptor{})
			return err
		},
		"DoAction of nothing": func() error {
			s, err := c.Client.DoAction(ctx, &flight.Action{Type: "CreatePreparedStatement", Body: []byte{0xff}})
			if err != nil {
				return err
			}
			_, err = s.Recv()
			return err
		},
	} {
		if err := call(); err == nil || status.Code(err) == codes.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s, err := ask(ctx, c, "SELECT 1 AS x"); err != nil || s != "x;\n1;\n" {
		t.Errorf("afterwards: %q, %v", s, err)
	}
}

var large = flag.Int64("flight.large", 256<<20, "bytes of the large answer of TestLarge")

// A large answer takes no more memory here than a small one.
func TestLarge(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c, ctx := h.client(), as(t.Context(), "acme")
	rows := *large / 1024
	info, err := c.Execute(ctx, fmt.Sprintf("SELECT range AS n, repeat('0123456789abcdef', 63) AS s FROM range(%d)", rows))
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var n int64
	var most uint64
	for batch := 0; r.Next(); batch++ {
		column := r.Record().Column(0).(*array.Int64)
		if column.Value(0) != n {
			t.Fatalf("row %d is %d", n, column.Value(0))
		}
		if n += r.Record().NumRows(); batch%64 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if err := r.Err(); err != nil || n != rows {
		t.Errorf("%d rows of %d, %v", n, rows, err)
	}
	// Both ends are in this process.
	if most > 64<<20 {
		t.Errorf("%d MiB were held", most>>20)
	}
	t.Logf("%d rows, at most %d MiB held", n, most>>20)
}

// Two callers at a time do not get each other's rows, and a third is told that
// there are too many.
func TestManyCallers(t *testing.T) {
	h := newHouse(t, sql.Limits{Running: 2, Waiting: 64}, nil)
	c := h.client()
	type answer struct {
		n   int
		s   string
		err error
	}
	answers := make(chan answer)
	const callers = 12
	for n := range callers {
		go func() {
			s, err := ask(as(t.Context(), []string{"acme", "globex"}[n%2]), c, fmt.Sprintf("SELECT %d AS n, count(*) AS c FROM range(%d)", n, n))
			answers <- answer{n, s, err}
		}()
	}
	for range callers {
		a := <-answers
		if diff := cmp.Diff(fmt.Sprintf("n;c;\n%d;%d;\n", a.n, a.n), a.s); a.err != nil || diff != "" {
			t.Errorf("caller %d: %v\n%s", a.n, a.err, diff)
		}
	}
	busy := newHouse(t, sql.Limits{Running: 1, Waiting: 1}, nil)
	ctx := as(t.Context(), "acme")
	bc := busy.client()
	info, err := bc.Execute(ctx, endless)
	if err != nil {
		t.Fatal(err)
	}
	first, err := bc.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	waiting, leave := context.WithCancel(ctx)
	errs := make(chan error, 2)
	for range 2 { // of which one waits, and the other is turned away
		go func() {
			_, err := bc.Execute(waiting, "SELECT 1")
			errs <- err
		}()
	}
	wantCode(t, "too many", <-errs, codes.ResourceExhausted, "too many queries")
	leave()
	wantCode(t, "the one who waited", <-errs, codes.Canceled, "")
}
