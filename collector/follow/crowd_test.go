// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
)

// settled waits until the hub has read all that is committed.
func (r *rig) settled() {
	r.t.Helper()
	h := r.hub.Load()
	eventually(r.t, "reading what is committed", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.cursor.Commit == r.lake.Manifest().Number
	})
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// Fifty subscribers, one of which stands still and one comes back all the time,
// while events flow, some of them twice: each is given each of them once, and the
// one that stood still is told what it missed.
func TestCrowd(t *testing.T) { followCrowd(t, 4000, 200) }

// followCrowd has events flow; one subscriber comes back after every leave.
func followCrowd(t *testing.T, events, leave int) {
	r := newRig(t, unsynced)
	collecting, _ := r.collect(func(c *collector.Config) { c.FlushEvery = 200 * time.Millisecond })
	r.follow()
	c := newCrowd(t, 8)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers []*reader
	for i := range 50 {
		d := r.reader(c, events+1, Options{Whole: i%2 == 0})
		readers = append(readers, d)
	}
	stalled := readers[1]
	stalled.opts.Events = events / 20
	readers[3].leave = leave
	release := make(chan struct{})
	stalled.hold = func() { <-release }
	var reading sync.WaitGroup
	var failed atomic.Bool
	for i, d := range readers {
		reading.Go(func() {
			if err := d.read(ctx); err != nil && ctx.Err() == nil {
				failed.Store(true)
				t.Errorf("subscriber %d, after %d events: %v", i, d.events, err)
				cancel()
			}
		})
	}
	for _, d := range readers {
		select {
		case <-d.begun:
		case <-ctx.Done():
		}
	}
	var again []store.Entry
	for n := range events {
		e := c.next(n)
		r.publishAsync(&e)
		if n%50 == 0 {
			again = append(again, e)
		}
		if len(again) > 20 {
			r.publishAsync(&again[0])
			again = again[1:]
		}
	}
	<-r.js.PublishAsyncComplete()
	r.drained(collecting)
	close(release)
	// What came twice would have come before this one.
	r.settled()
	last := c.epochs[0].API(profile.KindOutcome, storetest.NewUID(), "")
	r.publish(last)
	reading.Wait()
	for i, d := range readers {
		if d.events != d.want {
			t.Errorf("subscriber %d has %d of %d events", i, d.events, d.want)
		}
		if d.opts.Whole && len(d.missed) > 0 {
			t.Errorf("subscriber %d wants all and was told that it missed %+v", i, d.missed)
		}
	}
	if len(stalled.missed) == 0 {
		t.Fatal("the one that stood still was not told")
	}
	if stalled.missed[0].Events < int64(events/20) || stalled.missed[0].First == 0 {
		t.Errorf("the one that stood still missed %+v", stalled.missed)
	}
	told := 0
	for _, d := range readers {
		if len(d.missed) > 0 {
			told++
		}
	}
	t.Logf("%d of 50 subscribers were told that they missed something; the one that stood still: %d events", told, stalled.missed[0].Events)
	if readers[3].back < events/leave {
		t.Errorf("the one that comes back came %d times", readers[3].back)
	}
}

// publishAsync sends an event without waiting for the answer.
func (r *rig) publishAsync(e *store.Entry) {
	r.t.Helper()
	if _, err := r.js.PublishMsgAsync(msgOf(e), jetstream.WithStallWait(time.Minute)); err != nil {
		r.t.Fatal(err)
	}
}

// NATS, the collector and the hub go and come back while events flow, and each
// subscriber is given each event once.
func TestRestarts(t *testing.T) {
	const events = 1500
	r := newRig(t)
	collecting, stop := r.collect()
	r.follow()
	c := newCrowd(t, 3)
	var readers []*reader
	var reading sync.WaitGroup
	for i := range 6 {
		d := r.reader(c, events+1, Options{Whole: true, All: i%2 == 0})
		if i == 0 {
			d.leave = 100
		}
		readers = append(readers, d)
		reading.Go(func() {
			if err := d.read(t.Context()); err != nil {
				t.Errorf("subscriber %d, after %d events: %v", i, d.events, err)
			}
		})
		<-d.begun
	}
	for n := range events {
		switch n {
		case events / 5:
			r.follow()
		case 2 * events / 5:
			r.nats.Stop()
			r.nats.Start()
		case 3 * events / 5:
			stop()
			collecting, stop = r.collect()
		case 4 * events / 5:
			r.nats.Stop()
			r.follow()
			r.nats.Start()
		}
		r.publish(c.next(n))
	}
	r.drained(collecting)
	r.settled()
	r.publish(c.epochs[0].API(profile.KindOutcome, storetest.NewUID(), ""))
	reading.Wait()
	for i, d := range readers {
		if d.events != d.want {
			t.Errorf("subscriber %d has %d of %d events", i, d.events, d.want)
		}
	}
	stop()
}
