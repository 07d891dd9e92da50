// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// A rig is a NATS server with the stream, a lake, a collector that fills it when
// it is started, and a hub.
type rig struct {
	t    testing.TB
	nats *natstest.Server
	js   jetstream.JetStream
	lake *lake.Lake

	hub     atomic.Pointer[Hub] // the one that runs
	stopHub func()
}

func newRig(t testing.TB, opts ...natstest.Option) *rig {
	t.Helper()
	s := natstest.Run(t, opts...)
	js, err := jetstream.New(s.Conn(t), jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	l, err := lake.Open(t.TempDir(), lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{t: t, nats: s, js: js, lake: l}
}

// unsynced is for tests of many events: what a power cut does is not their
// matter.
func unsynced(o *server.Options) { o.SyncAlways = false }

// follow starts a hub, in the place of the one that runs.
func (r *rig) follow(change ...func(*Config)) *Hub {
	r.t.Helper()
	if r.stopHub != nil {
		r.stopHub()
	}
	js := r.nats.JetStream(r.t)
	cfg := Config{
		ID: "lake", Store: r.lake, Commits: func() uint64 { return r.lake.Manifest().Number }, JetStream: js,
		Poll: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(r.t.Output(), nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.stopHub = r.run(h.Run)
	r.hub.Store(h)
	return h
}

// run runs something until the function that it returns is called, or the test
// ends.
func (r *rig) run(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(stop)
	return stop
}

// collect starts a collector.
func (r *rig) collect(change ...func(*collector.Config)) (c *collector.Collector, stop func()) {
	r.t.Helper()
	cfg := collector.Config{JetStream: r.nats.JetStream(r.t), Store: r.lake, FlushEvery: 50 * time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	c, err := collector.New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return c, r.run(c.Run)
}

func msgOf(e *store.Entry) *nats.Msg {
	m := messageOf(e)
	return &nats.Msg{Subject: m.Subject, Data: m.Data, Header: m.Headers}
}

// publish sends events as an emitter does, but one by one, and each until it is
// on the stream: where an answer is lost, twice.
func (r *rig) publish(entries ...store.Entry) {
	for i := range entries {
		for {
			ctx, done := context.WithTimeout(r.t.Context(), time.Second)
			_, err := r.js.PublishMsg(ctx, msgOf(&entries[i]))
			done()
			if err == nil {
				break
			}
			if r.t.Context().Err() != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // until NATS is back; nothing waits for this to pass
		}
	}
}

// drained waits until all that is on the stream is stored.
func (r *rig) drained(c *collector.Collector) {
	r.t.Helper()
	ctx, done := context.WithTimeout(r.t.Context(), time.Minute)
	defer done()
	if err := c.Drain(ctx); err != nil {
		r.t.Fatal(err)
	}
}

// A crowd publishes numbered events of a few epochs and knows them again.
type crowd struct {
	epochs []*storetest.Epoch
	index  map[string]int // of epochs, by uid
}

func newCrowd(t testing.TB, epochs int) *crowd {
	c := &crowd{index: make(map[string]int)}
	for i := range epochs {
		e := storetest.NewEpoch(t, []string{"acme", "beta"}[i%2], "gateway-"+strconv.Itoa(i))
		c.index[e.UID] = i
		c.epochs = append(c.epochs, e)
	}
	return c
}

// next makes the next event, of the epochs in turn.
func (c *crowd) next(n int) store.Entry {
	return c.epochs[n%len(c.epochs)].API(profile.KindOutcome, storetest.NewUID(), "")
}

// A reader is a subscriber that counts what it is given, and comes back with the
// token of the last item when the hub stops, when it leaves, or when it missed
// something.
type reader struct {
	r     *rig
	crowd *crowd
	opts  Options
	want  int // events
	leave int // comes back after so many events; 0 never
	hold  func()

	begun  chan struct{} // closed when it has its first position
	got    [][]uint8     // by epoch and sequence
	events int
	missed []Missed
	back   int // how often it came back
}

func (r *rig) reader(c *crowd, want int, opts Options) *reader {
	opts.View = everything(r.t)
	rd := &reader{r: r, crowd: c, opts: opts, want: want, begun: make(chan struct{}), got: make([][]uint8, len(c.epochs))}
	for i := range rd.got {
		rd.got[i] = make([]uint8, want+2)
	}
	return rd
}

// read reads until it has all that it wants.
func (d *reader) read(ctx context.Context) error {
	begun := sync.OnceFunc(func() { close(d.begun) })
	token := ""
	for d.events < d.want {
		opts := d.opts
		if token != "" {
			opts = Options{View: opts.View, After: token, Whole: opts.Whole, Events: opts.Events}
		}
		since := 0
	items:
		for item, err := range d.r.hub.Load().Follow(ctx, opts) {
			switch {
			case errors.Is(err, ErrStopped):
				break items
			case err != nil:
				return err
			case item.Entry != nil:
				if err := d.take(item.Entry); err != nil {
					return err
				}
				since++
				if d.hold != nil {
					d.hold()
				}
			case item.Missed != nil:
				d.missed = append(d.missed, *item.Missed)
				token = item.Missed.From
				break items
			}
			token = item.Token()
			begun()
			if d.events == d.want || d.leave > 0 && since >= d.leave {
				break
			}
		}
		d.back++
	}
	return nil
}

func (d *reader) take(e *store.Entry) error {
	i, ok := d.crowd.index[e.Header.Epoch]
	if !ok {
		return errors.New("an event of a foreign epoch")
	}
	if d.got[i][e.Header.Sequence]++; d.got[i][e.Header.Sequence] > 1 {
		return errors.New("sequence " + strconv.FormatInt(e.Header.Sequence, 10) + " of epoch " + strconv.Itoa(i) + " came twice")
	}
	d.events++
	return nil
}
