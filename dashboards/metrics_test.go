// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	client "github.com/prometheus/client_golang/prometheus"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/follow"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/grpcproxy"
	"github.com/docket-audit/docket/interceptor/metered"
	replays "github.com/docket-audit/docket/interceptor/replay/metered"
)

// A catalogue is a meter provider that measures nothing and notes which
// instruments were made. An instrument of the SDK would show up in an export
// only after something had happened that it counts.
type catalogue struct {
	noop.MeterProvider
	mu          sync.Mutex
	instruments []func(metric.Meter) error // makes the same one elsewhere and gives it a value
}

func (c *catalogue) Meter(string, ...metric.MeterOption) metric.Meter { return noting{c: c} }

func (c *catalogue) note(again func(metric.Meter) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instruments = append(c.instruments, again)
}

// noting makes the kinds of instruments that we use. One of another kind would
// come from the embedded meter, unnoted; its metric then is unknown, and the
// test says so as soon as a dashboard names it.
type noting struct {
	noop.Meter
	c *catalogue
}

func (n noting) Int64Counter(name string, o ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	n.c.note(func(m metric.Meter) error {
		i, err := m.Int64Counter(name, o...)
		i.Add(context.Background(), 1)
		return err
	})
	return n.Meter.Int64Counter(name, o...)
}

func (n noting) Int64Gauge(name string, o ...metric.Int64GaugeOption) (metric.Int64Gauge, error) {
	n.c.note(func(m metric.Meter) error {
		i, err := m.Int64Gauge(name, o...)
		i.Record(context.Background(), 1)
		return err
	})
	return n.Meter.Int64Gauge(name, o...)
}

func (n noting) Int64UpDownCounter(name string, o ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	n.c.note(func(m metric.Meter) error {
		i, err := m.Int64UpDownCounter(name, o...)
		i.Add(context.Background(), 1)
		return err
	})
	return n.Meter.Int64UpDownCounter(name, o...)
}

func (n noting) Float64Histogram(name string, o ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	n.c.note(func(m metric.Meter) error {
		i, err := m.Float64Histogram(name, o...)
		i.Record(context.Background(), 1)
		return err
	})
	return n.Meter.Float64Histogram(name, o...)
}

func one(_ context.Context, o metric.Int64Observer) error {
	o.Observe(1)
	return nil
}

func (n noting) Int64ObservableCounter(name string, o ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	n.c.note(func(m metric.Meter) error {
		_, err := m.Int64ObservableCounter(name, append(o, metric.WithInt64Callback(one))...)
		return err
	})
	return n.Meter.Int64ObservableCounter(name, o...)
}

func (n noting) Int64ObservableGauge(name string, o ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	n.c.note(func(m metric.Meter) error {
		_, err := m.Int64ObservableGauge(name, append(o, metric.WithInt64Callback(one))...)
		return err
	})
	return n.Meter.Int64ObservableGauge(name, o...)
}

func (n noting) Float64ObservableGauge(name string, o ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	n.c.note(func(m metric.Meter) error {
		_, err := m.Float64ObservableGauge(name, append(o, metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(1)
			return nil
		}))...)
		return err
	})
	return n.Meter.Float64ObservableGauge(name, o...)
}

// exported are the names under which everything that c noted is exported.
func (c *catalogue) exported(t *testing.T) map[string]bool {
	t.Helper()
	registry := client.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		t.Fatal(err)
	}
	provider := sdk.NewMeterProvider(sdk.WithReader(exporter))
	for _, again := range c.instruments {
		if err := again(provider.Meter("")); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, f := range families {
		names[f.GetName()] = true
		if !strings.HasPrefix(f.GetName(), "docket_") {
			t.Errorf("%s: our metrics begin with docket_", f.GetName())
		}
		if !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s: the description is not a sentence: %q", f.GetName(), f.GetHelp())
		}
	}
	return names
}

// everything makes one of each thing that measures, with c as its provider.
func everything(t *testing.T, c *catalogue) {
	t.Helper()
	recorder, err := metered.New(interceptor.Discard, c)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := interceptor.New(&interceptor.Plan{Unmatched: interceptor.UnmatchedAllow}, recorder)
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := grpc.NewClient("passthrough:///nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := grpcproxy.New(grpcproxy.Config{Chain: chain, Upstream: upstream, Meter: c}); err != nil {
		t.Fatal(err)
	}
	em, err := emitter.New(emitter.Config{Dir: t.TempDir(), Name: "test", MeterProvider: c})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(&nats.Conn{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := collector.New(collector.Config{JetStream: js, Store: neverUsed{}, MeterProvider: c}); err != nil {
		t.Fatal(err)
	}
	if _, err := follow.New(follow.Config{ID: "test", Store: neverUsed{}, Commits: func() uint64 { return 0 }, MeterProvider: c}); err != nil {
		t.Fatal(err)
	}
	if _, err := replays.New(c); err != nil {
		t.Fatal(err)
	}
	for _, closing := range []func() error{
		upstream.Close,
		func() error { return chain.Close(context.Background()) },
		func() error { return em.Close(context.Background()) },
	} {
		if err := closing(); err != nil {
			t.Error(err)
		}
	}
}

// neverUsed is a store for a collector that does not run.
type neverUsed struct{ collector.Store }

func TestEveryMetricIsReal(t *testing.T) {
	c := &catalogue{}
	everything(t, c)
	exported := c.exported(t)
	for _, name := range ofCommands {
		exported[name] = true // TestEveryLabelIsReal has a command run
	}
	for _, u := range used(t) {
		if !exported[strings.TrimSuffix(u.metric, "_bucket")] {
			t.Errorf("%s names %s, which nobody exports", u.where, u.metric)
		}
	}
	checkAllWatched(t, exported)
}
