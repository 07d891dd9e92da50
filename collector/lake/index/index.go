// SPDX-License-Identifier: Apache-2.0

package index

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sort"
)

var (
	// ErrInvalid says that what was opened is no whole index of the segment.
	ErrInvalid = errors.New("not an index of this segment")
	// ErrMany says that more rows may have the uid than were asked for.
	ErrMany = errors.New("too many rows")
	// ErrSegment says that the segment is not what it should be.
	ErrSegment = errors.New("the segment is damaged")
	// ErrLayout says that the segment is not written as an index needs it.
	ErrLayout = errors.New("no index is possible of such a segment")
)

// A Key is a column by which rows are found.
type Key int

// The keys.
const (
	Event Key = iota
	Operation
	Trace
)

// Keys are the names of the columns of the keys.
var Keys = [...]string{Event: "metadata_uid", Operation: "operation_uid", Trace: "trace_uid"}

// A Column is one that [Rows] reads.
type Column int

// The columns.
const (
	Raw Column = iota
	StoredTime
	StreamSeq
	Commit
	Pos
)

// Columns are the names of the columns that [Rows] reads.
var Columns = [...]string{Raw: "_raw", StoredTime: "_stored_time", StreamSeq: "_stream_seq", Commit: "_commit", Pos: "_pos"}

// A Segment is what an index is of, as those say who vouch for it.
type Segment struct {
	SHA256 [sha256.Size]byte
	Bytes  int64
	Rows   int64
}

// An Index is an open index. Its methods may be called concurrently.
type Index struct {
	r     io.ReaderAt
	of    Segment
	keys  [len(Keys)][]block
	pages [len(Columns)][]page
}

// A block is a run of entries.
type block struct {
	lowest, crc uint32
	length      uint32
	offset      int64 // in the index
}

// A page is a data page of the segment.
type page struct {
	offset, first int64 // in the segment; its first row
	length, rows  uint32
}

const (
	magic      = "DOCKETIX"
	version    = 1
	headerSize = 72
	maxBlock   = 4096
	maxEntry   = binary.MaxVarintLen32 * 2

	// The first read takes this much: all but the blocks, for most segments.
	firstRead = 16 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// hash returns what a uid is known by in the index of a segment. scratch saves
// an allocation.
func hash(of *Segment, uid, scratch []byte) uint32 {
	sum := sha256.Sum256(append(append(scratch[:0], of.SHA256[:16]...), uid...))
	return binary.BigEndian.Uint32(sum[:])
}

// Open opens the index in the first size bytes of r, which is read as long as
// the index is used. It fails with [ErrInvalid] when it is none of the segment.
func Open(r io.ReaderAt, size int64, of Segment) (*Index, error) {
	b := make([]byte, min(size, firstRead))
	if err := readAt(r, b, 0); err != nil {
		return nil, err
	}
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return nil, invalid("no header")
	}
	switch le := binary.LittleEndian; {
	case le.Uint32(b[8:]) != version:
		return nil, invalid("version %d", le.Uint32(b[8:]))
	case le.Uint32(b[68:]) != checksum(b[:68]):
		return nil, invalid("the header's checksum is wrong")
	case [sha256.Size]byte(b[16:48]) != of.SHA256, le.Uint64(b[48:]) != uint64(of.Bytes), le.Uint64(b[56:]) != uint64(of.Rows):
		return nil, invalid("it is of another segment")
	}
	end := headerSize + int64(binary.LittleEndian.Uint32(b[12:]))
	if end > size {
		return nil, invalid("the directory is cut short")
	}
	if end > int64(len(b)) {
		b = make([]byte, end)
		if err := readAt(r, b, 0); err != nil {
			return nil, err
		}
	}
	directory := b[headerSize:end]
	if checksum(directory) != binary.LittleEndian.Uint32(b[64:]) {
		return nil, invalid("the directory's checksum is wrong")
	}
	x := &Index{r: r, of: of}
	return x, x.parse(directory, end, size)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// readAt fills b; a file that ends before it does is no index.
func readAt(r io.ReaderAt, b []byte, offset int64) error {
	switch n, err := r.ReadAt(b, offset); {
	case n == len(b):
		return nil
	case errors.Is(err, io.EOF):
		return invalid("cut short")
	default:
		return fmt.Errorf("read index: %w", err)
	}
}

// parse reads the directory, of an index whose blocks lie between start and
// size, and refuses what no Build wrote.
func (x *Index) parse(d []byte, start, size int64) error {
	le := binary.LittleEndian
	table := func(width int) (rows []byte, err error) {
		if len(d) < 4 || uint64(le.Uint32(d))*uint64(width) > uint64(len(d)-4) {
			return nil, invalid("the directory is too short")
		}
		n := 4 + int(le.Uint32(d))*width
		rows, d = d[4:n], d[n:]
		return rows, nil
	}
	for k := range x.keys {
		rows, err := table(12)
		if err != nil {
			return err
		}
		blocks := make([]block, 0, len(rows)/12)
		for ; len(rows) > 0; rows = rows[12:] {
			b := block{lowest: le.Uint32(rows), length: le.Uint32(rows[4:]), crc: le.Uint32(rows[8:]), offset: start}
			if b.length == 0 || b.length > maxBlock || len(blocks) > 0 && b.lowest < blocks[len(blocks)-1].lowest {
				return invalid("a block is out of order")
			}
			start += int64(b.length)
			blocks = append(blocks, b)
		}
		x.keys[k] = blocks
	}
	for c := range x.pages {
		rows, err := table(16)
		if err != nil {
			return err
		}
		pages := make([]page, 0, len(rows)/16)
		next := page{}
		for ; len(rows) > 0; rows = rows[16:] {
			p := page{offset: int64(le.Uint64(rows)), first: next.first, length: le.Uint32(rows[8:]), rows: le.Uint32(rows[12:])}
			if p.offset < next.offset || p.offset > x.of.Bytes-int64(p.length) || p.rows == 0 {
				return invalid("a page lies outside of the segment")
			}
			next = page{offset: p.offset + int64(p.length), first: p.first + int64(p.rows)}
			pages = append(pages, p)
		}
		if next.first != x.of.Rows {
			return invalid("pages of %d rows", next.first)
		}
		x.pages[c] = pages
	}
	if len(d) != 0 || start != size {
		return invalid("the length is not what the directory says")
	}
	return nil
}

// Find returns the numbers of the rows that may have uid in the column of key,
// ascending: those that have, and rarely one more. It fails with [ErrMany] when
// they are more than most.
func (x *Index) Find(key Key, uid string, most int) ([]int64, error) {
	want := hash(&x.of, []byte(uid), make([]byte, 0, 64))
	blocks := x.keys[key]
	// Entries of one hash may begin in the block before the first that begins with it.
	at := max(0, sort.Search(len(blocks), func(i int) bool { return blocks[i].lowest >= want })-1)
	var rows []int64
	for ; at < len(blocks) && blocks[at].lowest <= want; at++ {
		b, err := x.block(&blocks[at])
		if err != nil {
			return nil, err
		}
		if rows, err = x.search(b, blocks[at].lowest, want, rows); err != nil {
			return nil, err
		}
		if len(rows) > most {
			return nil, fmt.Errorf("%w: more than %d", ErrMany, most)
		}
	}
	return rows, nil
}

func (x *Index) block(at *block) ([]byte, error) {
	b := make([]byte, at.length)
	if err := readAt(x.r, b, at.offset); err != nil {
		return nil, err
	}
	if checksum(b) != at.crc {
		return nil, invalid("a block's checksum is wrong")
	}
	return b, nil
}

// Check reads what Open did not. It fails with [ErrInvalid] when there is a part
// that Find would refuse.
func (x *Index) Check() error {
	for _, blocks := range x.keys {
		for i := range blocks {
			b, err := x.block(&blocks[i])
			if err == nil {
				_, err = x.search(b, blocks[i].lowest, math.MaxUint32, nil)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// search appends to rows those of the entries of a block that have the hash.
func (x *Index) search(b []byte, lowest, want uint32, rows []int64) ([]int64, error) {
	for h := uint64(lowest); len(b) > 0; {
		delta, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, invalid("an entry is cut short")
		}
		row, m := binary.Uvarint(b[n:])
		if m <= 0 || delta > 1<<32 || row >= uint64(x.of.Rows) {
			return nil, invalid("an entry is of no row")
		}
		b = b[n+m:]
		if h += delta; h > uint64(want) {
			break
		}
		if h == uint64(want) {
			if len(rows) > 0 && int64(row) <= rows[len(rows)-1] {
				return nil, invalid("rows are out of order")
			}
			rows = append(rows, int64(row))
		}
	}
	return rows, nil
}
