// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/metadata"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/docket-audit/docket/collector/lake/index"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/regular"
)

// A segment is an open file of rows. Not for concurrent use.
type segment struct {
	path string // relative, for errors
	file *os.File
	rows *pqarrow.FileReader
}

func openSegment(dir, path string) (s *segment, err error) {
	defer guard(path, &err)
	f, err := regular.Open(filepath.Join(dir, filepath.FromSlash(path)), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: the segment is missing", path, ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	defer func() {
		if s == nil {
			_ = f.Close() // was only read
		}
	}()
	// What is unpacked is the garbage collector's: readChunks gives it away.
	pr, err := file.NewParquetReader(f, file.WithReadProps(parquet.NewReaderProperties(memory.NewGoAllocator())))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
	}
	rows, err := pqarrow.NewFileReader(pr, pqarrow.ArrowReadProperties{BatchSize: recordRows}, memory.DefaultAllocator)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
	}
	if err := checkSchema(rows); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
	}
	return &segment{path: path, file: f, rows: rows}, nil
}

func (s *segment) close() { _ = s.file.Close() } // was only read

func checkSchema(rows *pqarrow.FileReader) error {
	got, err := rows.Schema()
	if err != nil {
		return err
	}
	if got.NumFields() < schema.NumFields() {
		return fmt.Errorf("%d columns instead of %d", got.NumFields(), schema.NumFields())
	}
	for i, want := range schema.Fields() {
		f := got.Field(i)
		if f.Name != want.Name || !arrow.TypeEqual(f.Type, want.Type) || f.Nullable {
			return fmt.Errorf("column %d is %s %v instead of %s %v", i, f.Name, f.Type, want.Name, want.Type)
		}
	}
	return nil
}

// guard makes an error of a panic: the Parquet reader trusts what it reads, and
// a lake's files lie where others can reach them.
func guard(path string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: %w: %v", path, ErrCorrupt, p)
	}
}

func (s *segment) groups() int { return s.rows.ParquetReader().NumRowGroups() }

// read calls each for the rows of one row group, some at a time, with an array
// per name. The arrays are gone when each returns.
func (s *segment) read(ctx context.Context, group int, names []string, each func(columns []arrow.Array) error) (err error) {
	defer guard(s.path, &err)
	readers, err := s.readers(ctx, group, names)
	if err != nil {
		return err
	}
	defer func() {
		for _, r := range readers {
			r.Release()
		}
	}()
	for left := s.groupRows(group); left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(left, recordRows)
		left -= n
		if err := s.batch(readers, names, n, each); err != nil {
			return err
		}
	}
	return nil
}

func (s *segment) groupRows(group int) int64 {
	return s.rows.ParquetReader().MetaData().RowGroup(group).NumRows()
}

// within returns the least and the greatest number in a column of a row group, as
// the file says of itself, and whether it does.
func (s *segment) within(group int, column string) (least, most int64, ok bool) {
	defer func() {
		if recover() != nil { // what it says makes no sense
			ok = false
		}
	}()
	c, err := s.rows.ParquetReader().MetaData().RowGroup(group).ColumnChunk(columnIndex[column])
	if err != nil {
		return 0, 0, false
	}
	stats, err := c.Statistics()
	if err != nil {
		return 0, 0, false
	}
	switch of := stats.(type) {
	case *metadata.Int64Statistics:
		least, most, ok = of.Min(), of.Max(), of.HasMinMax()
	case *metadata.Int32Statistics:
		least, most, ok = int64(of.Min()), int64(of.Max()), of.HasMinMax()
	}
	return least, most, ok && least <= most
}

// plainBytes returns how many bytes some columns of a group have without
// compression, as the file says of itself.
func (s *segment) plainBytes(group int, names []string) (sum int64) {
	for _, name := range names {
		if c, err := s.rows.ParquetReader().MetaData().RowGroup(group).ColumnChunk(columnIndex[name]); err == nil {
			sum += max(0, c.TotalUncompressedSize())
		}
	}
	return sum
}

// pages returns a reader of the events of a group by their pages. It fails with
// [index.ErrLayout] where these are not as ours.
func (s *segment) pages(group int) (*index.Rows, error) {
	info, err := s.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read segment: %w", err)
	}
	pages, err := index.OpenGroup(s.file, info.Size(), s.rows.ParquetReader(), group)
	if err != nil && !errors.Is(err, index.ErrLayout) {
		return nil, fmt.Errorf("%s: %w: %w", s.path, ErrCorrupt, err)
	}
	return pages, err
}

// rawBytes returns how many bytes the event of a row of a group has on average,
// as the file says of itself.
func (s *segment) rawBytes(group int) int64 {
	meta := s.rows.ParquetReader().MetaData().RowGroup(group)
	c, err := meta.ColumnChunk(columnIndex[ColumnRaw])
	if err != nil || meta.NumRows() <= 0 || c.TotalUncompressedSize() <= 0 {
		return 1
	}
	return c.TotalUncompressedSize()/meta.NumRows() + 1
}

// readers returns a reader for each of the columns names of a row group. The
// caller MUST release them.
func (s *segment) readers(ctx context.Context, group int, names []string) (readers []*pqarrow.ColumnReader, err error) {
	defer guard(s.path, &err)
	for _, name := range names {
		field, leaves := s.column(name)
		r, err := s.rows.GetFieldReader(ctx, field, leaves, []int{group})
		if err != nil {
			for _, r := range readers {
				r.Release()
			}
			return nil, fmt.Errorf("%s: %w: column %s: %w", s.path, ErrCorrupt, name, err)
		}
		readers = append(readers, r)
	}
	return readers, nil
}

// column returns where a column is, and the leaves that it has in the file. Of
// the columns of every segment there is one leaf to each, and they come first.
func (s *segment) column(name string) (field int, leaves map[int]bool) {
	if i, ok := columnIndex[name]; ok {
		return i, map[int]bool{i: true}
	}
	var add func(f *pqarrow.SchemaField)
	add = func(f *pqarrow.SchemaField) {
		if f.IsLeaf() {
			leaves[f.ColIndex] = true
		}
		for i := range f.Children {
			add(&f.Children[i])
		}
	}
	leaves = make(map[int]bool)
	for i := range s.rows.Manifest.Fields {
		if f := &s.rows.Manifest.Fields[i]; f.Field.Name == name {
			field = i
			add(f)
		}
	}
	return field, leaves
}

func (s *segment) batch(readers []*pqarrow.ColumnReader, names []string, n int64, each func([]arrow.Array) error) error {
	columns := make([]arrow.Array, len(readers))
	for i, r := range readers {
		chunks, err := r.NextBatch(n)
		if err != nil {
			return fmt.Errorf("%s: %w: column %s: %w", s.path, ErrCorrupt, names[i], err)
		}
		if int64(chunks.Len()) != n {
			return fmt.Errorf("%s: %w: column %s is too short", s.path, ErrCorrupt, names[i])
		}
		column := chunks.Chunk(0)
		if len(chunks.Chunks()) > 1 {
			if column, err = array.Concatenate(chunks.Chunks(), memory.DefaultAllocator); err != nil {
				return fmt.Errorf("%s: read column %s: %w", s.path, names[i], err)
			}
			defer column.Release()
		}
		defer chunks.Release()
		columns[i] = column
	}
	return each(columns)
}

// entries reads the rows of one row group, in the order of the file.
func (s *segment) entries(ctx context.Context, group int, names []string) ([]store.Entry, error) {
	var out []store.Entry
	var rows []int
	columns := make([]chunk, len(names))
	err := s.chunks(ctx, group, names, columns, func(n int, columns []chunk) error {
		for len(rows) < n {
			rows = append(rows, len(rows))
		}
		out = slices.Grow(out, n)[:len(out)+n]
		for c, name := range names {
			setColumn(out[len(out)-n:], rows[:n], name, &columns[c])
		}
		return nil
	})
	return out, err
}

// ReadSegment returns the rows of one segment of the lake in dir just as they
// lie in the file: Header is what the columns say, which only for an honest
// file is what Raw says. Scan is for readers, this for those who doubt.
func ReadSegment(ctx context.Context, dir, path string) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		s, err := openSegment(dir, path)
		if err != nil {
			yield(store.Entry{}, err)
			return
		}
		defer s.close()
		names, _ := Columns()
		for g := range s.groups() {
			entries, err := s.entries(ctx, g, names)
			if err != nil {
				yield(store.Entry{}, err)
				return
			}
			for i := range entries {
				if !yield(entries[i], nil) {
					return
				}
			}
		}
	}
}
