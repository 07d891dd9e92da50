// SPDX-License-Identifier: Apache-2.0

// Package metered counts what replays find, in a process that replays again and
// again and is watched, as a server is:
//
//	meter, err := metered.New(provider)
//	...
//	run := meter.Begin()
//	report, err := replay.Run(ctx, source, plan, replay.Each(run.Compared))
//	run.End(err)
//
// Operations count while the replay runs, so that a long one is seen to go on.
// Which operations differ, and why, is for the report to say.
package metered

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/docket-audit/docket/interceptor/replay"
)

// How a replay ended.
const (
	done      = "done"
	failed    = "failed"
	cancelled = "cancelled"
)

// A Meter counts replays. Its methods may be called concurrently.
type Meter struct {
	now func() time.Time

	started, ended, operations, flips metric.Int64Counter
	duration                          metric.Float64Histogram
}

// New returns a meter. A nil provider counts nothing.
func New(provider metric.MeterProvider) (*Meter, error) {
	if provider == nil {
		provider = noop.NewMeterProvider()
	}
	meter := provider.Meter("github.com/docket-audit/docket/interceptor/replay/metered")
	m := &Meter{now: time.Now}
	var errs [5]error
	m.started, errs[0] = meter.Int64Counter("docket_replay_started",
		metric.WithUnit("{replay}"), metric.WithDescription("Replays that began."))
	m.ended, errs[1] = meter.Int64Counter("docket_replay_ended",
		metric.WithUnit("{replay}"), metric.WithDescription("Replays that ended, by result: done, failed, cancelled."))
	m.operations, errs[2] = meter.Int64Counter("docket_replay_operations",
		metric.WithUnit("{operation}"), metric.WithDescription("Operations that were replayed, by how they compare with their record."))
	m.flips, errs[3] = meter.Int64Counter("docket_replay_flips",
		metric.WithUnit("{operation}"), metric.WithDescription("Replayed operations that were decided otherwise, by the recorded decision and that of now."))
	m.duration, errs[4] = meter.Float64Histogram("docket_replay_duration",
		metric.WithUnit("s"), metric.WithDescription("How long replays took, also where they failed."),
		metric.WithExplicitBucketBoundaries(.1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	// A series that begins at 0 shows the first one as an increase.
	ctx := context.Background()
	m.started.Add(ctx, 0)
	for _, result := range []string{done, failed, cancelled} {
		m.ended.Add(ctx, 0, with(result))
	}
	return m, nil
}

func with(result string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("result", result))
}

// Begin counts a replay that begins.
func (m *Meter) Begin() *Run {
	m.started.Add(context.Background(), 1)
	return &Run{meter: m, began: m.now()}
}

// A Run is one replay.
type Run struct {
	meter *Meter
	began time.Time
}

// Compared counts an operation; it is for [replay.Each].
func (r *Run) Compared(d replay.Diff) {
	ctx := context.Background()
	r.meter.operations.Add(ctx, 1, metric.WithAttributes(attribute.String("comparison", string(d.Comparison))))
	if d.Comparison == replay.Flipped {
		r.meter.flips.Add(ctx, 1, metric.WithAttributes(attribute.String("from", d.From), attribute.String("to", d.To)))
	}
}

// End counts how it ended, with the error that it ended with. It must be called
// once.
func (r *Run) End(err error) {
	result := done
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		result = cancelled
	case err != nil:
		result = failed
	}
	ctx := context.Background()
	r.meter.ended.Add(ctx, 1, with(result))
	r.meter.duration.Record(ctx, r.meter.now().Sub(r.began).Seconds(), with(result))
}
