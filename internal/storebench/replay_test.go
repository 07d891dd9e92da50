// SPDX-License-Identifier: Apache-2.0

package storebench

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

// stored is a [replay.Source] of all that a lake holds.
type stored struct{ *lake.Reader }

func (s stored) Events(ctx context.Context, _ string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for e, err := range s.Scan(ctx, store.Query{}) {
			var raw []byte
			if err == nil {
				raw = slices.Clone(e.Raw) // which is the scan's
			}
			if !yield(raw, err) {
				return
			}
		}
	}
}

// BenchmarkReplay replays the operations of a lake through the plan that they
// were recorded with, of three bindings in process, with one worker and with one
// for each processor. How much memory the process has at most is told when a
// tenth of the operations is done, and in the end.
func BenchmarkReplay(b *testing.B) {
	r, err := lake.OpenReader(bigLake(b))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	chain := newChain(b, interceptor.AuditBestEffort, interceptor.Discard)
	defer chain.Close(b.Context())
	all := int(r.Manifest().Rows()) / eventsPerOperation
	for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
		b.Run("workers-"+strconv.Itoa(workers), func(b *testing.B) {
			began, decisions := processor(), 0
			for b.Loop() {
				peak, done, tenth := newPeak(), 0, 0.0
				report, err := replay.Run(b.Context(), stored{r}, chain.Plan(), replay.Workers(workers), replay.Each(func(replay.Diff) {
					if done++; done == all/10 {
						tenth = peak.mib()
					}
				}))
				if err != nil {
					b.Fatal(err)
				}
				if report.Same != all || report.Operations() != all {
					b.Fatal(report)
				}
				decisions += report.Reexecuted
				b.ReportMetric(tenth, "peak-MiB-of-a-tenth")
				peak.report(b)
			}
			used := processor() - began
			b.ReportMetric(float64(decisions)/b.Elapsed().Seconds(), "decisions/s")
			b.ReportMetric(float64(decisions)/used.Seconds(), "decisions/s/core")
			b.ReportMetric(float64(all), "operations")
		})
	}
}
