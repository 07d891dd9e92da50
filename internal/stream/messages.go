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
// has room, and are handed over some at a time.
type Messages struct {
	taken []jetstream.Msg // by Next, which gives them one by one
	given int             // of these

	mu      sync.Mutex
	waiting []jetstream.Msg // guarded by mu, as bytes and heard are
	bytes   int             // of what waits
	heard   error           // what the client told last

	some    chan struct{}   // something waits
	room    chan struct{}   // nothing waits
	failed  chan error      // the first one that ends it
	ended   <-chan struct{} // once the client reads no more
	stopped chan struct{}   // by Stop
	stop    func()
}

// What is handed over at a time, so that reader and subscription seldom wait for each
// other: up to so many messages, or so many bytes.
const (
	handedMessages = 256
	handedBytes    = 1 << 20
)

// mostAhead bounds an answer: two of them, and one more after a reconnect, are less than
// what a subscription has room for before it drops messages.
const mostAhead = nats.DefaultSubPendingBytesLimit / 4

// leastAhead is what the longest message of the declared stream takes: of one that is
// longer than an answer may be, a server says so each time it is asked, and no more
// messages come.
var leastAhead = sync.OnceValue(func() int { return int(Declared().Stream.MaxMsgSize) + 64<<10 })

// ReadAhead asks a consumer for messages: at most so many are on their way to the
// reader, in at most two answers of so many bytes; what is less than one message takes,
// or more than a subscription has room for, is not taken at its word. The caller MUST
// call [Messages.Stop].
func ReadAhead(c jetstream.Consumer, messages, bytes int) (*Messages, error) {
	bytes = min(max(bytes, leastAhead()), mostAhead)
	m := &Messages{some: make(chan struct{}, 1), room: make(chan struct{}, 1), failed: make(chan error, 1), stopped: make(chan struct{})}
	ctx, err := c.Consume(m.take,
		jetstream.PullMaxMessagesWithBytesLimit(messages, bytes), jetstream.PullHeartbeat(heartbeat), jetstream.ConsumeErrHandler(m.told))
	if err != nil {
		return nil, fmt.Errorf("read consumer %s: %w", c.CachedInfo().Name, err)
	}
	m.ended = ctx.Closed()
	m.stop = sync.OnceFunc(func() {
		close(m.stopped)
		ctx.Stop()
	})
	return m, nil
}

// Next waits for the next message. The error is why there will be none: a heartbeat
// that did not come, a consumer or a connection that is gone, whatever else the client
// gave up for, or the end of ctx. It is not for concurrent use.
func (m *Messages) Next(ctx context.Context) (jetstream.Msg, error) {
	for m.given == len(m.taken) {
		select {
		case <-m.some:
			m.swap()
		case err := <-m.failed:
			m.fail(err) // for whoever asks again
			return nil, err
		case <-m.ended:
			m.fail(m.end())
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	msg := m.taken[m.given]
	m.taken[m.given] = nil // it is the reader's now
	m.given++
	return msg, nil
}

// swap takes what waits.
func (m *Messages) swap() {
	m.mu.Lock()
	m.taken, m.waiting, m.bytes = m.waiting, m.taken[:0], 0
	m.mu.Unlock()
	m.given = 0
	signal(m.room)
}

// Stop ends it. What was asked for and not taken is left to the server.
func (m *Messages) Stop() { m.stop() }

// take lets a message wait for the reader, once there is room.
func (m *Messages) take(msg jetstream.Msg) {
	for !m.put(msg) {
		select {
		case <-m.room:
		case <-m.stopped:
			return
		}
	}
	signal(m.some)
}

func (m *Messages) put(msg jetstream.Msg) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) == handedMessages || m.bytes >= handedBytes {
		return false
	}
	m.waiting = append(m.waiting, msg)
	m.bytes += len(msg.Data())
	return true
}

// errEnded says that the client reads no more.
var errEnded = errors.New("the client gave up reading messages")

// end is why the client reads no more, where that is none of the reasons that are known.
func (m *Messages) end() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.heard == nil {
		return errEnded
	}
	return fmt.Errorf("%w; what it told last: %w", errEnded, m.heard)
}

// told hears of what the client meets. Most of that it mends itself.
func (m *Messages) told(_ jetstream.ConsumeContext, err error) {
	m.mu.Lock()
	m.heard = err
	m.mu.Unlock()
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

// signal tells whoever waits on c, now or next.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
