// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// CheckNested makes the columns that only public files have again, from the
// bytes of the events in the file at path of the lake in dir, and calls wrong for
// each cell that is another. It fails with [ErrCorrupt] when the columns are
// not those of the events' class, or one is missing.
func CheckNested(ctx context.Context, dir, path string, wrong func(row int, column string)) (err error) {
	defer guard(path, &err)
	s, err := openSegment(dir, path)
	if err != nil {
		return err
	}
	defer s.close()
	c := &nestedCheck{segment: s, wrong: wrong}
	if c.columns, err = s.rows.Schema(); err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
	}
	for g := range s.groups() {
		if err := c.group(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// A nestedCheck is one run of CheckNested.
type nestedCheck struct {
	segment *segment
	columns *arrow.Schema
	wrong   func(row int, column string)

	root *node // nil before the first row
	nest nester
	row  int
}

// group checks one row group.
func (c *nestedCheck) group(ctx context.Context, group int) error {
	names := []string{"class_uid", "time", ColumnRaw}
	for _, f := range c.columns.Fields()[schema.NumFields():] {
		names = append(names, f.Name)
	}
	return c.segment.read(ctx, group, names, func(columns []arrow.Array) error {
		if c.root == nil {
			if err := c.begin(columns[0].(*array.Int32).Value(0)); err != nil {
				return err
			}
		}
		return c.compare(columns[1].(*array.Int64), columns[2].(*array.String), columns[3:])
	})
}

// begin finds out which columns there are to be.
func (c *nestedCheck) begin(class int32) error {
	extra := c.columns.Fields()[schema.NumFields():]
	if len(extra) == 0 || extra[0].Name != ColumnTimeDT || !arrow.TypeEqual(extra[0].Type, timeDT.Type) || extra[0].Nullable {
		return fmt.Errorf("%s: %w: there is no column %s behind %s", c.segment.path, ErrCorrupt, ColumnTimeDT, ColumnPos)
	}
	var err error
	if c.root, err = rootOf(class, extra[1:]); err != nil {
		return fmt.Errorf("%s: %w: %w", c.segment.path, ErrCorrupt, err)
	}
	return nil
}

// compare makes the columns of some rows again.
func (c *nestedCheck) compare(times *array.Int64, raws *array.String, have []arrow.Array) error {
	builders := make([]array.Builder, len(have))
	for i := range have {
		builders[i] = array.NewBuilder(memory.DefaultAllocator, have[i].DataType())
		defer builders[i].Release()
	}
	for i := range raws.Len() {
		builders[0].(*array.TimestampBuilder).Append(arrow.Timestamp(times.Value(i)))
		err := c.nest.append(c.root, func(j int) array.Builder { return builders[1+j] }, []byte(raws.Value(i)))
		if err != nil {
			return fmt.Errorf("%s: row %d: %w", c.segment.path, c.row+i, err)
		}
	}
	for i := range have {
		want := builders[i].NewArray()
		defer want.Release()
		if array.Equal(want, have[i]) {
			continue
		}
		for row := range int64(want.Len()) {
			if !array.SliceEqual(want, row, row+1, have[i], row, row+1) {
				c.wrong(c.row+int(row), c.columns.Field(schema.NumFields()+i).Name)
			}
		}
	}
	c.row += raws.Len()
	return nil
}
