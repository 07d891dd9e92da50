// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"slices"
	"testing"

	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// items follows until the test ends, and gives the items one by one.
func (r *rig) items(o Options) <-chan Item {
	r.t.Helper()
	o.View = everything(r.t)
	ctx, cancel := context.WithCancel(context.Background())
	items, done := make(chan Item), make(chan struct{})
	h := r.hub.Load()
	go func() {
		defer close(done)
		defer close(items)
		for i, err := range h.Follow(ctx, o) {
			if err != nil {
				return
			}
			select {
			case items <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	r.t.Cleanup(func() {
		cancel()
		<-done
	})
	return items
}

// live waits until a follower is told that events are shown as they come, or
// that they are not.
func live(t *testing.T, items <-chan Item, want Position) {
	t.Helper()
	for i := range items {
		if i.Position != nil && *i.Position == want {
			return
		}
		if i.Entry != nil {
			t.Fatalf("an event: %+v", i.Entry.Header)
		}
	}
}

// given takes the next events.
func given(items <-chan Item, n int) (list []store.Entry) {
	for i := range items {
		if i.Entry != nil {
			if list = append(list, *i.Entry); len(list) == n {
				break
			}
		}
	}
	return list
}

// Events are shown before anything stores them, what is no event of its sender is
// not, and when they are stored they are not shown again.
func TestLive(t *testing.T) {
	r := newRig(t)
	h := r.follow()
	items := r.items(Options{})
	live(t, items, Position{Live: true})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	forger := storetest.NewEpoch(t, "acme", "forger")
	forger.UID = e.UID
	one := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(one[0], forger.Start(), one[0], one[1], one[2], one[3])
	if got := given(items, 4); !slices.Equal(uidsOf(got...), uidsOf(one...)) || got[0].Commit != 0 || got[0].StreamSeq != 1 || got[3].StreamSeq != 6 {
		t.Errorf("given %v", got)
	}
	if n := r.lake.Manifest().Number; n != 0 {
		t.Fatalf("there are %d commits", n)
	}
	c, stop := r.collect()
	r.drained(c)
	r.settled()
	more := e.Operation()
	r.publish(more...)
	if got := given(items, 3); !slices.Equal(uidsOf(got...), uidsOf(more...)) {
		t.Errorf("then %v", uidsOf(got...))
	}
	r.drained(c)
	r.settled()
	eventually(t, "an empty window", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.window) == 0 && h.runs == 0
	})
	stop()
}

// Without NATS events are shown when they are stored, and subscribers are told
// so. What was stored meanwhile, and is gone from the stream, is not lost.
func TestDisconnected(t *testing.T) {
	r := newRig(t)
	r.follow()
	items := r.items(Options{})
	live(t, items, Position{Live: true})
	r.nats.Stop()
	live(t, items, Position{Reason: ReasonDisconnected})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	one := e.Start()
	if _, err := r.lake.Commit(t.Context(), store.Batch{Entries: []store.Entry{one}}); err != nil {
		t.Fatal(err)
	}
	if got := given(items, 1); got[0].Header.MetadataUID != one.Header.MetadataUID || got[0].Commit != 1 {
		t.Errorf("given %+v", got)
	}
	r.nats.Start()
	live(t, items, Position{Live: true})
	two := e.Operation()
	r.publish(one) // once more
	r.publish(two...)
	if got := given(items, 3); !slices.Equal(uidsOf(got...), uidsOf(two...)) {
		t.Errorf("given %v", uidsOf(got...))
	}
}

// A stream that was made anew counts from 1 again, and its emitters send again
// what is not stored.
func TestStreamMadeAnew(t *testing.T) {
	r := newRig(t)
	r.follow()
	items := r.items(Options{})
	live(t, items, Position{Live: true})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	one := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(one...)
	given(items, 4)
	if err := r.js.DeleteStream(t.Context(), "DOCKET"); err != nil {
		t.Fatal(err)
	}
	live(t, items, Position{Reason: ReasonFailing})
	if err := stream.Apply(t.Context(), r.js); err != nil {
		t.Fatal(err)
	}
	live(t, items, Position{Live: true})
	two := e.Operation()
	r.publish(one[2:]...)
	r.publish(two...)
	if got := given(items, 3); !slices.Equal(uidsOf(got...), uidsOf(two...)) {
		t.Errorf("given %v", uidsOf(got...))
	}
	c, stop := r.collect()
	r.drained(c)
	r.settled()
	r.publish(one[:2]...)
	last := e.Stop()
	r.publish(last)
	if got := given(items, 1); !slices.Equal(uidsOf(got...), uidsOf(last)) {
		t.Errorf("given %v", uidsOf(got...))
	}
	stop()
}

// Where more is not stored than the hub can keep, it waits for the store, and
// says so.
func TestBehind(t *testing.T) {
	r := newRig(t, unsynced)
	r.follow(func(c *Config) { c.Events = 10 })
	c := newCrowd(t, 2)
	d := r.reader(c, 300, Options{Whole: true})
	watched := r.items(Options{Whole: true, Filter: filterOf(t, `kind == "nothing"`)})
	live(t, watched, Position{Live: true})
	done := make(chan error, 1)
	go func() { done <- d.read(t.Context()) }()
	<-d.begun
	for n := range 300 {
		r.publish(c.next(n))
	}
	live(t, watched, Position{Reason: ReasonBehind})
	collecting, stop := r.collect(func(c *collector.Config) { c.FlushMessages = 50 })
	r.drained(collecting)
	go func() {
		for range watched { // which ends with the test
		}
	}()
	if err := <-done; err != nil || d.events != 300 {
		t.Errorf("%d events: %v", d.events, err)
	}
	stop()
}

// Without a stream a tail is what it always was: each commit as it comes.
func TestNoStream(t *testing.T) {
	r := newRig(t)
	h := r.follow(func(c *Config) { c.JetStream = nil })
	items := r.items(Options{})
	live(t, items, Position{Reason: ReasonNoStream})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	for range 3 {
		op := e.Operation()
		if _, err := r.lake.Commit(t.Context(), store.Batch{Entries: op}); err != nil {
			t.Fatal(err)
		}
		h.Committed()
		if got := given(items, 3); !slices.Equal(uidsOf(got...), uidsOf(op...)) || got[0].Header.Kind != profile.KindEvaluation {
			t.Errorf("given %v", uidsOf(got...))
		}
	}
}
