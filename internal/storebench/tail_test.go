// SPDX-License-Identifier: Apache-2.0

package storebench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/follow"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// hub runs a hub over a lake with subscribers, each of which does do with every
// event, until end. It returns when all of them have their first position.
func hub(b *testing.B, js jetstream.JetStream, l *lake.Lake, subscribers int, do func(subscriber int, i follow.Item)) (end func()) {
	b.Helper()
	h, err := follow.New(follow.Config{ID: "bench", Store: l, Commits: func() uint64 { return l.Manifest().Number }, JetStream: js})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var work, begun sync.WaitGroup
	work.Go(func() {
		if err := h.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	g := authz.Trusted("bench", authz.ByDirectory)
	view, err := g.View(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	begun.Add(subscribers)
	for n := range subscribers {
		work.Go(func() {
			live := sync.OnceFunc(begun.Done)
			for item, err := range h.Follow(ctx, follow.Options{View: view}) {
				switch {
				case err != nil:
					if ctx.Err() == nil && !errors.Is(err, follow.ErrStopped) {
						b.Error(err)
					}
					live()
					return
				case item.Position != nil && item.Position.Live:
					live()
				default:
					do(n, item)
				}
			}
		})
	}
	begun.Wait()
	return func() {
		cancel()
		work.Wait()
	}
}

// From Emit to a subscriber: the emitter's WAL, NATS and its disk, and the hub,
// with a collector that fills a lake beside it, and 1,000 events a second. Bare is
// the same for somebody who subscribes to the subjects, in the same run.
func BenchmarkTailLatency(b *testing.B) {
	for _, subscribers := range []int{1, 50} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			var all, bare []time.Duration
			for b.Loop() {
				taken, plain := latencies(b, subscribers)
				all, bare = append(all, taken...), append(bare, plain...)
			}
			for name, list := range map[string][]time.Duration{"": all, "bare-": bare} {
				slices.Sort(list)
				at := func(p float64) float64 {
					return float64(list[int(p*float64(len(list)-1))].Microseconds()) / 1000
				}
				b.ReportMetric(at(.5), name+"p50-ms")
				b.ReportMetric(at(.99), name+"p99-ms")
			}
		})
	}
}

// latencies emits events and returns how long each took to the first subscriber,
// and to one of NATS alone.
func latencies(b *testing.B, subscribers int) (taken, bare []time.Duration) {
	b.Helper()
	const events = 5000
	s := natstest.Run(b)
	js := s.JetStream(b)
	if err := stream.Apply(b.Context(), js); err != nil {
		b.Fatal(err)
	}
	l, stop := collect(b, js, lake.Options{})
	defer stop()
	em, err := emitter.New(emitter.Config{Dir: b.TempDir(), Name: "gateway-0", Conn: s.Conn(b)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var work sync.WaitGroup
	work.Go(func() {
		if err := em.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	defer work.Wait()
	defer cancel()
	emitted := make([]atomic.Int64, events)
	since := func(message string) time.Duration {
		now, at := time.Now().UnixNano(), 0
		if _, err := fmt.Sscanf(message, "event %d", &at); err != nil {
			b.Error(err)
		}
		return time.Duration(now - emitted[at].Load())
	}
	done, bareDone := make(chan struct{}), make(chan struct{})
	if _, err := s.Conn(b).Subscribe(profile.Prefix+".*."+profile.KindAction+".>", func(m *nats.Msg) {
		h, err := profile.Parse(m.Data)
		if err != nil {
			b.Error(err)
		}
		if bare = append(bare, since(h.Message)); len(bare) == events {
			close(bareDone)
		}
	}); err != nil {
		b.Fatal(err)
	}
	defer hub(b, js, l, subscribers, func(n int, i follow.Item) {
		if n > 0 || i.Entry == nil || i.Entry.Header.Kind != profile.KindAction {
			return
		}
		if taken = append(taken, since(i.Entry.Header.Message)); len(taken) == events {
			close(done)
		}
	})()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := range events {
		<-tick.C
		e := &ocsf.APIActivity{ActivityID: ocsf.APIActivityCreate, Base: ocsf.Base{
			Time: time.Now().UnixMilli(), SeverityID: ocsf.SeverityInformational, Message: fmt.Sprint("event ", n),
			Metadata: ocsf.Metadata{EventCode: profile.KindAction, TenantUID: "acme"},
		}}
		emitted[n].Store(time.Now().UnixNano())
		em.Emit(ctx, e)
	}
	<-done
	<-bareDone
	if err := em.Close(ctx); err != nil {
		b.Fatal(err)
	}
	return taken, bare
}

// The whole pipeline, with nobody who follows and with fifty who are given every
// event; missed is how many of these were told that they missed something.
func BenchmarkTailIngest(b *testing.B) {
	for _, subscribers := range []int{0, 50} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			var given, missed atomic.Int64
			var used time.Duration
			for b.Loop() {
				b.StopTimer()
				s := natstest.Run(b)
				b.StartTimer()
				used += ingest(b, s, chained, lake.Options{}, func(js jetstream.JetStream, l *lake.Lake) func() {
					if subscribers == 0 {
						return func() {}
					}
					return hub(b, js, l, subscribers, func(_ int, i follow.Item) {
						switch {
						case i.Entry != nil:
							given.Add(1)
						case i.Missed != nil:
							missed.Add(1)
						}
					})
				})
				b.StopTimer()
				s.Stop()
				b.StartTimer()
			}
			rate(b, *ingested, used)
			b.ReportMetric(float64(given.Load())/float64(b.N), "given/op")
			b.ReportMetric(float64(missed.Load())/float64(b.N), "missed/op")
		})
	}
}
