// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

const (
	rowGroupRows = 50_000
	recordRows   = 1024
	recordBytes  = 8 << 20 // a record is written when it has so much of rows
)

// A parquetFile is a Parquet file that is written row by row.
type parquetFile struct {
	out     *sink
	pq      *pqarrow.FileWriter
	builder *array.RecordBuilder
	rows    int // in the builder
	bytes   int
}

func newFile(w io.Writer, schema *arrow.Schema, without ...string) (f *parquetFile, err error) {
	f = &parquetFile{out: &sink{Writer: w}, builder: array.NewRecordBuilder(memory.DefaultAllocator, schema)}
	defer f.recovered(&err)
	props := []parquet.WriterProperty{
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCompressionLevel(3),
		parquet.WithMaxRowGroupLength(rowGroupRows), parquet.WithCreatedBy("docket"),
	}
	for _, name := range without { // columns whose minimum is a payload
		props = append(props, parquet.WithStatsFor(name, false), parquet.WithDictionaryFor(name, false))
	}
	f.pq, err = pqarrow.NewFileWriter(schema, f.out, parquet.NewWriterProperties(props...), pqarrow.DefaultWriterProps())
	return f, f.failed(err)
}

// appended counts a row that the builder has now.
func (f *parquetFile) appended(bytes int) error {
	f.rows++
	f.bytes += bytes
	if f.rows < recordRows && f.bytes < recordBytes {
		return nil
	}
	return f.flush()
}

func (f *parquetFile) flush() (err error) {
	defer f.recovered(&err)
	if f.rows == 0 {
		return nil
	}
	rec := f.builder.NewRecord()
	defer rec.Release()
	f.rows, f.bytes = 0, 0
	return f.failed(f.pq.WriteBuffered(rec))
}

func (f *parquetFile) close() (err error) {
	defer f.recovered(&err)
	defer f.builder.Release()
	if err := f.flush(); err != nil {
		return err
	}
	return f.failed(f.pq.Close())
}

// failed prefers what went wrong with the output to what Arrow makes of it.
func (f *parquetFile) failed(err error) error {
	if f.out.err != nil {
		return f.out.err
	}
	if err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

// A sink remembers the first error of what it writes to, and does not close it.
type sink struct {
	io.Writer

	err error
}

func (s *sink) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.Writer.Write(b)
	s.err = err
	return n, err
}

// recovered makes an error of a panic: this Arrow panics when its output fails.
func (f *parquetFile) recovered(err *error) {
	if r := recover(); r != nil {
		*err = f.failed(fmt.Errorf("%v", r))
	}
}
