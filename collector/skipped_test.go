// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// A dropping client passes over the messages of some stream sequences, once each, as
// one does that has no room for them.
type dropping struct {
	jetstream.JetStream

	mu   sync.Mutex
	drop map[uint64]bool
}

// drops reports whether a message is dropped, which it is once.
func (d *dropping) drops(msg jetstream.Msg) bool {
	meta, err := msg.Metadata()
	if err != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	seq := meta.Sequence.Stream
	defer delete(d.drop, seq)
	return d.drop[seq]
}

func (d *dropping) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := d.JetStream.Stream(ctx, name)
	return droppingStream{s, d}, err
}

type droppingStream struct {
	jetstream.Stream
	d *dropping
}

func (s droppingStream) CreateConsumer(ctx context.Context, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	c, err := s.Stream.CreateConsumer(ctx, cfg)
	return droppingConsumer{c, s.d}, err
}

type droppingConsumer struct {
	jetstream.Consumer
	d *dropping
}

func (c droppingConsumer) Consume(take jetstream.MessageHandler, opts ...jetstream.PullConsumeOpt) (jetstream.ConsumeContext, error) {
	return c.Consumer.Consume(func(msg jetstream.Msg) {
		if !c.d.drops(msg) {
			take(msg)
		}
	}, opts...)
}

// What the client lost on the way is taken again, though what came behind it
// would have been acknowledged for it; and nothing says that it was removed, but of
// what was.
func TestClientDropsMessages(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := []store.Entry{e.Start()}
	for range 5 {
		sent = append(sent, e.Operation()...)
	}
	sent = append(sent, e.Stop())
	r.publish(sent...)
	s, err := r.js.Stream(t.Context(), "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	run := r.start(func(c *Config) {
		c.JetStream = &dropping{JetStream: c.JetStream, drop: map[uint64]bool{1: true, 5: true, 6: true, 10: true, 13: true, 17: true}}
		c.FlushMessages = 4
	})
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(append(sent[:8:8], sent[9:]...))
	if got := fmt.Sprint(r.changes); got != "[removed 9-9]" {
		t.Errorf("of the stream it was told: %s", got)
	}
}
