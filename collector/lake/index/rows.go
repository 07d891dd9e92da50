// SPDX-License-Identifier: Apache-2.0

package index

import (
	"encoding/binary"
	"fmt"
	"io"
	"sort"

	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/file"
)

// Rows reads single rows of a segment. It holds one decompressed page of each
// column that was read, so that neighbours cost it once. Not for concurrent use.
type Rows struct {
	x       *Index
	segment io.ReaderAt
	held    [len(Columns)]held
	packed  []byte // what was read last, for reuse
}

// held is a page as it is without compression.
type held struct {
	page *page
	data []byte
	// Where the value of row next begins, of those before the end of the page.
	next, at int64
}

// Rows returns a reader of rows of the segment of x.
func (x *Index) Rows(segment io.ReaderAt) *Rows { return &Rows{x: x, segment: segment} }

// OpenRows returns a reader of rows of a segment that has no index, which goes
// through the headers of its pages. Of [Columns] it reads [Raw] only. It fails
// with [ErrSegment] when the segment is not what it should be, and with
// [ErrLayout] when it is written in another way.
func OpenRows(segment io.ReaderAt, of Segment) (*Rows, error) {
	b := &builder{of: of, segment: segment}
	if err := b.readPages(); err != nil {
		return nil, err
	}
	return b.rows(), nil
}

// OpenGroup is [OpenRows] for one row group of a segment of which size bytes are
// there and the footer was read. Rows count from the group's first.
func OpenGroup(segment io.ReaderAt, size int64, r *file.Reader, group int) (_ *Rows, err error) {
	defer guard(&err)
	of := r.RowGroup(group)
	b := &builder{of: Segment{Bytes: size, Rows: of.NumRows()}, segment: segment}
	raw, err := leaf(r, Columns[Raw])
	if err == nil {
		err = b.walk(of, Raw, raw)
	}
	if err != nil {
		return nil, err
	}
	return b.rows(), nil
}

// rows returns a reader by the pages that were found.
func (b *builder) rows() *Rows {
	x := &Index{of: b.of}
	first := int64(0)
	for _, p := range b.pages[Raw] {
		p.first = first
		first += int64(p.rows)
		x.pages[Raw] = append(x.pages[Raw], p)
	}
	return x.Rows(b.segment)
}

// Int returns the value of a row in a column of numbers. It fails with
// [ErrSegment] when the segment does not hold what it should.
func (r *Rows) Int(c Column, row int64) (int64, error) {
	h, err := r.hold(c, row)
	if err != nil {
		return 0, err
	}
	width := int64(8)
	if c == Pos {
		width = 4
	}
	if int64(len(h.data)) != width*int64(h.page.rows) {
		return 0, damaged("a page of %s has %d bytes", Columns[c], len(h.data))
	}
	b := h.data[width*(row-h.page.first):]
	if width == 4 {
		return int64(int32(binary.LittleEndian.Uint32(b))), nil
	}
	return int64(binary.LittleEndian.Uint64(b)), nil
}

// Bytes returns the value of a row in [Raw], which is gone with the next call.
// It fails with [ErrSegment] when the segment does not hold what it should.
func (r *Rows) Bytes(row int64) ([]byte, error) {
	h, err := r.hold(Raw, row)
	if err != nil {
		return nil, err
	}
	if row < h.next {
		h.next, h.at = h.page.first, 0
	}
	for {
		rest := h.data[h.at:]
		if len(rest) < 4 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return nil, damaged("a page of %s is too short", Columns[Raw])
		}
		n := int64(binary.LittleEndian.Uint32(rest))
		h.next, h.at = h.next+1, h.at+4+n
		if h.next > row {
			return rest[4 : 4+n : 4+n], nil
		}
	}
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSegment, fmt.Sprintf(format, args...))
}

// hold returns the page with a row.
func (r *Rows) hold(c Column, row int64) (*held, error) {
	if row < 0 || row >= r.x.of.Rows {
		return nil, fmt.Errorf("read row %d of a segment of %d", row, r.x.of.Rows)
	}
	pages := r.x.pages[c]
	p := &pages[sort.Search(len(pages), func(i int) bool { return pages[i].first > row })-1]
	h := &r.held[c]
	if h.page == p {
		return h, nil
	}
	h.page = nil // of whatever data is left when this fails
	if cap(r.packed) < int(p.length) {
		r.packed = make([]byte, p.length)
	}
	packed := r.packed[:p.length]
	if n, err := r.segment.ReadAt(packed, p.offset); n < len(packed) {
		return nil, damaged("read %s: %v", Columns[c], err)
	}
	data, err := unpack(packed, int64(p.rows), h.data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Columns[c], err)
	}
	*h = held{page: p, data: data, next: p.first}
	return h, nil
}

// unpack returns the bytes of a page, given with its header, without
// compression. It reuses the memory of dst.
func unpack(packed []byte, rows int64, dst []byte) (data []byte, err error) {
	// The decoder panics.
	defer func() {
		if p := recover(); p != nil {
			err = damaged("%v", p)
		}
	}()
	header, err := parsePageHeader(packed)
	if err == nil {
		err = header.usable()
	}
	switch {
	case err != nil:
		return nil, damaged("%v", err)
	case header.values != rows || header.packed != int64(len(packed)-header.size):
		return nil, damaged("a page has %d rows in %d bytes", header.values, header.packed)
	}
	zstd, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		return nil, err
	}
	data = zstd.Decode(dst, packed[header.size:])
	if int64(len(data)) != header.plain {
		return nil, damaged("a page has %d bytes instead of %d", len(data), header.plain)
	}
	return data, nil
}
