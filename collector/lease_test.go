// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

const testTTL = 3 * time.Second

func newLease(t *testing.T, js jetstream.JetStream, holder string, c *clock) *Lease {
	t.Helper()
	l, err := NewLease(LeaseConfig{
		JetStream: js, Holder: holder, ID: "id of " + holder, TTL: testTTL, Now: c.Now, poll: 2 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// waiting asks for a lease aside.
type waiting struct {
	got    chan *Held
	cancel context.CancelFunc
	wait   func()
}

func acquire(t *testing.T, l *Lease, above uint64) *waiting {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &waiting{got: make(chan *Held, 1), cancel: cancel}
	var wg sync.WaitGroup
	wg.Go(func() {
		if h, err := l.Acquire(ctx, above); err == nil {
			w.got <- h
		} else if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	w.wait = func() {
		cancel()
		wg.Wait()
		select {
		case h := <-w.got:
			h.Release()
		default:
		}
	}
	t.Cleanup(w.wait)
	return w
}

func (w *waiting) held(t *testing.T) *Held {
	t.Helper()
	select {
	case h := <-w.got:
		t.Cleanup(h.Release)
		return h
	case <-time.After(time.Minute):
		t.Fatal("the lease was not had within a minute")
		return nil
	}
}

// stands reports whether somebody who waits sees who has the lease.
func stands(t *testing.T, l *Lease, behind string) {
	t.Helper()
	eventually(t, "standing by for "+behind, func() bool {
		s := l.Status()
		return s.State == LeaseStandby && s.Holder == behind && s.Error == ""
	})
}

func TestLeaseChangesHands(t *testing.T) {
	js := natstest.Run(t).JetStream(t) // without the bucket, which is made
	ca, cb := newClock(), newClock()
	a, b := newLease(t, js, "a", ca), newLease(t, js, "b", cb)
	cb.move(-40 * time.Hour) // no two clocks need agree

	ha := acquire(t, a, 0).held(t)
	if ha.Fence != 1 || ha.Lost() {
		t.Errorf("the first holder: fence %d, lost %v", ha.Fence, ha.Lost())
	}
	wb := acquire(t, b, 0)
	stands(t, b, "a")

	// It is renewed as its holder's clock goes on, so that others see no end.
	kv, err := stream.LeaseBucket(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	revision := func() uint64 {
		l, err := stream.GetLease(t.Context(), kv, "lake")
		if err != nil {
			t.Fatal(err)
		}
		return l.Revision
	}
	for range 5 {
		was := revision()
		ca.move(testTTL / 2)
		eventually(t, "a renewal", func() bool { return revision() > was })
		cb.move(testTTL / 2)
		eventually(t, "the renewal being seen", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.status.State == LeaseStandby
		})
	}
	// Given back, it is taken at once, with a higher fence.
	ha.Release()
	hb := wb.held(t)
	if hb.Fence != 2 || ha.Context().Err() == nil {
		t.Errorf("the second holder has fence %d; the first goes on: %v", hb.Fence, ha.Context().Err() == nil)
	}
	if s := b.Status(); s.State != LeaseActive || s.Holder != "b" || s.Fence != 2 {
		t.Errorf("status %+v", s)
	}

	// The holder falls silent: its clock stands still, others' do not.
	wa := acquire(t, a, 17)
	stands(t, a, "b")
	ca.move(testTTL)
	ha = wa.held(t)
	if ha.Fence != 18 {
		t.Errorf("fence %d, the store has seen 17", ha.Fence)
	}
	// It is told when it wants to renew.
	cb.move(testTTL / 2)
	<-hb.Context().Done()
	if err := context.Cause(hb.Context()); !errors.Is(err, ErrLeaseLost) || !hb.Lost() {
		t.Errorf("the overtaken one: %v", err)
	}
	if s := b.Status(); s.State != LeaseStandby {
		t.Errorf("status of the overtaken one: %+v", s)
	}
	hb.Release() // gives back nothing
	if ha.Lost() || ha.Context().Err() != nil {
		t.Error("the lease was taken from its holder")
	}
}

// A holder that was stopped knows by its own clock that its time is over, before
// it asks anybody.
func TestLeaseEndsByTheHoldersClock(t *testing.T) {
	js := natstest.Run(t).JetStream(t)
	c := newClock()
	h := acquire(t, newLease(t, js, "a", c), 0).held(t)
	c.move(testTTL)
	if !h.Lost() {
		t.Error("it goes on beyond its end")
	}
	<-h.Context().Done()
	if err := context.Cause(h.Context()); !errors.Is(err, ErrLeaseLost) {
		t.Error(err)
	}
}

// A process that was killed takes its lease back without waiting for its end.
func TestLeaseAfterARestart(t *testing.T) {
	js := natstest.Run(t).JetStream(t)
	c := newClock()
	killed := newLease(t, js, "a", c)
	_ = acquire(t, killed, 0).held(t)
	h := acquire(t, newLease(t, js, "a", c), 0).held(t)
	if h.Fence != 2 {
		t.Errorf("fence %d", h.Fence)
	}
	// Whoever has overtaken it meanwhile keeps it.
	w := acquire(t, killed, 0)
	stands(t, killed, "a")
	select {
	case h := <-w.got:
		t.Errorf("it took the lease back a second time, fence %d", h.Fence)
		h.Release()
	default:
	}
}

// The bucket is deleted under the holder: it ends, and whoever is next makes it
// anew, with a fence above what the store has seen.
func TestLeaseBucketDeleted(t *testing.T) {
	js := natstest.Run(t).JetStream(t)
	ca, cb := newClock(), newClock()
	a, b := newLease(t, js, "a", ca), newLease(t, js, "b", cb)
	h := acquire(t, a, 4).held(t)
	w := acquire(t, b, 5)
	stands(t, b, "a")
	if err := js.DeleteKeyValue(t.Context(), stream.Declared().Leases.Bucket); err != nil {
		t.Fatal(err)
	}
	hb := w.held(t) // which sees no lease
	if hb.Fence != 6 {
		t.Errorf("fence %d, want one above the store's", hb.Fence)
	}
	// Both leases have revision 1, each in its bucket. The old holder renews
	// nothing, and is at its end.
	ca.move(testTTL / 2)
	eventually(t, "looking in vain", func() bool { return a.Status().Error != "" })
	ca.move(testTTL / 2)
	<-h.Context().Done()
	if cb.move(testTTL / 2); hb.Lost() {
		t.Error("the new holder has lost it, too")
	}
	eventually(t, "renewal", func() bool {
		cb.move(testTTL / 3)
		return !hb.Lost() && hb.ends.Load().After(cb.Now().Add(testTTL/2))
	})
}

// A lease that cannot be read may be somebody's: it is waited for.
func TestLeaseUnreadable(t *testing.T) {
	js := natstest.Run(t).JetStream(t)
	if err := stream.ApplyLeases(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	kv, err := stream.LeaseBucket(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "lake", "nonsense"); err != nil {
		t.Fatal(err)
	}
	c := newClock()
	l := newLease(t, js, "a", c)
	w := acquire(t, l, 0)
	stands(t, l, "")
	select {
	case <-w.got:
		t.Fatal("it was taken at once")
	default:
	}
	eventually(t, "taking it over", func() bool {
		c.move(testTTL / 3)
		return len(w.got) == 1 // the clock may be past it again before anybody looks
	})
}

// NATS is away for longer than the lease: it is lost, and had again later.
func TestLeaseWithoutNATS(t *testing.T) {
	s := natstest.Run(t)
	c := newClock()
	l := newLease(t, s.JetStream(t), "a", c)
	h := acquire(t, l, 0).held(t)
	s.Stop()
	eventually(t, "losing it", func() bool {
		c.move(testTTL / 3)
		return h.Context().Err() != nil
	})
	h.Release()
	w := acquire(t, l, 0)
	eventually(t, "an error", func() bool { return l.Status().Error != "" })
	s.Start()
	eventually(t, "having it again", func() bool {
		c.move(testTTL / 3)
		return len(w.got) == 1
	})
	if h := w.held(t); h.Fence != 2 {
		t.Errorf("fence %d", h.Fence)
	}
}

func TestLeaseConfig(t *testing.T) {
	js := natstest.Run(t).JetStream(t)
	for name, cfg := range map[string]LeaseConfig{
		"no JetStream": {}, "negative": {JetStream: js, TTL: -1}, "too short": {JetStream: js, TTL: time.Millisecond},
	} {
		if _, err := NewLease(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	l, err := NewLease(LeaseConfig{JetStream: js})
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"of another store": {JetStream: js, Store: &broken{}, Name: "other", Lease: l},
		"and a fence":      {JetStream: js, Store: &broken{}, Lease: l, Fence: 1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
