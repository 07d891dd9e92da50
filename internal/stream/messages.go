// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// heartbeat is how often a server says that there is nothing to send. Two that do
// not come mean that whoever led the consumer is gone, or out of reach, though the
// connection stands: it goes to another server of a cluster.
const heartbeat = 3 * time.Second

// Messages are those of a consumer, asked for ahead. The client's own iterator has
// room for as many as it asks for, and the server's word that a request is complete
// takes a place too: where all of them wait, as under load, a message is dropped, and
// taken again only by a new session. Here messages wait with the subscription, which
// has room, and are handed over one by one.
type Messages struct {
	msgs    chan jetstream.Msg
	failed  chan error    // the first one that ends it
	stopped chan struct{} // by Stop
	stop    func()
}

// handed is how many messages lie between the subscription and the reader, so that
// neither waits for the other at each.
const handed = 64

// ReadAhead asks a consumer for messages: at most so many, and so many bytes, are on
// their way to the reader. The caller MUST call [Messages.Stop].
func ReadAhead(c jetstream.Consumer, messages, bytes int) (*Messages, error) {
	m := &Messages{msgs: make(chan jetstream.Msg, min(handed, messages)), failed: make(chan error, 1), stopped: make(chan struct{})}
	ctx, err := c.Consume(m.take,
		jetstream.PullMaxMessagesWithBytesLimit(messages, bytes), jetstream.PullHeartbeat(heartbeat), jetstream.ConsumeErrHandler(m.told))
	if err != nil {
		return nil, fmt.Errorf("read consumer %s: %w", c.CachedInfo().Name, err)
	}
	m.stop = sync.OnceFunc(func() {
		close(m.stopped)
		ctx.Stop()
	})
	return m, nil
}

// Next waits for the next message. The error is why there will be none: a heartbeat
// that did not come, a consumer or a connection that is gone, or the end of ctx.
func (m *Messages) Next(ctx context.Context) (jetstream.Msg, error) {
	select {
	case msg := <-m.msgs:
		return msg, nil
	default:
	}
	select {
	case msg := <-m.msgs:
		return msg, nil
	case err := <-m.failed:
		m.fail(err) // for whoever asks again
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Stop ends it. What was asked for and not taken is left to the server.
func (m *Messages) Stop() { m.stop() }

// take hands a message over.
func (m *Messages) take(msg jetstream.Msg) {
	select {
	case m.msgs <- msg:
	case <-m.stopped:
	}
}

// told hears of what the client meets. Most of that it mends itself.
func (m *Messages) told(_ jetstream.ConsumeContext, err error) {
	for _, end := range []error{jetstream.ErrNoHeartbeat, jetstream.ErrConsumerDeleted, jetstream.ErrBadRequest, jetstream.ErrConnectionClosed, nats.ErrConnectionClosed} {
		if errors.Is(err, end) {
			m.fail(err)
		}
	}
}

func (m *Messages) fail(err error) {
	select {
	case m.failed <- err:
	default: // one is enough
	}
}
