// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// A commit of 10,000 events, as under load.
func BenchmarkCommit(b *testing.B) {
	const events = 10_002
	l, err := lake.Open(b.TempDir(), lake.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for b.Loop() {
		b.StopTimer()
		e := storetest.NewEpoch(b, "acme", "gateway-0")
		var batch store.Batch
		for len(batch.Entries) < events {
			batch.Entries = append(batch.Entries, e.Operation()...)
		}
		b.StartTimer()
		if _, err := l.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// A scan of 100,000 events, with bytes and without, and of one operation.
func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	l, err := lake.Open(dir, lake.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	e := storetest.NewEpoch(b, "acme", "gateway-0")
	var operation string
	for range 10 {
		var batch store.Batch
		for len(batch.Entries) < 10_002 {
			batch.Entries = append(batch.Entries, e.Operation()...)
		}
		operation = batch.Entries[5000].Header.OperationUID
		if _, err := l.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	for name, q := range map[string]store.Query{
		"all": {}, "headers": {WithoutRaw: true}, "operation": {Operation: operation}, "last": {Descending: true, Limit: 100},
	} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				for _, err := range l.Scan(b.Context(), q) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// A compaction of 100,000 events of two tenants.
func BenchmarkCompact(b *testing.B) {
	const commits, each = 10, 10_002
	for b.Loop() {
		b.StopTimer()
		l, err := lake.Open(b.TempDir(), lake.Options{})
		if err != nil {
			b.Fatal(err)
		}
		epochs := []*storetest.Epoch{storetest.NewEpoch(b, "acme", "gateway-0"), storetest.NewEpoch(b, "other", "gateway-0")}
		for i := range commits {
			var batch store.Batch
			for len(batch.Entries) < each {
				batch.Entries = append(batch.Entries, epochs[i%2].Operation()...)
			}
			if _, err := l.Commit(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		done, err := l.Compact(b.Context(), true, func(put func(uint64) error) error { return put(0) })
		if err != nil || done.Rows != commits*each {
			b.Fatal(done, err)
		}
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(commits*each*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
