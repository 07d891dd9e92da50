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

func (c droppingConsumer) Fetch(n int, opts ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	answer, err := c.Consumer.Fetch(n, opts...)
	if err != nil {
		return nil, err
	}
	left := make(chan jetstream.Msg, n)
	go func() { // ends with answer
		defer close(left)
		for msg := range answer.Messages() {
			if !c.d.drops(msg) {
				left <- msg
			}
		}
	}()
	return droppingAnswer{answer, left}, nil
}

type droppingAnswer struct {
	jetstream.MessageBatch
	left chan jetstream.Msg
}

func (a droppingAnswer) Messages() <-chan jetstream.Msg { return a.left }

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
	client := &dropping{JetStream: r.js, drop: map[uint64]bool{1: true, 5: true, 6: true, 10: true, 13: true, 17: true}}
	run := r.start(func(c *Config) { c.JetStream, c.FlushMessages = client, 4 })
	r.drained(run)
	if client.mu.Lock(); len(client.drop) > 0 {
		t.Errorf("were not dropped: %v", client.drop)
	}
	client.mu.Unlock()
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(append(sent[:8:8], sent[9:]...))
	if got := fmt.Sprint(r.changes); got != "[removed 9-9]" {
		t.Errorf("of the stream it was told: %s", got)
	}
}

// What looks like a server's word to each client is a message all the same: it goes to
// quarantine, and the collector goes on, wherever on the stream it lies.
func TestStatusAlike(t *testing.T) {
	const subject = "docket.activity.acme.lifecycle.none.s.m.gateway-0"
	statuses := []map[string]string{
		{"Status": "100"},
		{"Status": "100", "Description": "Idle Heartbeat"},
		{"Status": "400", "Description": "Bad Request"},
		{"Status": "404", "Description": "No Messages"},
		{"Status": "408", "Description": "Request Timeout"},
		{"Status": "409", "Description": "Consumer Deleted"},
		{"Status": "409", "Description": "Leadership Change"},
		{"Status": "409", "Description": "Message Size Exceeds MaxBytes"},
		{"Status": "423", "Description": "Nats-Wrong-Pin-Id"},
		{"Status": "503"},
		{"Status": "what nobody knows"},
	}
	for name, flush := range map[string]int{"one at a time": 1, "together": 1000} {
		t.Run(name, func(t *testing.T) {
			statuses := statuses
			if flush > 1 { // what was on its way behind each is missed after a while only
				statuses = statuses[2:4]
			}
			r := newRig(t)
			e := storetest.NewEpoch(t, "acme", "gateway-0")
			sent := []store.Entry{e.Start()}
			r.send(subject, nil, statuses[0])
			r.publish(sent...)
			for _, headers := range statuses {
				r.send(subject, nil, headers)
				operation := e.Operation()
				r.publish(operation...)
				sent = append(sent, operation...)
			}
			r.send(subject, nil, statuses[0])
			r.send(subject, nil, statuses[1])
			for range 2 {
				run := r.start(func(c *Config) { c.FlushMessages = flush })
				r.drained(run)
				if err := run.stop(); err != nil {
					t.Fatal(err)
				}
			}
			r.wantExactly(sent)
			held := r.held()
			for _, q := range held {
				if q.Reason == "" || q.Headers["Status"] == nil {
					t.Errorf("in quarantine for %q: %v", q.Reason, q.Headers)
				}
			}
			if len(held) != len(statuses)+3 {
				t.Errorf("%d in quarantine, want %d", len(held), len(statuses)+3)
			}
			if got := fmt.Sprint(r.changes); got != "[]" {
				t.Errorf("of the stream it was told: %s", got)
			}
		})
	}
}
