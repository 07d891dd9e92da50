// SPDX-License-Identifier: Apache-2.0

package index

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/file"
)

// Build returns the index of a segment, which is the same each time. It reads
// the whole of it, as what is found through an index must rest on the bytes
// that were vouched for, and fails with [ErrSegment] when it is not of.
func Build(ctx context.Context, segment io.ReaderAt, of Segment) ([]byte, error) {
	if of.Rows > math.MaxUint32 {
		return nil, fmt.Errorf("%w: %d rows", ErrLayout, of.Rows)
	}
	if err := check(ctx, segment, of); err != nil {
		return nil, err
	}
	b := &builder{of: of, segment: segment}
	if err := b.read(ctx); err != nil {
		return nil, err
	}
	return b.encode(), nil
}

// check compares a segment with what is known of it.
func check(ctx context.Context, segment io.ReaderAt, of Segment) error {
	sum := sha256.New()
	buf := make([]byte, 1<<20)
	for at := int64(0); at < of.Bytes; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := segment.ReadAt(buf[:min(int64(len(buf)), of.Bytes-at)], at)
		if n == 0 {
			return fmt.Errorf("%w: read it: %w", ErrSegment, err)
		}
		sum.Write(buf[:n])
		at += int64(n)
	}
	if [sha256.Size]byte(sum.Sum(nil)) != of.SHA256 {
		return damaged("its digest is another")
	}
	return nil
}

type builder struct {
	of      Segment
	segment io.ReaderAt
	entries [len(Keys)][]uint64 // hash and row
	pages   [len(Columns)][]page
}

// open reads the footer of the segment.
func (b *builder) open() (*file.Reader, error) {
	r, err := file.NewParquetReader(io.NewSectionReader(b.segment, 0, b.of.Bytes))
	if err != nil {
		return nil, damaged("%v", err)
	}
	if r.NumRows() != b.of.Rows {
		return nil, damaged("%d rows instead of %d", r.NumRows(), b.of.Rows)
	}
	return r, nil
}

// guard makes an error of a panic: Arrow's reader has them for what it cannot
// read.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = damaged("%v", p)
	}
}

// read collects what the index says of the segment.
func (b *builder) read(ctx context.Context) (err error) {
	defer guard(&err)
	r, err := b.open()
	if err != nil {
		return err
	}
	row := int64(0)
	for g := range r.NumRowGroups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		group := r.RowGroup(g)
		for k, name := range Keys {
			leaf, err := leaf(r, name)
			if err == nil {
				err = b.hash(group, Key(k), leaf, row)
			}
			if err != nil {
				return err
			}
		}
		for c, name := range Columns {
			leaf, err := leaf(r, name)
			if err == nil {
				err = b.walk(group, Column(c), leaf)
			}
			if err != nil {
				return err
			}
		}
		row += group.NumRows()
	}
	return nil
}

// readPages collects where the pages of [Raw] are.
func (b *builder) readPages() (err error) {
	defer guard(&err)
	r, err := b.open()
	if err != nil {
		return err
	}
	raw, err := leaf(r, Columns[Raw])
	for g := 0; g < r.NumRowGroups() && err == nil; g++ {
		err = b.walk(r.RowGroup(g), Raw, raw)
	}
	return err
}

// leaf returns the place of a column, which must be there in each row.
func leaf(r *file.Reader, name string) (int, error) {
	schema := r.MetaData().Schema
	i := schema.ColumnIndexByName(name)
	if i < 0 {
		return 0, fmt.Errorf("%w: no column %s", ErrLayout, name)
	}
	if c := schema.Column(i); c.MaxDefinitionLevel() != 0 || c.MaxRepetitionLevel() != 0 {
		return 0, fmt.Errorf("%w: column %s is not required", ErrLayout, name)
	}
	return i, nil
}

// hash adds the entries of one key in one row group, which begins with row.
func (b *builder) hash(group *file.RowGroupReader, k Key, leaf int, row int64) error {
	column, err := group.Column(leaf)
	if err != nil {
		return damaged("column %s: %v", Keys[k], err)
	}
	values, ok := column.(*file.ByteArrayColumnChunkReader)
	if !ok {
		return fmt.Errorf("%w: column %s is not text", ErrLayout, Keys[k])
	}
	buf := make([]parquet.ByteArray, 4096)
	var last []byte // rows of one operation are often neighbours
	var known uint32
	scratch := make([]byte, 0, 64)
	for end := row + group.NumRows(); row < end; {
		_, n, err := values.ReadBatch(min(int64(len(buf)), end-row), buf, nil, nil)
		if err != nil || n == 0 {
			return damaged("column %s ends at row %d: %v", Keys[k], row, err)
		}
		for _, v := range buf[:n] {
			if len(v) > 0 {
				if string(v) != string(last) {
					last, known = append(last[:0], v...), hash(&b.of, v, scratch)
				}
				b.entries[k] = append(b.entries[k], uint64(known)<<32|uint64(row))
			}
			row++
		}
	}
	return nil
}

// walk adds the pages of one column in one row group.
func (b *builder) walk(group *file.RowGroupReader, c Column, leaf int) error {
	meta, err := group.MetaData().ColumnChunk(leaf)
	if err != nil {
		return damaged("column %s: %v", Columns[c], err)
	}
	want := parquet.Types.Int64
	switch c {
	case Raw:
		want = parquet.Types.ByteArray
	case Pos:
		want = parquet.Types.Int32
	default:
	}
	if meta.Compression() != compress.Codecs.Zstd || meta.HasDictionaryPage() || meta.Type() != want {
		return fmt.Errorf("%w: column %s is %v with %v", ErrLayout, Columns[c], meta.Type(), meta.Compression())
	}
	at, left := meta.DataPageOffset(), group.NumRows()
	for left > 0 {
		header, err := b.header(at)
		if err != nil {
			return fmt.Errorf("column %s: %w", Columns[c], err)
		}
		length := header.packed + int64(header.size)
		if header.values > left || length > math.MaxUint32 || at > b.of.Bytes-length {
			return damaged("column %s has a page of %d rows and %d bytes", Columns[c], header.values, length)
		}
		b.pages[c] = append(b.pages[c], page{offset: at, length: uint32(length), rows: uint32(header.values)})
		at, left = at+length, left-header.values
	}
	return nil
}

// header reads the header of the page at an offset.
func (b *builder) header(at int64) (pageHeader, error) {
	for size := int64(128); ; size *= 16 {
		buf := make([]byte, min(size, max(0, b.of.Bytes-at)))
		if n, err := b.segment.ReadAt(buf, at); n < len(buf) {
			return pageHeader{}, damaged("read page: %v", err)
		}
		h, err := parsePageHeader(buf)
		if errors.Is(err, errShort) && size < 1<<20 {
			continue
		}
		if err != nil {
			return h, damaged("%v", err)
		}
		return h, h.usable()
	}
}

// encode returns the bytes of the index.
func (b *builder) encode() []byte {
	le := binary.LittleEndian
	var directory, blocks []byte
	for k := range b.entries {
		slices.Sort(b.entries[k])
		count := len(directory)
		n := uint32(0)
		directory = le.AppendUint32(directory, 0)
		for entries := b.entries[k]; len(entries) > 0; n++ {
			start := len(blocks)
			lowest := uint32(entries[0] >> 32)
			blocks, entries = appendBlock(blocks, entries)
			directory = le.AppendUint32(directory, lowest)
			directory = le.AppendUint32(directory, uint32(len(blocks)-start))
			directory = le.AppendUint32(directory, checksum(blocks[start:]))
		}
		le.PutUint32(directory[count:], n)
	}
	for _, pages := range b.pages {
		directory = le.AppendUint32(directory, uint32(len(pages)))
		for _, p := range pages {
			directory = le.AppendUint64(directory, uint64(p.offset))
			directory = le.AppendUint32(directory, p.length)
			directory = le.AppendUint32(directory, p.rows)
		}
	}
	out := make([]byte, 0, headerSize+len(directory)+len(blocks))
	out = append(out, magic...)
	out = le.AppendUint32(out, version)
	out = le.AppendUint32(out, uint32(len(directory)))
	out = append(out, b.of.SHA256[:]...)
	out = le.AppendUint64(out, uint64(b.of.Bytes))
	out = le.AppendUint64(out, uint64(b.of.Rows))
	out = le.AppendUint32(out, checksum(directory))
	out = le.AppendUint32(out, checksum(out))
	return append(append(out, directory...), blocks...)
}

// appendBlock appends as many entries as a block holds, and returns the rest.
func appendBlock(to []byte, entries []uint64) (_ []byte, rest []uint64) {
	last := entries[0] >> 32
	for start := len(to); len(entries) > 0 && len(to)-start <= maxBlock-maxEntry; entries = entries[1:] {
		h := entries[0] >> 32
		to = binary.AppendUvarint(to, h-last)
		to = binary.AppendUvarint(to, entries[0]&math.MaxUint32)
		last = h
	}
	return to, entries
}
