// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"fmt"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
)

// A chunk is what goes to the writer of one Parquet column at once: values of
// its physical type, and the levels that say in which rows and lists they are.
// Only one of the slices of values is in use.
//
// Arrow's own way from rows to a column is over an array: each value is copied
// into one that grows, and out of that the levels are found again. Texts in a
// chunk stay where they are until they are written.
type chunk struct {
	texts  []parquet.ByteArray
	ints   []int32
	longs  []int64
	floats []float64
	bools  []bool

	// Of a column whose values may be missing, or be in a list.
	defs, reps []int16
	nullable   bool
	repeated   bool
}

// place notes a place of a value: whether it is there, or how much of its path is,
// and in which list it is a further one.
func (c *chunk) place(rep, def int16) {
	c.defs = append(c.defs, def)
	if c.repeated {
		c.reps = append(c.reps, rep)
	}
}

// flush writes the chunk and empties it.
func (c *chunk) flush(to columnWriter) error {
	var defs, reps []int16
	if c.nullable {
		defs = c.defs
	}
	if c.repeated {
		reps = c.reps
	}
	var err error
	switch to := to.(type) {
	case *textWriter:
		err = to.write(c.texts, defs, reps)
	case *file.Int32ColumnChunkWriter:
		_, err = to.WriteBatch(c.ints, defs, reps)
	case *file.Int64ColumnChunkWriter:
		_, err = to.WriteBatch(c.longs, defs, reps)
	case *file.Float64ColumnChunkWriter:
		_, err = to.WriteBatch(c.floats, defs, reps)
	case *file.BooleanColumnChunkWriter:
		_, err = to.WriteBatch(c.bools, defs, reps)
	default:
		err = fmt.Errorf("no values for %T", to)
	}
	c.empty()
	return err
}

// empty takes all out of the chunk.
func (c *chunk) empty() {
	clear(c.texts) // what they refer to may be large
	c.texts, c.ints, c.longs, c.floats, c.bools = c.texts[:0], c.ints[:0], c.longs[:0], c.floats[:0], c.bools[:0]
	c.defs, c.reps = c.defs[:0], c.reps[:0]
}
