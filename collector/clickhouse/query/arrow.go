// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/docket-audit/docket/collector/sql"
)

var whole = map[string]arrow.DataType{
	"Bool": arrow.FixedWidthTypes.Boolean,
	"Int8": arrow.PrimitiveTypes.Int8, "Int16": arrow.PrimitiveTypes.Int16, "Int32": arrow.PrimitiveTypes.Int32, "Int64": arrow.PrimitiveTypes.Int64,
	"UInt8": arrow.PrimitiveTypes.Uint8, "UInt16": arrow.PrimitiveTypes.Uint16, "UInt32": arrow.PrimitiveTypes.Uint32, "UInt64": arrow.PrimitiveTypes.Uint64,
	"Float32": arrow.PrimitiveTypes.Float32, "Float64": arrow.PrimitiveTypes.Float64,
	"Date": arrow.FixedWidthTypes.Date32, "Date32": arrow.FixedWidthTypes.Date32, "DateTime": arrow.FixedWidthTypes.Timestamp_us,
	"Int128": &arrow.Decimal128Type{Precision: 38}, "UInt128": &arrow.Decimal128Type{Precision: 38},
	"Nothing": arrow.Null,
}

// arrow returns the type of Arrow for a type; it is text where there is none.
func (t *typ) arrow() arrow.DataType {
	if w := whole[t.name]; w != nil {
		return w
	}
	switch {
	case t.name == "DateTime64" && t.scale <= 6:
		return arrow.FixedWidthTypes.Timestamp_us
	case t.name == "DateTime64":
		return arrow.FixedWidthTypes.Timestamp_ns
	case t.name == "Decimal" && t.digits <= 38:
		return &arrow.Decimal128Type{Precision: int32(t.digits), Scale: int32(t.scale)}
	case t.name == "Array" && len(t.of) == 1:
		return arrow.ListOf(t.of[0].arrow())
	case t.name == "Map" && len(t.of) == 2:
		return arrow.MapOf(t.of[0].arrow(), t.of[1].arrow())
	case t.name == "Tuple" && len(t.of) > 0:
		fields := make([]arrow.Field, len(t.of))
		for i := range t.of {
			fields[i] = arrow.Field{Name: t.names[i], Type: t.of[i].arrow(), Nullable: true}
		}
		return arrow.StructOf(fields...)
	}
	return arrow.BinaryTypes.String
}

func schemaOf(names []string, types []typ) *arrow.Schema {
	fields := make([]arrow.Field, len(names))
	for i, n := range names {
		fields[i] = arrow.Field{
			Name: n, Type: types[i].arrow(), Nullable: true,
			Metadata: arrow.NewMetadata([]string{sql.TypeNameKey}, []string{types[i].text}),
		}
	}
	return arrow.NewSchema(fields, nil)
}

const maxBatchRows = 64 << 10

// Arrow runs one SELECT as [Engine.Rows] does, and hands the answer on in Arrow: it
// calls schema once and then batch for each batch, which is good until that returns.
// Nothing is called of an answer that fails before its first batch is full.
func (e *Engine) Arrow(ctx context.Context, s Scope, st sql.Statement, schema func(*arrow.Schema) error, batch func(arrow.Record) error) error {
	var (
		names []string
		types []typ
		b     *array.RecordBuilder
		shape *arrow.Schema
		size  int
		count int
		begun bool
	)
	defer func() {
		if b != nil {
			b.Release()
		}
	}()
	flush := func() error {
		if !begun {
			begun = true
			if err := schema(shape); err != nil {
				return err
			}
		}
		if count == 0 {
			return nil
		}
		count, size = 0, 0
		r := b.NewRecord()
		defer r.Release()
		return batch(r)
	}
	err := e.ask(ctx, s, st, func(n []string, t []typ) error {
		names, types = n, t
		shape = schemaOf(names, types)
		b = array.NewRecordBuilder(memory.DefaultAllocator, shape)
		return nil
	}, func(row []any) error {
		values, bytes := make([]any, len(row)), 0
		for i, v := range row {
			values[i] = types[i].plain(v)
			bytes += sizeOf(values[i])
		}
		if bytes > sql.MaxRow {
			return sql.Refuse("select fewer columns, or less of them", "a row of %d MiB, and %d is the most", bytes>>20, sql.MaxRow>>20)
		}
		if count > 0 && (size+bytes > sql.MaxBatch || count == maxBatchRows) {
			if err := flush(); err != nil {
				return err
			}
		}
		for i, v := range values {
			if err := appendTo(b.Field(i), &types[i], v); err != nil {
				return &sql.QueryError{Err: fmt.Errorf("column %s: %w", names[i], err)}
			}
		}
		count, size = count+1, size+bytes
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// sizeOf is about what a value takes in a batch.
func sizeOf(v any) int {
	switch v := v.(type) {
	case string:
		return 8 + len(v)
	case []any:
		n := 8
		for _, x := range v {
			n += sizeOf(x)
		}
		return n
	case map[string]any:
		n := 8
		for k, x := range v {
			n += len(k) + sizeOf(x)
		}
		return n
	}
	return 17
}

// appendTo appends a value of [typ.plain] to a builder of the type that arrow returns.
func appendTo(b array.Builder, t *typ, v any) error {
	if v == nil {
		b.AppendNull()
		return nil
	}
	wrong := func() error { return fmt.Errorf("a value of the type %s", t.text) }
	switch b := b.(type) {
	case *array.BooleanBuilder:
		x, ok := v.(bool)
		if !ok {
			return wrong()
		}
		b.Append(x)
	case *array.Int8Builder, *array.Int16Builder, *array.Int32Builder, *array.Int64Builder:
		x, ok := v.(int64)
		if !ok {
			return wrong()
		}
		appendInt(b, x)
	case *array.Uint8Builder, *array.Uint16Builder, *array.Uint32Builder, *array.Uint64Builder:
		x, ok := v.(uint64)
		if !ok {
			return wrong()
		}
		appendUint(b, x)
	case *array.Float32Builder:
		x, ok := v.(float64)
		if !ok {
			return wrong()
		}
		b.Append(float32(x))
	case *array.Float64Builder:
		x, ok := v.(float64)
		if !ok {
			return wrong()
		}
		b.Append(x)
	case *array.Date32Builder:
		x, err := time.Parse(time.DateOnly, fmt.Sprint(v))
		if err != nil {
			return wrong()
		}
		b.Append(arrow.Date32FromTime(x))
	case *array.TimestampBuilder:
		x, err := time.Parse(time.RFC3339Nano, fmt.Sprint(v))
		if err != nil {
			return wrong()
		}
		if b.Type().(*arrow.TimestampType).Unit == arrow.Nanosecond {
			b.Append(arrow.Timestamp(x.UnixNano()))
		} else {
			b.Append(arrow.Timestamp(x.UnixMicro()))
		}
	case *array.Decimal128Builder:
		return appendDecimal(b, t, v)
	case *array.StringBuilder:
		s, ok := v.(string)
		if !ok {
			j, err := sql.AppendJSON(nil, v)
			if err != nil {
				return err
			}
			s = string(j)
		}
		b.Append(s)
	default:
		return appendNested(b, t, v)
	}
	return nil
}

func appendInt(b array.Builder, x int64) {
	switch b := b.(type) {
	case *array.Int8Builder:
		b.Append(int8(x))
	case *array.Int16Builder:
		b.Append(int16(x))
	case *array.Int32Builder:
		b.Append(int32(x))
	case *array.Int64Builder:
		b.Append(x)
	}
}

func appendUint(b array.Builder, x uint64) {
	switch b := b.(type) {
	case *array.Uint8Builder:
		b.Append(uint8(x))
	case *array.Uint16Builder:
		b.Append(uint16(x))
	case *array.Uint32Builder:
		b.Append(uint32(x))
	case *array.Uint64Builder:
		b.Append(x)
	}
}

var errDigits = errors.New("a whole number of more than 38 digits, for which Arrow has no type; CAST it AS String")

func appendDecimal(b *array.Decimal128Builder, t *typ, v any) error {
	var n decimal128.Num
	switch v := v.(type) {
	case *big.Int:
		if v.BitLen() > 126 {
			return errDigits
		}
		n = decimal128.FromBigInt(v)
	case sql.Number:
		x, err := decimal128.FromString(string(v), int32(t.digits), int32(t.scale))
		if err != nil {
			return err
		}
		n = x
	default:
		return fmt.Errorf("a value of the type %s", t.text)
	}
	if !n.FitsInPrecision(38) {
		return errDigits
	}
	b.Append(n)
	return nil
}

func appendNested(b array.Builder, t *typ, v any) error {
	switch b := b.(type) {
	case *array.MapBuilder: // before lists, of which it is one
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("a value of the type %s", t.text)
		}
		b.Append(true)
		for _, k := range slices.Sorted(keys(boolOf(m))) {
			if err := appendKey(b.KeyBuilder(), &t.of[0], k); err != nil {
				return err
			}
			if err := appendTo(b.ItemBuilder(), &t.of[1], m[k]); err != nil {
				return err
			}
		}
	case *array.ListBuilder:
		list, ok := v.([]any)
		if !ok {
			return fmt.Errorf("a value of the type %s", t.text)
		}
		b.Append(true)
		for _, x := range list {
			if err := appendTo(b.ValueBuilder(), t.at(0), x); err != nil {
				return err
			}
		}
	case *array.StructBuilder:
		b.Append(true)
		for i := range t.of {
			var x any
			switch v := v.(type) {
			case []any:
				if i < len(v) {
					x = v[i]
				}
			case map[string]any:
				x = v[t.names[i]]
			}
			if err := appendTo(b.FieldBuilder(i), &t.of[i], x); err != nil {
				return err
			}
		}
	case *array.NullBuilder:
		b.AppendNull()
	default:
		return fmt.Errorf("no value of the type %s can be made", b.Type())
	}
	return nil
}

// appendKey appends the key of a map, which is text by now.
func appendKey(b array.Builder, t *typ, k string) error {
	switch b.(type) {
	case *array.Int8Builder, *array.Int16Builder, *array.Int32Builder, *array.Int64Builder:
		n, err := strconv.ParseInt(k, 10, 64)
		if err != nil {
			return err
		}
		return appendTo(b, t, n)
	case *array.Uint8Builder, *array.Uint16Builder, *array.Uint32Builder, *array.Uint64Builder:
		n, err := strconv.ParseUint(k, 10, 64)
		if err != nil {
			return err
		}
		return appendTo(b, t, n)
	}
	return appendTo(b, t, k)
}

// Describe says what a SELECT would answer, without running it.
func (e *Engine) Describe(ctx context.Context, s Scope, query string) (d sql.Description, err error) {
	all, err := prepare(query)
	if err != nil {
		return d, err
	}
	if n := placesOf(all); n > 0 {
		fields := make([]arrow.Field, n)
		for i := range fields {
			fields[i] = arrow.Field{Name: strconv.Itoa(i + 1), Type: arrow.Null, Nullable: true}
		}
		d.Parameters = arrow.NewSchema(fields, nil)
		// What it answers depends on what they will be.
		d.Columns = arrow.NewSchema([]arrow.Field{{Name: "unknown", Type: arrow.Null, Nullable: true}}, nil)
		return d, nil
	}
	d.Parameters = arrow.NewSchema(nil, nil)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer after(e.limits.Total, cancel)()
	leave, err := e.enter(ctx, s)
	if err != nil {
		return d, err
	}
	defer leave()
	q, err := e.prepare(ctx, s, query, nil)
	if err != nil {
		return d, err
	}
	names, types, err := e.columns(ctx, q)
	if err != nil {
		return d, err
	}
	d.Columns = schemaOf(names, types)
	return d, nil
}

// Tables returns every view, sorted by name.
func (*Engine) Tables() []sql.Table {
	var tables []sql.Table
	for _, n := range slices.Sorted(keys(boolOf(views()))) {
		var names []string
		var types []typ
		for _, c := range columnsOf(n) {
			names, types = append(names, c.name), append(types, parseType(c.typ))
		}
		tables = append(tables, sql.Table{Name: n, Columns: schemaOf(names, types)})
	}
	return tables
}
