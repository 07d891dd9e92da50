// SPDX-License-Identifier: Apache-2.0

package storebench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
)

var events = flag.Int("events", 1_000_000, "how many events the lake has that queries are asked of")

// made is the number of the generation of the lake that is kept: another one is
// made when what load makes, or how a lake is written, is another.
const made = 3

func newUID() string { return uuid.Must(uuid.NewV7()).String() }

// bigLake returns a lake with -events events, a second of the clock being some
// 280 of them, as in the measurements that the targets are from.
func bigLake(b *testing.B) string {
	b.Helper()
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("docket-storebench-%d-%d", made, *events))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	building := dir + ".tmp"
	if err := os.RemoveAll(building); err != nil {
		b.Fatal(err)
	}
	l, err := lake.Open(building, lake.Options{})
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	recorded(b, newLoad(1, 1000), *events/eventsPerOperation, 25*time.Millisecond, func(entries []store.Entry) {
		if _, err := l.Commit(b.Context(), store.Batch{Entries: entries, StreamSeq: entries[len(entries)-1].StreamSeq}); err != nil {
			b.Fatal(err)
		}
	})
	compact(b, l)
	// The indexes that Close does not wait for.
	for range l.Scan(b.Context(), store.Query{Trace: newUID()}) {
		b.Fatal("an event of no trace")
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(building, dir); err != nil {
		b.Fatal(err)
	}
	b.Logf("made %s in %v", dir, time.Since(began).Round(time.Second))
	return dir
}

// atOnce is how a statement of a compaction is put where nobody else commits.
func atOnce(put func(fence uint64) error) error { return put(0) }

// compact makes public files of all hot ones.
func compact(tb testing.TB, l *lake.Lake) {
	tb.Helper()
	for {
		done, err := l.Compact(tb.Context(), true, atOnce)
		if err != nil {
			tb.Fatal(err)
		}
		if done.Number == 0 {
			return
		}
	}
}

// bytesIn returns the bytes of the files below a directory.
func bytesIn(tb testing.TB, dir string) int64 {
	tb.Helper()
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// BenchmarkStored is what is left of an operation on disk, in hot segments and
// when these are compacted: segments, indexes and statements, per operation.
func BenchmarkStored(b *testing.B) {
	for _, size := range []struct {
		name              string
		bytes, operations int
	}{{"1KB", 1000, 20_000}, {"100KB", 100_000, 400}} {
		for _, layout := range []string{"hot", "compacted"} {
			b.Run(size.name+"/"+layout, func(b *testing.B) {
				for b.Loop() {
					dir := b.TempDir()
					raw := storeOperations(b, dir, newLoad(2, size.bytes), size.operations, layout == "compacted")
					n := float64(size.operations)
					stored := float64(bytesIn(b, dir)) / n
					b.ReportMetric(float64(raw)/n, "json-B/op")
					b.ReportMetric(stored, "stored-B/op")
					b.ReportMetric(float64(bytesIn(b, filepath.Join(dir, lake.IndexDir)))/n, "index-B/op")
					b.ReportMetric(stored/float64(size.bytes), "of-request")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// storeOperations makes a lake of operations and returns the bytes of the events.
func storeOperations(b *testing.B, dir string, from *load, operations int, compacted bool) (raw int64) {
	b.Helper()
	l, err := lake.Open(dir, lake.Options{})
	if err != nil {
		b.Fatal(err)
	}
	recorded(b, from, operations, time.Millisecond, func(entries []store.Entry) {
		if _, err := l.Commit(b.Context(), store.Batch{Entries: entries, StreamSeq: entries[len(entries)-1].StreamSeq}); err != nil {
			b.Fatal(err)
		}
		for i := range entries {
			raw += int64(len(entries[i].Raw))
		}
	})
	if compacted {
		compact(b, l)
	}
	for range l.Scan(b.Context(), store.Query{Trace: newUID()}) { // makes the indexes that lack
		b.Fatal("an event of no trace")
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return raw
}

// scanned reads all that a query selects and returns how much that is.
func scanned(b *testing.B, r store.Reader, q store.Query) (n int) {
	b.Helper()
	for _, err := range r.Scan(context.Background(), q) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}
