// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"encoding/binary"
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
	to      *told
	props   *parquet.WriterProperties
	meta    *metadata.FileMetaDataBuilder
	columns []chunk // in the order of the file
	room    *room
	rows    int // in columns
	grouped int // in the row group, without these
	groups  int // before this row group
	full    int // what a row group has at most

	group   *metadata.RowGroupMetaDataBuilder // nil: the next row begins one
	writers []columnWriter                    // of its columns
}

// A columnWriter writes one column of a row group.
type columnWriter interface {
	Close() error
	RowsWritten() int
	TotalBytesWritten() int64
}

// told knows how much was written to it.
type told struct {
	io.Writer
	n int64
}

func (t *told) Write(b []byte) (int, error) {
	n, err := t.Writer.Write(b)
	t.n += int64(n)
	return n, err
}

// Tell is what Arrow asks.
func (t *told) Tell() int64 { return t.n }

const parquetMagic = "PAR1"

// newTable begins a file with some columns, the first of which are those of
// every segment.
func newTable(w io.Writer, columns *arrow.Schema, props *parquet.WriterProperties, r *room) (*table, error) {
	layout, err := pqarrow.ToParquet(columns, props, pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, err
	}
	r.fit(layout.NumColumns())
	t := &table{to: &told{Writer: w}, props: props, room: r, columns: r.chunks[:layout.NumColumns()], full: int(props.MaxRowGroupLength())}
	t.meta = metadata.NewFileMetadataBuilder(layout, props, metadata.KeyValueMetadata{})
	if _, err := io.WriteString(t.to, parquetMagic); err != nil {
		return nil, err
	}
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
	header := unsafe.Pointer(&e.Header) //nolint:gosec // reflection takes longer than to write most columns
	for i := range headerCells {
		c := &t.columns[i]
		switch at := unsafe.Add(header, headerCells[i].offset); headerCells[i].kind {
		case reflect.String:
			c.texts = append(c.texts, bytesOf(*(*string)(at)))
		case reflect.Int64:
			c.longs = append(c.longs, *(*int64)(at))
		case reflect.Int32:
			c.ints = append(c.ints, *(*int32)(at))
		case reflect.Bool:
			c.bools = append(c.bools, *(*bool)(at))
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

// begin begins a row group.
func (t *table) begin() error {
	t.group, t.writers = t.meta.AppendRowGroup(), t.writers[:0]
	for i := range t.columns {
		meta := t.group.NextColumnChunk()
		if meta.Descr().PhysicalType() == parquet.Types.ByteArray {
			w, err := newTextWriter(t, meta, i)
			if err != nil {
				return err
			}
			t.writers = append(t.writers, w)
			continue
		}
		path := meta.Descr().Path()
		pager, err := file.NewPageWriter(t.to, t.props.CompressionFor(path), t.props.CompressionLevelFor(path), meta,
			int16(t.groups), int16(i), t.props.Allocator(), true, nil, nil)
		if err != nil {
			return err
		}
		t.writers = append(t.writers, file.NewColumnChunkWriter(meta, pager, t.props))
	}
	return nil
}

// flush gives the rows to the file. It keeps them encoded, until the row group
// ends.
func (t *table) flush() error {
	if t.rows == 0 {
		return nil
	}
	if t.group == nil {
		if err := t.begin(); err != nil {
			return err
		}
	}
	for i := range t.columns {
		if err := t.columns[i].flush(t.writers[i]); err != nil {
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
	bytes := int64(0)
	for i, w := range t.writers {
		if got := w.RowsWritten(); got != t.grouped {
			return fmt.Errorf("column %d has %d rows instead of %d", i, got, t.grouped)
		}
		if err := w.Close(); err != nil {
			return err
		}
		bytes += w.TotalBytesWritten()
	}
	t.group.SetNumRows(t.grouped)
	if err := t.group.Finish(bytes, int16(t.groups)); err != nil {
		return err
	}
	t.groups++
	t.group, t.grouped = nil, 0
	return nil
}

// close writes what is left, and the footer.
func (t *table) close() error {
	if err := t.flush(); err != nil {
		return err
	}
	if err := t.cut(); err != nil {
		return err
	}
	says, err := t.meta.Snapshot()
	if err != nil {
		return err
	}
	begins := t.to.n
	if _, err := says.WriteTo(t.to, nil); err != nil {
		return err
	}
	_, err = t.to.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(t.to.n-begins)), parquetMagic...))
	return err
}
