// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"maps"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc/codes"
)

// maxMethods is how many names of ungoverned methods are told apart.
const (
	maxMethods = 1000
	other      = "other"
)

type metrics struct {
	ungovernedCounter metric.Int64Counter
	governedCounter   metric.Int64Counter
	refusedCounter    metric.Int64Counter
	upstream          metric.Float64Histogram

	mu     sync.Mutex
	counts map[string]int64 // ungoverned calls by method; guarded by mu
}

func newMetrics(provider metric.MeterProvider) (*metrics, error) {
	if provider == nil {
		provider = noop.NewMeterProvider()
	}
	meter := provider.Meter("github.com/docket-audit/docket/interceptor/grpcproxy")
	m := &metrics{counts: map[string]int64{}}
	var err error
	counter := func(name, description string) metric.Int64Counter {
		c, e := meter.Int64Counter(name, metric.WithDescription(description))
		if e != nil {
			err = e
		}
		return c
	}
	m.ungovernedCounter = counter("docket_grpcproxy_ungoverned_calls", "Calls that passed because no binding governs their method.")
	m.governedCounter = counter("docket_grpcproxy_governed_calls", "Calls that went through the chain, by the status that they were answered.")
	m.refusedCounter = counter("docket_grpcproxy_refused_calls", "Calls that were refused before a binding saw them, or whose messages could not be read, by reason.")
	histogram, e := meter.Float64Histogram("docket_grpcproxy_upstream_duration", metric.WithUnit("s"),
		metric.WithDescription("How long the service took for a governed call, also where it failed."), bounds)
	if m.upstream = histogram; e != nil {
		err = e
	}
	return m, err
}

// Bucket bounds in seconds, those that a chain's metrics have.
var bounds = metric.WithExplicitBucketBoundaries(
	.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)

func (m *metrics) forwarded(took time.Duration) {
	m.upstream.Record(context.Background(), took.Seconds())
}

func (m *metrics) ungoverned(method string) {
	m.mu.Lock()
	if _, known := m.counts[method]; !known && len(m.counts) >= maxMethods {
		method = other
	}
	m.counts[method]++
	m.mu.Unlock()
	m.ungovernedCounter.Add(context.Background(), 1, metric.WithAttributes(attribute.String("method", method)))
}

func (m *metrics) ungovernedCalls() map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.counts)
}

func (m *metrics) governed(method string, code codes.Code) {
	m.governedCounter.Add(context.Background(), 1, metric.WithAttributes(attribute.String("method", method), attribute.String("code", code.String())))
}

func (m *metrics) refuse(reason string) {
	m.refusedCounter.Add(context.Background(), 1, metric.WithAttributes(attribute.String("reason", reason)))
}
