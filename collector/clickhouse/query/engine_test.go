// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	rowsof "github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
)

const endless = "SELECT sum(sipHash64(number)) AS marked FROM numbers(1000000000000000)"

// A query takes no more than it may, and is told so by its own name.
func TestLimits(t *testing.T) {
	s := filled(t)
	all := Scope{View: view(t, authz.Everywhere)}
	var greedy *sql.MemoryError
	if _, err := New(s, sql.Limits{Memory: 50 << 20}).answer(t.Context(), all, "SELECT length(groupArray(number)) FROM numbers(100000000)"); !errors.As(err, &greedy) || greedy.Limit != 50<<20 {
		t.Errorf("memory: %v", err)
	}
	var late *sql.TimeoutError
	if _, err := New(s, sql.Limits{Total: time.Second}).answer(t.Context(), all, endless); !errors.As(err, &late) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("time: %v", err)
	}
	if _, err := New(s, sql.Limits{Stall: 500 * time.Millisecond}).answer(t.Context(), all, endless); !errors.As(err, &late) || late.Limit != 500*time.Millisecond {
		t.Errorf("stall: %v", err)
	}
	gone(t, s)
}

// gone waits until the server runs none of them any more.
func gone(t *testing.T, s Store) {
	t.Helper()
	for {
		var n uint64
		if err := s.Select(t.Context(), nil, "SELECT count() FROM system.processes WHERE query LIKE '%AS mar'||'ked FROM%'", func(rows rowsof.Rows) error {
			for rows.Next() {
				if err := rows.Scan(&n); err != nil {
					return err
				}
			}
			return rows.Err()
		}); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// Who goes away takes the query along, and who fails while taking the answer is told
// their own error.
func TestEnds(t *testing.T) {
	s := filled(t)
	e := New(s, sql.Limits{})
	all := Scope{View: view(t, authz.Everywhere)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := e.answer(ctx, all, endless)
		ended <- err
	}()
	for len(e.running) == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	full := errors.New("full")
	if err := e.Rows(t.Context(), all, "SELECT number AS marked FROM numbers(1000000000000)", func([]string) error { return nil }, failing{full}); !errors.Is(err, full) {
		t.Errorf("who cannot write: %v", err)
	}
	if err := e.Arrow(t.Context(), all, sql.Statement{Text: "SELECT number AS marked FROM numbers(1000000000000)"}, func(*arrow.Schema) error { return full }, nil); !errors.Is(err, full) {
		t.Errorf("who wants no schema: %v", err)
	}
	gone(t, s)
	if len(e.running) != 0 || len(e.places) != 0 {
		t.Errorf("%d run, %d have places", len(e.running), len(e.places))
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// One tenant does not take all places, and when all are taken the next is turned away.
func TestBusy(t *testing.T) {
	e := New(filled(t, []store.Entry{storetest.NewEpoch(t, "acme", "gw").API("outcome", "op-1", ""), storetest.NewEpoch(t, "globex", "gw").API("outcome", "op-2", "")}), sql.Limits{Running: 2, Waiting: 1})
	one := Scope{View: view(t, "acme")}
	leave, err := e.enter(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	var busy *sql.BusyError
	if _, err := e.answer(t.Context(), Scope{View: view(t, "acme")}, "SELECT 1"); !errors.As(err, &busy) {
		t.Errorf("the second of a tenant: %v", err)
	}
	if _, err := e.answer(t.Context(), Scope{View: view(t, "globex")}, "SELECT 1"); err != nil {
		t.Errorf("another tenant: %v", err)
	}
	leave()
	if _, err := e.answer(t.Context(), one, "SELECT 1"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Values come out in JSON and in Arrow as they do of the lake.
func TestValues(t *testing.T) {
	e := New(filled(t), sql.Limits{})
	all := Scope{View: view(t, authz.Everywhere)}
	const text = `SELECT [1, -2] AS list, map('k', 1) AS m, (1, 'x') AS pair, toDecimal64('1.50', 2) AS d, toDate('2020-01-02') AS day, ` +
		`toDateTime64('2020-01-02 03:04:05.678', 3, 'UTC') AS at, toDateTime('1970-01-02 00:00:01', 'Asia/Tokyo') AS z, NULL AS n, toInt128('-170141183460469231731687303715884105728') AS i, ` +
		`toUUID('0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e') AS u, CAST('a' AS Enum8('a' = 1)) AS en, 1 = 1 AS b, true AS t, 0.5 AS f, nan AS nn, unhex('FF41') AS bytes, ` +
		`toNullable(5) AS x, toLowCardinality('lc') AS lc, [[NULL, 'a']] AS deep, 18446744073709551615 AS big, toIPv4('1.2.3.4') AS ip, 'a' AS "é ""q""", 'a' AS "é ""q"""`
	got, err := e.answer(t.Context(), all, text)
	want := `list,m,pair,d,day,at,z,n,i,u,en,b,t,f,nn,bytes,x,lc,deep,big,ip,é "q",é "q"_1
{"list":[1,-2],"m":{"k":1},"pair":[1,"x"],"d":1.50,"day":"2020-01-02","at":"2020-01-02T03:04:05.678Z","z":"1970-01-01T15:00:01Z","n":null,"i":-170141183460469231731687303715884105728,` +
		`"u":"0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e","en":"a","b":1,"t":true,"f":0.5,"nn":"NaN","bytes":"` + "\uFFFD" + `A","x":5,"lc":"lc","deep":[[null,"a"]],"big":18446744073709551615,"ip":"1.2.3.4","é \"q\"":"a","é \"q\"_1":"a"}
`
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	text2 := strings.Replace(text, "'-170141183460469231731687303715884105728'", "'-5'", 1)
	text2 = strings.Replace(text2, "nan AS nn", "1e300 AS nn", 1)
	var rows []string
	var schema *arrow.Schema
	err = e.Arrow(t.Context(), all, sql.Statement{Text: text2}, func(s *arrow.Schema) error {
		schema = s
		return nil
	}, func(r arrow.Record) error {
		b, err := json.Marshal(r)
		rows = append(rows, string(b))
		return err
	})
	const inArrow = `[{"at":"2020-01-02 03:04:05.678Z","b":1,"big":18446744073709551615,"bytes":"` + "\uFFFD" + `A","d":"1.5","day":"2020-01-02","deep":[[null,"a"]],"en":"a","f":0.5,"i":"-5","ip":"1.2.3.4","lc":"lc","list":[1,-2],` +
		`"m":[{"key":"k","value":1}],"n":null,"nn":1e+300,"pair":{"1":1,"2":"x"},"t":true,"u":"0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e","x":5,"z":"1970-01-01 15:00:01Z","é \"q\"":"a","é \"q\"_1":"a"}]`
	if diff := cmp.Diff([]string{inArrow}, rows); diff != "" || err != nil {
		t.Errorf("Arrow: %v (-want +got)\n%s", err, diff)
	}
	described, err := e.Describe(t.Context(), all, text2)
	if err != nil || !described.Columns.Equal(schema) {
		t.Errorf("described as %v, %v\nwant %v", described.Columns, err, schema)
	}
	if _, err := e.answer(t.Context(), all, "SELECT toInt128('-170141183460469231731687303715884105728') AS i"); err != nil {
		t.Error(err)
	}
	var failed *sql.QueryError
	if err := e.Arrow(t.Context(), all, sql.Statement{Text: text}, func(*arrow.Schema) error { return nil }, func(arrow.Record) error { return nil }); !errors.As(err, &failed) || !strings.Contains(err.Error(), "38 digits") {
		t.Errorf("39 digits: %v", err)
	}
}

// What is bound is a value, whatever it says.
func TestParameters(t *testing.T) {
	e := New(filled(t), sql.Limits{})
	all := Scope{View: view(t, authz.Everywhere)}
	texts := []string{"", "it's", `\`, `\'`, "a\x00b", "'; DROP TABLE x --", "é😀", "?", "\n", "{x:String}"}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		{Name: "1", Type: arrow.BinaryTypes.String},
		{Name: "2", Type: arrow.PrimitiveTypes.Int64},
		{Name: "3", Type: arrow.FixedWidthTypes.Date32},
		{Name: "4", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "5", Type: arrow.PrimitiveTypes.Float64},
		{Name: "6", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "7", Type: &arrow.Decimal128Type{Precision: 5, Scale: 2}},
		{Name: "8", Type: arrow.BinaryTypes.String},
	}, nil))
	defer b.Release()
	for _, want := range texts {
		b.Field(0).(*array.StringBuilder).Append(want)
		b.Field(1).(*array.Int64Builder).Append(-1 << 63)
		b.Field(2).(*array.Date32Builder).Append(-1)
		b.Field(3).(*array.TimestampBuilder).Append(1_500_000)
		b.Field(4).(*array.Float64Builder).Append(1e-300)
		b.Field(5).(*array.BooleanBuilder).Append(true)
		b.Field(6).(*array.Decimal128Builder).AppendValueFromString("-1.05")
		b.Field(7).AppendNull()
		r := b.NewRecord()
		bound, err := sql.Parameters(r)
		r.Release()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = e.Arrow(t.Context(), all, sql.Statement{Text: "SELECT ? AS t, ? AS i, ? AS d, ? AS at, ? AS f, ? AS b, ? AS n, ? AS nothing, '?' AS q", Parameters: bound}, func(*arrow.Schema) error { return nil }, func(r arrow.Record) error {
			for _, c := range r.Columns() {
				got = append(got, c.ValueStr(0))
			}
			return nil
		})
		if diff := cmp.Diff([]string{want, "-9223372036854775808", "1969-12-31", "1970-01-01 00:00:01.5Z", "1e-300", "true", "-1.05", array.NullValueStr, "?"}, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got)\n%s", want, err, diff)
		}
	}
	var refused *sql.StatementError
	if err := e.Arrow(t.Context(), all, sql.Statement{Text: "SELECT 1", Parameters: []sql.Parameter{{Kind: "null"}}}, nil, nil); !errors.As(err, &refused) {
		t.Errorf("one too many: %v", err)
	}
}

// An answer is handed on while it is made.
func TestStreams(t *testing.T) {
	e := New(filled(t), sql.Limits{})
	w := &counting{}
	if err := e.Rows(t.Context(), Scope{View: view(t, authz.Everywhere)}, "SELECT number FROM numbers(300000)", func([]string) error { return nil }, w); err != nil {
		t.Fatal(err)
	}
	if w.lines != 300000 || w.writes < 10 {
		t.Errorf("%d lines in %d pieces", w.lines, w.writes)
	}
}

type counting struct{ writes, lines int }

func (c *counting) Write(b []byte) (int, error) {
	c.writes++
	c.lines += bytes.Count(b, []byte("\n"))
	return len(b), nil
}

// Before the first commit there is nothing to be seen, and that is an answer.
func TestEmptyStore(t *testing.T) {
	e := New(filled(t), sql.Limits{})
	for _, who := range []string{authz.Everywhere, "acme"} {
		answer, err := e.answer(t.Context(), Scope{View: view(t, who)}, "SELECT count() AS n FROM events")
		if err != nil || answer != "n\n{\"n\":0}\n" {
			t.Errorf("as %s: %s, %v", who, answer, err)
		}
	}
	if answer, err := e.answer(t.Context(), Scope{View: view(t, "acme")}, "SELECT tenant, answer FROM evaluations"); err != nil || answer != "tenant,answer\n" {
		t.Errorf("%s, %v", answer, err)
	}
}

// What has no value outside of the server is refused, and what is asked of one that is
// gone does not tell where it was.
func TestUnanswered(t *testing.T) {
	engine := chdbtest.Start(t, "")
	s, err := clickhouse.Open(t.Context(), engine.DSN(), clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e := New(s, sql.Limits{})
	all := Scope{View: view(t, authz.Everywhere)}
	for _, text := range []string{"SELECT sumState(number) FROM numbers(3)", "SELECT uniqState(tenant), count() FROM (SELECT 'a' AS tenant)"} {
		_, err := e.answer(t.Context(), all, text)
		var refused *sql.StatementError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "AggregateFunction(") || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: %v", text, err)
		}
		// The engine is not out of breath after it.
		if got, err := e.answer(t.Context(), all, "SELECT finalizeAggregation(sumState(number)) AS n FROM numbers(3)"); err != nil || got != "n\n{\"n\":3}\n" {
			t.Errorf("%s, %v", got, err)
		}
	}
	engine.Kill()
	for _, text := range []string{"SELECT 1", "SHOW TABLES", "SELECT * FROM events"} {
		_, err := e.answer(t.Context(), all, text)
		var cause *clickhouse.Error
		if err == nil || err.Error() != "the store cannot be reached" || !errors.As(err, &cause) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
