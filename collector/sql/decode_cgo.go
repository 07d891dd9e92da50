// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go-bindings"
	"github.com/google/uuid"
)

// A decoder reads the values of one column. The memory belongs to the engine
// and is good until the chunk is destroyed, so that every value is copied.
type decoder struct {
	kind     duckdb.Type
	json     bool
	inner    duckdb.Type // what decimals and enums are stored as
	digits   uint8       // of decimals
	scale    uint8
	names    []string // of enums, of the members of structs and unions
	width    uint64   // of arrays
	children []*decoder

	data  unsafe.Pointer
	valid unsafe.Pointer // a bit per row; nil says that none is NULL
}

func newDecoder(t duckdb.LogicalType) *decoder {
	d := &decoder{kind: duckdb.GetTypeId(t)}
	child := func(c duckdb.LogicalType) {
		d.children = append(d.children, newDecoder(c))
		duckdb.DestroyLogicalType(&c)
	}
	switch d.kind {
	case duckdb.TypeVarchar:
		d.json = duckdb.LogicalTypeGetAlias(t) == "JSON"
	case duckdb.TypeDecimal:
		d.inner, d.digits, d.scale = duckdb.DecimalInternalType(t), duckdb.DecimalWidth(t), duckdb.DecimalScale(t)
	case duckdb.TypeEnum:
		d.inner = duckdb.EnumInternalType(t)
		for i := range duckdb.EnumDictionarySize(t) {
			d.names = append(d.names, duckdb.EnumDictionaryValue(t, duckdb.IdxT(i)))
		}
	case duckdb.TypeList:
		child(duckdb.ListTypeChildType(t))
	case duckdb.TypeArray:
		d.width = uint64(duckdb.ArrayTypeArraySize(t))
		child(duckdb.ArrayTypeChildType(t))
	case duckdb.TypeMap: // a list of structs
		entry := &decoder{kind: duckdb.TypeStruct, names: []string{"key", "value"}}
		child(duckdb.MapTypeKeyType(t))
		child(duckdb.MapTypeValueType(t))
		entry.children, d.children = d.children, []*decoder{entry}
	case duckdb.TypeStruct:
		for i := range duckdb.StructTypeChildCount(t) {
			d.names = append(d.names, duckdb.StructTypeChildName(t, i))
			child(duckdb.StructTypeChildType(t, i))
		}
	case duckdb.TypeUnion: // a struct whose first member is the tag
		d.children = append(d.children, &decoder{kind: duckdb.TypeUTinyInt})
		for i := range duckdb.UnionTypeMemberCount(t) {
			child(duckdb.UnionTypeMemberType(t, i))
		}
	}
	return d
}

// bind points the decoder at a vector.
func (d *decoder) bind(v duckdb.Vector) {
	d.data, d.valid = duckdb.VectorGetData(v), duckdb.VectorGetValidity(v)
	switch d.kind {
	case duckdb.TypeList, duckdb.TypeMap:
		d.children[0].bind(duckdb.ListVectorGetChild(v))
	case duckdb.TypeArray:
		d.children[0].bind(duckdb.ArrayVectorGetChild(v))
	case duckdb.TypeStruct, duckdb.TypeUnion:
		for i, c := range d.children {
			c.bind(duckdb.StructVectorGetChild(v, duckdb.IdxT(i)))
		}
	}
}

// at reads element i of a vector of T.
func at[T any](d *decoder, i uint64) T {
	var zero T
	return *(*T)(unsafe.Add(d.data, uintptr(i)*unsafe.Sizeof(zero)))
}

func (d *decoder) null(i uint64) bool {
	return d.valid != nil && *(*uint64)(unsafe.Add(d.valid, uintptr(i/64)*8))&(1<<(i%64)) == 0
}

// hugeint is how the engine stores 128 bits.
type hugeint struct {
	lower uint64
	upper int64
}

func (h hugeint) big() *big.Int {
	b := new(big.Int).Lsh(big.NewInt(h.upper), 64)
	return b.Add(b, new(big.Int).SetUint64(h.lower))
}

func (d *decoder) value(i uint64) any {
	if d.null(i) {
		return nil
	}
	switch d.kind {
	case duckdb.TypeBoolean:
		return at[uint8](d, i) != 0
	case duckdb.TypeTinyInt:
		return int64(at[int8](d, i))
	case duckdb.TypeSmallInt:
		return int64(at[int16](d, i))
	case duckdb.TypeInteger:
		return int64(at[int32](d, i))
	case duckdb.TypeBigInt:
		return at[int64](d, i)
	case duckdb.TypeUTinyInt:
		return uint64(at[uint8](d, i))
	case duckdb.TypeUSmallInt:
		return uint64(at[uint16](d, i))
	case duckdb.TypeUInteger:
		return uint64(at[uint32](d, i))
	case duckdb.TypeUBigInt:
		return at[uint64](d, i)
	case duckdb.TypeFloat:
		return float64(at[float32](d, i))
	case duckdb.TypeDouble:
		return at[float64](d, i)
	case duckdb.TypeHugeInt:
		return at[hugeint](d, i).big()
	case duckdb.TypeUHugeInt:
		h := at[hugeint](d, i)
		b := new(big.Int).Lsh(new(big.Int).SetUint64(uint64(h.upper)), 64)
		return b.Add(b, new(big.Int).SetUint64(h.lower))
	case duckdb.TypeDecimal:
		return d.decimal(i)
	case duckdb.TypeVarchar:
		if d.json {
			return JSON(d.text(i))
		}
		return string(d.text(i))
	case duckdb.TypeBlob:
		return append([]byte{}, d.text(i)...)
	case duckdb.TypeEnum:
		return d.names[d.integer(i).Int64()]
	case duckdb.TypeUUID:
		h := at[hugeint](d, i)
		var id uuid.UUID
		binary.BigEndian.PutUint64(id[:8], uint64(h.upper)^1<<63)
		binary.BigEndian.PutUint64(id[8:], h.lower)
		return id.String()
	default:
		return d.other(i)
	}
}

// other reads what is a time, or is made of other values.
func (d *decoder) other(i uint64) any {
	switch d.kind {
	case duckdb.TypeTimestamp, duckdb.TypeTimestampTZ:
		return stamp(time.UnixMicro(at[int64](d, i)))
	case duckdb.TypeTimestampS:
		return stamp(time.Unix(at[int64](d, i), 0))
	case duckdb.TypeTimestampMS:
		return stamp(time.UnixMilli(at[int64](d, i)))
	case duckdb.TypeTimestampNS:
		return stamp(time.Unix(0, at[int64](d, i)))
	case duckdb.TypeDate:
		return time.Unix(int64(at[int32](d, i))*86400, 0).UTC().Format(time.DateOnly)
	case duckdb.TypeTime:
		return time.UnixMicro(at[int64](d, i)).UTC().Format("15:04:05.999999")
	case duckdb.TypeInterval:
		v := at[struct {
			months, days int32
			micros       int64
		}](d, i)
		return fmt.Sprintf("%d months %d days %s", v.months, v.days, time.Duration(v.micros)*time.Microsecond)
	case duckdb.TypeBit:
		return bits(d.text(i))
	case duckdb.TypeList, duckdb.TypeMap:
		e := at[struct{ offset, length uint64 }](d, i)
		list := d.list(e.offset, e.length)
		if d.kind == duckdb.TypeMap {
			return entries(list)
		}
		return list
	case duckdb.TypeArray:
		return d.list(i*d.width, d.width)
	case duckdb.TypeStruct:
		m := make(map[string]any, len(d.children))
		for j, c := range d.children {
			m[d.names[j]] = c.value(i)
		}
		return m
	case duckdb.TypeUnion:
		return d.children[1+int(at[uint8](d.children[0], i))].value(i)
	case duckdb.TypeSQLNull:
		return nil
	default:
		return fmt.Sprintf("(a value of DuckDB's type %d; CAST it AS VARCHAR)", d.kind)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (d *decoder) list(offset, length uint64) []any {
	list := make([]any, length)
	for j := range list {
		list[j] = d.children[0].value(offset + uint64(j))
	}
	return list
}

// entries makes an object of the entries of a map.
func entries(list []any) map[string]any {
	m := make(map[string]any, len(list))
	for _, e := range list {
		if e, ok := e.(map[string]any); ok {
			m[fmt.Sprint(e["key"])] = e["value"]
		}
	}
	return m
}

// text returns the bytes of a string, in the engine's memory: up to 12 of them
// lie beside their length, else there is a pointer behind the first 4.
func (d *decoder) text(i uint64) []byte {
	p := unsafe.Add(d.data, uintptr(i)*16)
	n := *(*uint32)(p)
	if n <= 12 {
		return unsafe.Slice((*byte)(unsafe.Add(p, 4)), n)
	}
	return unsafe.Slice(*(**byte)(unsafe.Add(p, 8)), n)
}

// integer reads what a decimal or an enum is stored as.
func (d *decoder) integer(i uint64) *big.Int {
	switch d.inner {
	case duckdb.TypeUTinyInt:
		return big.NewInt(int64(at[uint8](d, i)))
	case duckdb.TypeUSmallInt:
		return big.NewInt(int64(at[uint16](d, i)))
	case duckdb.TypeUInteger:
		return big.NewInt(int64(at[uint32](d, i)))
	case duckdb.TypeSmallInt:
		return big.NewInt(int64(at[int16](d, i)))
	case duckdb.TypeInteger:
		return big.NewInt(int64(at[int32](d, i)))
	case duckdb.TypeBigInt:
		return big.NewInt(at[int64](d, i))
	default:
		return at[hugeint](d, i).big()
	}
}

func (d *decoder) decimal(i uint64) Number {
	digits, sign := d.integer(i).String(), ""
	if digits[0] == '-' {
		digits, sign = digits[1:], "-"
	}
	if d.scale == 0 {
		return Number(sign + digits)
	}
	if missing := int(d.scale) + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - int(d.scale)
	return Number(sign + digits[:point] + "." + digits[point:])
}

// bits writes a bit string, whose first byte says how many bits of the second
// are padding.
func bits(b []byte) string {
	if len(b) < 2 {
		return ""
	}
	var s strings.Builder
	for i := int(b[0]); i < 8*(len(b)-1); i++ {
		s.WriteByte('0' + b[1+i/8]>>(7-i%8)&1)
	}
	return s.String()
}

// typeName writes a type as DuckDB does.
func typeName(t duckdb.LogicalType) string {
	if alias := duckdb.LogicalTypeGetAlias(t); alias != "" {
		return alias
	}
	of := func(c duckdb.LogicalType) string {
		defer duckdb.DestroyLogicalType(&c)
		return typeName(c)
	}
	switch kind := duckdb.GetTypeId(t); kind {
	case duckdb.TypeDecimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", duckdb.DecimalWidth(t), duckdb.DecimalScale(t))
	case duckdb.TypeList:
		return of(duckdb.ListTypeChildType(t)) + "[]"
	case duckdb.TypeArray:
		return fmt.Sprintf("%s[%d]", of(duckdb.ArrayTypeChildType(t)), duckdb.ArrayTypeArraySize(t))
	case duckdb.TypeMap:
		return fmt.Sprintf("MAP(%s, %s)", of(duckdb.MapTypeKeyType(t)), of(duckdb.MapTypeValueType(t)))
	case duckdb.TypeStruct:
		var members []string
		for i := range duckdb.StructTypeChildCount(t) {
			members = append(members, fmt.Sprintf("%q %s", duckdb.StructTypeChildName(t, i), of(duckdb.StructTypeChildType(t, i))))
		}
		return "STRUCT(" + strings.Join(members, ", ") + ")"
	case duckdb.TypeUnion:
		var members []string
		for i := range duckdb.UnionTypeMemberCount(t) {
			members = append(members, fmt.Sprintf("%q %s", duckdb.UnionTypeMemberName(t, i), of(duckdb.UnionTypeMemberType(t, i))))
		}
		return "UNION(" + strings.Join(members, ", ") + ")"
	default:
		if name := typeNames[kind]; name != "" {
			return name
		}
		return fmt.Sprintf("TYPE %d", kind)
	}
}

var typeNames = map[duckdb.Type]string{
	duckdb.TypeBoolean: "BOOLEAN", duckdb.TypeTinyInt: "TINYINT", duckdb.TypeSmallInt: "SMALLINT", duckdb.TypeInteger: "INTEGER",
	duckdb.TypeBigInt: "BIGINT", duckdb.TypeUTinyInt: "UTINYINT", duckdb.TypeUSmallInt: "USMALLINT", duckdb.TypeUInteger: "UINTEGER",
	duckdb.TypeUBigInt: "UBIGINT", duckdb.TypeFloat: "FLOAT", duckdb.TypeDouble: "DOUBLE", duckdb.TypeHugeInt: "HUGEINT",
	duckdb.TypeUHugeInt: "UHUGEINT", duckdb.TypeVarchar: "VARCHAR", duckdb.TypeBlob: "BLOB", duckdb.TypeEnum: "ENUM",
	duckdb.TypeUUID: "UUID", duckdb.TypeBit: "BIT", duckdb.TypeDate: "DATE", duckdb.TypeTime: "TIME", duckdb.TypeTimeTZ: "TIME WITH TIME ZONE",
	duckdb.TypeTimestamp: "TIMESTAMP", duckdb.TypeTimestampS: "TIMESTAMP_S", duckdb.TypeTimestampMS: "TIMESTAMP_MS",
	duckdb.TypeTimestampNS: "TIMESTAMP_NS", duckdb.TypeTimestampTZ: "TIMESTAMP WITH TIME ZONE", duckdb.TypeInterval: "INTERVAL",
	duckdb.TypeSQLNull: "NULL", duckdb.TypeBigNum: "BIGNUM",
}
