// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/judge"
	"github.com/docket-audit/docket/internal/stream"
)

// A SkippedError says that messages did not come which the stream has: a client drops
// what it has no room for. One acknowledgement is that of all before it, of these too.
// The session ends, and the next one takes all again that is not stored.
type SkippedError struct{ First, Last uint64 } // stream sequences that were passed over

func (e *SkippedError) Error() string {
	return fmt.Sprintf("messages between stream sequences %d and %d did not come, though the stream has some of them", e.First, e.Last)
}

// follows notes a message's place on the stream, and puts into b what came before it and
// no client can take. Of a stream that nobody takes messages from, each comes behind the
// one before; what is passed over is gone if the stream says so, and only then.
func (c *Collector) follows(ctx context.Context, b *batch, seq uint64) error {
	if seq > c.read+1 {
		if err := c.passedOver(ctx, b, seq-1); err != nil {
			return err
		}
	}
	c.read = max(c.read, seq)
	return nil
}

// passedOver asks the stream for what lies behind what was read, up to last, and did not
// come: it is gone, or is taken for a word of the server by each client, or was lost on
// the way.
func (c *Collector) passedOver(ctx context.Context, b *batch, last uint64) error {
	for c.read < last {
		first := c.read + 1
		if len(b.Entries)+len(b.Quarantined) >= c.cfg.FlushMessages {
			return &SkippedError{first, last} // the next session goes on behind what there is
		}
		msg, err := stream.From(ctx, c.cfg.JetStream, c.stream, first)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			c.gone(first, last)
			return nil
		case err != nil:
			return fmt.Errorf("ask the stream for messages %d to %d, which did not come: %w", first, last, err)
		}
		if msg.Sequence <= last && !msg.StatusAlike() {
			return &SkippedError{first, last}
		}
		if msg.Sequence > first {
			c.gone(first, min(msg.Sequence-1, last))
		}
		if msg.Sequence > last {
			return nil
		}
		c.put(b, judge.Message{Subject: msg.Subject, Headers: msg.Header, Data: msg.Data}, msg.Sequence)
		c.read = msg.Sequence
	}
	return nil
}

// gone notes that messages are not on the stream any more.
func (c *Collector) gone(first, last uint64) {
	c.read = last
	if n := len(c.removed); n > 0 {
		c.removed[n-1].last = last // one event for each flush
	} else {
		c.removed = append(c.removed, streamChange{changeRemoved, first, last})
	}
}

// quietAfter is how long nothing comes until the server is asked what it sent.
const quietAfter = time.Second

// first waits for the first message of a batch. When none has come for a while, it
// asks the server once whether it sent one: of what is dropped, the last message
// would else be missed only when the next one comes. Without a message and an error, b
// has what the server sent.
func (c *Collector) first(ctx context.Context, b *batch, messages *stream.Messages) (jetstream.Msg, error) {
	var sent uint64
	for range 2 {
		waiting, done := context.WithTimeout(ctx, quietAfter)
		msg, err := messages.Next(waiting)
		over := waiting.Err() != nil
		done()
		if err == nil || !over || ctx.Err() != nil {
			return msg, err
		}
		if sent > 0 { // and not even now has it come
			first := c.read + 1
			if err := c.passedOver(ctx, b, sent); err != nil || len(b.Quarantined) > 0 {
				return nil, err
			}
			return nil, &SkippedError{first, sent}
		}
		info, err := c.consumer.Info(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask the consumer what was sent: %w", err)
		}
		if info.Delivered.Stream <= c.read {
			break
		}
		sent = info.Delivered.Stream
	}
	return messages.Next(ctx)
}
