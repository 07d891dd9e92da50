// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"reflect"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// The columns that are not of the header: what storing adds to an event.
const (
	ColumnRaw        = "_raw" // the exact bytes
	ColumnStoredTime = "_stored_time"
	ColumnStreamSeq  = "_stream_seq"
	ColumnCommit     = "_commit"
	ColumnPos        = "_pos"
)

// headerFields maps the columns of a segment, in their order, to the fields of
// [profile.Header]. The header's json tags are the names: there is no second
// list that could differ.
var headerFields = func() []reflect.StructField {
	return reflect.VisibleFields(reflect.TypeFor[profile.Header]())
}()

// A headerCell is where in a header a field of it is.
type headerCell struct {
	kind   reflect.Kind
	offset uintptr
}

// headerCells are those of headerFields.
var headerCells = func() (cells []headerCell) {
	for _, f := range headerFields {
		if len(f.Index) != 1 {
			panic("lake: the header has " + f.Name + " in another struct") // seen when a test first runs
		}
		cells = append(cells, headerCell{f.Type.Kind(), f.Offset})
	}
	return cells
}()

// schema is that of every segment: the header's fields, then what storing adds.
var schema = func() *arrow.Schema {
	var fields []arrow.Field
	for _, f := range headerFields {
		fields = append(fields, arrow.Field{Name: columnName(f), Type: columnType(f.Type)})
	}
	fields = append(fields,
		arrow.Field{Name: ColumnRaw, Type: arrow.BinaryTypes.String},
		arrow.Field{Name: ColumnStoredTime, Type: arrow.PrimitiveTypes.Int64},
		arrow.Field{Name: ColumnStreamSeq, Type: arrow.PrimitiveTypes.Int64},
		arrow.Field{Name: ColumnCommit, Type: arrow.PrimitiveTypes.Int64},
		arrow.Field{Name: ColumnPos, Type: arrow.PrimitiveTypes.Int32})
	return arrow.NewSchema(fields, nil)
}()

var headerNames = func() (names []string) {
	for _, f := range headerFields {
		names = append(names, columnName(f))
	}
	return names
}()

func columnName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func columnType(t reflect.Type) arrow.DataType {
	switch t.Kind() {
	case reflect.String:
		return arrow.BinaryTypes.String
	case reflect.Int64:
		return arrow.PrimitiveTypes.Int64
	case reflect.Int32:
		return arrow.PrimitiveTypes.Int32
	case reflect.Bool:
		return arrow.FixedWidthTypes.Boolean
	default:
		// The header is a type of ours, so this is seen when a test first runs.
		panic("lake: no column type for " + t.String())
	}
}

// repeating are the string columns with few values, which a dictionary makes
// small. In the others every value is new, and a dictionary costs more than it
// saves.
var repeating = map[string]bool{
	"tenant": true, "kind": true, "decision": true, "status_code": true, "status_detail": true,
	"service": true, "method": true, "principal": true, "source": true, "interceptor": true,
	"binding": true, "phase": true, "failure_kind": true, "failure_policy": true,
	"plan_digest": true, "replay_grade": true, "emitter": true, "epoch": true,
}

// Columns returns the names of a segment's columns in their order, with the
// type of each in the words of Parquet: INT32, INT64, BOOLEAN, UTF8.
func Columns() (names, types []string) {
	for _, f := range schema.Fields() {
		names = append(names, f.Name)
		switch f.Type.ID() {
		case arrow.INT32:
			types = append(types, "INT32")
		case arrow.INT64:
			types = append(types, "INT64")
		case arrow.BOOL:
			types = append(types, "BOOLEAN")
		default:
			types = append(types, "UTF8")
		}
	}
	return names, types
}

// setColumn puts the values of column name in rows of c into entries, one each.
// Texts are copied: what they are in is much larger.
func setColumn(entries []store.Entry, rows []int, name string, c *chunk) {
	switch name {
	case ColumnRaw:
		for i, row := range rows {
			entries[i].Raw = bytes.Clone(c.texts[row])
		}
	case ColumnStoredTime:
		for i, row := range rows {
			entries[i].StoredTime = time.UnixMilli(c.longs[row]).UTC()
		}
	case ColumnStreamSeq:
		for i, row := range rows {
			entries[i].StreamSeq = uint64(c.longs[row])
		}
	case ColumnCommit:
		for i, row := range rows {
			entries[i].Commit = uint64(c.longs[row])
		}
	case ColumnPos:
		for i, row := range rows {
			entries[i].Pos = uint32(c.ints[row])
		}
	default:
		setHeader(entries, rows, headerIndex[name], c)
	}
}

func setHeader(entries []store.Entry, rows []int, index []int, c *chunk) {
	field := func(i int) reflect.Value { return reflect.ValueOf(&entries[i].Header).Elem().FieldByIndex(index) }
	switch {
	case len(rows) == 0:
	case len(c.texts) > 0:
		// Neighbours often have the same value: one copy is enough for both.
		last := ""
		for i, row := range rows {
			if v := c.texts[row]; string(v) != last {
				last = string(v)
			}
			field(i).SetString(last)
		}
	case len(c.longs) > 0:
		for i, row := range rows {
			field(i).SetInt(c.longs[row])
		}
	case len(c.ints) > 0:
		for i, row := range rows {
			field(i).SetInt(int64(c.ints[row]))
		}
	case len(c.bools) > 0:
		for i, row := range rows {
			field(i).SetBool(c.bools[row])
		}
	}
}

var headerIndex = func() map[string][]int {
	m := make(map[string][]int, len(headerFields))
	for _, f := range headerFields {
		m[columnName(f)] = f.Index
	}
	return m
}()

// columnIndex maps the name of a column to its place.
var columnIndex = func() map[string]int {
	m := make(map[string]int, schema.NumFields())
	for i, f := range schema.Fields() {
		m[f.Name] = i
	}
	return m
}()
