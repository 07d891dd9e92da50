// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/docket-audit/docket/collector/lake/index"
)

// A row is what an index and its reader tell of one.
type row struct {
	keys [3]string
	raw  string
	ints [5]int64 // by column; that of Raw is not used
}

// A shape is how a segment is written.
type shape struct {
	group, page, record int64 // rows, bytes, rows
	dictionary          bool  // for the keys
	properties          []parquet.WriterProperty
}

var plain = shape{group: 1000, page: 1 << 20, record: 100}

var schema = func() *arrow.Schema {
	text := func(name string) arrow.Field { return arrow.Field{Name: name, Type: arrow.BinaryTypes.String} }
	number := func(name string) arrow.Field { return arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int64} }
	// Other columns lie between, in another order than that of the index.
	return arrow.NewSchema([]arrow.Field{
		number("_commit"), text("trace_uid"), number("time"), text("metadata_uid"), text("_raw"), text("message"),
		number("_stored_time"), number("_stream_seq"),
		{Name: "_pos", Type: arrow.PrimitiveTypes.Int32},
		text("operation_uid"),
		{Name: "nested", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
	}, nil)
}()

// write returns a segment of rows, and what it is.
func write(t testing.TB, rows []row, s shape) ([]byte, index.Segment) {
	t.Helper()
	properties := append([]parquet.WriterProperty{
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithDictionaryDefault(false),
		parquet.WithMaxRowGroupLength(s.group), parquet.WithDataPageSize(s.page), parquet.WithBatchSize(s.record),
		parquet.WithStatsFor("_raw", false),
	}, s.properties...)
	for _, key := range index.Keys {
		properties = append(properties, parquet.WithDictionaryFor(key, s.dictionary))
	}
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &out, parquet.NewWriterProperties(properties...), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i, r := range rows {
		for f, field := range schema.Fields() {
			put(b.Field(f), field.Name, r)
		}
		if int64(i+1)%s.record != 0 && i+1 < len(rows) {
			continue
		}
		rec := b.NewRecord()
		if err := w.WriteBuffered(rec); err != nil {
			t.Fatal(err)
		}
		rec.Release()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), index.Segment{SHA256: sha256.Sum256(out.Bytes()), Bytes: int64(out.Len()), Rows: int64(len(rows))}
}

func put(b array.Builder, name string, r row) {
	for k, key := range index.Keys {
		if name == key {
			b.(*array.StringBuilder).Append(r.keys[k])
			return
		}
	}
	for c, column := range index.Columns {
		switch {
		case name != column:
		case name == "_raw":
			b.(*array.StringBuilder).Append(r.raw)
			return
		case name == "_pos":
			b.(*array.Int32Builder).Append(int32(r.ints[c]))
			return
		default:
			b.(*array.Int64Builder).Append(r.ints[c])
			return
		}
	}
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append("beside")
	case *array.Int64Builder:
		b.Append(7)
	case *array.ListBuilder:
		b.Append(true)
		b.ValueBuilder().(*array.StringBuilder).Append(r.raw[:min(3, len(r.raw))])
	default:
		panic(fmt.Sprintf("no value for %s", name))
	}
}

// arrowRows reads the segment as Arrow does.
func arrowRows(t testing.TB, segment []byte) []row {
	t.Helper()
	r, err := file.NewParquetReader(bytes.NewReader(segment))
	if err != nil {
		t.Fatal(err)
	}
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := fr.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	rows := make([]row, table.NumRows())
	each := func(name string, set func(r *row, a arrow.Array, i int)) {
		at := 0
		for _, chunk := range table.Column(table.Schema().FieldIndices(name)[0]).Data().Chunks() {
			for i := range chunk.Len() {
				set(&rows[at], chunk, i)
				at++
			}
		}
	}
	for k, name := range index.Keys {
		each(name, func(r *row, a arrow.Array, i int) { r.keys[k] = string([]byte(a.(*array.String).Value(i))) })
	}
	for c, name := range index.Columns {
		each(name, func(r *row, a arrow.Array, i int) {
			switch a := a.(type) {
			case *array.String:
				r.raw = string([]byte(a.Value(i)))
			case *array.Int32:
				r.ints[c] = int64(a.Value(i))
			case *array.Int64:
				r.ints[c] = a.Value(i)
			}
		})
	}
	return rows
}

// some returns n rows with uids that several have.
func some(n int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{
			keys: [3]string{fmt.Sprintf("event-%d", i), fmt.Sprintf("operation-%d", i/5), fmt.Sprintf("trace-%d", i%7)},
			raw:  fmt.Sprintf("{\"event\":%d}", i),
			ints: [5]int64{index.StoredTime: 1793215000100, index.StreamSeq: int64(i) + 100, index.Commit: int64(i/50) + 1, index.Pos: int64(i % 50)},
		}
	}
	return rows
}

func build(t testing.TB, segment []byte, of index.Segment) []byte {
	t.Helper()
	b, err := index.Build(t.Context(), bytes.NewReader(segment), of)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, b []byte, of index.Segment) *index.Index {
	t.Helper()
	x, err := index.Open(bytes.NewReader(b), int64(len(b)), of)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
