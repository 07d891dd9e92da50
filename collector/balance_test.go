// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/docket-audit/docket/collector/store/storetest"
)

// The balance that is measured adds up, also while something is in quarantine
// and something has not come.
func TestBalance(t *testing.T) {
	r := newRig(t)
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	t.Cleanup(func() { _ = provider.Shutdown(t.Context()) })
	run := r.start(func(c *Config) { c.MeterProvider = provider })
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	r.publish(e.Start())
	r.drained(run)
	bad := e.Operation()
	r.claim(e, "garbage", bad[0].Header.Sequence)
	r.publish(bad[2]) // the second has not come
	r.drained(run)
	balance := func() map[string]int64 {
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				if g, ok := m.Data.(metricdata.Gauge[int64]); ok && m.Name == "docket_collector_balance" {
					for _, p := range g.DataPoints {
						part, _ := p.Attributes.Value("part")
						got[part.AsString()] = p.Value
					}
				}
			}
		}
		return got
	}
	want := map[string]int64{"sequenced": 4, "stored": 2, "quarantined": 1, "missing": 0, "in_flight": 1}
	got := balance()
	for part, n := range want {
		if got[part] != n {
			t.Errorf("%s is %d, want %d: %v", part, got[part], n, got)
		}
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if got := balance(); len(got) > 0 {
		t.Errorf("a collector that stopped tells of %v", got)
	}
}
