// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package flight

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	pb "github.com/apache/arrow/go/v17/arrow/flight/gen/flight"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

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
	packed, err := anypb.New(&pb.CommandPreparedStatementQuery{PreparedStatementHandle: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	command, err := proto.Marshal(packed)
	if err != nil {
		t.Fatal(err)
	}
	bind := &flight.FlightDescriptor{Cmd: command}
	for what, call := range map[string]func() error{
		"DoPut of nothing":         func() error { return put() },
		"DoPut without a command":  func() error { return put(&flight.FlightData{}) },
		"DoPut of a broken header": func() error { return put(&flight.FlightData{DataHeader: []byte("broken and no header")}) },
		"DoPut of a broken command": func() error {
			return put(&flight.FlightData{FlightDescriptor: &flight.FlightDescriptor{Cmd: []byte{0xff}}, DataHeader: bytes.Repeat([]byte{0xff}, 64)})
		},
		"DoPut of broken parameters": func() error {
			return put(&flight.FlightData{FlightDescriptor: bind, DataHeader: bytes.Repeat([]byte{0xff}, 64)})
		},
		"DoPut of no parameters": func() error {
			return put(&flight.FlightData{FlightDescriptor: bind}, &flight.FlightData{})
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
		if err := call(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s, err := ask(ctx, c, "SELECT 1 AS x"); err != nil || s != "x;\n1;\n" {
		t.Errorf("afterwards: %q, %v", s, err)
	}
}

// Who read is told with what and how much, and who was refused with why; to ask
// what could be read is no read.
func TestAccesses(t *testing.T) {
	var mu sync.Mutex
	var told []Access // guarded by mu
	h := newHouse(t, sql.Limits{}, func(c *Config) {
		c.Accessed = func(_ context.Context, a Access) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, a)
		}
	})
	take := func() []Access {
		mu.Lock()
		defer mu.Unlock()
		all := told
		told = nil
		return all
	}
	const text = "SELECT * FROM range(3)"
	if s, err := ask(as(t.Context(), "acme"), h.client(), text); err != nil || s != "range;\n0;\n1;\n2;\n" {
		t.Fatal(s, err)
	}
	h.shut() // what is told when a call has ended is told by now
	all := take()
	if len(all) != 1 || all[0].Method != "DoGet" || all[0].SQL != text || all[0].Rows != 3 || all[0].Err != nil || all[0].Grant == nil || all[0].Grant.Subject != "ann" || all[0].Peer == "" {
		t.Errorf("told %+v", all)
	}
}

func TestRefusedAccesses(t *testing.T) {
	told := make(chan Access, 10)
	h := newHouse(t, sql.Limits{}, func(c *Config) { c.Accessed = func(_ context.Context, a Access) { told <- a } })
	for token, who := range map[string]string{"stranger": "", "reader": "ray"} {
		if _, err := ask(as(t.Context(), token), h.client(), "SELECT 1"); err == nil {
			t.Fatalf("%s may ask", token)
		}
		a := <-told
		if a.Err == nil || a.Rows != 0 || (a.Grant == nil) != (who == "") || a.Grant != nil && a.Grant.Subject != who {
			t.Errorf("%s: told %+v", token, a)
		}
	}
}

// rawCodec sends bytes as they are, and takes whatever comes.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (rawCodec) Name() string                         { return "proto" }

// Who is not known yet makes the server keep no more than a token needs.
func TestLargeMetadata(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c := h.client()
	small := strings.Repeat("a", maxHeaders-1<<10)
	_, err := c.Execute(metadata.AppendToOutgoingContext(t.Context(), "x", small), "SELECT 1")
	wantCode(t, "metadata that fit", err, codes.Unauthenticated, "")
	_, err = c.Execute(metadata.AppendToOutgoingContext(t.Context(), "x", small+small), "SELECT 1")
	wantCode(t, "metadata that do not", err, codes.Internal, "header")
}

// A call that went wrong, or that nobody could read, is told of once, with who
// called and what came of it.
func TestAccessesThatWentWrong(t *testing.T) {
	told := make(chan Access, 10)
	h := newHouse(t, sql.Limits{}, func(c *Config) { c.Accessed = func(_ context.Context, a Access) { told <- a } })
	c := h.client()
	conn, err := grpc.NewClient(h.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw := func(method, message string) func(context.Context) error {
		return func(ctx context.Context) error {
			var into []byte
			return conn.Invoke(ctx, method, []byte(message), &into, grpc.ForceCodecV2(rawCodec{}))
		}
	}
	const service = "/arrow.flight.protocol.FlightService/"
	long := "SELECT nonsense -- " + strings.Repeat("é", 5000)
	for what, test := range map[string]struct {
		call   func(context.Context) error
		code   codes.Code
		method string
		sql    string
		first  bool // it is read before anybody asks who it is
	}{
		"no SELECT":  {func(ctx context.Context) error { _, err := c.Execute(ctx, "DROP VIEW events"); return err }, codes.InvalidArgument, "GetFlightInfo", "DROP VIEW events", false},
		"a long one": {func(ctx context.Context) error { _, err := c.Prepare(ctx, long); return err }, codes.InvalidArgument, "DoAction", cut(long, maxText), false},
		"no ticket": {func(ctx context.Context) error {
			_, err := c.DoGet(ctx, &flight.Ticket{Ticket: []byte("x")})
			return err
		}, codes.InvalidArgument, "DoGet", "", false},
		"no message":      {raw(service+"GetFlightInfo", "\xff\xff"), codes.Internal, "GetFlightInfo", "", true},
		"no stream's":     {raw(service+"DoGet", "\xff\xff"), codes.Internal, "DoGet", "", false},
		"no call":         {raw(service+"Delete", ""), codes.Unimplemented, "Delete", "", false},
		"a very long one": {raw("/"+strings.Repeat("x/", 10)+strings.Repeat("y", 5000), ""), codes.Unimplemented, strings.Repeat("y", maxMethod) + "...", "", false},
	} {
		for token, who := range map[string]string{"acme": "ann", "stranger": ""} {
			err := test.call(as(t.Context(), token))
			want := test.code
			if who == "" && !test.first {
				want = codes.Unauthenticated
			}
			a := <-told
			if status.Code(err) != want || status.Code(a.Err) != want || a.Method != test.method || who != "" && a.SQL != test.sql || a.Peer == "" || (a.Grant == nil) != (who == "") || a.Grant != nil && a.Grant.Subject != who {
				t.Errorf("%s as %s: %v, told %+v", what, token, err, a)
			}
		}
	}
	h.shut() // what is told when a call has ended is told by now
	if len(told) > 0 {
		t.Errorf("told too %+v", <-told)
	}
}
