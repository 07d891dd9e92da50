// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// A dropping client passes over the messages of some stream sequences, once each, as
// one does that has no room for them.
type dropping struct {
	jetstream.JetStream
	drop map[uint64]bool
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

func (c droppingConsumer) Messages(opts ...jetstream.PullMessagesOpt) (jetstream.MessagesContext, error) {
	m, err := c.Consumer.Messages(opts...)
	return droppingMessages{m, c.d}, err
}

type droppingMessages struct {
	jetstream.MessagesContext
	d *dropping
}

func (m droppingMessages) Next(opts ...jetstream.NextOpt) (jetstream.Msg, error) {
	for {
		msg, err := m.MessagesContext.Next(opts...)
		if err != nil {
			return nil, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		if seq := meta.Sequence.Stream; m.d.drop[seq] {
			delete(m.d.drop, seq)
			continue
		}
		return msg, nil
	}
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
		c.JetStream = &dropping{c.JetStream, map[uint64]bool{1: true, 5: true, 6: true, 10: true, 13: true, 17: true}}
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
