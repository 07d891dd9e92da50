// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// From the stream into durable segments, with all that a flush does.
func BenchmarkCollect(b *testing.B) {
	const events = 60_000
	s := natstest.Run(b, func(o *server.Options) { o.SyncAlways = false })
	js, err := jetstream.New(s.Conn(b), jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		b.Fatal(err)
	}
	if err := stream.Apply(b.Context(), js); err != nil {
		b.Fatal(err)
	}
	fill(b, js, events)
	for b.Loop() {
		l, err := lake.Open(b.TempDir(), lake.Options{})
		if err != nil {
			b.Fatal(err)
		}
		c, err := New(Config{JetStream: js, Store: l})
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		for c.accounted.Load() < events {
			time.Sleep(time.Millisecond)
		}
		stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func fill(b *testing.B, js jetstream.JetStream, events int) {
	b.Helper()
	e := storetest.NewEpoch(b, "acme", "gateway-0")
	for sent := 0; sent < events; {
		for _, entry := range e.Operation() {
			h := entry.Header
			msg := &nats.Msg{Subject: profile.Subject(profile.Prefix, h), Data: entry.Raw, Header: nats.Header{}}
			msg.Header.Set(profile.HeaderEventUID, h.MetadataUID)
			msg.Header.Set(profile.HeaderEpoch, h.Epoch)
			msg.Header.Set(profile.HeaderSequence, strconv.FormatInt(h.Sequence, 10))
			if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(10*time.Second)); err != nil {
				b.Fatal(err)
			}
			sent++
		}
	}
	<-js.PublishAsyncComplete()
}
