// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/stream"
)

// A SkippedError says that messages did not come which the stream has: a client drops
// what it has no room for. One acknowledgement is that of all before it, of these too.
// The session ends, and the next one takes all again that is not stored.
type SkippedError struct{ First, Last uint64 } // stream sequences that were passed over

func (e *SkippedError) Error() string {
	return fmt.Sprintf("messages between stream sequences %d and %d did not come, though the stream has some of them", e.First, e.Last)
}

// follows notes a message's place on the stream. Of a stream that nobody takes
// messages from, each comes behind the one before; what is passed over is gone if
// the stream says so, and only then.
func (c *Collector) follows(ctx context.Context, seq uint64) error {
	if seq > c.read+1 {
		gap := streamChange{changeRemoved, c.read + 1, seq - 1}
		next, err := c.stream.GetMsg(ctx, gap.first, jetstream.WithGetMsgSubject(">"))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return fmt.Errorf("ask the stream for messages %d to %d, which did not come: %w", gap.first, gap.last, err)
		case next.Sequence <= gap.last:
			return &SkippedError{gap.first, gap.last}
		}
		if n := len(c.removed); n > 0 {
			c.removed[n-1].last = gap.last // one event for each flush
		} else {
			c.removed = append(c.removed, gap)
		}
	}
	c.read = max(c.read, seq)
	return nil
}

// quietAfter is how long nothing comes until the server is asked what it sent.
const quietAfter = time.Second

// first waits for the first message of a batch. When none has come for a while, it
// asks the server once whether it sent one: of what is dropped, the last message
// would else be missed only when the next one comes.
func (c *Collector) first(ctx context.Context, messages *stream.Messages) (jetstream.Msg, error) {
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
			return nil, &SkippedError{c.read + 1, sent}
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
