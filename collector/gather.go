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
	last    jetstream.Msg // whose acknowledgement is that of all
	pending uint64        // messages behind last
	bytes   int
}

// drainEvery is the pace of flushes after [Collector.Drain] was called.
const drainEvery = 10 * time.Millisecond

// gather waits for a message, and then for more until a flush is due.
func (c *Collector) gather(ctx context.Context, messages *stream.Messages) (*batch, error) {
	b := new(batch)
	msg, err := c.first(ctx, messages)
	if err != nil {
		return nil, err
	}
	if err := c.take(ctx, b, msg); err != nil {
		return nil, err
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
			return nil, err
		}
		if err := c.take(ctx, b, msg); err != nil {
			return nil, err
		}
	}
	c.gathered = len(b.Entries)
	return b, nil
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
	if err := c.follows(ctx, seq); err != nil {
		return err
	}
	b.last, b.pending, b.bytes = msg, meta.NumPending, b.bytes+len(msg.Data())
	// A message that comes again lies before what is accounted for.
	b.StreamSeq = max(b.StreamSeq, c.accounted.Load(), seq)
	m := judge.Message{Subject: msg.Subject(), Headers: msg.Headers(), Data: msg.Data()}
	header, err := c.judge.Event(m)
	if err != nil {
		q := store.Quarantined{
			Subject: m.Subject, Headers: m.Headers, Data: m.Data, StreamSeq: seq, Reason: err.Error(),
		}
		q.Epoch, q.Sequence = c.judge.Claim(m)
		b.Quarantined = append(b.Quarantined, q)
		return nil
	}
	b.Entries = append(b.Entries, store.Entry{Raw: msg.Data(), Header: header, StreamSeq: seq})
	return nil
}

// An owner is whose an epoch is: the emitter that made it and the tenant that
// it is about.
type owner struct{ tenant, emitter string }
