// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/disk"
	"github.com/docket-audit/docket/internal/stream"
)

// pollStream is how often the stream is looked at for the metrics.
const pollStream = 5 * time.Second

// A streamRoom is how full the stream is and how far the store is behind it.
type streamRoom struct {
	bytes, limit int64 // limit 0: there is none
	waiting      int64
	lag          time.Duration // of the oldest message that is not stored
}

// vitals are what metrics tell of a collector that works, whenever they are read.
// One that stands by tells none of it: its numbers would be old.
type vitals struct {
	stream, streamLimit, waiting, store, files metric.Int64ObservableGauge
	diskFree, diskSize, statements             metric.Int64ObservableGauge
	lag, ledgerBehind, ledgerTime              metric.Float64ObservableGauge
}

func newVitals(meter metric.Meter) (v vitals, err error) {
	var problems []error
	whole := func(name, unit, what string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge("docket_collector_"+name, metric.WithUnit(unit), metric.WithDescription(what))
		problems = append(problems, err)
		return g
	}
	seconds := func(name, what string) metric.Float64ObservableGauge {
		g, err := meter.Float64ObservableGauge("docket_collector_"+name, metric.WithUnit("s"), metric.WithDescription(what))
		problems = append(problems, err)
		return g
	}
	v = vitals{
		stream:       whole("stream", "By", "Bytes on the stream."),
		streamLimit:  whole("stream_limit", "By", "Bytes that the stream may have; it refuses when it is full."),
		waiting:      whole("waiting", "{message}", "Messages on the stream that the store does not have yet, also while it cannot store."),
		lag:          seconds("lag", "How long the oldest message on the stream has waited that the store does not have yet; 0 when it has all."),
		store:        whole("store", "By", "Bytes of the store's files by part: hot segments, public files, stubs of what left."),
		files:        whole("store_files", "{file}", "Files of the store by part."),
		diskFree:     whole("disk_free", "By", "Room on the file system of the store that this user may take."),
		diskSize:     whole("disk_size", "By", "Size of the file system of the store."),
		statements:   whole("ledger_statements", "{statement}", "Statements that a checkpoint of the ledger covers."),
		ledgerBehind: seconds("ledger_behind", "How long the oldest commit has waited that no checkpoint of the ledger covers; 0 when all are covered."),
		ledgerTime:   seconds("ledger_time", "When the ledger was last seen to cover every commit, as seconds since 1970."),
	}
	return v, errors.Join(problems...)
}

// A ledgered is how far the ledger is. Its fields are written by who holds
// statements, and read by anybody.
type ledgered struct {
	statements atomic.Uint64
	since      atomic.Int64 // ms, of the oldest commit that it does not cover; 0: it covers all
	covered    atomic.Int64 // ms, when it last was seen to cover all
}

// watchVitals has the vitals told whenever the metrics are read. The caller MUST
// call the function that it returns.
func (c *Collector) watchVitals() (stop func(), err error) {
	v := &c.metrics.vitals
	r, err := c.cfg.MeterProvider.Meter(meterName).RegisterCallback(func(_ context.Context, o metric.Observer) error {
		c.observe(o, v)
		return nil
	}, v.stream, v.streamLimit, v.waiting, v.lag, v.store, v.files, v.diskFree, v.diskSize, v.statements, v.ledgerBehind, v.ledgerTime)
	if err != nil {
		return nil, fmt.Errorf("make collector metrics: %w", err)
	}
	return func() { _ = r.Unregister() }, nil // it is registered
}

func (c *Collector) observe(o metric.Observer, v *vitals) {
	if s := c.room.Load(); s != nil {
		o.ObserveInt64(v.stream, s.bytes)
		o.ObserveInt64(v.waiting, s.waiting)
		o.ObserveFloat64(v.lag, s.lag.Seconds())
		if s.limit > 0 {
			o.ObserveInt64(v.streamLimit, s.limit)
		}
	}
	if sizer, ok := c.cfg.Store.(store.Sizer); ok {
		for _, s := range sizer.Sizes() {
			part := metric.WithAttributes(attribute.String("part", s.Part))
			o.ObserveInt64(v.store, s.Bytes, part)
			o.ObserveInt64(v.files, int64(s.Files), part)
		}
	}
	if c.cfg.DataDir != "" {
		if d, err := disk.Of(c.cfg.DataDir); err == nil { // what nobody knows is not said to be 0
			o.ObserveInt64(v.diskFree, d.Free)
			o.ObserveInt64(v.diskSize, d.Total)
		}
	}
	if c.cfg.Ledger == nil {
		return
	}
	o.ObserveInt64(v.statements, int64(c.led.statements.Load()))
	behind := 0.0
	if since := c.led.since.Load(); since > 0 {
		behind = max(c.cfg.Now().Sub(time.UnixMilli(since)).Seconds(), 0)
	}
	o.ObserveFloat64(v.ledgerBehind, behind)
	if at := c.led.covered.Load(); at > 0 {
		o.ObserveFloat64(v.ledgerTime, float64(at)/1000)
	}
}

// watchStream looks at the stream until ctx ends, beside the flushes: when one of
// them is stuck is when somebody wants to know. While nobody can tell, nothing is
// told.
func (c *Collector) watchStream(ctx context.Context) error {
	defer c.room.Store(nil)
	tick := time.NewTicker(c.cfg.pollStream)
	defer tick.Stop()
	for {
		room, err := c.lookAtStream(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Debug("cannot look at the stream for the metrics", "error", err)
		}
		c.room.Store(room) // nil with an error
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Collector) lookAtStream(ctx context.Context) (*streamRoom, error) {
	ctx, cancel := context.WithTimeout(ctx, pollStream)
	defer cancel()
	s, err := c.cfg.JetStream.Stream(ctx, stream.Declared(stream.Replicas(c.cfg.Replicas)).Stream.Name)
	if err != nil {
		return nil, err
	}
	info := s.CachedInfo()
	room := &streamRoom{bytes: int64(info.State.Bytes), limit: max(info.Config.MaxBytes, 0)}
	first := max(c.accounted.Load()+1, info.State.FirstSeq)
	if first > info.State.LastSeq {
		return room, nil
	}
	room.waiting = int64(info.State.LastSeq - first + 1)
	msg, err := stream.At(ctx, c.cfg.JetStream, s, first)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound): // it went since, and the next look will tell
	case err != nil:
		return nil, err
	default:
		room.lag = max(c.cfg.Now().Sub(msg.Time), 0)
	}
	return room, nil
}
