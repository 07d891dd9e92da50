// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
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
func (c *chunk) flush(to file.ColumnChunkWriter) error {
	var defs, reps []int16
	if c.nullable {
		defs = c.defs
	}
	if c.repeated {
		reps = c.reps
	}
	var err error
	switch to := to.(type) {
	case *file.ByteArrayColumnChunkWriter:
		err = writeTexts(to, c.texts, defs, reps)
	case *file.Int32ColumnChunkWriter:
		_, err = to.WriteBatch(c.ints, defs, reps)
	case *file.Int64ColumnChunkWriter:
		_, err = to.WriteBatch(c.longs, defs, reps)
	case *file.Float64ColumnChunkWriter:
		_, err = to.WriteBatch(c.floats, defs, reps)
	case *file.BooleanColumnChunkWriter:
		_, err = to.WriteBatch(c.bools, defs, reps)
	default:
		err = fmt.Errorf("no values for a column of %v", to.Type())
	}
	clear(c.texts) // what they refer to may be large
	c.texts, c.ints, c.longs, c.floats, c.bools = c.texts[:0], c.ints[:0], c.longs[:0], c.floats[:0], c.bools[:0]
	c.defs, c.reps = c.defs[:0], c.reps[:0]
	return err
}

// writeTexts is WriteBatch, which goes by so many places at a time, too. It
// lets the encoder know how much is to come, which would grow by doubling.
func writeTexts(to *file.ByteArrayColumnChunkWriter, texts []parquet.ByteArray, defs, reps []int16) error {
	there := to.LevelInfo().DefLevel
	size := int(to.Properties().WriteBatchSize())
	for len(texts) > 0 || len(defs) > 0 {
		var d, r []int16
		n := min(len(texts), size)
		if defs != nil {
			d = defs[:min(len(defs), size)]
			defs = defs[len(d):]
			n = 0
			for _, def := range d {
				if def == there {
					n++
				}
			}
		}
		if reps != nil {
			r, reps = reps[:len(d)], reps[len(d):]
		}
		if encoder := to.CurrentEncoder(); encoder.Encoding() == parquet.Encodings.Plain {
			room := 0
			for _, t := range texts[:n] {
				room += len(t) + arrow.Uint32SizeBytes
			}
			encoder.ReserveForWrite(room)
		}
		if _, err := to.WriteBatch(texts[:n], d, r); err != nil {
			return err
		}
		texts = texts[n:]
	}
	return nil
}
