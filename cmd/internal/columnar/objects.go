// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

// A shape is what the values of a column turned out to be. Each is a part of those
// behind it, but that truths and numbers meet in texts.
type shape int

const (
	nothing shape = iota // nulls alone
	truth
	whole
	number
	text
)

func (s shape) and(other shape) shape {
	if s == truth && other > truth || other == truth && s > truth {
		return text
	}
	return max(s, other)
}

// objects waits in a file of its own for the last row: what type a column has is
// known then, and a file of Parquet begins with it.
type objects struct {
	out     io.Writer
	columns []string
	shapes  []shape
	spool   *os.File
	buffer  *bufio.Writer
}

// Objects returns a writer of rows that are JSON objects with these members, in
// this order. A column of whole numbers is BIGINT, of numbers DOUBLE, of truths
// BOOLEAN; all others are texts, of lists and objects their JSON.
func Objects(w io.Writer, columns []string) (cli.RowWriter, error) {
	f, err := os.CreateTemp("", "docket-rows-*")
	if err != nil {
		return nil, fmt.Errorf("write parquet: %w", err)
	}
	// A file without a name needs nobody to take it away.
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("write parquet: %w", err), f.Close())
	}
	return &objects{out: w, columns: columns, shapes: make([]shape, len(columns)), spool: f, buffer: bufio.NewWriter(f)}, nil
}

// Row implements [cli.RowWriter].
func (o *objects) Row(r cli.Row) error {
	err := o.members(r.JSON, func(i int, v jsontext.Value) error {
		o.shapes[i] = o.shapes[i].and(shapeOf(v))
		return nil
	})
	if err != nil {
		return err
	}
	var size [binary.MaxVarintLen64]byte
	o.buffer.Write(size[:binary.PutUvarint(size[:], uint64(len(r.JSON)))]) // its error is that of the next
	if _, err := o.buffer.Write(r.JSON); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

func (o *objects) members(object []byte, do func(i int, v jsontext.Value) error) error {
	dec := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowDuplicateNames(true))
	if _, err := dec.ReadToken(); err != nil {
		return fmt.Errorf("read row: %w", err)
	}
	for i := 0; dec.PeekKind() != '}'; i++ {
		_, err := dec.ReadToken()
		var v jsontext.Value
		if err == nil {
			v, err = dec.ReadValue()
		}
		if err == nil && i >= len(o.columns) {
			err = errors.New("more members than columns")
		}
		if err == nil {
			err = do(i, v)
		}
		if err != nil {
			return fmt.Errorf("read row: %w", err)
		}
	}
	return nil
}

func shapeOf(v jsontext.Value) shape {
	switch v.Kind() {
	case 'n':
		return nothing
	case 't', 'f':
		return truth
	case '0':
		if _, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return whole
		}
		if bytes.ContainsAny(v, ".eE") {
			return number
		}
	}
	return text // also of a whole number that no column of numbers holds
}

// Close implements [cli.RowWriter].
func (o *objects) Close() error {
	return errors.Join(o.write(), o.spool.Close())
}

func (o *objects) write() error {
	if err := o.buffer.Flush(); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	if _, err := o.spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	types := map[shape]arrow.DataType{truth: arrow.FixedWidthTypes.Boolean, whole: arrow.PrimitiveTypes.Int64, number: arrow.PrimitiveTypes.Float64, text: arrow.BinaryTypes.String, nothing: arrow.BinaryTypes.String}
	fields := make([]arrow.Field, len(o.columns))
	for i, name := range o.columns {
		fields[i] = arrow.Field{Name: name, Type: types[o.shapes[i]], Nullable: true}
	}
	f, err := newFile(o.out, arrow.NewSchema(fields, nil))
	if err != nil {
		return err
	}
	r := bufio.NewReader(o.spool)
	var row []byte
	for {
		n, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return f.close()
		}
		if err == nil {
			row = append(row[:0], make([]byte, n)...)
			_, err = io.ReadFull(r, row)
		}
		if err == nil {
			err = o.members(row, func(i int, v jsontext.Value) error { return put(f.builder.Field(i), v) })
		}
		if err == nil {
			err = f.appended(len(row))
		}
		if err != nil {
			return errors.Join(err, f.close())
		}
	}
}

func put(b array.Builder, v jsontext.Value) error {
	if v.Kind() == 'n' {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.Kind() == 't')
	case *array.Int64Builder:
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return err
		}
		b.Append(n)
	case *array.Float64Builder:
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return err
		}
		b.Append(n)
	case *array.StringBuilder:
		if v.Kind() != '"' {
			b.Append(v.String())
			return nil
		}
		s, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return err
		}
		b.Append(string(s))
	}
	return nil
}
