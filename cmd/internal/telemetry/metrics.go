// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Metrics is where the packages' instruments are and where they are read.
type Metrics struct {
	Provider *metric.MeterProvider
	Handler  http.Handler // in Prometheus' form
}

// NewMetrics returns metrics of this process alone: nothing global is touched.
// They are sent on by OTLP, too, if the standard OTEL_ variables name a
// collector, as the service and the instance that they do not name otherwise. It
// does not wait for the collector: what is not sent is said in the log, and the
// next time the counters are what they are then.
func NewMetrics(ctx context.Context, service, instance string, log *slog.Logger) (*Metrics, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	opts := []metric.Option{metric.WithReader(exporter)}
	log = log.With("component", "telemetry")
	switch w := wanted(metrics, os.Getenv); {
	case w.problem != "":
		log.Warn("metrics are at /metrics only", "reason", w.problem)
	case w.send:
		next, err := otlpmetricgrpc.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("set up metrics: %w", err)
		}
		if instance == "" {
			instance, _ = os.Hostname() // as the emitter is called then
		}
		// How often is the variables' to say; the SDK reads it.
		reader := metric.NewPeriodicReader(&told{Exporter: next, log: log})
		opts = append(opts, metric.WithReader(reader), metric.WithResource(describe(ctx, service, instance, log)))
	}
	return &Metrics{
		Provider: metric.NewMeterProvider(opts...),
		Handler:  promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
	}, nil
}

// Close sends what was counted last, for two seconds at most, and ends the
// collection of metrics. A collector that did not take it is no error.
func (m *Metrics) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	if err := m.Provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("close metrics: %w", err)
	}
	return nil
}

// told is an exporter of metrics that says once when it fails and once when it
// works again, in place of the SDK, which would say so each time.
type told struct {
	metric.Exporter
	log     *slog.Logger
	failing atomic.Bool
}

// Export implements the SDK's exporter.
func (x *told) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	switch err := x.Exporter.Export(ctx, m); {
	case err != nil && !x.failing.Swap(true):
		x.log.Warn("metrics cannot be sent; they go on being at /metrics", "error", err)
	case err == nil && x.failing.Swap(false):
		x.log.Warn("metrics are sent again")
	}
	return nil
}
