// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/lake/index"
)

// same compares every row and every uid of a segment, as the index has them,
// with what Arrow reads.
func same(t interface {
	Helper()
	Fatalf(string, ...any)
}, x *index.Index, segment []byte, want []row,
) {
	t.Helper()
	r := x.Rows(bytes.NewReader(segment))
	// Forwards, backwards and in between.
	order := make([]int, 0, 3*len(want))
	for i := range want {
		order = append(order, i, len(want)-1-i, (i*7919)%len(want))
	}
	for _, i := range order {
		raw, err := r.Bytes(int64(i))
		if err != nil || string(raw) != want[i].raw {
			t.Fatalf("row %d: %d bytes instead of %d (%v)", i, len(raw), len(want[i].raw), err)
		}
		for c := index.StoredTime; c <= index.Pos; c++ {
			if v, err := r.Int(c, int64(i)); err != nil || v != want[i].ints[c] {
				t.Fatalf("row %d: %s is %d instead of %d (%v)", i, index.Columns[c], v, want[i].ints[c], err)
			}
		}
	}
	for k := range index.Keys {
		has := make(map[string][]int64)
		for i := range want {
			has[want[i].keys[k]] = append(has[want[i].keys[k]], int64(i))
		}
		delete(has, "")
		has["nobody has this"] = nil
		for uid, rows := range has {
			got, err := x.Find(index.Key(k), uid, len(want))
			if err != nil || !slices.IsSorted(got) {
				t.Fatalf("find %s %q: %v (%v)", index.Keys[k], uid, got, err)
			}
			// Candidates are also what has the same hash by chance.
			got = slices.DeleteFunc(got, func(i int64) bool { return want[i].keys[k] != uid })
			if !slices.Equal(got, rows) {
				t.Fatalf("find %s %q: rows %v instead of %v", index.Keys[k], uid, got, rows)
			}
		}
	}
}

func TestRandomSegments(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.OneOf(rapid.Just(""), rapid.StringN(0, 40, 120), rapid.SampledFrom([]string{"a", "b", "\xff\xfe", strings.Repeat("long", 100)}))
		rows := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) row {
			v := row{keys: [3]string{text.Draw(r, "event"), text.Draw(r, "operation"), text.Draw(r, "trace")}}
			v.raw = strings.Repeat(text.Draw(r, "raw"), rapid.SampledFrom([]int{1, 1, 1, 50}).Draw(r, "times"))
			for c := index.StoredTime; c <= index.Commit; c++ {
				v.ints[c] = rapid.Int64().Draw(r, "number")
			}
			v.ints[index.Pos] = int64(rapid.Int32().Draw(r, "pos"))
			return v
		}), 1, 120).Draw(r, "rows")
		segment, of := write(t, rows, shape{
			group:      rapid.Int64Range(1, 120).Draw(r, "rows of a group"),
			page:       rapid.Int64Range(1, 4000).Draw(r, "bytes of a page"),
			record:     rapid.Int64Range(1, 100).Draw(r, "rows of a record"),
			dictionary: rapid.Bool().Draw(r, "dictionary"),
		})
		b := build(t, segment, of)
		if !bytes.Equal(b, build(t, segment, of)) {
			r.Fatalf("built twice, two indexes")
		}
		same(r, open(t, b, of), segment, arrowRows(t, segment))
	})
}

// Events may have 8 MiB, and a page then as much more as Arrow lets it.
func TestLargeRows(t *testing.T) {
	rows := some(40)
	for i := 3; i < len(rows); i += 9 {
		rows[i].raw = strings.Repeat(rows[i].raw, 8<<20/len(rows[i].raw))
	}
	for _, record := range []int64{1, 16} {
		segment, of := write(t, rows, shape{group: 25, page: 1 << 20, record: record})
		same(t, open(t, build(t, segment, of), of), segment, rows)
	}
}

// A uid that very many rows have fills blocks, and neighbours are still found.
func TestManyRowsOfOneUID(t *testing.T) {
	rows := some(20_000)
	for i := range rows {
		if i%2 == 0 {
			rows[i].keys[index.Operation] = "hostile"
		}
	}
	segment, of := write(t, rows, shape{group: 7000, page: 1 << 16, record: 1024})
	x := open(t, build(t, segment, of), of)
	if got, err := x.Find(index.Operation, "hostile", 10_000); err != nil || len(got) != 10_000 {
		t.Errorf("%d rows (%v)", len(got), err)
	}
	if _, err := x.Find(index.Operation, "hostile", 9_999); !errors.Is(err, index.ErrMany) {
		t.Errorf("more than asked for: %v", err)
	}
	for i := 1; i < len(rows); i += 1110 { // not the hostile ones
		if got, err := x.Find(index.Operation, rows[i].keys[index.Operation], 100); err != nil || !slices.Contains(got, int64(i)) {
			t.Errorf("row %d is not among %v (%v)", i, got, err)
		}
	}
}

// Whatever byte of an index is another, and wherever it is cut: it is refused,
// or says what it said.
func TestDamagedIndex(t *testing.T) {
	rows := some(400)
	segment, of := write(t, rows, shape{group: 150, page: 2000, record: 10})
	whole := build(t, segment, of)
	check := func(what string, b []byte) {
		t.Helper()
		x, err := index.Open(bytes.NewReader(b), int64(len(b)), of)
		if err != nil {
			if !errors.Is(err, index.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
			return
		}
		refused := errors.Is(x.Check(), index.ErrInvalid)
		for i := 0; i < len(rows); i += 41 { // blocks are read whole, so these read all
			for k := range index.Keys {
				got, err := x.Find(index.Key(k), rows[i].keys[k], len(rows))
				switch {
				case errors.Is(err, index.ErrInvalid):
					if !refused {
						t.Fatalf("%s: row %d: %v", what, i, err)
					}
				case err != nil || !slices.Contains(got, int64(i)):
					t.Fatalf("%s: row %d is not among %v (%v)", what, i, got, err)
				}
			}
		}
		if !refused {
			t.Errorf("%s: believed", what)
		}
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		check(fmt.Sprintf("byte %d", at), b)
	}
	for n := 0; n < len(whole); n += 13 {
		check(fmt.Sprintf("cut at %d", n), whole[:n])
	}
	check("longer", append(bytes.Clone(whole), 0))
}

func TestForeignIndex(t *testing.T) {
	segment, of := write(t, some(10), plain)
	b := build(t, segment, of)
	for name, change := range map[string]func(*index.Segment){
		"digest": func(s *index.Segment) { s.SHA256[31] ^= 1 },
		"bytes":  func(s *index.Segment) { s.Bytes++ },
		"rows":   func(s *index.Segment) { s.Rows-- },
	} {
		other := of
		change(&other)
		if _, err := index.Open(bytes.NewReader(b), int64(len(b)), other); !errors.Is(err, index.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	later := bytes.Clone(b)
	binary.LittleEndian.PutUint32(later[8:], 2)
	binary.LittleEndian.PutUint32(later[68:], crc32.Checksum(later[:68], crc32.MakeTable(crc32.Castagnoli)))
	if _, err := index.Open(bytes.NewReader(later), int64(len(later)), of); !errors.Is(err, index.ErrInvalid) {
		t.Errorf("another version: %v", err)
	}
}

// An index is only made of the bytes that were vouched for.
func TestDamagedSegment(t *testing.T) {
	rows := some(60)
	segment, of := write(t, rows, shape{group: 40, page: 500, record: 10})
	x := open(t, build(t, segment, of), of)
	for at := 0; at < len(segment); at += 17 {
		b := bytes.Clone(segment)
		b[at] ^= 0x11
		if _, err := index.Build(t.Context(), bytes.NewReader(b), of); !errors.Is(err, index.ErrSegment) {
			t.Fatalf("byte %d: %v", at, err)
		}
		// Somebody rewrote it, digest and all.
		if _, err := index.Build(t.Context(), bytes.NewReader(b), index.Segment{SHA256: sha256.Sum256(b), Bytes: of.Bytes, Rows: of.Rows}); err != nil &&
			!errors.Is(err, index.ErrSegment) && !errors.Is(err, index.ErrLayout) {
			t.Fatalf("byte %d, rewritten: %v", at, err)
		}
		r := x.Rows(bytes.NewReader(b))
		for i := range rows {
			// The checksum of a page is that of zstd; its header has none.
			if raw, err := r.Bytes(int64(i)); err == nil && string(raw) != rows[i].raw || err != nil && !errors.Is(err, index.ErrSegment) {
				t.Fatalf("byte %d: row %d is %.40q (%v)", at, i, raw, err)
			}
		}
	}
	if _, err := index.Build(t.Context(), bytes.NewReader(segment[:len(segment)-1]), of); !errors.Is(err, index.ErrSegment) {
		t.Errorf("cut short: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := index.Build(ctx, bytes.NewReader(segment), of); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOtherLayouts(t *testing.T) {
	for name, property := range map[string]parquet.WriterProperty{
		"dictionary":   parquet.WithDictionaryFor("_raw", true),
		"codec":        parquet.WithCompressionFor("_pos", compress.Codecs.Snappy),
		"page version": parquet.WithDataPageVersion(parquet.DataPageV2),
		"encoding":     parquet.WithEncodingFor("_commit", parquet.Encodings.DeltaBinaryPacked),
	} {
		segment, of := write(t, some(10), shape{group: 5, page: 1000, record: 5, properties: []parquet.WriterProperty{property}})
		if _, err := index.Build(t.Context(), bytes.NewReader(segment), of); !errors.Is(err, index.ErrLayout) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The format as doc.go draws it, read by other means: it is a contract.
func TestFormat(t *testing.T) {
	rows := some(3000)
	rows[5].keys[index.Trace] = ""
	segment, of := write(t, rows, plain)
	b := build(t, segment, of)
	le := binary.LittleEndian
	crc := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	d := int(le.Uint32(b[12:]))
	directory, blocks := b[72:72+d], b[72+d:]
	if string(b[:8]) != "DOCKETIX" || le.Uint32(b[8:]) != 1 || [32]byte(b[16:48]) != sha256.Sum256(segment) ||
		le.Uint64(b[48:]) != uint64(len(segment)) || le.Uint64(b[56:]) != 3000 || le.Uint32(b[64:]) != crc(directory) || le.Uint32(b[68:]) != crc(b[:68]) {
		t.Fatalf("header is %x", b[:72])
	}
	for k := range index.Keys {
		found := 0
		n := int(le.Uint32(directory))
		directory = directory[4:]
		for range n {
			h, length, sum := le.Uint32(directory), int(le.Uint32(directory[4:])), le.Uint32(directory[8:])
			if length > 4096 || sum != crc(blocks[:length]) {
				t.Fatalf("a block of %d bytes has another checksum", length)
			}
			for entries := blocks[:length]; len(entries) > 0; found++ {
				delta, n := binary.Uvarint(entries)
				i, m := binary.Uvarint(entries[n:])
				entries = entries[n+m:]
				h += uint32(delta)
				seeded := sha256.Sum256(append(slices.Clone(b[16:32]), rows[i].keys[k]...))
				if h != binary.BigEndian.Uint32(seeded[:]) {
					t.Fatalf("row %d has hash %x of %s", i, h, index.Keys[k])
				}
			}
			directory, blocks = directory[12:], blocks[length:]
		}
		if want := map[index.Key]int{index.Event: 3000, index.Operation: 3000, index.Trace: 2999}[index.Key(k)]; found != want {
			t.Errorf("%d entries of %s, not %d", found, index.Keys[k], want)
		}
	}
	for _, name := range index.Columns {
		total := 0
		n := int(le.Uint32(directory))
		directory = directory[4:]
		for range n {
			if le.Uint64(directory)+uint64(le.Uint32(directory[8:])) > uint64(len(segment)) {
				t.Errorf("a page of %s lies behind the end", name)
			}
			total += int(le.Uint32(directory[12:]))
			directory = directory[16:]
		}
		if total != 3000 {
			t.Errorf("pages of %d rows of %s", total, name)
		}
	}
	if len(directory) != 0 || len(blocks) != 0 {
		t.Errorf("%d bytes of directory and %d of blocks are left", len(directory), len(blocks))
	}
}
