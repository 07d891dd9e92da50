// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// FuzzOpen takes any bytes for an index, with every checksum put right, so that
// what is behind them is reached: nothing may panic, or read far more than
// there is.
func FuzzOpen(f *testing.F) {
	of := Segment{Bytes: 1000, Rows: 10}
	small := &builder{of: of}
	for k := range small.entries {
		for row := range uint64(10) {
			small.entries[k] = append(small.entries[k], uint64(hash(&of, []byte("uid"), nil))<<32|row)
		}
	}
	for c := range small.pages {
		small.pages[c] = []page{{offset: 4, length: 100, rows: 4}, {offset: 500, length: 500, rows: 6}}
	}
	f.Add(small.encode())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = repair(bytes.Clone(b), &of)
		x, err := Open(bytes.NewReader(b), int64(len(b)), of)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if err := x.Check(); err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
		for k := range Keys {
			rows, err := x.Find(Key(k), "uid", 5)
			if err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrMany) {
				t.Fatal(err)
			}
			for _, row := range rows {
				if row < 0 || row >= of.Rows {
					t.Fatalf("row %d", row)
				}
			}
		}
		r := x.Rows(bytes.NewReader(make([]byte, of.Bytes)))
		for row := range of.Rows {
			if _, err := r.Bytes(row); !errors.Is(err, ErrSegment) {
				t.Fatalf("a segment of zeros: %v", err)
			}
			if _, err := r.Int(Pos, row); !errors.Is(err, ErrSegment) {
				t.Fatalf("a segment of zeros: %v", err)
			}
		}
	})
}

// repair puts right what Open compares before it looks at the rest.
func repair(b []byte, of *Segment) []byte {
	if len(b) < headerSize {
		return b
	}
	le := binary.LittleEndian
	copy(b, magic)
	le.PutUint32(b[8:], version)
	copy(b[16:48], of.SHA256[:])
	le.PutUint64(b[48:], uint64(of.Bytes))
	le.PutUint64(b[56:], uint64(of.Rows))
	d := le.Uint32(b[12:])
	if uint64(d) > uint64(len(b)-headerSize) {
		d %= uint32(len(b)-headerSize) + 1
		le.PutUint32(b[12:], d)
	}
	directory, blocks := b[headerSize:headerSize+d], b[headerSize+d:]
	for k, rest := 0, directory; k < len(Keys) && len(rest) >= 4; k++ {
		n := le.Uint32(rest)
		rest = rest[4:]
		for ; n > 0 && len(rest) >= 12; n-- {
			length := min(uint64(le.Uint32(rest[4:])), uint64(len(blocks)))
			le.PutUint32(rest[8:], checksum(blocks[:length]))
			rest, blocks = rest[12:], blocks[length:]
		}
	}
	le.PutUint32(b[64:], checksum(directory))
	le.PutUint32(b[68:], checksum(b[:68]))
	return b
}

// FuzzPage takes any bytes for a page of a column.
func FuzzPage(f *testing.F) {
	// Type 0, 8 bytes plain, 17 packed, 1 value, PLAIN; levels RLE, statistics.
	f.Add([]byte{0x15, 0x00, 0x15, 0x10, 0x15, 0x22, 0x2c, 0x15, 0x02, 0x15, 0x00, 0x15, 0x06, 0x15, 0x06, 0x1c, 0x18, 0x01, 'x', 0x00, 0x00, 0x00})
	f.Add([]byte{0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c, 0x1c})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parsePageHeader(b)
		if err != nil && !errors.Is(err, errShort) && !errors.Is(err, ErrSegment) {
			t.Fatal(err)
		}
		if h.size > len(b) {
			t.Fatalf("a header of %d bytes in %d", h.size, len(b))
		}
		if err == nil {
			for n := range h.size {
				if _, err := parsePageHeader(b[:n]); !errors.Is(err, errShort) {
					t.Fatalf("a header cut short at %d of %d: %v", n, h.size, err)
				}
			}
		}
		if _, err := unpack(b, 1, nil); err != nil && !errors.Is(err, ErrSegment) {
			t.Fatal(err)
		}
	})
}
