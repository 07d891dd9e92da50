// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/docket-audit/docket/collector/lake/index"
)

// BenchmarkIndex makes the index of a segment as a flush at full speed leaves
// it, finds rows in it, and reads them.
func BenchmarkIndex(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	rows := some(20_000)
	for i := range rows {
		rows[i].keys = [3]string{
			fmt.Sprintf("0199c1f2-7b00-7d10-%016x", random.Uint64()), fmt.Sprintf("0199c1f2-7b00-7d10-8a2b-%012x", i/7), fmt.Sprintf("%032x", i/7),
		}
		for range 25 {
			rows[i].raw += fmt.Sprintf(`{"event":%d,"is":"allowed","fingerprint":"%016x"}`, i, random.Uint64())
		}
	}
	segment, of := write(b, rows, shape{group: 50_000, page: 1 << 20, record: 1024})
	built := build(b, segment, of)
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			build(b, segment, of)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
		b.ReportMetric(float64(len(built))/float64(len(rows)), "B/row")
	})
	b.Run("find", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if found, err := open(b, built, of).Find(index.Event, rows[i*7919%len(rows)].keys[0], 10); err != nil || len(found) == 0 {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		x := open(b, built, of)
		for i := 0; b.Loop(); i++ {
			r := x.Rows(bytes.NewReader(segment))
			at := int64(i * 7919 % len(rows))
			if _, err := r.Bytes(at); err != nil {
				b.Fatal(err)
			}
			for c := index.StoredTime; c <= index.Pos; c++ {
				if _, err := r.Int(c, at); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
