// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"fmt"
	"testing"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// What a commit takes, and what it takes a reader to see only what is committed:
//
//	make clickhouse GOTESTFLAGS='-run=^$ -bench=Store'
func BenchmarkStore(b *testing.B) {
	const each = 9000
	dsn := chdbtest.Database(b)
	st, err := clickhouse.Open(b.Context(), dsn, clickhouse.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	e := storetest.NewEpoch(b, "acme", "gateway-0")
	var last store.Entry
	fill := func(b *testing.B, events int) {
		var batch store.Batch
		for len(batch.Entries) < events {
			batch.Entries = append(batch.Entries, e.Operation()...)
		}
		b.StartTimer()
		c, err := st.Commit(b.Context(), batch)
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		last = c.Added[len(c.Added)/2]
	}
	for _, events := range []int{3, each} {
		b.Run(fmt.Sprintf("commit/events=%d", events), func(b *testing.B) {
			b.StopTimer()
			for range b.N {
				fill(b, events)
			}
			b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
	for name, sql := range map[string]string{
		"count/of=table": "SELECT count() FROM docket_events WHERE kind = 'outcome'", "count/of=view": "SELECT count() FROM events WHERE kind = 'outcome'",
		"ranges": "SELECT count() FROM docket_ranges",
	} {
		b.Run(name, func(b *testing.B) {
			conn := open(b, dsn)
			defer conn.Close()
			for range b.N {
				var n uint64
				if err := conn.QueryRow(b.Context(), sql).Scan(&n); err != nil || n == 0 {
					b.Fatal(n, err)
				}
			}
		})
	}
	b.Run("find/event", func(b *testing.B) {
		for range b.N {
			n := 0
			for _, err := range st.Scan(b.Context(), store.Query{Event: last.Header.MetadataUID}) {
				if n++; err != nil {
					b.Fatal(err)
				}
			}
			if n != 1 {
				b.Fatalf("%d events", n)
			}
		}
	})
	b.Run("scan/events=1000", func(b *testing.B) {
		for range b.N {
			n := 0
			for _, err := range st.Scan(b.Context(), store.Query{Descending: true, Limit: 1000}) {
				if n++; err != nil {
					b.Fatal(err)
				}
			}
			if n != 1000 {
				b.Fatalf("%d events", n)
			}
		}
	})
}
