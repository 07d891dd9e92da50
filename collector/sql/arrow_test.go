// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	duckdb "github.com/duckdb/duckdb-go-bindings"
	"github.com/google/go-cmp/cmp"
)

// askArrow returns an answer with its columns and their types in its first line
// and then a row in each.
func askArrow(ctx context.Context, p *Processes, s Scope, q Statement) (string, error) {
	var out strings.Builder
	err := p.Arrow(ctx, s, q, func(schema *arrow.Schema) error {
		for _, f := range schema.Fields() {
			fmt.Fprintf(&out, "%s %s;", f.Name, f.Type)
		}
		out.WriteByte('\n')
		return nil
	}, func(batch arrow.Record) error {
		for i := range int(batch.NumRows()) {
			for _, c := range batch.Columns() {
				fmt.Fprintf(&out, "%s;", c.ValueStr(i))
			}
			out.WriteByte('\n')
		}
		return nil
	})
	return out.String(), err
}

// arrowTypes are what DuckDB's types become; the table of docs/flightsql.md.
var arrowTypes = []struct{ value, duck, arrow, want string }{
	{"true", "BOOLEAN", "bool", "true"},
	{"(-128)::TINYINT", "TINYINT", "int8", "-128"},
	{"(-32768)::SMALLINT", "SMALLINT", "int16", "-32768"},
	{"2147483647", "INTEGER", "int32", "2147483647"},
	{"(-9223372036854775807)::BIGINT", "BIGINT", "int64", "-9223372036854775807"},
	{"255::UTINYINT", "UTINYINT", "uint8", "255"},
	{"65535::USMALLINT", "USMALLINT", "uint16", "65535"},
	{"4294967295::UINTEGER", "UINTEGER", "uint32", "4294967295"},
	{"18446744073709551615::UBIGINT", "UBIGINT", "uint64", "18446744073709551615"},
	{"(-99999999999999999999999999999999999999)::HUGEINT", "HUGEINT", "decimal(38, 0)", "-99999999999999999999999999999999999999"},
	{"99999999999999999999999999999999999999::UHUGEINT", "UHUGEINT", "decimal(38, 0)", "99999999999999999999999999999999999999"},
	{"0.5::FLOAT", "FLOAT", "float32", "0.5"},
	{"0.1::DOUBLE", "DOUBLE", "float64", "0.1"},
	{"'NaN'::DOUBLE", "DOUBLE", "float64", "NaN"},
	{"'-inf'::DOUBLE", "DOUBLE", "float64", "-Inf"},
	{"(-1.23)::DECIMAL(4,2)", "DECIMAL(4,2)", "decimal(4, 2)", "-1.23"},
	{"1.234567::DECIMAL(9,6)", "DECIMAL(9,6)", "decimal(9, 6)", "1.234567"},
	{"123456789012.3456::DECIMAL(18,4)", "DECIMAL(18,4)", "decimal(18, 4)", "123456789012.3456"},
	{"(-12345678901234567890123456789.123456789)::DECIMAL(38,9)", "DECIMAL(38,9)", "decimal(38, 9)", "-12345678901234567890123456789.123456789"},
	{"'short'", "VARCHAR", "utf8", "short"},
	{"'longer than twelve bytes, é\u2028'", "VARCHAR", "utf8", "longer than twelve bytes, é\u2028"},
	{"''", "VARCHAR", "utf8", ""},
	{`'{"a": 1}'::JSON`, "JSON", "utf8", `{"a": 1}`},
	{`'\x00\xFF'::BLOB`, "BLOB", "binary", "AP8="},
	{"'b'::ENUM('a', 'b')", `ENUM`, "utf8", "b"},
	{"'0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e'::UUID", "UUID", "utf8", "0199c1f2-7a10-7c3e-9b1d-4f5a6b7c8d9e"},
	{"'0101'::BIT", "BIT", "utf8", "0101"},
	{"DATE '1969-12-31'", "DATE", "date32", "1969-12-31"},
	{"TIME '23:59:59.000001'", "TIME", "time64[us]", "23:59:59.000001"},
	{"TIMETZ '10:00:00.5+05:30'", "TIME WITH TIME ZONE", "utf8", "10:00:00.5+05:30"},
	{"TIMETZ '10:00:00-03:00'", "TIME WITH TIME ZONE", "utf8", "10:00:00-03:00"},
	{"TIMESTAMP '2026-11-30 12:00:00.123456'", "TIMESTAMP", "timestamp[us]", "2026-11-30 12:00:00.123456Z"},
	{"TIMESTAMP_S '2026-11-30 12:00:00'", "TIMESTAMP_S", "timestamp[s]", "2026-11-30 12:00:00Z"},
	{"TIMESTAMP_MS '2026-11-30 12:00:00.123'", "TIMESTAMP_MS", "timestamp[ms]", "2026-11-30 12:00:00.123Z"},
	{"TIMESTAMP_NS '2026-11-30 12:00:00.123456789'", "TIMESTAMP_NS", "timestamp[ns]", "2026-11-30 12:00:00.123456789Z"},
	{"TIMESTAMPTZ '2026-11-30 12:00:00+02:00'", "TIMESTAMP WITH TIME ZONE", "timestamp[us, tz=UTC]", "2026-11-30 10:00:00Z"},
	{"INTERVAL '14 months 3 days 1.5 seconds'", "INTERVAL", "month_day_nano_interval", `{"months":14,"days":3,"nanoseconds":1500000000}`},
	{"[1, NULL, 3]", "INTEGER[]", "list<item: int32, nullable>", "[1,null,3]"},
	{"[['a'], [], NULL]", "VARCHAR[][]", "list<item: list<item: utf8, nullable>, nullable>", `[["a"],[],null]`}, //nolint:dupword // Arrow's words
	{"[1, 2]::INTEGER[2]", "INTEGER[2]", "list<item: int32, nullable>", "[1,2]"},
	{"{'a': 1, 'b': [{'c': 'x'}]}", `STRUCT("a" INTEGER, "b" STRUCT("c" VARCHAR)[])`, "struct<a: int32, b: list<item: struct<c: utf8>, nullable>>", `{"a":1,"b":[{"c":"x"}]}`},
	{"MAP {'k': 1, 'l': NULL}", "MAP(VARCHAR, INTEGER)", "map<utf8, int32, items_nullable>", `[{"key":"k","value":1},{"key":"l","value":null}]`},
	{"union_value(n := 7)", `UNION("n" INTEGER)`, "utf8", "7"},
	{"NULL", "INTEGER", "int32", "(null)"},
}

// Each type comes as the table says, a NULL of it as a NULL, and the schema
// without running the query is that with running it.
func TestArrowTypes(t *testing.T) {
	scope, p := Scope{Dir: t.TempDir()}, processes(t, Limits{})
	db := open(t, scope)
	for _, test := range arrowTypes {
		// Behind a NULL and before one, and from the middle of a vector.
		text := fmt.Sprintf("SELECT CASE WHEN range %% 3 = 1 THEN %s END AS v FROM range(2500)", test.value)
		if test.duck == "INTEGER[2]" { // which is no CASE
			text = fmt.Sprintf("SELECT unnest([NULL, %s]) AS v FROM range(1250)", test.value)
		}
		var rows int
		var field arrow.Field
		err := db.Arrow(t.Context(), Statement{Text: text}, func(s *arrow.Schema) error {
			field = s.Field(0)
			return nil
		}, func(r arrow.Record) error {
			for i := range int(r.NumRows()) {
				want := "(null)"
				if rows%3 == 1 && !strings.Contains(text, "unnest") || rows%2 == 1 && strings.Contains(text, "unnest") {
					want = test.want
				}
				if got := r.Column(0).ValueStr(i); got != want {
					return fmt.Errorf("row %d is %s, want %s", rows, got, want)
				}
				rows++
			}
			return nil
		})
		if err != nil || rows != 2500 {
			t.Errorf("%s: %d rows, %v", test.value, rows, err)
			continue
		}
		name, _ := field.Metadata.GetValue(TypeNameKey)
		if field.Type.String() != test.arrow || name != test.duck {
			t.Errorf("%s is %s of %s, want %s of %s", test.value, field.Type, name, test.arrow, test.duck)
		}
		d, err := db.Describe(t.Context(), text)
		if err != nil || !d.Columns.Field(0).Equal(field) {
			t.Errorf("%s is described as %v, %v", test.value, d.Columns, err)
		}
	}
	// And in processes, all at once.
	var all, want strings.Builder
	for i, test := range arrowTypes {
		fmt.Fprintf(&all, "%s %s AS c%d", map[bool]string{true: "SELECT", false: ","}[i == 0], test.value, i)
		fmt.Fprintf(&want, "%s;", test.want)
	}
	got, err := askArrow(t.Context(), p, scope, Statement{Text: all.String()})
	if _, values, _ := strings.Cut(got, "\n"); err != nil || values != want.String()+"\n" {
		t.Errorf("all:\n%s\nwant\n%s\n%v", values, want.String(), err)
	}
	for _, test := range []string{
		"170141183460469231731687303715884105727::HUGEINT", "(-170141183460469231731687303715884105728)::HUGEINT",
		"340282366920938463463374607431768211455::UHUGEINT", "100000000000000000000000000000000000000::HUGEINT",
	} {
		var failed *QueryError
		if got, err := askArrow(t.Context(), p, scope, Statement{Text: "SELECT " + test}); !errors.As(err, &failed) || !strings.Contains(err.Error(), "VARCHAR") {
			t.Errorf("%s: %s, %v", test, got, err)
		}
		if _, err := askArrow(t.Context(), p, scope, Statement{Text: "SELECT CAST(" + test + " AS VARCHAR)"}); err != nil {
			t.Errorf("%s as text: %v", test, err)
		}
	}
}

// What stands in the place of a NULL is nothing, and never what was there before.
func TestArrowNullsAreBlank(t *testing.T) {
	values := slices.Repeat([]int64{0x5ec2e7}, 130)
	valid := []uint64{0xaaaaaaaaaaaaaaaa, 0, 1}
	d := &decoder{kind: duckdb.TypeBigInt, data: unsafe.Pointer(&values[0]), valid: unsafe.Pointer(&valid[0])}
	b := array.NewInt64Builder(memory.DefaultAllocator)
	if err := d.appendTo(b, 1, 130); err != nil {
		t.Fatal(err)
	}
	c := b.NewInt64Array()
	for i := range c.Len() {
		row := i + 1
		if null := valid[row/64]>>(row%64)&1 == 0; c.IsNull(i) != null || null != (c.Value(i) == 0) {
			t.Errorf("row %d: NULL is %v, it comes as NULL %v with %x", row, null, c.IsNull(i), c.Value(i))
		}
	}
	if c.Len() != 129 {
		t.Errorf("%d rows", c.Len())
	}
}

// Batches are no larger than they may be as they are written; a larger row goes
// alone, and one that is far too large ends the answer.
func TestArrowBatches(t *testing.T) {
	scope, p := Scope{Dir: t.TempDir()}, processes(t, Limits{})
	for _, test := range []struct {
		text          string
		rows, batches int
	}{
		{"SELECT range AS n FROM range(1000000)", 1_000_000, 16},
		{"SELECT repeat('x', 1000) AS s, NULL AS n, [range] AS l FROM range(20000)", 20_000, 10},
		{"SELECT repeat('x', 1500000) AS s FROM range(4)", 4, 4},
		{"SELECT CASE WHEN range = 2 THEN repeat('x', 9000000) ELSE 'y' END AS s FROM range(5)", 5, 3},
		{"SELECT [repeat('x', 100000) FOR x IN range(10)] AS s FROM range(5)", 5, 3},
		{"SELECT * FROM range(0)", 0, 0},
	} {
		var rows, batches int
		err := p.Arrow(t.Context(), scope, Statement{Text: test.text}, func(*arrow.Schema) error { return nil }, func(r arrow.Record) error {
			var b bytes.Buffer
			w := ipc.NewWriter(&b, ipc.WithSchema(r.Schema()))
			if err := w.Write(r); err != nil {
				return err
			}
			if b.Len() > MaxBatch && r.NumRows() > 1 {
				return fmt.Errorf("a batch of %d rows takes %d bytes", r.NumRows(), b.Len())
			}
			rows, batches = rows+int(r.NumRows()), batches+1
			return nil
		})
		if err != nil || rows != test.rows || batches < test.batches || batches > test.batches+1 {
			t.Errorf("%s: %d rows in %d batches, %v", test.text, rows, batches, err)
		}
	}
	var failed *QueryError
	if _, err := askArrow(t.Context(), p, scope, Statement{Text: "SELECT repeat('x', 17000000)"}); !errors.As(err, &failed) || !strings.Contains(err.Error(), "a row of 170000") {
		t.Errorf("a row of 17 MB: %v", err)
	}
	var refused *StatementError
	wide := "SELECT " + strings.Repeat("1,", 10000) + " 1"
	if _, err := askArrow(t.Context(), p, scope, Statement{Text: wide}); !errors.As(err, &refused) {
		t.Errorf("a schema of more than a MiB: %v", err)
	}
}

// An error is the one that an answer of rows has.
func TestArrowErrors(t *testing.T) {
	scope, p := story(t), processes(t, Limits{})
	for _, q := range []string{
		"DROP VIEW events", "SELECT 1; SELECT 2", "SELECT nothing FROM events", "SELECT error('told')", "FROM '/etc/passwd'", "", strings.Repeat("x", maxText+1),
		"SELECT ?", "FROM query('SELECT 1')", "COPY events TO '/tmp/x'", "SELECT \x00",
	} {
		_, want := askIn(t.Context(), p, scope, q)
		var refused, refusedHere *StatementError
		var failed, failedHere *QueryError
		got, err := askArrow(t.Context(), p, scope, Statement{Text: q})
		if errors.As(err, &refused) != errors.As(want, &refusedHere) || errors.As(err, &failed) != errors.As(want, &failedHere) || err == nil || err.Error() != want.Error() || got != "" {
			t.Errorf("%.50s: %q, %v; as rows %v", q, got, err, want)
		}
	}
	got, err := askArrow(t.Context(), p, scope, Statement{Text: "SELECT CASE WHEN range = 500000 THEN error('told late') ELSE range END AS n FROM range(1000000)"})
	var failed *QueryError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "told late") || !strings.Contains(got, "\n0;\n1;\n") {
		t.Errorf("a late error: %.50q, %v", got, err)
	}
	broken := errors.New("broken")
	if err := p.Arrow(t.Context(), scope, Statement{Text: "FROM range(100000000000)"}, func(*arrow.Schema) error { return nil }, func(arrow.Record) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("who reads the answer cannot: %v", err)
	}
	small := processes(t, Limits{Memory: 600 << 20})
	var greedy *MemoryError
	for _, q := range []string{"SELECT len(range(2000000000))", "SELECT list(range) FROM range(1000000000)"} {
		if _, err := askArrow(t.Context(), small, scope, Statement{Text: q}); !errors.As(err, &greedy) {
			t.Errorf("%s: %v", q, err)
		}
	}
	var late *TimeoutError
	const long = "SELECT count(*) FROM range(100000) a, range(10000000) b WHERE hash(a.range, b.range) = 0"
	for _, l := range []Limits{{Stall: 100 * time.Millisecond}, {Total: 100 * time.Millisecond}} {
		if _, err := askArrow(t.Context(), processes(t, l), scope, Statement{Text: long}); !errors.As(err, &late) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := p.Arrow(ctx, scope, Statement{Text: "FROM range(100000000000)"}, func(*arrow.Schema) error { return nil }, func(arrow.Record) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("the one who asked has left: %v", err)
	}
}

// row makes a record of one row of arrays.
func row(columns ...arrow.Array) arrow.Record {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: fmt.Sprint(i), Type: c.DataType(), Nullable: true}
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, 1)
}

// build makes an array of one value.
func build(t *testing.T, of arrow.DataType, value string) arrow.Array {
	t.Helper()
	b := array.NewBuilder(memory.DefaultAllocator, of)
	if err := b.AppendValueFromString(value); err != nil {
		t.Fatal(err)
	}
	return b.NewArray()
}

// A parameter is a value, of the type that it has, and whatever it says.
func TestArrowParameters(t *testing.T) {
	scope, p := story(t), processes(t, Limits{})
	for _, test := range []struct {
		of             arrow.DataType
		value, is, got string
	}{
		{arrow.FixedWidthTypes.Boolean, "true", "BOOLEAN", "true"},
		{arrow.PrimitiveTypes.Int8, "-8", "BIGINT", "-8"},
		{arrow.PrimitiveTypes.Int64, "-9223372036854775808", "BIGINT", "-9223372036854775808"},
		{arrow.PrimitiveTypes.Uint64, "18446744073709551615", "UBIGINT", "18446744073709551615"},
		{arrow.PrimitiveTypes.Float32, "0.5", "DOUBLE", "0.5"},
		{arrow.PrimitiveTypes.Float64, "0.1", "DOUBLE", "0.1"},
		{&arrow.Decimal128Type{Precision: 38, Scale: 4}, "-1234567890123456789012345678901234.5678", "DECIMAL(38,4)", "-1234567890123456789012345678901234.5678"},
		{arrow.BinaryTypes.String, "'); DROP VIEW events; --", "VARCHAR", "'); DROP VIEW events; --"},
		{arrow.BinaryTypes.String, "a\x00b", "VARCHAR", "a\x00b"},
		{arrow.BinaryTypes.LargeString, "é", "VARCHAR", "é"},
		{arrow.BinaryTypes.Binary, "AP8=", "BLOB", `\x00\xFF`},
		{arrow.FixedWidthTypes.Date32, "2026-11-30", "DATE", "2026-11-30"},
		{arrow.FixedWidthTypes.Time32ms, "12:00:00.5", "TIME", "12:00:00.5"},
		{arrow.FixedWidthTypes.Time64us, "12:00:00.000001", "TIME", "12:00:00.000001"},
		{arrow.FixedWidthTypes.Timestamp_ms, "2026-11-30 12:00:00.123", "TIMESTAMP WITH TIME ZONE", "2026-11-30 12:00:00.123+00"},
		{&arrow.TimestampType{Unit: arrow.Microsecond}, "2026-11-30 12:00:00.000001", "TIMESTAMP", "2026-11-30 12:00:00.000001"},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, "2026-11-30 12:00:00.000000001", "TIMESTAMP_NS", "2026-11-30 12:00:00.000000001"},
	} {
		parameters, err := Parameters(row(build(t, test.of, test.value)))
		if err != nil {
			t.Errorf("%s %s: %v", test.of, test.value, err)
			continue
		}
		got, err := askArrow(t.Context(), p, scope, Statement{"SELECT typeof(x), x::VARCHAR FROM (SELECT $1 AS x)", parameters})
		if _, values, _ := strings.Cut(got, "\n"); err != nil || values != test.is+";"+test.got+";\n" {
			t.Errorf("%s %s: %s, %v", test.of, test.value, values, err)
		}
	}
	// By ? and by number, with a NULL, compared, and where nothing but a value stands.
	text := func(values ...string) (p []Parameter) {
		for _, v := range values {
			p = append(p, Parameter{Kind: kindText, Bytes: []byte(v)})
		}
		return p
	}
	for _, test := range []struct {
		text       string
		parameters []Parameter
		want       string
	}{
		{"SELECT metadata_uid FROM events WHERE binding = ? AND kind = ?", text("b1", "evaluation"), "e1;\n"},
		{"SELECT $2 || $1", text("a", "b"), "ba;\n"},
		{"SELECT metadata_uid FROM events WHERE sequence = ?", text("1"), "e0;\n"},
		{"SELECT count(*) FROM events WHERE binding = ?", text("' OR '1'='1"), "0;\n"},
		{"SELECT count(*) FROM events WHERE binding = ?", []Parameter{{Kind: kindNull}}, "0;\n"},
		{"SELECT metadata_uid FROM events WHERE binding = 'b1' OR metadata_uid = ?", text("x' UNION SELECT 'secret"), "e1;\n"},
		{"SELECT count(*) FROM range(?)", []Parameter{{Kind: kindInt, Ints: []int64{7}}}, "7;\n"},
		{"SELECT metadata_uid FROM events ORDER BY metadata_uid LIMIT ?", []Parameter{{Kind: kindInt, Ints: []int64{1}}}, "e0;\n"},
	} {
		got, err := askArrow(t.Context(), p, scope, Statement{test.text, test.parameters})
		if _, values, _ := strings.Cut(got, "\n"); err != nil || values != test.want {
			t.Errorf("%s: %s, %v", test.text, values, err)
		}
	}
	var refused *StatementError
	for _, s := range []Statement{
		{"SELECT ?", text("a", "b")},
		{"SELECT 1", text("a")},
		{"FROM query(?)", text("SELECT 1")},
		{"FROM read_text(?)", text("/etc/passwd")},
		{"FROM query_table(?)", text("events")},
		{"SELECT 1; SELECT ?", text("a")},
		{"SELECT ?", []Parameter{{Kind: "file"}}},
	} {
		if got, err := askArrow(t.Context(), p, scope, s); !errors.As(err, &refused) {
			t.Errorf("%s: %s, %v", s.Text, got, err)
		}
	}
	two := array.NewBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Int8)
	two.AppendNull()
	two.AppendNull()
	for what, rec := range map[string]arrow.Record{
		"two rows":     array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8}}, nil), []arrow.Array{two.NewArray()}, 2),
		"a list":       row(build(t, arrow.ListOf(arrow.PrimitiveTypes.Int8), "[1]")),
		"much text":    row(build(t, arrow.BinaryTypes.String, strings.Repeat("x", maxParameters+1))),
		"no UTF-8":     row(build(t, arrow.BinaryTypes.String, "\xff")),
		"a time":       row(build(t, &arrow.TimestampType{Unit: arrow.Second}, "9999-12-31 00:00:00"), farAway()),
		"many columns": row(slices.Repeat([]arrow.Array{build(t, arrow.PrimitiveTypes.Int8, "1")}, 5000)...),
		"no decimal":   row(noDecimal()),
	} {
		if p, err := Parameters(rec); !errors.As(err, &refused) {
			t.Errorf("%s: %d parameters, %v", what, len(p), err)
		}
	}
}

func farAway() arrow.Array {
	b := array.NewTimestampBuilder(memory.DefaultAllocator, &arrow.TimestampType{Unit: arrow.Second})
	b.Append(1 << 62)
	return b.NewArray()
}

func noDecimal() arrow.Array {
	b := array.NewDecimal128Builder(memory.DefaultAllocator, &arrow.Decimal128Type{Precision: 2})
	b.Append(decimal128.FromI64(1_000_000))
	return b.NewArray()
}

// What a statement asks for is known without running it.
func TestDescribe(t *testing.T) {
	scope, p := story(t), processes(t, Limits{})
	for _, test := range []struct{ text, columns, parameters string }{
		{"SELECT metadata_uid, sequence + 1 AS n, error('told') AS e FROM events WHERE sequence > ? AND binding = ?", "metadata_uid: utf8; n: int64; e: int32; ", "1: int64; 2: utf8; "},
		{"SELECT ?::DATE AS b, 1 AS c", "b: date32; c: int32; ", "1: date32; "},
		{"SELECT ? AS a, ?::DATE AS b, 1 AS c", "unknown: null; ", "1: null; 2: null; "},
		{"SELECT typeof(?) AS a", "a: utf8; ", "1: null; "},
		{"FROM range(1000000000000000)", "range: int64; ", ""},
		{"SHOW TABLES", "name: utf8; ", ""},
	} {
		d, err := p.Describe(t.Context(), scope, test.text)
		list := func(s *arrow.Schema) (out string) {
			for _, f := range s.Fields() {
				out += fmt.Sprintf("%s: %s; ", f.Name, f.Type)
			}
			return out
		}
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
		} else if list(d.Columns) != test.columns || list(d.Parameters) != test.parameters {
			t.Errorf("%s: %s/ %s", test.text, list(d.Columns), list(d.Parameters))
		}
	}
	var refused *StatementError
	for _, q := range []string{"DROP VIEW events", "SELECT 1; SELECT 2", "FROM read_text(?)", "PREPARE x AS SELECT 1"} {
		if _, err := p.Describe(t.Context(), scope, q); !errors.As(err, &refused) {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// The tables are what SHOW TABLES shows, with the columns that they have.
func TestTables(t *testing.T) {
	scope, p := story(t), processes(t, Limits{})
	tables, err := p.Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, scope)
	var want []string
	rows, err := db.Query(t.Context(), "SELECT name FROM (SHOW TABLES) ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		want = append(want, rows.Values()[0].(string))
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, table := range tables {
		got = append(got, table.Name)
		if slices.Contains([]string{"events", "operations", "evaluations", "api_activity", "kernel_activity"}, table.Name) {
			d, err := db.Describe(t.Context(), "FROM "+table.Name)
			if err != nil || !d.Columns.Equal(table.Columns) {
				t.Errorf("%s has %v, %v; said %v", table.Name, d.Columns, err, table.Columns)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tables (-shown +said):\n%s", diff)
	}
}
