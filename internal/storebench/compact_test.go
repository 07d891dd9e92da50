// SPDX-License-Identifier: Apache-2.0

package storebench

import (
	"os"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
)

// BenchmarkCommit is what commits of -ingest events take of the processor, with
// nothing beside them but the indexes of what they wrote.
func BenchmarkCommit(b *testing.B) {
	var batches []store.Batch
	n := 0
	recorded(b, newLoad(5, 1000), *ingested/eventsPerOperation, time.Millisecond, func(entries []store.Entry) {
		batches = append(batches, store.Batch{Entries: entries, StreamSeq: entries[len(entries)-1].StreamSeq})
		n += len(entries)
	})
	var used time.Duration
	var bytes int64
	for b.Loop() {
		b.StopTimer()
		l, err := lake.Open(b.TempDir(), lake.Options{})
		if err != nil {
			b.Fatal(err)
		}
		began := processor()
		b.StartTimer()
		for _, batch := range batches {
			if _, err := l.Commit(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		used += processor() - began
		bytes = fileBytes(l)
		b.StartTimer()
	}
	b.ReportMetric(float64(used.Microseconds())/float64(n)/float64(b.N), "cpu-us/event")
	b.ReportMetric(float64(bytes)/float64(n), "B/event")
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// fileBytes is how long the files of a lake are together.
func fileBytes(l *lake.Lake) (sum int64) {
	for _, f := range l.Manifest().Files {
		sum += f.Bytes
	}
	return sum
}

// BenchmarkCompact is what a compaction takes of the processor, with nothing
// beside it: of -ingest events, in as many goes as in BenchmarkIngest.
func BenchmarkCompact(b *testing.B) {
	opts := lake.Options{CompactBytes: 8 << 20}
	hot := b.TempDir()
	l, err := lake.Open(hot, opts)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	recorded(b, newLoad(5, 1000), *ingested/eventsPerOperation, time.Millisecond, func(entries []store.Entry) {
		if _, err := l.Commit(b.Context(), store.Batch{Entries: entries, StreamSeq: entries[len(entries)-1].StreamSeq}); err != nil {
			b.Fatal(err)
		}
		n += len(entries)
	})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	var used time.Duration
	var bytes int64
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		if err := os.CopyFS(dir, os.DirFS(hot)); err != nil {
			b.Fatal(err)
		}
		l, err := lake.Open(dir, opts)
		if err != nil {
			b.Fatal(err)
		}
		began := processor()
		b.StartTimer()
		compact(b, l)
		b.StopTimer()
		used += processor() - began
		bytes = fileBytes(l)
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(used.Microseconds())/float64(n)/float64(b.N), "cpu-us/event")
	b.ReportMetric(float64(bytes)/float64(n), "B/event")
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
