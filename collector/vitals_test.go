// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/docket-audit/docket/collector/store/storetest"
)

// refusing is a ledger that takes nothing until it is opened.
type refusing struct {
	book
	open atomic.Bool
}

func (l *refusing) Add(ctx context.Context, statement []byte) error {
	if !l.open.Load() {
		return errors.New("it takes nothing")
	}
	return l.book.Add(ctx, statement)
}

// vitalsOf reads what a collector tells of itself, by name and part.
func vitalsOf(t *testing.T, reader metric.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch g := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range g.DataPoints {
					part, _ := p.Attributes.Value("part")
					got[m.Name[len("docket_collector_"):]+part.AsString()] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range g.DataPoints {
					got[m.Name[len("docket_collector_"):]] = p.Value
				}
			}
		}
	}
	return got
}

// While the ledger takes nothing, a flush stands still: the metrics say how long
// and how much waits, and what the stream, the store and the disk hold. Once it
// goes on, nothing waits. Who stopped tells nothing.
func TestVitals(t *testing.T) {
	r := newRig(t)
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	t.Cleanup(func() { _ = provider.Shutdown(t.Context()) })
	var ledger refusing
	ahead := func() time.Time { return time.Now().Add(time.Hour) } // of the server that stamps messages
	run := r.start(func(c *Config) {
		c.MeterProvider, c.Ledger, c.Now, c.pollStream = provider, &ledger, ahead, time.Millisecond
	})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	r.publish(e.Start())
	r.publish(e.Operation()...)
	found, err := r.js.Stream(t.Context(), "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	sent := found.CachedInfo()
	var got map[string]float64
	r.until("what waits is told", func() bool {
		got = vitalsOf(t, reader)
		return got["ledger_behind"] > 0 && got["waiting"] == float64(sent.State.Msgs) && got["lag"] > 3500
	})
	if got["lag"] > 3700 {
		t.Errorf("the oldest message has waited %g s, and one hour was made up", got["lag"])
	}
	if got["stream"] != float64(sent.State.Bytes) || got["stream_limit"] != float64(sent.Config.MaxBytes) {
		t.Errorf("the stream has %d of %d bytes, told are %v", sent.State.Bytes, sent.Config.MaxBytes, got)
	}
	if got["disk_free"] <= 0 || got["disk_size"] < got["disk_free"] {
		t.Errorf("disk: %v", got)
	}

	ledger.open.Store(true)
	r.drained(run)
	r.until("nothing waits", func() bool {
		got = vitalsOf(t, reader)
		return got["waiting"] == 0 && got["lag"] == 0 && got["ledger_behind"] == 0
	})
	m := run.lake.Manifest()
	var bytes int64
	for i := range m.Files {
		bytes += m.Files[i].Bytes
	}
	for name, want := range map[string]float64{
		"ledger_statements": float64(m.Number), "storehot": float64(bytes), "store_fileshot": float64(len(m.Files)),
		"storepublic": 0, "store_filespublic": 0, "storestubs": 0, "store_filesstubs": 0,
	} {
		if is, ok := got[name]; !ok || is != want {
			t.Errorf("%s is %g (%t), want %g", name, is, ok, want)
		}
	}
	if age := ahead().Sub(time.UnixMilli(int64(got["ledger_time"] * 1000))); age < 0 || age > time.Minute {
		t.Errorf("the ledger covered all %s ago", age)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	got = vitalsOf(t, reader)
	for _, name := range []string{"stream", "waiting", "lag", "ledger_behind", "storehot", "disk_free"} {
		if is, ok := got[name]; ok {
			t.Errorf("a collector that stopped tells that %s is %g", name, is)
		}
	}
}
