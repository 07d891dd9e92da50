// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// A world is a cluster and all that works over it.
type world struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // of the round that is under way
	next    context.CancelFunc
	cluster *natstest.Cluster
	js      jetstream.JetStream // of who looks on
	roads   []*road
	running sync.WaitGroup
	end     []func() // what ends each part, last first
}

// A road is a stream, the emitters that are assigned to it, and the store that is
// filled from it.
type road struct {
	name    string
	sources []*source
	own     *source // the emitter of the collectors, for what they find
	store   *memory.Store
	read    store.Cursor   // up to where the store was judged
	stored  map[string]int // events by uid
}

// A source is an emitter under load.
type source struct {
	name string
	home string // the server that it begins at
	conn *nats.Conn
	em   *emitter.Emitter
	gate sync.RWMutex // held for writing, nobody emits

	mu    sync.Mutex
	acked []string        // uids of what was durable, since the last look; guarded by mu
	last  emitter.Receipt // of what was offered last; guarded by mu
}

const ttl = 2 * time.Second // of leases

// newWorld starts a cluster with two streams. Each has two emitters, one whose WAL
// outlasts what the stores have and one that gives up what JetStream acknowledged,
// and two collectors, of which one stands by. Each of them begins at another server.
func newWorld(t *testing.T, opts ...natstest.ClusterOption) *world {
	w := &world{t: t, cluster: natstest.RunCluster(t, opts...)}
	w.ctx, w.next = w.patience(nil)
	w.js = w.cluster.JetStream(t)
	for i, name := range []string{"DOCKET", "EU"} {
		r := &road{name: name, store: memory.New(memory.Options{}), stored: make(map[string]int)}
		w.roads = append(w.roads, r)
		emitters := []string{name + "-gateway-0", name + "-gateway-1", name + "-collector"}
		w.apply(name, emitters)
		for k, emitter := range emitters {
			s := w.source(r, emitter, 3*i+k, k == 1)
			if k == 2 {
				r.own = s
				continue
			}
			r.sources = append(r.sources, s)
			w.load(s)
		}
		for k := range 2 {
			w.collect(r, i+k)
		}
	}
	return w
}

// apply makes a stream as soon as the servers can.
func (w *world) apply(name string, emitters []string) {
	w.t.Helper()
	opts := []stream.Option{stream.Name(name), stream.Replicas(natstest.Nodes), stream.MaxBytes(1 << 30), stream.Emitters(emitters...)}
	for {
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		err := stream.Apply(ctx, w.js, opts...)
		if err == nil {
			err = stream.Check(ctx, w.js, opts...)
		}
		cancel()
		if err == nil {
			return
		}
		if w.ctx.Err() != nil {
			w.t.Fatal(err)
		}
	}
}

// source starts an emitter that is connected to the first-th server, as long as
// that is there.
func (w *world) source(r *road, name string, first int, forgets bool) *source {
	w.t.Helper()
	s := &source{name: name, home: w.cluster.Nodes()[first%natstest.Nodes].URL(), conn: w.cluster.Conn(w.t, first%natstest.Nodes, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))}
	cfg := emitter.Config{
		Dir: w.t.TempDir(), Name: name, Conn: s.conn, Stream: r.name, Replicas: natstest.Nodes, WALFileBytes: 64 << 10,
		Logger: w.logger(name),
	}
	if forgets {
		// What JetStream loses of its events nobody has.
		cfg.TrimBy = emitter.TrimByStream
	}
	var err error
	if s.em, err = emitter.New(cfg); err != nil {
		w.t.Fatal(err)
	}
	w.run(name, s.em.Run)
	w.end = append(w.end, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), time.Minute)
		defer cancel()
		if err := s.em.Close(ctx); err != nil {
			w.t.Errorf("close %s: %v", name, err)
		}
	})
	return s
}

func (w *world) logger(name string) *slog.Logger {
	if !testing.Verbose() {
		return nil
	}
	return slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelError})).With("of", name)
}

// run has a part run until the world ends.
func (w *world) run(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.ctx))
	w.running.Go(func() {
		if err := run(ctx); err != nil && ctx.Err() == nil {
			w.t.Errorf("%s: %v", name, err)
		}
	})
	w.end = append(w.end, cancel)
}

// collect starts a collector, which shares the store with the other one of its
// stream.
func (w *world) collect(r *road, first int) {
	w.t.Helper()
	name := fmt.Sprintf("%s-collector at nats-%d", r.name, first%natstest.Nodes+1)
	conn := w.cluster.Conn(w.t, first%natstest.Nodes, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	js, err := jetstream.New(conn)
	if err != nil {
		w.t.Fatal(err)
	}
	lease, err := collector.NewLease(collector.LeaseConfig{JetStream: js, Stream: r.name, Replicas: natstest.Nodes, Holder: name, TTL: ttl, Logger: w.logger(name)})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := collector.New(collector.Config{
		JetStream: js, Stream: r.name, Replicas: natstest.Nodes, Store: r.store, Lease: lease, FlushEvery: 50 * time.Millisecond,
		Findings: func(ctx context.Context, e ocsf.Event) { r.own.em.Emit(ctx, e) }, Emitter: r.own.name, Logger: w.logger(name),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.run(name, c.Run)
}

// load has two callers offer events to s, in groups, each after the last one is
// durable.
func (w *world) load(s *source) {
	for range 2 {
		w.run("caller of "+s.name, func(ctx context.Context) error {
			pause := time.NewTicker(40 * time.Millisecond) // more events would only make more to judge
			defer pause.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return nil
				case <-pause.C:
				}
				s.gate.RLock()
				s.emit(ctx, 1+n%4)
				s.gate.RUnlock()
			}
		})
	}
}

// emit offers n events, waits until they are durable, and returns the receipt of
// the last one.
func (s *source) emit(ctx context.Context, n int) emitter.Receipt {
	var receipts []emitter.Receipt
	var uids []string
	for range n {
		uid := uuid.Must(uuid.NewV7()).String()
		uids = append(uids, uid)
		receipts = append(receipts, s.em.Emit(ctx, &ocsf.ApplicationLifecycle{
			ActivityID: ocsf.ApplicationLifecycleOther,
			Base: ocsf.Base{
				ActivityName: "Test", Time: time.Now().UnixMilli(), SeverityID: ocsf.SeverityInformational,
				Message:  strings.Repeat("as long as an event of an operation is. ", 20),
				Metadata: ocsf.Metadata{UID: uid, EventCode: profile.KindLifecycle, TenantUID: "acme"},
			},
		}))
	}
	for i, r := range receipts {
		if r.Spooled(ctx) != nil {
			uids = uids[:i] // not acknowledged
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = append(s.acked, uids...)
	s.last = receipts[len(receipts)-1]
	return s.last
}

// sources returns the emitters under load.
func (w *world) sources() (all []*source) {
	for _, r := range w.roads {
		all = append(all, r.sources...)
	}
	return all
}

// home has each emitter connect to the server that it began at, from which earlier
// faults drove it: else all of them would be at one in the end.
func (w *world) home() {
	w.t.Helper()
	for _, s := range w.sources() {
		for s.conn.ConnectedUrl() != s.home {
			changes := s.conn.StatusChanged(nats.CONNECTED)
			if err := s.conn.ForceReconnect(); err != nil {
				w.t.Fatalf("%s: %v", s.name, err)
			}
			select {
			case <-changes:
			case <-w.ctx.Done():
				w.t.Fatalf("%s finds no server", s.name)
			}
			s.conn.RemoveStatusListener(changes)
		}
	}
}

// stop ends all parts, the newest first.
func (w *world) stop() {
	for i := len(w.end) - 1; i >= 0; i-- {
		w.end[i]()
	}
	w.running.Wait()
	w.next()
}

// judge stops the load for a moment, waits until all that was acknowledged is
// stored and the emitters know it, and holds the stores against it. It says how many
// events there are, and how long that took.
func (w *world) judge() string {
	w.t.Helper()
	for _, s := range w.sources() {
		s.gate.Lock()
		defer s.gate.Unlock()
	}
	begun := time.Now()
	for _, r := range w.roads {
		r.settle(w)
	}
	balanced := time.Since(begun)
	events := 0
	for _, r := range w.roads {
		for _, s := range r.sources {
			if err := s.last.Stored(w.ctx); err != nil {
				w.t.Fatalf("%s: its last event is not stored: %v; troubles: %v", s.name, err, s.em.State().Troubles)
			}
		}
		r.look(w)
		for _, s := range r.sources {
			r.balance(w, s)
		}
		events += len(r.stored)
	}
	return fmt.Sprintf("%d events, balanced %s after the last one, which emitters knew after %s", events, short(balanced), short(time.Since(begun)))
}

// settle waits until the store has every sequence that its emitters have given.
func (r *road) settle(w *world) {
	w.t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for _, s := range r.sources {
		for epoch, n := range s.em.State().Epochs {
			for {
				if e := r.store.Epoch(epoch); e != nil && e.Stored.Count() >= n {
					break
				}
				select {
				case <-look.C:
				case <-w.ctx.Done():
					w.t.Fatalf("%s: epoch %s is not stored up to %d: %+v", s.name, epoch, n, r.store.Epoch(epoch))
				}
			}
		}
	}
}

// look reads what was stored since the last time. Nothing is there twice, nothing is
// lost, and nothing was found that happened to the stream.
func (r *road) look(w *world) {
	w.t.Helper()
	for e, err := range r.store.Scan(w.ctx, store.Query{After: r.read}) {
		if err != nil {
			w.t.Fatal(err)
		}
		r.read = store.Cursor{Commit: e.Commit, Pos: e.Pos}
		if r.stored[e.Header.MetadataUID]++; r.stored[e.Header.MetadataUID] > 1 {
			w.t.Errorf("%s: event %s is stored %d times", r.name, e.Header.MetadataUID, r.stored[e.Header.MetadataUID])
		}
		if e.Header.Emitter == r.own.name && !strings.Contains(string(e.Raw), `"lifecycle":"start"`) {
			w.t.Errorf("%s: the collector found %.2000s", r.name, e.Raw)
		}
	}
	for q, err := range r.store.Quarantined(w.ctx) {
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Errorf("%s: in quarantine: %s", r.name, q.Reason)
	}
	for _, s := range r.sources {
		s.mu.Lock()
		lost := 0
		for _, uid := range s.acked {
			if r.stored[uid] != 1 {
				lost++
			}
		}
		if lost > 0 {
			w.t.Errorf("%s: of %d acknowledged events %d are not stored", s.name, len(s.acked), lost)
		}
		s.acked = nil
		s.mu.Unlock()
	}
}

// balance is the law of conservation, of an emitter that nobody offers anything.
func (r *road) balance(w *world, s *source) {
	w.t.Helper()
	state := s.em.State()
	if state.Offered != state.Sequenced+state.Declared || state.Spooled != state.Sequenced+state.Own || state.Refused > 0 {
		w.t.Errorf("%s does not balance: %+v", s.name, state)
	}
	for epoch, n := range state.Epochs {
		a := collector.Account(epoch, r.store.Epoch(epoch), nil)
		if a.Sequenced != n || a.Stored != n || a.Quarantined+a.Missing+a.InFlight+a.Conflicts != 0 {
			w.t.Errorf("%s: of %d sequenced in epoch %s the store accounts for %+v", s.name, n, epoch, a)
		}
	}
	if state.Resent > 0 {
		// Nothing was deleted: JetStream, or the collector, was without what it had.
		w.t.Errorf("%s was asked for %d events again", s.name, state.Resent)
	}
}

// retries says how often each emitter went back to what was not acknowledged.
func (w *world) retries() string {
	var said []string
	for _, s := range w.sources() {
		said = append(said, fmt.Sprint(s.em.State().Retries))
	}
	return "retries " + strings.Join(said, " ")
}
