// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// Benchmarks compare the emitter with the least that could do the same work, in
// the same run: on a busy machine only the ratio means something.

// benchEvent is of about 1.6 KB, as a result of a real chain is.
func benchEvent() *ocsf.APIActivity {
	e := event("acme", "")
	e.API.Response.Data = map[string]any{"allowed": true, "reason": "the image is on the allow-list of the tenant", "payload": string(make([]byte, 0))}
	e.Policy = &ocsf.Policy{UID: "allow-list", Name: "images", Type: "gateway_interceptor/validate", Version: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}
	e.Unmapped = map[string]any{profile.Unmapped: map[string]any{"note": fmt.Sprintf("%0300d", 1)}}
	return e
}

// BenchmarkWALToStream is the drain of a full WAL onto a syncing server.
// "ratio" is its speed over that of a bare publisher of atomic batches, with the
// same bytes and the same server.
func BenchmarkWALToStream(b *testing.B) {
	const n = 20_000
	for b.Loop() {
		s := natstest.Run(b)
		if err := stream.Apply(b.Context(), s.JetStream(b)); err != nil {
			b.Fatal(err)
		}
		nc := s.Conn(b)
		dir := b.TempDir()
		fill(b, dir, n)

		bare := barePublish(b, dir, nc)

		e, err := New(Config{Dir: dir, Name: "gateway-0", Conn: nc})
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = e.Run(ctx) }()
		end := e.spooled.position()
		if err := e.streamed.changed.wait(within(b), func() bool { return e.wal.settle(e.streamed.position()).compare(end) >= 0 }); err != nil {
			b.Fatal(err)
		}
		ours := n / time.Since(begin).Seconds()
		if err := e.Close(within(b)); err != nil {
			b.Fatal(err)
		}
		cancel()
		<-done
		b.ReportMetric(ours, "events/s")
		b.ReportMetric(bare, "bare/s")
		b.ReportMetric(ours/bare, "ratio")
	}
}

// BenchmarkEmitToStream is the whole way: encode, seal, spool and stream, beside
// a bare publisher of the same bytes.
func BenchmarkEmitToStream(b *testing.B) {
	const n = 20_000
	for b.Loop() {
		s := natstest.Run(b)
		if err := stream.Apply(b.Context(), s.JetStream(b)); err != nil {
			b.Fatal(err)
		}
		nc := s.Conn(b)
		full := b.TempDir()
		fill(b, full, n)
		bare := barePublish(b, full, nc)

		e, err := New(Config{Dir: b.TempDir(), Name: "gateway-0", Conn: nc, QueueBytes: 1 << 30})
		if err != nil {
			b.Fatal(err)
		}
		events := make([]*ocsf.APIActivity, n)
		for i := range events {
			events[i] = benchEvent()
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = e.Run(ctx) }()
		begin := time.Now()
		var last Receipt
		for _, ev := range events {
			last = e.Emit(ctx, ev)
		}
		if err := last.Streamed(within(b)); err != nil {
			b.Fatal(err)
		}
		ours := n / time.Since(begin).Seconds()
		if err := e.Close(within(b)); err != nil {
			b.Fatal(err)
		}
		cancel()
		<-done
		b.ReportMetric(ours, "events/s")
		b.ReportMetric(bare, "bare/s")
		b.ReportMetric(ours/bare, "ratio")
	}
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

// barePublish publishes the records of a WAL from memory, a thousand at a time,
// with the next batch on its way while one commits, and returns messages per
// second.
func barePublish(b *testing.B, dir string, nc *nats.Conn) float64 {
	b.Helper()
	rec, err := recoverWAL(dir)
	if err != nil {
		b.Fatal(err)
	}
	var all []record
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
			all = append(all, r)
			at += int64(n)
		}
	}
	id := newUID()[20:]
	begin := time.Now()
	n := 0
	for len(all) > 0 {
		part := all[:min(1000, len(all))]
		all = all[len(part):]
		id = id[:12] + fmt.Sprint(n)
		for i, r := range part {
			m := &nats.Msg{Subject: r.subject, Data: r.raw, Header: nats.Header{
				headerBatchID: {id}, headerBatchSeq: {fmt.Sprint(i + 1)},
				profile.HeaderEventUID: {r.uid}, profile.HeaderEpoch: {r.epoch}, profile.HeaderSequence: {fmt.Sprint(r.sequence)},
			}}
			if i < len(part)-1 {
				err = nc.PublishMsg(m)
			} else {
				m.Header.Set(headerCommit, "1")
				var reply *nats.Msg
				if reply, err = nc.RequestMsg(m, 10*time.Second); err == nil {
					err = refusal(reply)
				}
			}
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	return float64(n) / time.Since(begin).Seconds()
}

// BenchmarkDurable is callers who each emit an event and wait until it is on
// stable storage, again and again. "ratio" is over callers who share a bare
// writer that appends and syncs what has gathered.
func BenchmarkDurable(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			const each = 2000
			for b.Loop() {
				bare := bareDurable(b, callers, each)
				ours := ourDurable(b, callers, each)
				b.ReportMetric(ours, "events/s")
				b.ReportMetric(bare, "bare/s")
				b.ReportMetric(ours/bare, "ratio")
			}
		})
	}
}

func ourDurable(b *testing.B, callers, total int) float64 {
	e, err := New(Config{Dir: b.TempDir(), Name: "gateway-0"})
	if err != nil {
		b.Fatal(err)
	}
	rate := together(callers, total, func() {
		if err := e.Emit(b.Context(), benchEvent()).Spooled(b.Context()); err != nil {
			b.Error(err)
		}
	})
	if err := e.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	return rate
}

func together(callers, total int, do func()) float64 {
	var left atomic.Int64
	left.Store(int64(total))
	var wg sync.WaitGroup
	begin := time.Now()
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				do()
			}
		})
	}
	wg.Wait()
	return float64(total) / time.Since(begin).Seconds()
}

// bareDurable is a group-commit writer with nothing around it: callers hand
// over bytes, one goroutine writes what has gathered and syncs.
func bareDurable(b *testing.B, callers, total int) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	type job struct {
		data []byte
		done chan struct{}
	}
	jobs := make(chan job, callers)
	var writer sync.WaitGroup
	writer.Go(func() {
		for j := range jobs {
			group := []job{j}
			for len(jobs) > 0 {
				group = append(group, <-jobs)
			}
			var buf []byte
			for _, j := range group {
				buf = append(buf, j.data...)
			}
			if _, err := f.Write(buf); err != nil {
				b.Error(err)
			}
			if err := f.Sync(); err != nil {
				b.Error(err)
			}
			for _, j := range group {
				close(j.done)
			}
		}
	})
	data := make([]byte, 1800)
	sum := sha256.Sum256(data)
	copy(data, sum[:])
	rate := together(callers, total, func() {
		j := job{data, make(chan struct{})}
		jobs <- j
		<-j.done
	})
	close(jobs)
	writer.Wait()
	return rate
}

// BenchmarkEmit is what the caller pays.
func BenchmarkEmit(b *testing.B) {
	e, err := New(Config{Dir: b.TempDir(), Name: "gateway-0", QueueBytes: 1 << 40, WALMaxBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	events := make([]*ocsf.APIActivity, b.N)
	for i := range events {
		events[i] = benchEvent()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range events {
		e.Emit(b.Context(), events[i])
	}
	b.StopTimer()
	if err := e.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSeal is what the sequencer pays for each event, before any disk.
func BenchmarkSeal(b *testing.B) {
	cfg := Config{Dir: "x", Name: "gateway-0"}.withDefaults()
	p := &epoch{state: epochState{Epoch: newUID(), Tenant: "acme"}}
	b.ReportAllocs()
	for b.Loop() {
		e := benchEvent()
		e.Metadata.UID = newUID()
		if _, err := p.seal(e, &cfg); err != nil {
			b.Fatal(err)
		}
	}
}
