// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"fmt"
	"io"
	"math"
	"reflect"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/metadata"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/docket-audit/docket/collector/store"
)

// A table is a Parquet file that rows are written to, one after the other. The
// file is the one that Arrow makes of records of the same rows. Not for
// concurrent use.
//
// Arrow panics when what it writes to fails.
type table struct {
	file    *file.Writer
	group   file.BufferedRowGroupWriter // nil: the next row begins one
	columns []chunk                     // in the order of the file
	rows    int                         // in columns
	grouped int                         // in the row group, without these
	full    int                         // what a row group has at most
}

// newTable begins a file with some columns, the first of which are those of
// every segment.
func newTable(w io.Writer, columns *arrow.Schema, props *parquet.WriterProperties) (*table, error) {
	layout, err := pqarrow.ToParquet(columns, props, pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, err
	}
	t := &table{columns: make([]chunk, layout.NumColumns()), full: int(props.MaxRowGroupLength())}
	t.file = file.NewParquetWriter(w, layout.Root(), file.WithWriterProps(props), file.WithWriteMetadata(metadata.KeyValueMetadata{}))
	for i := range t.columns {
		c := layout.Column(i)
		t.columns[i].nullable, t.columns[i].repeated = c.MaxDefinitionLevel() > 0, c.MaxRepetitionLevel() > 0
	}
	return t, nil
}

// add puts e into the columns of every segment. The bytes of e MUST stay as they
// are until the next flush. The caller puts what the others want, and then calls
// next.
func (t *table) add(e *store.Entry) error {
	if e.StreamSeq > math.MaxInt64 || e.Commit > math.MaxInt64 || e.Pos > math.MaxInt32 {
		return fmt.Errorf("write row: stream sequence %d, commit %d or position %d out of range", e.StreamSeq, e.Commit, e.Pos)
	}
	v := reflect.ValueOf(&e.Header).Elem()
	for i := range headerFields {
		field, c := v.FieldByIndex(headerFields[i].Index), &t.columns[i]
		switch field.Kind() {
		case reflect.String:
			c.texts = append(c.texts, bytesOf(field.String()))
		case reflect.Int64:
			c.longs = append(c.longs, field.Int())
		case reflect.Int32:
			c.ints = append(c.ints, int32(field.Int()))
		case reflect.Bool:
			c.bools = append(c.bools, field.Bool())
		default: // columnType knows no other
		}
	}
	own := t.columns[len(headerFields):]
	own[0].texts = append(own[0].texts, e.Raw)
	own[1].longs = append(own[1].longs, e.StoredTime.UnixMilli())
	own[2].longs = append(own[2].longs, int64(e.StreamSeq))
	own[3].longs = append(own[3].longs, int64(e.Commit))
	own[4].ints = append(own[4].ints, int32(e.Pos))
	return nil
}

// bytesOf returns the bytes of a string, which nobody may change. The writer
// keeps the least and the greatest of a column until a row group ends, so that
// they cannot be in memory that is used again.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{} // and not nil, which Arrow takes for none when it looks for the least
	}
	return unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // one copy less of each string of each event
}

// next ends a row. A row group that is full ends, too.
func (t *table) next() error {
	if t.rows++; t.grouped+t.rows < t.full {
		return nil
	}
	if err := t.flush(); err != nil {
		return err
	}
	return t.cut()
}

// flush gives the rows to the file. It keeps them encoded, until the row group
// ends.
func (t *table) flush() error {
	if t.rows == 0 {
		return nil
	}
	if t.group == nil {
		t.group = t.file.AppendBufferedRowGroup()
	}
	for i := range t.columns {
		to, err := t.group.Column(i)
		if err != nil {
			return err
		}
		if err := t.columns[i].flush(to); err != nil {
			return err
		}
	}
	t.grouped, t.rows = t.grouped+t.rows, 0
	return nil
}

// cut ends the row group, if one was begun, and writes it.
func (t *table) cut() error {
	if t.group == nil {
		return nil
	}
	err := t.group.Close()
	t.group, t.grouped = nil, 0
	return err
}

// close writes what is left, and the footer.
func (t *table) close() error {
	if err := t.flush(); err != nil {
		return err
	}
	if err := t.cut(); err != nil {
		return err
	}
	return t.file.Close()
}
