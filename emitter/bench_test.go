// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"
	"slices"
	"testing"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// Benchmarks compare the emitter with the least that could do the same work, in
// the same run: on a busy machine only the ratio means something.

// benchTemplate is of about 1.6 KB, as a result of a real chain is.
func benchTemplate() ocsf.APIActivity {
	e := event("acme", "")
	e.API.Response.Data = map[string]any{"allowed": true, "reason": "the image is on the allow-list of the tenant", "payload": ""}
	e.Policy = &ocsf.Policy{UID: "allow-list", Name: "images", Type: "gateway_interceptor/validate", Version: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}
	e.Unmapped = map[string]any{profile.Unmapped: map[string]any{"note": fmt.Sprintf("%0300d", 1)}}
	return *e
}

var template = benchTemplate()

// benchEvent returns an event that shares what an emitter only reads with others:
// making it should not be what is measured.
func benchEvent() *ocsf.APIActivity {
	e := template
	return &e
}

// rates are how many events per second something does, in each of some rounds, and
// how many the bare thing does.
type rates struct{ ours, bare, ratios []float64 }

// alternate measures both in each round, in turns first: what else the machine and
// its disk do meets both alike. A ratio is of one round; the first one finds cold
// caches and does not count.
func alternate(rounds int, ours, bare func() float64) (r rates) {
	for round := range rounds + 1 {
		var our, their float64
		if round%2 == 0 {
			their, our = bare(), ours()
		} else {
			our, their = ours(), bare()
		}
		if round > 0 {
			r.ours, r.bare, r.ratios = append(r.ours, our), append(r.bare, their), append(r.ratios, our/their)
		}
	}
	return r
}

// report tells the medians, and between which ratios half of the rounds were.
func (r *rates) report(b *testing.B) {
	b.ReportMetric(0, "ns/op") // of all rounds: it means nothing
	b.ReportMetric(median(r.ours), "events/s")
	b.ReportMetric(median(r.bare), "bare/s")
	b.ReportMetric(median(r.ratios), "ratio")
	b.ReportMetric(quantile(r.ratios, 1, 4), "low")
	b.ReportMetric(quantile(r.ratios, 3, 4), "high")
}

func median(v []float64) float64 { return quantile(v, 1, 2) }

func quantile(v []float64, part, of int) float64 {
	slices.Sort(v)
	return v[len(v)*part/of]
}

// BenchmarkEmit is what the caller pays.
func BenchmarkEmit(b *testing.B) {
	e, err := New(Config{Dir: b.TempDir(), Name: "gateway-0", QueueBytes: 1 << 40, WALMaxBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	events := make([]*ocsf.APIActivity, b.N)
	for i := range events {
		events[i] = benchEvent()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range events {
		e.Emit(b.Context(), events[i])
	}
	b.StopTimer()
	if err := e.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSeal is what the sequencer pays for each event, before any disk.
func BenchmarkSeal(b *testing.B) {
	cfg := Config{Dir: "x", Name: "gateway-0"}.withDefaults()
	p := &epoch{state: epochState{Epoch: newUID(), Tenant: "acme"}}
	b.ReportAllocs()
	for b.Loop() {
		e := benchEvent()
		e.Metadata.UID = newUID()
		if _, err := p.seal(e, &cfg); err != nil {
			b.Fatal(err)
		}
	}
}
