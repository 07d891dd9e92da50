// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v17/parquet/file"
)

// readChunks is [ReadColumns] for columns that every segment has, without arrays:
// texts are where the reader unpacked them, and stay until nobody refers to them.
// The chunks are gone when each returns.
func readChunks(ctx context.Context, dir, path string, names []string, each func(rows int, columns []chunk) error) error {
	s, err := openSegment(dir, path)
	if err != nil {
		return err
	}
	defer s.close()
	columns := make([]chunk, len(names))
	for g := range s.groups() {
		if err := s.chunks(ctx, g, names, columns, each); err != nil {
			return err
		}
	}
	return nil
}

// chunks calls each for the rows of one row group, some at a time, with what is
// in the columns names.
func (s *segment) chunks(ctx context.Context, group int, names []string, columns []chunk, each func(rows int, columns []chunk) error) (err error) {
	defer guard(s.path, &err)
	readers, err := s.columnReaders(group, names)
	if err != nil {
		return err
	}
	for left := s.groupRows(group); left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(left, recordRows)
		left -= n
		if err := s.readNext(readers, names, n, columns); err != nil {
			return err
		}
		if err := each(int(n), columns); err != nil {
			return err
		}
	}
	return nil
}

// columnReaders returns a reader for each of the columns names of a row group.
func (s *segment) columnReaders(group int, names []string) (readers []file.ColumnChunkReader, err error) {
	defer guard(s.path, &err)
	for _, name := range names {
		r, err := s.rows.ParquetReader().RowGroup(group).Column(columnIndex[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w: column %s: %w", s.path, ErrCorrupt, name, err)
		}
		readers = append(readers, r)
	}
	return readers, nil
}

// readNext puts the next n rows into columns.
func (s *segment) readNext(readers []file.ColumnChunkReader, names []string, n int64, columns []chunk) error {
	for i, r := range readers {
		if err := columns[i].read(r, n); err != nil {
			return fmt.Errorf("%s: %w: column %s: %w", s.path, ErrCorrupt, names[i], err)
		}
	}
	return nil
}

// read puts the next n values of a column that has one in each row into c.
func (c *chunk) read(from file.ColumnChunkReader, n int64) error {
	var got int64
	var err error
	switch from := from.(type) {
	case *file.ByteArrayColumnChunkReader:
		got, err = take(&c.texts, n, from.ReadBatch)
	case *file.Int32ColumnChunkReader:
		got, err = take(&c.ints, n, from.ReadBatch)
	case *file.Int64ColumnChunkReader:
		got, err = take(&c.longs, n, from.ReadBatch)
	case *file.BooleanColumnChunkReader:
		got, err = take(&c.bools, n, from.ReadBatch)
	default:
		err = fmt.Errorf("values of %v", from.Type())
	}
	if err == nil && got < n {
		err = errors.New("it is too short")
	}
	return err
}

// take fills values with the next n, and says how many there were.
func take[T any](values *[]T, n int64, read func(n int64, values []T, defs, reps []int16) (int64, int, error)) (int64, error) {
	if int64(cap(*values)) < n {
		*values = make([]T, n)
	}
	*values = (*values)[:n]
	_, got, err := read(n, *values, nil, nil)
	return int64(got), err
}
