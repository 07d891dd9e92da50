// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"github.com/docket-audit/docket/internal/disk"
)

const meterName = "github.com/docket-audit/docket/emitter"

// measure registers the emitter's metrics. Counters and gauges are observed from
// its state when somebody collects them, durations are recorded once for each
// group and batch: they cost an event nothing.
func (e *Emitter) measure() error {
	meter := e.cfg.MeterProvider.Meter(meterName)
	if err := e.durations.register(meter); err != nil {
		return fmt.Errorf("register emitter metrics: %w", err)
	}
	var instruments []metric.Observable
	var observe []func(metric.Observer, *State)
	var failed error
	counter := func(name, unit, description string, value func(*State) int64) {
		c, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		if err != nil {
			failed = err
			return
		}
		instruments = append(instruments, c)
		observe = append(observe, func(o metric.Observer, s *State) { o.ObserveInt64(c, value(s)) })
	}
	gauge := func(name, unit, description string, value func(*State) int64) {
		g, err := meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		if err != nil {
			failed = err
			return
		}
		instruments = append(instruments, g)
		observe = append(observe, func(o metric.Observer, s *State) { o.ObserveInt64(g, value(s)) })
	}
	counter("docket_emitter_offered", "{event}", "Events that callers offered. Equals sequenced plus refused, but for what waits in the queue.",
		func(s *State) int64 { return s.Offered })
	counter("docket_emitter_sequenced", "{event}", "Events of callers that took a sequence in an epoch.",
		func(s *State) int64 { return s.Sequenced })
	counter("docket_emitter_refused", "{event}", "Events of callers that were refused: the queue was full, or they were unfit.",
		func(s *State) int64 { return s.Refused })
	counter("docket_emitter_declared", "{event}", "Refused events that gap findings have stated.",
		func(s *State) int64 { return s.Declared })
	counter("docket_emitter_own", "{event}", "Events of the emitter itself: starts, stops, heads, gaps, recovery, custody.",
		func(s *State) int64 { return s.Own })
	counter("docket_emitter_spooled", "{event}", "Events that are on stable storage in the WAL.",
		func(s *State) int64 { return s.Spooled })
	counter("docket_emitter_spooled_size", "By", "Bytes of the events that are on stable storage in the WAL.",
		func(*State) int64 { return e.count.spooledBytes.Load() })
	counter("docket_emitter_streamed", "{event}", "Events that JetStream acknowledged, repetitions included.",
		func(s *State) int64 { return s.Streamed })
	counter("docket_emitter_streamed_size", "By", "Bytes of the events that JetStream acknowledged, repetitions included.",
		func(*State) int64 { return e.count.streamedBytes.Load() })
	counter("docket_emitter_publish_retries", "{batch}", "Batches that were in doubt or refused and are published again.",
		func(s *State) int64 { return s.Retries })
	counter("docket_emitter_resent", "{event}", "Events that a collector lacked and asked for, and JetStream acknowledged again.",
		func(s *State) int64 { return s.Resent })
	gauge("docket_emitter_queue", "By", "Memory that the events take which are not yet on stable storage, estimated.",
		func(s *State) int64 { return s.QueueBytes })
	age, err := meter.Float64ObservableGauge("docket_emitter_queue_age", metric.WithUnit("s"),
		metric.WithDescription("How long the oldest event has waited that is not yet on stable storage."))
	if err != nil {
		failed = err
	}
	instruments = append(instruments, age)
	observe = append(observe, func(o metric.Observer, s *State) { o.ObserveFloat64(age, s.QueueAge.Seconds()) })
	gauge("docket_emitter_wal", "By", "Bytes of all WAL files.",
		func(s *State) int64 { return s.WALBytes })
	gauge("docket_emitter_wal_behind", "By", "Bytes of the WAL that JetStream has not acknowledged.",
		func(s *State) int64 { return s.Behind })
	gauge("docket_emitter_wal_limit", "By", "Bytes that all WAL files together may have.",
		func(*State) int64 { return e.cfg.WALMaxBytes })
	gauge("docket_emitter_reserve", "By", "Room on the disk that is kept for when it is full; 0 while it is given up.",
		func(s *State) int64 { return s.ReserveBytes })
	counter("docket_emitter_shrunk", "{event}", "Events in which digests stand for payloads that the stream would not take.",
		func(s *State) int64 { return s.Shrunk })
	gauge("docket_emitter_aside", "{event}", "Events that are larger than what the server takes, and wait for one that does.",
		func(s *State) int64 { return int64(s.Aside) })
	gauge("docket_emitter_connected", "", "1 while there is a connection to NATS, 0 while there is none.",
		func(s *State) int64 {
			if s.Connected {
				return 1
			}
			return 0
		})
	room := func(name, description string, value func(disk.Room) int64) {
		g, err := meter.Int64ObservableGauge(name, metric.WithUnit("By"), metric.WithDescription(description))
		if err != nil {
			failed = err
			return
		}
		instruments = append(instruments, g)
		observe = append(observe, func(o metric.Observer, _ *State) {
			if r, err := disk.Of(e.cfg.Dir); err == nil { // what nobody knows is not said to be 0
				o.ObserveInt64(g, value(r))
			}
		})
	}
	room("docket_emitter_disk_free", "Room on the file system of the WAL that this user may take.",
		func(r disk.Room) int64 { return r.Free })
	room("docket_emitter_disk_size", "Size of the file system of the WAL.",
		func(r disk.Room) int64 { return r.Total })
	gauge("docket_emitter_troubles", "{trouble}", "What does not work now; the log and docket status name each.",
		func(s *State) int64 { return int64(len(s.Troubles)) })
	if failed != nil {
		return fmt.Errorf("register emitter metrics: %w", failed)
	}
	reg, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := e.State()
		for _, f := range observe {
			f(o, &s)
		}
		return nil
	}, instruments...)
	if err != nil {
		return fmt.Errorf("register emitter metrics: %w", err)
	}
	e.unmeasure = reg.Unregister
	return nil
}
