// SPDX-License-Identifier: Apache-2.0

// Package telemetry is how a command is watched: metrics by OpenTelemetry,
// exported in Prometheus' form, and logs to standard error.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

// Metrics is where the packages' instruments are and where they are read.
type Metrics struct {
	Provider *metric.MeterProvider
	Handler  http.Handler
}

// NewMetrics returns metrics of this process alone: nothing global is touched.
func NewMetrics() (*Metrics, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	return &Metrics{
		Provider: metric.NewMeterProvider(metric.WithReader(exporter)),
		Handler:  promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
	}, nil
}

// Close ends the collection of metrics.
func (m *Metrics) Close(ctx context.Context) error { return m.Provider.Shutdown(ctx) }

// Logger returns a logger of the given level (debug, info, warn, error) to w.
func Logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, cli.Usage(cli.Hint(fmt.Errorf("unknown log level %q", level), "one of debug, info, warn, error"))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}
