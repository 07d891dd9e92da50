// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// durations measure what an event waits for, by the monotonic clock: once for
// each group of callers, write and batch.
type durations struct {
	toSpool, toStream, sync metric.Float64Histogram

	mu     sync.Mutex
	writes []write // not yet acknowledged by JetStream, oldest first; guarded by mu
}

// A write is a group that is on stable storage.
type write struct {
	end position
	at  time.Time
}

// maxWrites bounds what is remembered while the stream is away. Those that come
// beyond are not measured; the gauge of bytes that wait tells of them.
const maxWrites = 4096

// bounds of the histograms: from a fast disk to an outage.
var secondsBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

func (d *durations) register(meter metric.Meter) error {
	var errs [3]error
	histogram := func(name, description string) (h metric.Float64Histogram, err error) {
		return meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(secondsBounds...))
	}
	d.toSpool, errs[0] = histogram("docket_emitter_spool_duration", "Time from when the first event of a group was offered until the group was on stable storage.")
	d.toStream, errs[1] = histogram("docket_emitter_stream_duration", "Time from when a group was on stable storage until JetStream had acknowledged it.")
	d.sync, errs[2] = histogram("docket_emitter_sync_duration", "Time that the disk took to sync a group.")
	return errors.Join(errs[:]...)
}

// spooled is told that a group is durable whose first event came then.
func (d *durations) spooled(since time.Time) {
	d.toSpool.Record(context.Background(), time.Since(since).Seconds())
}

// wrote is told of each write before it is published.
func (d *durations) wrote(end position, synced time.Duration) {
	d.sync.Record(context.Background(), synced.Seconds())
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.writes) < maxWrites {
		d.writes = append(d.writes, write{end, time.Now()})
	}
}

// streamed is told how far JetStream has acknowledged.
func (d *durations) streamed(to position) {
	now := time.Now()
	d.mu.Lock()
	n := 0
	for n < len(d.writes) && d.writes[n].end.compare(to) <= 0 {
		n++
	}
	done := append([]write(nil), d.writes[:n]...)
	d.writes = append(d.writes[:0], d.writes[n:]...)
	d.mu.Unlock()
	for _, w := range done {
		d.toStream.Record(context.Background(), now.Sub(w.at).Seconds())
	}
}
