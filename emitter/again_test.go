// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// An again is how long it takes until what was purged is on the stream again.
type again struct {
	first, all time.Duration // after a start, of what waits in the WAL
	asked      time.Duration // of a range that a store asks for
}

// sendAgain purges a stream of n events right after they were acknowledged, asks
// the emitter for a thousand of them, purges again, and starts the emitter anew.
func sendAgain(tb testing.TB, n int) (took again) {
	tb.Helper()
	s := natstest.Run(tb)
	js := s.JetStream(tb)
	if err := stream.Apply(tb.Context(), js); err != nil {
		tb.Fatal(err)
	}
	purge := func() jetstream.Stream {
		on, err := js.Stream(tb.Context(), "DOCKET")
		if err == nil {
			err = on.Purge(tb.Context())
		}
		if err != nil {
			tb.Fatal(err)
		}
		return on
	}
	// wait returns when so many messages came since the purge.
	wait := func(on jetstream.Stream, least uint64) {
		for {
			info, err := on.Info(within(tb))
			if err != nil {
				tb.Fatal(err)
			}
			if info.State.Msgs >= least {
				return
			}
		}
	}
	dir := tb.TempDir()
	run := func() (e *Emitter, stop func()) {
		e, err := New(Config{Dir: dir, Name: "gateway-0", Conn: s.Conn(tb), QueueBytes: 1 << 30})
		if err != nil {
			tb.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); _ = e.Run(tb.Context()) }()
		return e, func() {
			if err := e.Close(within(tb)); err != nil {
				tb.Error(err)
			}
			<-done
		}
	}
	e, stop := run()
	var last Receipt
	for range n {
		last = e.Emit(tb.Context(), event("acme", "again"))
	}
	if err := last.Streamed(within(tb)); err != nil {
		tb.Fatal(err)
	}
	at := last.group.places[last.index]
	question, err := stream.Question{Ranges: []stream.Range{{Epoch: at.epoch, First: at.sequence - 999, Last: at.sequence}}}.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	on := purge()
	begun := time.Now()
	if _, err := js.Conn().RequestWithContext(within(tb), stream.HolesSubject("gateway-0"), question); err != nil {
		tb.Fatal(err)
	}
	wait(on, 1000)
	took.asked = time.Since(begun)
	stop()

	on = purge()
	begun = time.Now()
	_, stop = run()
	wait(on, 1)
	took.first = time.Since(begun)
	wait(on, uint64(n)) //nolint:gosec // not negative
	took.all = time.Since(begun)
	stop()
	return took
}

// A purge and a start later, or a question, everything is there again.
func TestPurgedIsSentAgain(t *testing.T) {
	took := sendAgain(t, 2000)
	t.Logf("a thousand events that were asked for are there after %v; after a start, the first is after %v, two thousand after %v", took.asked, took.first, took.all)
}

// BenchmarkSendAgain is the time that the resending of a just-purged range takes,
// in ms: the aim is progress within a second.
func BenchmarkSendAgain(b *testing.B) {
	for b.Loop() {
		took := sendAgain(b, 20_000)
		b.ReportMetric(float64(took.asked.Milliseconds()), "asked-ms")
		b.ReportMetric(float64(took.first.Milliseconds()), "first-ms")
		b.ReportMetric(float64(took.all.Milliseconds()), "all-ms")
	}
}
