// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// BenchmarkStreams is events of 1.6 KB from Emit to JetStream's acknowledgement: on
// one server, on a cluster that keeps three copies, and on two streams of that, an
// emitter each. All servers are on this machine, and share its disk: what a cluster
// of three machines does is more, and what it costs beside one server is the ratio.
func BenchmarkStreams(b *testing.B) {
	b.Run("servers=1/streams=1", func(b *testing.B) {
		s := natstest.Run(b)
		benchmark(b, s.JetStream(b), 1, 1, func(int) *nats.Conn { return s.Conn(b) })
	})
	for _, streams := range []int{1, 2} {
		b.Run(fmt.Sprintf("servers=3/streams=%d", streams), func(b *testing.B) {
			c := natstest.RunCluster(b)
			benchmark(b, c.JetStream(b), natstest.Nodes, streams, func(i int) *nats.Conn { return c.Conn(b, i) })
		})
	}
}

// perRun is how many events of each stream make one run.
const perRun = 20_000

func benchmark(b *testing.B, js jetstream.JetStream, replicas, streams int, connect func(int) *nats.Conn) {
	var ems []*emitter.Emitter
	for i := range streams {
		name := fmt.Sprint("gateway-", i)
		opts := []stream.Option{stream.Name(fmt.Sprint("S", i)), stream.Replicas(replicas), stream.Emitters(name)}
		for try := 0; ; try++ { // a cluster that has just begun may not answer yet
			err := stream.Apply(b.Context(), js, opts...)
			if err == nil {
				break
			}
			if try == 10 {
				b.Fatal(err)
			}
		}
		em, err := emitter.New(emitter.Config{Dir: b.TempDir(), Name: name, Conn: connect(i), Stream: fmt.Sprint("S", i), Replicas: replicas, QueueBytes: 256 << 20})
		if err != nil {
			b.Fatal(err)
		}
		var running sync.WaitGroup
		running.Go(func() { _ = em.Run(b.Context()) }) // until the benchmark ends
		defer running.Wait()
		defer func() { _ = em.Close(b.Context()) }()
		ems = append(ems, em)
		if err := em.Emit(b.Context(), benchEvent()).Streamed(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		var all sync.WaitGroup
		for _, em := range ems {
			all.Go(func() {
				var last emitter.Receipt
				for range perRun {
					last = em.Emit(b.Context(), benchEvent())
				}
				if err := last.Streamed(b.Context()); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
	}
	b.ReportMetric(float64(b.N*perRun*streams)/b.Elapsed().Seconds(), "events/s")
}

func benchEvent() ocsf.Event {
	return &ocsf.ApplicationLifecycle{
		ActivityID: ocsf.ApplicationLifecycleOther,
		Base: ocsf.Base{
			ActivityName: "Test", Time: time.Now().UnixMilli(), SeverityID: ocsf.SeverityInformational,
			Message:  strings.Repeat("as long as an event of an operation. ", 24),
			Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle, TenantUID: "acme"},
		},
	}
}
