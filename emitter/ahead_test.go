// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// Whatever is written to the bucket of watermarks, and whenever, what JetStream
// has not acknowledged is neither passed over nor deleted, and somebody is told.
func TestWatermarkAhead(t *testing.T) {
	s := natstest.Run(t)
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	kv, err := stream.Bucket(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	small := func(c *Config) { c.WALFileBytes = minFileBytes }
	e := start(t, dir, s.Conn(t), small)
	emit := func(e *Emitter, from, to int) (last Receipt) {
		t.Helper()
		for i := from; i < to; i++ {
			last = e.Emit(t.Context(), event("acme", fmt.Sprint("payload-", i)))
			if err := last.Spooled(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		return last
	}
	put := func(r Receipt, n int64) {
		t.Helper()
		if err := stream.PutWatermark(t.Context(), kv, stream.Watermark{Store: "lake", Epoch: r.group.places[r.index].epoch, Sequence: n}); err != nil {
			t.Fatal(err)
		}
	}
	first := emit(e.Emitter, 0, 10)
	if err := first.Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	put(first, 1000)
	until(t, "trouble", func() bool { return e.State().Troubles[troubleAhead] != "" })
	later := emit(e.Emitter, 10, 60)
	if err := later.Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := later.Stored(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stored, by the word of a watermark that was there before the event: %v", err)
	}
	put(later, 61)
	if err := later.Stored(within(t)); err != nil {
		t.Error(err)
	}
	e.close()

	// A start without NATS, whose events a watermark covers before they are sent.
	alone, err := New(Config{Dir: dir, Name: "gateway-0", WALFileBytes: minFileBytes})
	if err != nil {
		t.Fatal(err)
	}
	unsent := emit(alone, 60, 120)
	if err := alone.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	put(unsent, 1<<40)
	again := start(t, dir, s.Conn(t), small)
	until(t, "trouble", func() bool { return again.State().Troubles[troubleAhead] != "" })
	again.close()
	all := onStream(t, js)
	audit(t, all)
	if got := len(payloads(all)); got != 120 {
		t.Errorf("%d payloads on the stream, not 120", got)
	}
}
