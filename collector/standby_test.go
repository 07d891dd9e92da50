// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// A shift is a collector that shares the directory of its store with others: it
// opens the store when it has the lease, and closes it before it gives it back.
type shift struct {
	lease *Lease
	clock *clock
	stop  func()
}

// shift starts one.
func (r *rig) shift(name string, ledger Ledger) *shift {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &shift{clock: newClock()}
	s.lease = newLease(r.t, r.js, name, s.clock)
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := r.turn(ctx, s.lease, ledger); err != nil && ctx.Err() == nil {
				r.t.Error(name, err)
				return
			}
		}
	})
	s.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	r.t.Cleanup(s.stop)
	return s
}

// turn fills the store for as long as the lease is had once.
func (r *rig) turn(ctx context.Context, l *Lease, ledger Ledger) error {
	held, err := l.Acquire(ctx, 0)
	if err != nil {
		return err
	}
	defer held.Release()
	var lk *lake.Lake
	for {
		// The one before may still be at it: its lock outlasts its lease.
		if lk, err = lake.Open(r.dir+"/lake", lake.Options{}); err == nil {
			break
		}
		if !errors.Is(err, lake.ErrLocked) {
			return err
		}
		select {
		case <-held.Context().Done():
			return nil
		case <-time.After(time.Millisecond):
		}
	}
	c, err := New(Config{
		JetStream: r.js, Store: lk, Ledger: ledger, DataDir: r.dir, Fence: held.Fence, FlushEvery: time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(r.t.Output(), nil)),
	})
	if err == nil {
		err = c.Run(held.Context())
	}
	return errors.Join(err, lk.Close())
}

// manifestOf reads what the lake of a directory has; nil when there is none.
func manifestOf(dir string) *lake.Manifest {
	reader, err := lake.OpenReader(dir + "/lake")
	if err != nil {
		return nil
	}
	defer reader.Close()
	return reader.Manifest()
}

// The store changes hands under load, by stops and by lost leases: nothing is
// stored twice, nothing is missing.
func TestTakeoverUnderLoad(t *testing.T) {
	r := newRig(t)
	var b book
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := []store.Entry{e.Start()}
	r.publish(sent...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var load sync.WaitGroup
	load.Go(func() {
		for ctx.Err() == nil {
			more := e.Operation()
			r.publish(more...)
			sent = append(sent, more...)
		}
	})
	names := []string{"a", "b"}
	now, other := r.shift("a", &b), r.shift("b", &b)
	active := func(s *shift) {
		t.Helper()
		eventually(t, "a takeover", func() bool { return s.lease.Status().State == LeaseActive })
	}
	commits := func() uint64 {
		m := manifestOf(r.dir)
		if m == nil {
			return 0
		}
		return m.Number
	}
	if eventually(t, "somebody", func() bool {
		return now.lease.Status().State == LeaseActive || other.lease.Status().State == LeaseActive
	}); other.lease.Status().State == LeaseActive {
		now, other, names[0], names[1] = other, now, "b", "a"
	}
	for i := range 8 {
		was := commits()
		eventually(t, "commits", func() bool { return commits() > was+2 })
		eventually(t, "standing by", func() bool { return other.lease.Status().Holder == names[0] })
		if i%2 == 0 {
			now.stop()
			active(other)
			now = r.shift(names[0], &b)
		} else {
			now.clock.move(testTTL)
			other.clock.move(testTTL)
			active(other)
		}
		now, other, names[0], names[1] = other, now, names[1], names[0]
	}
	cancel()
	load.Wait()
	last := e.Stop()
	r.publish(last)
	sent = append(sent, last)
	eventually(t, "the last event", func() bool {
		m := manifestOf(r.dir)
		return m != nil && m.Epochs[e.UID].Closed != nil && m.Rows() == int64(len(sent))
	})
	now.stop()
	other.stop()
	r.wantExactly(sent)
	if f := manifestOf(r.dir).Fence; f < 9 {
		t.Errorf("after eight takeovers the fence is %d", f)
	}
	n := 0
	for range lake.Statements(r.dir+"/lake", 1) {
		n++
	}
	if len(b.leaves) != n {
		t.Errorf("%d leaves, %d statements", len(b.leaves), n)
	}
}

// alone starts a collector with a store of its own, which takes turns with
// others.
func (r *rig) alone(name, dir string, c *clock) *running {
	r.t.Helper()
	own := &rig{t: r.t, nats: r.nats, js: r.js, dir: dir}
	return own.start(func(cfg *Config) {
		cfg.Lease = newLease(r.t, r.js, name, c)
	})
}

// Each has a disk of its own: who stands by goes on from where its own store has
// come to, by the stream.
func TestStandbyWithItsOwnStore(t *testing.T) {
	r := newRig(t)
	dirs := map[string]string{"a": filepath.Join(t.TempDir(), "a"), "b": filepath.Join(t.TempDir(), "b")}
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(sent...)
	state := func(run *running, state, holder string) {
		t.Helper()
		eventually(t, state, func() bool {
			s := run.Status()
			return s.Connected && s.Lease != nil && s.Lease.State == state && s.Lease.Holder == holder
		})
	}
	has := func(dir string, want int) {
		t.Helper()
		eventually(t, "storing", func() bool {
			m := manifestOf(dir)
			return m != nil && m.Rows() == int64(want)
		})
	}
	ca, cb := newClock(), newClock()
	a := r.alone("a", dirs["a"], ca)
	state(a, LeaseActive, "a")
	b := r.alone("b", dirs["b"], cb)
	state(b, LeaseStandby, "a")
	has(dirs["a"], len(sent))
	has(dirs["b"], 0)
	r.drained(b) // has nothing to do

	// The holder is silent, and by its own clock has lost it.
	ca.move(testTTL)
	cb.move(testTTL)
	state(b, LeaseActive, "b")
	state(a, LeaseStandby, "b")
	more := e.Operation()
	r.publish(more...)
	sent = append(sent, more...)
	has(dirs["b"], len(sent))
	has(dirs["a"], len(sent)-len(more))

	// And back, by a stop.
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	state(a, LeaseActive, "a")
	last := e.Stop()
	r.publish(last)
	sent = append(sent, last)
	r.drained(a)
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	r.dir = dirs["a"]
	r.wantExactly(sent)
	// A collector without a lease goes on where those with one have ended.
	r.publish(e.API("outcome", storetest.NewUID(), ""))
	run := r.start()
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
}
