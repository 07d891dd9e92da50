// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// gather returns the values of all metrics, of histograms how often and how much
// was recorded.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		values[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		if h := m.GetHistogram(); h != nil {
			values[f.GetName()+"_count"], values[f.GetName()+"_sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
		}
	}
	return values
}

// Every stage is measured, and the metrics are what State says.
func TestMetricsAreTheState(t *testing.T) {
	s := natstest.Run(t)
	if err := stream.Apply(t.Context(), s.JetStream(t)); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	if err != nil {
		t.Fatal(err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter))
	defer func() { _ = provider.Shutdown(t.Context()) }()
	fs := new(faultFS)
	e := start(t, t.TempDir(), s.Conn(t), func(c *Config) { c.MeterProvider, c.FS, c.QueueBytes = provider, fs, 64<<10 })
	const groups = 20
	for i := range groups {
		if err := e.Emit(t.Context(), event("acme", fmt.Sprint(i))).Streamed(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	gate := make(chan struct{})
	fs.set(func(op, _ string) (error, bool) {
		if op == "sync" {
			<-gate
		}
		return nil, false
	})
	var last Receipt
	for range 100 {
		if r := e.Emit(t.Context(), event("acme", "")); r.err == nil {
			last = r
		}
	}
	if values := gather(t, registry); values["docket_emitter_queue_age_seconds"] <= 0 || values["docket_emitter_queue_bytes"] < 16<<10 {
		t.Errorf("with a disk that hangs: %v", values)
	}
	close(gate)
	if err := last.Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	until(t, "everything acknowledged", func() bool {
		state := e.State()
		return state.Behind == 0 && state.Declared == state.Refused && state.Spooled == state.Sequenced+state.Own
	})
	state, values := e.State(), gather(t, registry)
	for name, want := range map[string]int64{
		"offered_total": state.Offered, "sequenced_total": state.Sequenced, "refused_total": state.Refused, "declared_total": state.Declared,
		"own_total": state.Own, "spooled_total": state.Spooled, "streamed_total": state.Streamed, "publish_retries_total": state.Retries,
		"shrunk_total": state.Shrunk, "aside": int64(state.Aside), "reserve_bytes": state.ReserveBytes,
		"connected": 1, "queue_bytes": state.QueueBytes, "queue_age_seconds": int64(state.QueueAge), "wal_bytes": state.WALBytes,
		"wal_behind_bytes": state.Behind, "troubles": int64(len(state.Troubles)),
		"spooled_size_bytes_total": e.count.spooledBytes.Load(), "streamed_size_bytes_total": e.count.streamedBytes.Load(),
	} {
		if got, ok := values["docket_emitter_"+name]; !ok || got != float64(want) {
			t.Errorf("%s is %v (%v), the state says %d", name, got, ok, want)
		}
	}
	if free, size := values["docket_emitter_disk_free_bytes"], values["docket_emitter_disk_size_bytes"]; free <= 0 || size < free {
		t.Errorf("%v of %v bytes of the disk are free", free, size)
	}
	if state.Refused == 0 || state.Offered != state.Sequenced+state.Refused {
		t.Errorf("state %+v", state)
	}
	for _, name := range []string{"spool", "stream", "sync"} {
		name = "docket_emitter_" + name + "_duration_seconds"
		// Once for each group at least, not for each event.
		if n := values[name+"_count"]; n < groups || n > groups+20 || values[name+"_sum"] <= 0 {
			t.Errorf("%s was recorded %v times, in all %v", name, n, values[name+"_sum"])
		}
	}
	if len(e.durations.writes) != 0 {
		t.Errorf("%d writes are remembered", len(e.durations.writes))
	}
	for name := range values {
		if strings.HasPrefix(name, "docket_") && strings.ToLower(name) != name {
			t.Errorf("metric %s", name)
		}
	}
	e.close()
}
