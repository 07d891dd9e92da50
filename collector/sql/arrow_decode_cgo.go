// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// plain are the types that both have, in the same layout.
var plain = map[duckdb.Type]arrow.DataType{
	duckdb.TypeBoolean: arrow.FixedWidthTypes.Boolean,
	duckdb.TypeTinyInt: arrow.PrimitiveTypes.Int8, duckdb.TypeSmallInt: arrow.PrimitiveTypes.Int16,
	duckdb.TypeInteger: arrow.PrimitiveTypes.Int32, duckdb.TypeBigInt: arrow.PrimitiveTypes.Int64,
	duckdb.TypeUTinyInt: arrow.PrimitiveTypes.Uint8, duckdb.TypeUSmallInt: arrow.PrimitiveTypes.Uint16,
	duckdb.TypeUInteger: arrow.PrimitiveTypes.Uint32, duckdb.TypeUBigInt: arrow.PrimitiveTypes.Uint64,
	duckdb.TypeFloat: arrow.PrimitiveTypes.Float32, duckdb.TypeDouble: arrow.PrimitiveTypes.Float64,
	duckdb.TypeHugeInt: &arrow.Decimal128Type{Precision: 38}, duckdb.TypeUHugeInt: &arrow.Decimal128Type{Precision: 38},
	duckdb.TypeVarchar: arrow.BinaryTypes.String, duckdb.TypeBlob: arrow.BinaryTypes.Binary,
	duckdb.TypeDate: arrow.FixedWidthTypes.Date32, duckdb.TypeTime: arrow.FixedWidthTypes.Time64us,
	duckdb.TypeTimestamp: &arrow.TimestampType{Unit: arrow.Microsecond}, duckdb.TypeTimestampTZ: arrow.FixedWidthTypes.Timestamp_us,
	duckdb.TypeTimestampS: &arrow.TimestampType{Unit: arrow.Second}, duckdb.TypeTimestampMS: &arrow.TimestampType{Unit: arrow.Millisecond},
	duckdb.TypeTimestampNS: &arrow.TimestampType{Unit: arrow.Nanosecond},
	duckdb.TypeInterval:    arrow.FixedWidthTypes.MonthDayNanoInterval,
	duckdb.TypeSQLNull:     arrow.Null,
}

// arrow returns the type of Arrow for what the decoder reads; see
// docs/flightsql.md. It is text where Arrow has none.
func (d *decoder) arrow() arrow.DataType {
	if t := plain[d.kind]; t != nil {
		return t
	}
	switch d.kind {
	case duckdb.TypeDecimal:
		return &arrow.Decimal128Type{Precision: int32(d.digits), Scale: int32(d.scale)}
	case duckdb.TypeList, duckdb.TypeArray:
		return arrow.ListOf(d.children[0].arrow())
	case duckdb.TypeMap:
		entry := d.children[0]
		return arrow.MapOf(entry.children[0].arrow(), entry.children[1].arrow())
	case duckdb.TypeStruct:
		fields := make([]arrow.Field, len(d.children))
		for i, c := range d.children {
			fields[i] = arrow.Field{Name: d.names[i], Type: c.arrow(), Nullable: true}
		}
		return arrow.StructOf(fields...)
	default:
		return arrow.BinaryTypes.String
	}
}

// vectors counts the arrays that a column is made of.
func (d *decoder) vectors() int {
	n := 1
	if d.kind != duckdb.TypeUnion { // which is text
		for _, c := range d.children {
			n += c.vectors()
		}
	}
	return n
}

// fixed returns how many bytes every value takes, at least.
func (d *decoder) fixed() int {
	switch d.kind {
	case duckdb.TypeBoolean, duckdb.TypeTinyInt, duckdb.TypeUTinyInt, duckdb.TypeSQLNull:
		return 2
	case duckdb.TypeSmallInt, duckdb.TypeUSmallInt:
		return 3
	case duckdb.TypeBigInt, duckdb.TypeUBigInt, duckdb.TypeDouble, duckdb.TypeTime,
		duckdb.TypeTimestamp, duckdb.TypeTimestampTZ, duckdb.TypeTimestampS, duckdb.TypeTimestampMS, duckdb.TypeTimestampNS:
		return 9
	case duckdb.TypeHugeInt, duckdb.TypeUHugeInt, duckdb.TypeDecimal, duckdb.TypeInterval:
		return 17
	case duckdb.TypeStruct:
		n := 1
		for _, c := range d.children {
			n += c.fixed()
		}
		return n
	default: // four bytes, or where it begins and what it is
		return 5
	}
}

// measure adds to sizes what the values of a vector take beyond fixed.
func (d *decoder) measure(sizes []int) {
	switch d.kind {
	case duckdb.TypeVarchar, duckdb.TypeBlob:
		for i := range sizes {
			if !d.null(uint64(i)) {
				sizes[i] += int(*(*uint32)(unsafe.Add(d.data, uintptr(i)*16)))
			}
		}
	default:
		if _, ok := plain[d.kind]; ok || d.kind == duckdb.TypeDecimal {
			return
		}
		for i := range sizes {
			sizes[i] += d.beyond(uint64(i))
		}
	}
}

// beyond returns what one value takes beyond fixed.
func (d *decoder) beyond(i uint64) (n int) {
	if d.null(i) {
		return 0
	}
	elements := func(c *decoder, offset, length uint64) (n int) {
		n = int(length) * c.fixed()
		for j := offset; j < offset+length; j++ {
			n += c.beyond(j)
		}
		return n
	}
	switch d.kind {
	case duckdb.TypeVarchar, duckdb.TypeBlob:
		return len(d.text(i))
	case duckdb.TypeList, duckdb.TypeMap:
		e := at[struct{ offset, length uint64 }](d, i)
		return elements(d.children[0], e.offset, e.length)
	case duckdb.TypeArray:
		return elements(d.children[0], i*d.width, d.width)
	case duckdb.TypeStruct:
		for _, c := range d.children {
			n += c.beyond(i)
		}
		return n
	case duckdb.TypeEnum:
		return len(d.names[d.integer(i).Int64()])
	}
	if _, ok := plain[d.kind]; ok || d.kind == duckdb.TypeDecimal {
		return 0
	}
	return len(d.words(i))
}

// words is a value as text, where Arrow has no type for it.
func (d *decoder) words(i uint64) string {
	if d.kind == duckdb.TypeTimeTZ {
		return timeTZ(at[uint64](d, i))
	}
	v := d.value(i)
	if s, ok := v.(string); ok {
		return s
	}
	b, err := AppendJSON(nil, v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// timeTZ writes a time of day with its offset, in seconds, from UTC, which is
// stored as how much less it is than the most.
func timeTZ(bits uint64) string {
	const most = 16*3600 - 1
	offset, sign := most-int(bits&(1<<24-1)), '+'
	if offset < 0 {
		offset, sign = -offset, '-'
	}
	s := time.UnixMicro(int64(bits>>24)).UTC().Format("15:04:05.999999") + fmt.Sprintf("%c%02d:%02d", sign, offset/3600, offset/60%60)
	if offset%60 != 0 {
		s += fmt.Sprintf(":%02d", offset%60)
	}
	return s
}

// appendTo appends the values from..to of a vector to a builder of the type that
// arrow returns.
func (d *decoder) appendTo(b array.Builder, from, to uint64) error {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		appendFixed(d, b, from, to)
	case *array.Int8Builder:
		appendFixed(d, b, from, to)
	case *array.Int16Builder:
		appendFixed(d, b, from, to)
	case *array.Int32Builder:
		appendFixed(d, b, from, to)
	case *array.Int64Builder:
		appendFixed(d, b, from, to)
	case *array.Uint8Builder:
		appendFixed(d, b, from, to)
	case *array.Uint16Builder:
		appendFixed(d, b, from, to)
	case *array.Uint32Builder:
		appendFixed(d, b, from, to)
	case *array.Uint64Builder:
		appendFixed(d, b, from, to)
	case *array.Float32Builder:
		appendFixed(d, b, from, to)
	case *array.Float64Builder:
		appendFixed(d, b, from, to)
	case *array.Date32Builder:
		appendFixed(d, b, from, to)
	case *array.Time64Builder:
		appendFixed(d, b, from, to)
	case *array.TimestampBuilder:
		appendFixed(d, b, from, to)
	case *array.StringBuilder:
		d.appendText(b, from, to)
	case *array.BinaryBuilder:
		for i := from; i < to; i++ {
			if d.null(i) {
				b.AppendNull()
			} else {
				b.Append(d.text(i))
			}
		}
	case *array.NullBuilder:
		b.AppendNulls(int(to - from))
	default:
		return d.appendOther(b, from, to)
	}
	return nil
}

// appendFixed appends values that both have in the same layout. What stands in
// the place of a NULL is whatever was there before, and is not for anybody to see.
func appendFixed[T any](d *decoder, b interface {
	array.Builder
	Append(v T)
	AppendValues(v []T, valid []bool)
}, from, to uint64,
) {
	var zero T
	values := unsafe.Slice((*T)(unsafe.Add(d.data, uintptr(from)*unsafe.Sizeof(zero))), to-from)
	if d.valid == nil {
		b.AppendValues(values, nil)
		return
	}
	b.Reserve(len(values))
	for i, v := range values {
		if d.null(from + uint64(i)) {
			b.AppendNull()
		} else {
			b.Append(v)
		}
	}
}

func (d *decoder) appendText(b *array.StringBuilder, from, to uint64) {
	b.Reserve(int(to - from))
	for i := from; i < to; i++ {
		switch {
		case d.null(i):
			b.AppendNull()
		case d.kind == duckdb.TypeVarchar:
			text := d.text(i)
			b.Append(unsafe.String(unsafe.SliceData(text), len(text))) // which copies it
		default:
			b.Append(d.word(i))
		}
	}
}

// word is words, of an enum without a copy.
func (d *decoder) word(i uint64) string {
	if d.kind == duckdb.TypeEnum {
		return d.names[d.integer(i).Int64()]
	}
	return d.words(i)
}

var errDigits = errors.New("a whole number of more than 38 digits, for which Arrow has no type; CAST it AS VARCHAR")

func (d *decoder) appendOther(b array.Builder, from, to uint64) error {
	for i := from; i < to; i++ {
		if d.null(i) {
			b.AppendNull()
			continue
		}
		if err := d.appendValue(b, i); err != nil {
			return err
		}
	}
	return nil
}

// appendValue appends a value that is not NULL.
func (d *decoder) appendValue(b array.Builder, i uint64) error {
	switch b := b.(type) {
	case *array.Decimal128Builder:
		v, ok := d.wide(i)
		if !ok {
			return errDigits
		}
		b.Append(v)
	case *array.MonthDayNanoIntervalBuilder:
		v := at[struct {
			months, days int32
			micros       int64
		}](d, i)
		if v.micros > math.MaxInt64/1000 || v.micros < math.MinInt64/1000 {
			return errors.New("an interval too long for Arrow; CAST it AS VARCHAR")
		}
		b.Append(arrow.MonthDayNanoInterval{Months: v.months, Days: v.days, Nanoseconds: v.micros * 1000})
	case *array.MapBuilder: // before lists, of which it is one
		e, entry := at[struct{ offset, length uint64 }](d, i), d.children[0]
		b.Append(true)
		if err := entry.children[0].appendTo(b.KeyBuilder(), e.offset, e.offset+e.length); err != nil {
			return err
		}
		return entry.children[1].appendTo(b.ItemBuilder(), e.offset, e.offset+e.length)
	case *array.ListBuilder:
		b.Append(true)
		if d.kind == duckdb.TypeArray {
			return d.children[0].appendTo(b.ValueBuilder(), i*d.width, (i+1)*d.width)
		}
		e := at[struct{ offset, length uint64 }](d, i)
		return d.children[0].appendTo(b.ValueBuilder(), e.offset, e.offset+e.length)
	case *array.StructBuilder:
		b.Append(true)
		for j, c := range d.children {
			if err := c.appendTo(b.FieldBuilder(j), i, i+1); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("no value of the type %s can be made", b.Type())
	}
	return nil
}

// wide reads a decimal or a whole number of 128 bits, if Arrow can hold it.
func (d *decoder) wide(i uint64) (decimal128.Num, bool) {
	if d.kind == duckdb.TypeDecimal {
		switch d.inner {
		case duckdb.TypeSmallInt:
			return decimal128.FromI64(int64(at[int16](d, i))), true
		case duckdb.TypeInteger:
			return decimal128.FromI64(int64(at[int32](d, i))), true
		case duckdb.TypeBigInt:
			return decimal128.FromI64(at[int64](d, i)), true
		}
	}
	h := at[hugeint](d, i)
	v := decimal128.New(h.upper, h.lower)
	if h.upper == math.MinInt64 || d.kind == duckdb.TypeUHugeInt && h.upper < 0 { // which have no positive twin
		return v, false
	}
	return v, v.FitsInPrecision(38)
}
