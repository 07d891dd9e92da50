// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/docket-audit/docket/collector/store"
)

// someOf returns one of n texts, often the one that it returned before.
func someOf(r *rand.Rand, n int) func() string {
	last := ""
	return func() string {
		if r.IntN(3) == 0 {
			last = strings.Repeat("x", r.IntN(3)) + fmt.Sprint(r.IntN(n))
		}
		return last
	}
}

// varied are events with columns of few and of many values, in runs of all lengths,
// and lists of which some are missing, empty, or have elements that are.
func varied(r *rand.Rand, n int) []store.Entry {
	few, some, many := someOf(r, 2), someOf(r, 200), someOf(r, 100_000)
	entries := make([]store.Entry, n)
	for i := range entries {
		h := &entries[i].Header
		h.Kind, h.Principal, h.Source, h.Phase = few(), some(), many(), "always"
		h.MetadataUID, h.Time, h.Ran, h.Fingerprint = many(), int64(r.IntN(1000)), r.IntN(2) == 0, many()
		var observables []string
		for range r.IntN(5) - 1 {
			observables = append(observables, []string{"null", "{}", `{"name":"a"}`, `{"name":"` + many() + `"}`}[r.IntN(4)])
		}
		members := []string{`"observables":[` + strings.Join(observables, ",") + `]`}
		if r.IntN(4) == 0 {
			members[0] = `"status":"` + some() + `"`
		}
		if r.IntN(9) == 0 {
			members = append(members, `"unmapped":{"a":"`+strings.Repeat(many(), r.IntN(40))+`"}`)
		}
		entries[i].Raw = []byte("{" + strings.Join(members, ",") + "}")
	}
	return entries
}

// Pages and dictionaries are those of Arrow where there are many of them, too.
func TestPagesAsArrow(t *testing.T) {
	for seed, props := range [][]parquet.WriterProperty{
		nil,
		{parquet.WithDataPageSize(1500), parquet.WithBatchSize(7)},
		{parquet.WithDataPageSize(100), parquet.WithBatchSize(1), parquet.WithMaxRowGroupLength(300)},
		{parquet.WithDataPageSize(3000), parquet.WithDictionaryDefault(true)},
		{parquet.WithStats(true), parquet.WithMaxStatsSize(5), parquet.WithDataPageSize(700)},
	} {
		WriteWith(t, props...)
		r := rand.New(rand.NewPCG(uint64(seed), 0))
		for _, n := range []int{1, 8, 700, 5000} {
			entries := varied(r, n)
			want, _ := byArrow(t, 6003, entries, 512)
			got, _, err := shredded(6003, entries, 512)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d rows with properties %d are not the file that Arrow makes: %v", n, seed, err)
			}
		}
	}
}

// A dictionary that is too large ends, as with Arrow; which sorts of pages there
// are, Arrow says in any order.
func TestDictionaryIsFull(t *testing.T) {
	WriteWith(t, parquet.WithDictionaryPageSizeLimit(800), parquet.WithDataPageSize(900), parquet.WithBatchSize(64), parquet.WithDictionaryDefault(true))
	entries := varied(rand.New(rand.NewPCG(9, 0)), 4000)
	want, _ := byArrow(t, 6003, entries, 512)
	got, _, err := shredded(6003, entries, 512)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d bytes instead of %d", len(got), len(want))
	}
	if !array.TableEqual(tableOf(t, got), tableOf(t, want)) {
		t.Error("the rows are not those of Arrow's file")
	}
	full := 0
	a, b := chunksOf(t, got), chunksOf(t, want)
	for i := range a {
		if a[i] != b[i] {
			t.Errorf("column %d is %s instead of %s", i, a[i], b[i])
		}
		if strings.Contains(a[i], "RLE PLAIN") {
			full++
		}
	}
	if full < 3 {
		t.Errorf("only %d dictionaries were full", full)
	}
}

// tableOf returns the rows of a file.
func tableOf(t *testing.T, b []byte) arrow.Table {
	t.Helper()
	table, err := pqarrow.ReadTable(t.Context(), bytes.NewReader(b), nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// chunksOf returns what a file says of its columns.
func chunksOf(t *testing.T, b []byte) (says []string) {
	t.Helper()
	r, err := file.NewParquetReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.MetaData().Schema.NumColumns() {
		c, err := r.MetaData().RowGroup(0).ColumnChunk(i)
		if err != nil {
			t.Fatal(err)
		}
		says = append(says, fmt.Sprint(c.NumValues(), c.DictionaryPageOffset(), c.DataPageOffset(), c.TotalCompressedSize(), c.TotalUncompressedSize(), c.Encodings()))
	}
	return says
}

// The memory of one file has nothing of it in the next.
func TestRoomIsUsedAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 0))
	used := new(room)
	for _, n := range []int{3000, 1, 20, 5000} {
		entries := varied(r, n)
		entries[0].Raw = bytes.Repeat([]byte("a"), []int{keptBytes + 1, 10}[r.IntN(2)])
		got, _, err := encodeSegment(entries, used)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := encodeSegment(entries, new(room))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("a file of %d rows is another one after others: %v", n, err)
		}
		used.trim()
		for i := range used.columns {
			if c := &used.columns[i]; cap(c.plain) > keptBytes || cap(c.pages.b) > keptBytes {
				t.Errorf("column %d keeps %d and %d bytes", i, cap(c.plain), cap(c.pages.b))
			}
		}
		// One that was given up in the midst of a row group.
		given, err := newTable(new(bytes.Buffer), schema, writerProperties, used)
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries[:n/2] {
			if err := given.add(&entries[i]); err != nil {
				t.Fatal(err)
			}
			if err := given.next(); err != nil {
				t.Fatal(err)
			}
			if i == n/4 {
				if err := given.flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
