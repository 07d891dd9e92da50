// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// until polls for what has no event to wait for: the state told to people.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// payloads returns how often each payload is on the stream.
func payloads(all []stored) map[string]int {
	count := map[string]int{}
	for _, m := range all {
		if _, after, ok := strings.Cut(string(m.raw), `"payload":"`); ok {
			payload, _, _ := strings.Cut(after, `"`)
			count[payload]++
		}
	}
	return count
}

// NATS is away when the emitter starts, comes, goes in the middle, and comes
// back: everything arrives, in order.
func TestNATSComesAndGoes(t *testing.T) {
	s := natstest.Run(t)
	if err := stream.Apply(t.Context(), s.JetStream(t)); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	e := start(t, t.TempDir(), s.Conn(t))
	n := 0
	emit := func(count int) (last Receipt) {
		for range count {
			last = e.Emit(t.Context(), event(fmt.Sprint("tenant-", n%3), fmt.Sprint("payload-", n)))
			n++
		}
		if err := last.Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
		return last
	}
	emit(500)
	s.Start()
	if err := emit(500).Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		emit(300)
		s.Stop()
		emit(300)
		s.Start()
		emit(10)
	}
	e.close()
	all := onStream(t, s.JetStream(t))
	if epochs := audit(t, all); len(epochs) != 3 {
		t.Errorf("%d epochs, want one for each tenant", len(epochs))
	}
	have := payloads(all)
	for i := range n {
		if have[fmt.Sprint("payload-", i)] == 0 {
			t.Fatalf("payload %d of %d is not on the stream", i, n)
		}
	}
}

// A batch whose commit was sent and whose answer never comes is in doubt: it is
// sent again under another id.
func TestBatchInDoubt(t *testing.T) {
	s := natstest.Run(t)
	if err := stream.Apply(t.Context(), s.JetStream(t)); err != nil {
		t.Fatal(err)
	}
	killed := make(chan struct{})
	var places int
	e := start(t, t.TempDir(), s.Conn(t), func(c *Config) {
		c.reached = func(place string) {
			if place == "after-publish" {
				if places++; places == 3 {
					// Flushing may fail or not: that is the doubt.
					_ = c.Conn.FlushTimeout(time.Second)
					s.Stop()
					close(killed)
				}
			}
		}
	})
	var last Receipt
	for i := range 40 {
		last = e.Emit(t.Context(), event("acme", fmt.Sprint("payload-", i)))
		if err := last.Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
		if i == 20 {
			until(t, "a third batch", func() bool {
				e.Emit(t.Context(), event("acme", "filler"))
				select {
				case <-killed:
					return true
				default:
					return false
				}
			})
			s.Start()
		}
	}
	if err := last.Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	if e.State().Retries == 0 {
		t.Error("nothing was sent again")
	}
	e.close()
	all := onStream(t, s.JetStream(t))
	audit(t, all)
	for i := range 40 {
		if payloads(all)[fmt.Sprint("payload-", i)] == 0 {
			t.Errorf("payload %d is not on the stream", i)
		}
	}
}

// A stream that is missing, weak or full is named with what to do, events wait
// in the WAL, and go on when it is repaired.
func TestStreamThatCannotTakeEvents(t *testing.T) {
	weak := stream.Declared().Stream
	weak.AllowAtomicPublish = false
	full := stream.Declared().Stream
	full.MaxBytes = 20 << 10
	for name, tt := range map[string]struct {
		config *jetstream.StreamConfig
		about  string
		want   []string
	}{
		"missing": {nil, troubleStream, []string{"not found", "docket stream apply"}},
		"weak":    {&weak, troubleStream, []string{"allow_atomic is false, wanted true", "docket stream apply"}},
		"full":    {&full, troublePublish, []string{"maximum bytes exceeded", "max_bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Run(t)
			js := s.JetStream(t)
			if tt.config != nil {
				if _, err := js.CreateStream(t.Context(), *tt.config); err != nil {
					t.Fatal(err)
				}
			}
			e := start(t, t.TempDir(), s.Conn(t))
			var last Receipt
			for i := range 50 {
				last = e.Emit(t.Context(), event("acme", fmt.Sprint("payload-", i)))
			}
			if err := last.Spooled(within(t)); err != nil {
				t.Fatal(err)
			}
			until(t, "trouble", func() bool { return e.State().Troubles[tt.about] != "" })
			for _, want := range tt.want {
				if got := e.State().Troubles[tt.about]; !strings.Contains(got, want) {
					t.Errorf("trouble %q does not say %q", got, want)
				}
			}
			if err := stream.Apply(t.Context(), js); err != nil {
				t.Fatal(err)
			}
			if err := last.Streamed(within(t)); err != nil {
				t.Fatal(err)
			}
			until(t, "the end of the trouble", func() bool { return len(e.State().Troubles) == 0 })
			e.close()
			all := onStream(t, js)
			if got := audit(t, all); len(got) != 1 || len(payloads(all)) != 50 {
				t.Errorf("%d epochs, %d payloads", len(got), len(payloads(all)))
			}
		})
	}
}

// A server with smaller limits than ours is learnt from.
func TestSmallerBatches(t *testing.T) {
	s := natstest.Run(t, func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = 7 })
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	e := start(t, t.TempDir(), nil) // fills the WAL first
	for i := range 200 {
		e.Emit(t.Context(), event("acme", fmt.Sprint("payload-", i)))
	}
	dir := e.cfg.Dir
	e.close()
	again := start(t, dir, s.Conn(t))
	again.close()
	all := onStream(t, js)
	audit(t, all)
	if len(payloads(all)) != 200 {
		t.Errorf("%d payloads on the stream, want 200", len(payloads(all)))
	}
}

// Watermarks resolve Stored and delete WAL files. What lies in the others is
// sent again by the next start, which takes nobody's word for what is on the
// stream.
func TestWatermarksTrim(t *testing.T) {
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
	e := start(t, dir, s.Conn(t), func(c *Config) { c.WALFileBytes = minFileBytes; c.Stores = []string{"lake", "warehouse"} })
	var receipts []Receipt
	for i := range 60 {
		r := e.Emit(t.Context(), event("acme", fmt.Sprint("payload-", i)))
		if err := r.Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	if err := receipts[59].Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	_, before := e.wal.size()
	at := receipts[29].group.places[receipts[29].index]
	put := func(store string, n int64) {
		if err := stream.PutWatermark(t.Context(), kv, stream.Watermark{Store: store, Epoch: at.epoch, Sequence: n}); err != nil {
			t.Fatal(err)
		}
	}
	put("lake", 61)
	put("warehouse", at.sequence)
	if err := receipts[29].Stored(within(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := receipts[30].Stored(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stored with one store behind: %v", err)
	}
	until(t, "trimming", func() bool { _, n := e.wal.size(); return n < before })
	e.close()
	was := len(onStream(t, js))
	_, left := readBack(t, dir)
	kept := map[string]bool{}
	for i := range left {
		kept[left[i].uid] = true
	}

	again := start(t, dir, s.Conn(t), func(c *Config) { c.Stores = []string{"lake", "warehouse"} })
	again.close()
	all := onStream(t, js)
	audit(t, all)
	for _, m := range all[was:] {
		delete(kept, m.MetadataUID)
	}
	if len(left) < 30 || len(kept) > 0 {
		t.Errorf("of %d events in the WAL, %d were not sent again", len(left), len(kept))
	}

	put("warehouse", 1<<40)
	put("lake", 1<<40)
	third := start(t, dir, s.Conn(t), func(c *Config) { c.Stores = []string{"lake", "warehouse"} })
	until(t, "everything trimmed", func() bool { _, n := third.wal.size(); return n == 1 })
	third.close()
}

func TestTrimByStream(t *testing.T) {
	s := natstest.Run(t)
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	e := start(t, t.TempDir(), s.Conn(t), func(c *Config) { c.WALFileBytes = minFileBytes; c.TrimBy = TrimByStream })
	var last Receipt
	for i := range 60 {
		last = e.Emit(t.Context(), event("acme", fmt.Sprint("payload-", i)))
		if err := last.Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := last.Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	until(t, "trimming", func() bool { _, n := e.wal.size(); return n <= 2 })
	e.close()
	if got := len(payloads(onStream(t, js))); got != 60 {
		t.Errorf("%d payloads on the stream", got)
	}
}

// A WAL that is nearly full gives up what JetStream has and says so; told to
// deny, it keeps everything, and events wait and are refused.
func TestWALFull(t *testing.T) {
	s := natstest.Run(t)
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	small := func(full WALFull) func(*Config) {
		return func(c *Config) {
			c.WALFileBytes, c.WALMaxBytes, c.QueueBytes, c.WALFull = minFileBytes, 40<<10, 20<<10, full
		}
	}
	t.Run("custody", func(t *testing.T) {
		e := start(t, t.TempDir(), s.Conn(t), small(WALFullCustody))
		for i := range 100 {
			if err := e.Emit(t.Context(), event("acme", fmt.Sprint("payload-", i))).Spooled(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		e.close()
		all := onStream(t, js)
		audit(t, all)
		stated := int64(0)
		for _, m := range all {
			if m.Kind == profile.KindLifecycle && strings.Contains(string(m.raw), `"custody":"stream"`) {
				stated++
			}
		}
		if stated == 0 || len(payloads(all)) != 100 {
			t.Errorf("custody was stated %d times; %d payloads", stated, len(payloads(all)))
		}
	})
	t.Run("deny", func(t *testing.T) {
		e := start(t, t.TempDir(), s.Conn(t), small(WALFullDeny))
		var refused error
		for i := 0; refused == nil; i++ {
			r := e.Emit(t.Context(), event("beta", fmt.Sprint("payload-", i)))
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			err := r.Spooled(ctx)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				refused = err
			}
		}
		if !errors.Is(refused, ErrBackpressure) {
			t.Errorf("refused with %v", refused)
		}
		if got := e.State().Troubles[troubleFull]; got == "" {
			t.Error("nobody is told that the WAL is full")
		}
		if bytes, _ := e.wal.size(); bytes > 40<<10 {
			t.Errorf("WAL of %d bytes", bytes)
		}
		e.close() // what was taken is written all the same
		found := false
		for _, m := range onStream(t, js) {
			found = found || m.Tenant == "beta" && strings.Contains(string(m.raw), `"reason":"wal_full"`)
		}
		if !found {
			t.Error("no gap finding states the refused event")
		}
	})
}

func TestRunAndCloseInAnyOrder(t *testing.T) {
	s := natstest.Run(t)
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	open := func() (*Emitter, Receipt) {
		e, err := New(Config{Dir: t.TempDir(), Name: "gateway-0", Conn: s.Conn(t)})
		if err != nil {
			t.Fatal(err)
		}
		return e, e.Emit(t.Context(), event("acme", "payload"))
	}
	t.Run("never run", func(t *testing.T) {
		e, r := open()
		if err := e.Close(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := r.Streamed(t.Context()); err != nil {
			t.Error(err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("second close: %v", err)
		}
		if err := e.Run(t.Context()); err != nil {
			t.Errorf("run after close: %v", err)
		}
	})
	t.Run("run ended before", func(t *testing.T) {
		e, _ := open()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Run(ctx); err != nil {
			t.Fatal(err)
		}
		r := e.Emit(t.Context(), event("acme", "payload"))
		if err := e.Close(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := r.Streamed(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("no server", func(t *testing.T) {
		nc, err := nats.Connect("nats://127.0.0.1:1", nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		e, err := New(Config{Dir: t.TempDir(), Name: "gateway-0", Conn: nc})
		if err != nil {
			t.Fatal(err)
		}
		r := e.Emit(t.Context(), event("acme", "payload"))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close without a server: %v", err)
		}
		if err := r.Spooled(t.Context()); err != nil {
			t.Errorf("spooled: %v", err)
		}
	})
}
