// SPDX-License-Identifier: Apache-2.0

package storebench

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// least takes -ingest events over the road that those of Docket take, with as little
// as can be done on it: atomic batches of events that are there already, the broker,
// which syncs each, a consumer that looks into nothing, and the bare Parquet writer.
// There is no chain, no WAL, no hash chain, nothing is checked, nothing is exactly
// once, nothing is compacted. What is left between this and the bare writer alone is
// what a stream costs on the same cores.
func least(b *testing.B, s *natstest.Server, entries []store.Entry) {
	b.Helper()
	js := s.JetStream(b)
	if err := stream.Apply(b.Context(), js); err != nil {
		b.Fatal(err)
	}
	c, err := js.CreateConsumer(b.Context(), stream.Declared().Stream.Name, jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1})
	if err != nil {
		b.Fatal(err)
	}
	nc := s.Conn(b)
	var work sync.WaitGroup
	work.Go(func() {
		const size = 1000
		for first := 0; first < *ingested; first += size {
			if err := publishBatch(nc, strconv.Itoa(first), entries, first, min(size, *ingested-first)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	gathered := make([]store.Entry, 0, len(entries))
	for n := 0; n < *ingested; {
		msgs, err := c.Fetch(2000, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			b.Fatal(err)
		}
		var last jetstream.Msg
		for m := range msgs.Messages() {
			e := entries[n%len(entries)]
			e.Raw, last = m.Data(), m
			gathered = append(gathered, e)
			n++
		}
		if len(gathered) >= cap(gathered)-2000 || n == *ingested {
			bareSegment(b, gathered, func(int) {})
			gathered = gathered[:0]
			if err := last.DoubleAck(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		if b.Failed() {
			return
		}
	}
	work.Wait()
}

// publishBatch publishes count events from number first on as one atomic batch, and
// waits until the broker has it on disk.
func publishBatch(nc *nats.Conn, id string, entries []store.Entry, first, count int) error {
	for i := range count {
		e := &entries[(first+i)%len(entries)]
		m := &nats.Msg{Subject: profile.Subject(profile.Prefix, e.Header), Data: e.Raw, Header: nats.Header{
			"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {strconv.Itoa(i + 1)},
			profile.HeaderEventUID: {e.Header.MetadataUID}, profile.HeaderEpoch: {e.Header.Epoch}, profile.HeaderSequence: {strconv.FormatInt(e.Header.Sequence, 10)},
		}}
		if i == count-1 {
			m.Header["Nats-Batch-Commit"] = []string{"1"}
		}
		if i > 0 && i < count-1 {
			if err := nc.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		if _, err := nc.RequestMsg(m, time.Minute); err != nil { // the first and the last are answered
			return err
		}
	}
	return nil
}
