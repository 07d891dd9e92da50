// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// linger is how long rows wait for others to fill their batch: who asked, and
// the limit on stalls, shall see that something comes.
const linger = time.Second

// Arrow runs one SELECT as [DB.Query] does, and hands the answer on in Arrow: it
// calls schema once and then batch for each batch, which is good until that
// returns.
func (d *DB) Arrow(ctx context.Context, s Statement, schema func(*arrow.Schema) error, batch func(arrow.Record) error) (err error) {
	rows, err := d.query(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	of := schemaOf(rows.columns, rows.decoders)
	if _, err := writeSchema(of); err != nil {
		return err
	}
	if err := schema(of); err != nil {
		return err
	}
	b := newBatcher(rows.decoders, of, batch)
	defer b.builder.Release()
	for rows.fetch() {
		if err := b.add(rows.rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return b.flush()
}

// Describe says what a SELECT would answer, without running it.
func (d *DB) Describe(ctx context.Context, text string) (out Description, err error) {
	c, release, err := d.enter(ctx, text)
	if err != nil {
		return out, err
	}
	defer c.close()
	defer release()
	if err := c.check(ctx, text); err != nil {
		return out, err
	}
	err = c.prepare(text, func(stmt duckdb.PreparedStatement) error {
		out = describe(stmt)
		return nil
	})
	if err != nil {
		return out, failed(ctx, err)
	}
	return out, nil
}

func describe(stmt duckdb.PreparedStatement) (d Description) {
	columns := make([]Column, duckdb.PreparedStatementColumnCount(stmt))
	decoders := make([]*decoder, len(columns))
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = duckdb.PreparedStatementColumnName(stmt, duckdb.IdxT(i))
	}
	for i, name := range Distinct(names) {
		var t duckdb.LogicalType
		if duckdb.PreparedStatementColumnType(stmt, duckdb.IdxT(i)) != duckdb.TypeInvalid {
			t = duckdb.PreparedStatementColumnLogicalType(stmt, duckdb.IdxT(i))
		}
		columns[i], decoders[i] = describeOne(name, t)
	}
	d.Columns = schemaOf(columns, decoders)
	columns = make([]Column, duckdb.NParams(stmt))
	decoders = make([]*decoder, len(columns))
	for i := range columns {
		var t duckdb.LogicalType
		if duckdb.ParamType(stmt, duckdb.IdxT(i+1)) != duckdb.TypeInvalid {
			t = duckdb.ParamLogicalType(stmt, duckdb.IdxT(i+1))
		}
		columns[i], decoders[i] = describeOne(strconv.Itoa(i+1), t)
	}
	d.Parameters = schemaOf(columns, decoders)
	return d
}

// describeOne takes a type, or none where the engine does not know yet: to ask it
// for more than that is its end.
func describeOne(name string, t duckdb.LogicalType) (Column, *decoder) {
	if t.Ptr == nil {
		return Column{name, typeNames[duckdb.TypeSQLNull]}, &decoder{kind: duckdb.TypeSQLNull}
	}
	defer duckdb.DestroyLogicalType(&t)
	return Column{name, typeName(t)}, newDecoder(t)
}

// schemaOf returns the schema of columns, each with DuckDB's name of its type.
func schemaOf(columns []Column, decoders []*decoder) *arrow.Schema {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{
			Name: c.Name, Type: decoders[i].arrow(), Nullable: true,
			Metadata: arrow.NewMetadata([]string{TypeNameKey}, []string{c.Type}),
		}
	}
	return arrow.NewSchema(fields, nil)
}

// bind gives a statement's parameters their values.
func bind(stmt duckdb.PreparedStatement, parameters []Parameter) error {
	if n := int(duckdb.NParams(stmt)); len(parameters) > 0 && len(parameters) != n {
		return &StatementError{Found: fmt.Sprintf("%d parameters and %d values", n, len(parameters)), hint: "bind a value for each parameter"}
	}
	for i, p := range parameters {
		if bindOne(stmt, duckdb.IdxT(i+1), p) == duckdb.StateError {
			return &StatementError{Found: fmt.Sprintf("parameter %d that takes no %s", i+1, p.Kind), hint: "bind a value of another type"}
		}
	}
	return nil
}

func bindOne(stmt duckdb.PreparedStatement, i duckdb.IdxT, p Parameter) duckdb.State {
	v := [4]int64{}
	copy(v[:], p.Ints)
	switch p.Kind {
	case kindNull:
		return duckdb.BindNull(stmt, i)
	case kindBool:
		return duckdb.BindBoolean(stmt, i, v[0] != 0)
	case kindInt:
		return duckdb.BindInt64(stmt, i, v[0])
	case kindUint:
		return duckdb.BindUInt64(stmt, i, uint64(v[0]))
	case kindFloat:
		return duckdb.BindDouble(stmt, i, math.Float64frombits(uint64(v[0])))
	case kindDecimal:
		return duckdb.BindDecimal(stmt, i, duckdb.NewDecimal(uint8(v[0]), uint8(v[1]), duckdb.NewHugeInt(uint64(v[3]), v[2])))
	case kindText:
		return duckdb.BindVarcharLength(stmt, i, string(p.Bytes), duckdb.IdxT(len(p.Bytes)))
	case kindBlob:
		return duckdb.BindBlob(stmt, i, p.Bytes)
	case kindDate:
		return duckdb.BindDate(stmt, i, duckdb.NewDate(int32(v[0])))
	case kindTime:
		return duckdb.BindTime(stmt, i, duckdb.NewTime(v[0]))
	case kindTimestamp:
		return duckdb.BindTimestamp(stmt, i, duckdb.NewTimestamp(v[0]))
	case kindTimestampTZ:
		return duckdb.BindTimestampTZ(stmt, i, duckdb.NewTimestamp(v[0]))
	case kindTimestampNS:
		value := duckdb.CreateTimestampNS(duckdb.NewTimestampNS(v[0]))
		defer duckdb.DestroyValue(&value)
		return duckdb.BindValue(stmt, i, value)
	case kindInterval:
		return duckdb.BindInterval(stmt, i, duckdb.NewInterval(int32(v[0]), int32(v[1]), v[2]))
	}
	return duckdb.StateError
}

// A batcher makes batches of the chunks that decoders are bound to.
type batcher struct {
	decoders []*decoder
	builder  *array.RecordBuilder
	batch    func(arrow.Record) error

	fixed int   // bytes of every row
	empty int   // bytes of a batch without rows
	sizes []int // of the rows of a chunk

	rows, size int // of what is in the builder
	since      time.Time
}

func newBatcher(decoders []*decoder, schema *arrow.Schema, batch func(arrow.Record) error) *batcher {
	b := &batcher{decoders: decoders, builder: array.NewRecordBuilder(memory.DefaultAllocator, schema), batch: batch, since: time.Now()}
	for _, d := range decoders {
		b.fixed += d.fixed()
		b.empty += 256 * d.vectors() // a header and the padding of each buffer
	}
	b.size = b.empty
	return b
}

// add takes the n rows of a chunk.
func (b *batcher) add(n uint64) error {
	b.measure(n)
	from := uint64(0)
	for i := range n {
		size := b.sizes[i]
		if size > MaxRow {
			return &QueryError{fmt.Errorf("a row of %d bytes; %d is the most", size, MaxRow)}
		}
		if b.size+size > MaxBatch || b.rows+int(i-from) >= maxBatchRows {
			if err := b.take(from, i); err != nil {
				return err
			}
			if err := b.flush(); err != nil {
				return err
			}
			from = i
		}
		b.size += size
	}
	if err := b.take(from, n); err != nil {
		return err
	}
	if time.Since(b.since) > linger {
		return b.flush()
	}
	return nil
}

// measure finds how much the rows of a chunk take.
func (b *batcher) measure(n uint64) {
	b.sizes = b.sizes[:0]
	for range n {
		b.sizes = append(b.sizes, b.fixed)
	}
	for _, d := range b.decoders {
		d.measure(b.sizes)
	}
}

// take puts rows of the chunk into the builder.
func (b *batcher) take(from, to uint64) error {
	for i, d := range b.decoders {
		if err := d.appendTo(b.builder.Field(i), from, to); err != nil {
			return &QueryError{err}
		}
	}
	b.rows += int(to - from)
	return nil
}

// flush hands the rows in the builder on, if there are any.
func (b *batcher) flush() error {
	if b.rows == 0 {
		return nil
	}
	record := b.builder.NewRecord()
	defer record.Release()
	b.rows, b.size, b.since = 0, b.empty, time.Now()
	return b.batch(record)
}
