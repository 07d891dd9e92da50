// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
)

// BenchmarkVerify is to be read as ratios within one run: fast against the bare
// SHA-256 of the files, deep against reading the bytes of the events and hashing
// them.
func BenchmarkVerify(b *testing.B) {
	h := newEmpty(b, filepath.Join(b.TempDir(), "data"))
	h.open()
	c := h.begin("acme", "gw-0")
	const commits, each = 10, 10_000
	for range commits {
		h.outcomes(c, each)
		h.state(c) // as an emitter does, each minute at least
		h.commit()
	}
	h.close()
	segments := h.files("lake/_hot", ".parquet")
	var bytes int64
	b.Run("bare SHA-256", func(b *testing.B) {
		for b.Loop() {
			bytes = 0
			for _, path := range segments {
				f, err := os.Open(filepath.Join(h.dir, path))
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(sha256.New(), f)
				if err != nil {
					b.Fatal(err)
				}
				bytes += n
				f.Close()
			}
		}
		b.ReportMetric(float64(commits*each)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("read and hash", func(b *testing.B) {
		for b.Loop() {
			for _, path := range segments {
				for e, err := range lake.ReadSegment(b.Context(), filepath.Join(h.dir, "lake"), path[len("lake/"):]) {
					if err != nil {
						b.Fatal(err)
					}
					_ = sha256.Sum256(e.Raw)
				}
			}
		}
		b.ReportMetric(float64(commits*each)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
	for name, deep := range map[string]bool{"fast": false, "deep": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := Run(b.Context(), h.dir, Options{Deep: deep})
				if err != nil || r.Code() != CodeFine {
					b.Fatal(err, r.Problems)
				}
			}
			b.ReportMetric(float64(commits*each)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
