// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

const (
	streamRounds = 5
	streamEvents = 20_000
)

// BenchmarkWALToStream is the drain of a full WAL onto a syncing server. "ratio" is
// its speed over that of a bare publisher of atomic batches, with the same bytes and
// the same server. The target is 0.75.
func BenchmarkWALToStream(b *testing.B) {
	for b.Loop() {
		s := newStreams(b)
		r := alternate(streamRounds, func() float64 {
			dir := b.TempDir()
			fill(b, dir, streamEvents)
			return s.run(Config{Dir: dir}, func(e *Emitter) {
				end := e.spooled.position()
				if err := e.streamed.changed.wait(within(b), func() bool { return e.wal.settle(e.streamed.position()).compare(end) >= 0 }); err != nil {
					b.Fatal(err)
				}
			})
		}, s.bare)
		r.report(b)
	}
}

// BenchmarkEmitToStream is the whole way: encode, seal, spool and stream, beside
// a bare publisher of the same bytes. "backlog" is how many were not acknowledged
// when the last one was offered.
func BenchmarkEmitToStream(b *testing.B) {
	for b.Loop() {
		s := newStreams(b)
		var backlog []float64
		r := alternate(streamRounds, func() float64 {
			events := make([]*ocsf.APIActivity, streamEvents)
			for i := range events {
				events[i] = benchEvent()
			}
			return s.run(Config{Dir: b.TempDir(), QueueBytes: 1 << 30}, func(e *Emitter) {
				var last Receipt
				for _, ev := range events {
					last = e.Emit(b.Context(), ev)
				}
				offered := e.State()
				backlog = append(backlog, float64(offered.Offered-offered.Streamed))
				if err := last.Streamed(within(b)); err != nil {
					b.Fatal(err)
				}
			})
		}, s.bare)
		r.report(b)
		b.ReportMetric(median(backlog), "backlog")
	}
}

// streams are a server, a connection to it, and records to publish.
type streams struct {
	b       *testing.B
	nc      *nats.Conn
	records []record
}

func newStreams(b *testing.B) *streams {
	b.Helper()
	s := natstest.Run(b)
	if err := stream.Apply(b.Context(), s.JetStream(b)); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	fill(b, dir, streamEvents)
	rec, err := recoverWAL(dir)
	if err != nil {
		b.Fatal(err)
	}
	list := &streams{b: b, nc: s.Conn(b)}
	for _, f := range rec.files {
		content, err := os.ReadFile(f.path)
		if err != nil {
			b.Fatal(err)
		}
		for at := f.start; at < f.size; {
			r, n, err := decodeRecord(content[at:])
			if err != nil {
				b.Fatal(err)
			}
			list.records = append(list.records, r)
			at += int64(n)
		}
	}
	return list
}

// fill leaves a WAL with n events behind.
func fill(b *testing.B, dir string, n int) {
	b.Helper()
	e, err := New(Config{Dir: dir, Name: "gateway-0", QueueBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	for range n {
		e.Emit(b.Context(), benchEvent())
	}
	if err := e.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// run returns how many events per second an emitter streams that does work.
func (s *streams) run(cfg Config, work func(*Emitter)) float64 {
	s.b.Helper()
	cfg.Name, cfg.Conn = "gateway-0", s.nc
	e, err := New(cfg)
	if err != nil {
		s.b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.b.Context())
	done := make(chan struct{})
	begin := time.Now()
	go func() { defer close(done); _ = e.Run(ctx) }()
	work(e)
	took := time.Since(begin)
	if err := e.Close(within(s.b)); err != nil {
		s.b.Fatal(err)
	}
	cancel()
	<-done
	return streamEvents / took.Seconds()
}

// bare publishes the records from memory, a thousand at a time and two batches at
// once, as the emitter does, and returns how many per second.
func (s *streams) bare() float64 {
	s.b.Helper()
	const most = 2 // batches at once
	inbox := s.nc.NewInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		s.b.Fatal(err)
	}
	open := 0
	settle := func() {
		reply, err := sub.NextMsgWithContext(within(s.b))
		if err == nil {
			err = refusal(reply)
		}
		if err != nil {
			s.b.Fatal(err)
		}
		open--
	}
	id := newUID()[20:]
	begin := time.Now()
	for n := 0; n < len(s.records); {
		if open == most {
			settle()
		}
		part := s.records[n:min(n+1000, len(s.records))]
		batchID := fmt.Sprint(id, n)
		for i, r := range part {
			m := &nats.Msg{Subject: r.subject, Data: r.raw, Header: nats.Header{
				headerBatchID: {batchID}, headerBatchSeq: {fmt.Sprint(i + 1)},
				profile.HeaderEventUID: {r.uid}, profile.HeaderEpoch: {r.epoch}, profile.HeaderSequence: {fmt.Sprint(r.sequence)},
			}}
			if i == len(part)-1 {
				m.Header.Set(headerCommit, "1")
				m.Reply = inbox
				open++
			}
			if err := s.nc.PublishMsg(m); err != nil {
				s.b.Fatal(err)
			}
		}
		n += len(part)
	}
	for open > 0 {
		settle()
	}
	took := time.Since(begin)
	if err := sub.Unsubscribe(); err != nil {
		s.b.Fatal(err)
	}
	return float64(len(s.records)) / took.Seconds()
}
