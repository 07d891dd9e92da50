// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/docket-audit/docket/collector/store"
)

const meterName = "github.com/docket-audit/docket/collector"

// metrics are what an operator watches of a collector. Counters are added to
// once per flush.
type metrics struct {
	events, bytes, duplicates, conflicts, quarantined, commits metric.Int64Counter
	findings, errors                                           metric.Int64Counter
	flush                                                      metric.Float64Histogram
	pending                                                    metric.Int64Gauge
}

func newMetrics(p metric.MeterProvider) (*metrics, error) {
	meter := p.Meter(meterName)
	var problems []error
	counter := func(name, unit, what string) metric.Int64Counter {
		c, err := meter.Int64Counter("docket_collector_"+name, metric.WithUnit(unit), metric.WithDescription(what))
		problems = append(problems, err)
		return c
	}
	m := &metrics{
		events:      counter("events", "", "Events that were stored."),
		bytes:       counter("stored", "By", "Bytes of the events that were stored, before compression."),
		duplicates:  counter("duplicates", "", "Messages that the store held already."),
		conflicts:   counter("conflicts", "", "Events whose epoch and sequence another stored event has."),
		quarantined: counter("quarantined", "", "Messages that are no event that their sender may send."),
		commits:     counter("commits", "", "Commits of the store."),
		findings:    counter("findings", "", "Findings by type: dangling_intent, conflict, hash_chain_break."),
		errors:      counter("errors", "", "Failed steps, each tried again, by step."),
	}
	var err error
	m.flush, err = meter.Float64Histogram("docket_collector_flush", metric.WithUnit("s"),
		metric.WithDescription("Time from a full batch to its acknowledgement."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	problems = append(problems, err)
	m.pending, err = meter.Int64Gauge("docket_collector_pending", metric.WithUnit("{message}"),
		metric.WithDescription("Messages on the stream that are not stored."))
	problems = append(problems, err)
	return m, errors.Join(problems...)
}

func (m *metrics) flushed(b *batch, done *store.Committed, took time.Duration) {
	ctx := context.Background()
	var raw int64
	for i := range done.Added {
		raw += int64(len(done.Added[i].Raw))
	}
	m.events.Add(ctx, int64(len(done.Added)))
	m.bytes.Add(ctx, raw)
	m.duplicates.Add(ctx, int64(done.Duplicates))
	m.conflicts.Add(ctx, int64(len(done.Conflicts)))
	m.quarantined.Add(ctx, int64(len(b.Quarantined)))
	if done.Number > 0 {
		m.commits.Add(ctx, 1)
	}
	m.flush.Record(ctx, took.Seconds())
	m.pending.Record(ctx, int64(b.pending))
}

func (m *metrics) found(kind string) {
	m.findings.Add(context.Background(), 1, metric.WithAttributes(attribute.String("type", kind)))
}

func (m *metrics) failed(step string) {
	m.errors.Add(context.Background(), 1, metric.WithAttributes(attribute.String("step", step)))
}
