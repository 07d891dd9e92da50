// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

const meterName = "github.com/docket-audit/docket/collector"

// metrics are what an operator watches of a collector. Counters are added to
// once per flush.
type metrics struct {
	events, bytes, duplicates, conflicts, quarantined, commits metric.Int64Counter
	findings, errors, questions, answers                       metric.Int64Counter
	compactions, compactedEvents, expired, erased              metric.Int64Counter
	held                                                       metric.Int64Gauge
	flush, compaction                                          metric.Float64Histogram
	pending, holes, missing, active                            metric.Int64Gauge
	balance                                                    metric.Int64ObservableGauge // see watchBalance
	vitals                                                     vitals                      // see watchVitals
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
		findings:    counter("findings", "", "Findings by type: dangling_intent, conflict, hash_chain_break, missing."),
		questions:   counter("questions", "", "Questions to emitters about what the store lacks."),
		answers:     counter("answered", "{event}", "Events that emitters were asked for, by what they said: resent, later, gone, not_mine; and one for each question that nobody answered (none) or that somebody answered with something else (unreadable)."),
		errors:      counter("errors", "", "Failed steps, each tried again, by step."),

		compactions:     counter("compactions", "", "Compactions of the store."),
		compactedEvents: counter("compacted", "{event}", "Events that compactions put into public files."),
		expired:         counter("expired", "{event}", "Events that left the store by retention."),
		erased:          counter("erased", "{event}", "Events that left the store by an erasure."),
	}
	var err error
	m.flush, err = meter.Float64Histogram("docket_collector_flush", metric.WithUnit("s"),
		metric.WithDescription("Time from a full batch to its acknowledgement."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	problems = append(problems, err)
	m.compaction, err = meter.Float64Histogram("docket_collector_compaction", metric.WithUnit("s"),
		metric.WithDescription("Time that a compaction takes, beside the flushes."),
		metric.WithExplicitBucketBoundaries(.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300))
	problems = append(problems, err)
	m.held, err = meter.Int64Gauge("docket_collector_held", metric.WithUnit("{event}"),
		metric.WithDescription("Events that would have expired, and stay under a legal hold."))
	problems = append(problems, err)
	m.pending, err = meter.Int64Gauge("docket_collector_pending", metric.WithUnit("{message}"),
		metric.WithDescription("Messages on the stream that are not stored."))
	problems = append(problems, err)
	m.holes, err = meter.Int64Gauge("docket_collector_holes", metric.WithUnit("{epoch}"),
		metric.WithDescription("Epochs of which events are asked for."))
	problems = append(problems, err)
	m.missing, err = meter.Int64Gauge("docket_collector_missing", metric.WithUnit("{event}"),
		metric.WithDescription("Events that were found to be missing and did not come since."))
	problems = append(problems, err)
	m.active, err = meter.Int64Gauge("docket_collector_active",
		metric.WithDescription("1 while this collector fills the store, 0 while it stands by for another."))
	problems = append(problems, err)
	m.balance, err = meter.Int64ObservableGauge("docket_collector_balance", metric.WithUnit("{event}"),
		metric.WithDescription("Events of all epochs by where they are: sequenced is stored + quarantined + missing + in_flight."))
	problems = append(problems, err)
	m.vitals, err = newVitals(meter)
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

func (m *metrics) compacted(done *store.Compacted, took time.Duration) {
	ctx := context.Background()
	m.compactions.Add(ctx, 1)
	m.compactedEvents.Add(ctx, done.Rows)
	m.compaction.Record(ctx, took.Seconds())
}

func (m *metrics) left(done *retention.Left, byOrder bool) {
	if byOrder {
		m.erased.Add(context.Background(), done.Rows)
		return
	}
	m.expired.Add(context.Background(), done.Rows)
}

func (m *metrics) found(kind string) {
	m.findings.Add(context.Background(), 1, metric.WithAttributes(attribute.String("type", kind)))
}

func (m *metrics) failed(step string) {
	m.errors.Add(context.Background(), 1, metric.WithAttributes(attribute.String("step", step)))
}

func (m *metrics) fills(is bool) {
	n := int64(0)
	if is {
		n = 1
	}
	m.active.Record(context.Background(), n)
}

func (m *metrics) asked() { m.questions.Add(context.Background(), 1) }

func (m *metrics) answered(answer string, events int64) {
	m.answers.Add(context.Background(), events, metric.WithAttributes(attribute.String("answer", answer)))
}

func (m *metrics) lacking(epochs int, missing int64) {
	m.holes.Record(context.Background(), int64(epochs))
	m.missing.Record(context.Background(), missing)
}
