// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/judge"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/stream"
)

// A batch is what one flush stores.
type batch struct {
	store.Batch
	last    jetstream.Msg // whose acknowledgement is that of all; nil: none came
	pending uint64        // messages behind last
	bytes   int
}

// ack acknowledges all that came.
func (b *batch) ack() error {
	if b.last == nil {
		return nil
	}
	return b.last.Ack()
}

// drainEvery is the pace of flushes after [Collector.Drain] was called.
const drainEvery = 10 * time.Millisecond

// gather waits for a message, and then for more until a flush is due. What came before
// an error is stored first: the next session begins behind it.
func (c *Collector) gather(ctx context.Context, messages *stream.Messages) (*batch, error) {
	if err := c.ends; err != nil {
		return nil, err
	}
	b := new(batch)
	err := c.takeMany(ctx, b, messages)
	if err != nil && (ctx.Err() != nil || len(b.Entries)+len(b.Quarantined) == 0) {
		return nil, err
	}
	c.ends = err
	return b, nil
}

// takeMany takes one message, and then more until a flush is due.
func (c *Collector) takeMany(ctx context.Context, b *batch, messages *stream.Messages) error {
	msg, err := c.first(ctx, b, messages)
	if err != nil {
		return err
	}
	if msg == nil {
		return nil
	}
	if err := c.take(ctx, b, msg); err != nil {
		return err
	}
	b.Entries = slices.Grow(b.Entries, c.gathered) // as many as last time, most likely
	due, done := c.due(ctx)
	defer done()
	for len(b.Entries)+len(b.Quarantined) < c.cfg.FlushMessages && b.bytes < c.cfg.FlushBytes {
		msg, err := messages.Next(due)
		if err != nil {
			if due.Err() != nil && ctx.Err() == nil {
				break
			}
			return err
		}
		if err := c.take(ctx, b, msg); err != nil {
			return err
		}
	}
	c.gathered = len(b.Entries)
	return nil
}

// due returns a context that ends when the next flush is due.
func (c *Collector) due(ctx context.Context) (context.Context, func()) {
	select {
	case <-c.hurry:
		return context.WithTimeout(ctx, min(drainEvery, c.cfg.FlushEvery))
	default:
	}
	due, cancel := context.WithTimeout(ctx, c.cfg.FlushEvery)
	ended := make(chan struct{})
	go func() { // ends with due
		defer close(ended)
		select {
		case <-c.hurry:
			cancel()
		case <-due.Done():
		}
	}()
	return due, func() {
		cancel()
		<-ended
	}
}

// take judges a message and puts it where it belongs.
func (c *Collector) take(ctx context.Context, b *batch, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	seq := meta.Sequence.Stream
	if err := c.follows(ctx, b, seq); err != nil {
		return err
	}
	b.last, b.pending = msg, meta.NumPending
	c.put(b, judge.Message{Subject: msg.Subject(), Headers: msg.Headers(), Data: msg.Data()}, seq)
	return nil
}

// put judges what is on the stream under seq.
func (c *Collector) put(b *batch, m judge.Message, seq uint64) {
	b.bytes += len(m.Data)
	// A message that comes again lies before what is accounted for.
	b.StreamSeq = max(b.StreamSeq, c.accounted.Load(), seq)
	header, err := c.judge.Event(m)
	if err != nil {
		q := store.Quarantined{
			Subject: m.Subject, Headers: m.Headers, Data: m.Data, StreamSeq: seq, Reason: err.Error(),
		}
		q.Epoch, q.Sequence = c.judge.Claim(m)
		b.Quarantined = append(b.Quarantined, q)
		return
	}
	b.Entries = append(b.Entries, store.Entry{Raw: m.Data, Header: header, StreamSeq: seq})
}

// An owner is whose an epoch is: the emitter that made it and the tenant that
// it is about.
type owner struct{ tenant, emitter string }
