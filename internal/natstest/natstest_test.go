// SPDX-License-Identifier: Apache-2.0

package natstest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Child()
	goleak.VerifyTestMain(m)
}

// A server that is stopped in the middle of what clients ask of it leaves
// nothing running: no store of a batch, of a stream or of a consumer that was
// made after the others were stopped.
func TestStopInTheMiddle(t *testing.T) {
	for name, ask := range map[string]func(*nats.Conn, int){
		"batches": func(nc *nats.Conn, i int) { sendBatch(nc, fmt.Sprint("batch-", i)) },
		"streams": func(nc *nats.Conn, i int) {
			_ = nc.PublishRequest(fmt.Sprint("$JS.API.STREAM.CREATE.S", i), nats.NewInbox(),
				fmt.Appendf(nil, `{"name":"S%d","subjects":["s.%d"],"storage":"file"}`, i, i))
		},
		"consumers": func(nc *nats.Conn, i int) {
			_ = nc.PublishRequest(fmt.Sprint("$JS.API.CONSUMER.DURABLE.CREATE.TEST.C", i), nats.NewInbox(),
				fmt.Appendf(nil, `{"stream_name":"TEST","config":{"durable_name":"C%d","ack_policy":"explicit"}}`, i))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 20 {
				t.Run(fmt.Sprint(round), func(t *testing.T) { stopWhile(t, ask) })
				if err := goleak.Find(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// stopWhile stops a server that clients are asking.
func stopWhile(t *testing.T, ask func(nc *nats.Conn, i int)) {
	s := Run(t)
	if _, err := s.JetStream(t).CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "TEST", Subjects: []string{"test"}, Storage: jetstream.FileStorage, AllowAtomicPublish: true,
	}); err != nil {
		t.Fatal(err)
	}
	clients := []*nats.Conn{s.Conn(t), s.Conn(t), s.Conn(t)}
	begun := make(chan struct{}, len(clients))
	var wg sync.WaitGroup
	for c, nc := range clients {
		wg.Go(func() {
			for i := 0; !nc.IsClosed(); i++ {
				if i == 50 {
					begun <- struct{}{}
				}
				ask(nc, c*1_000_000+i)
				_ = nc.Flush() // fails when the server is gone
			}
		})
	}
	for range clients {
		<-begun
	}
	s.Stop()
	for _, nc := range clients {
		nc.Close()
	}
	wg.Wait()
}

// sendBatch sends an atomic batch and waits for nothing.
func sendBatch(nc *nats.Conn, id string) {
	const size = 3
	for i := 1; i <= size; i++ {
		m := nats.NewMsg("test")
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", fmt.Sprint(i))
		if i == size {
			m.Header.Set("Nats-Batch-Commit", "1")
		}
		_ = nc.PublishMsg(m)
	}
}
