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

// Messages are those of a consumer, asked for ahead: an answer gathers in the client
// while the reader deals with what it took of the one before. Each ends by the server's
// word, or with as many messages or bytes as were asked for: so when the next one is
// asked for, none is on its way, and the order is the consumer's. What is lost on the way
// all the same, as with a connection, the reader sees by the numbers of the stream.
type Messages struct {
	conn        *nats.Conn
	consumer    jetstream.Consumer
	most, bytes int           // of an answer
	prompt      func() bool   // whether each message is wanted as soon as it is there
	patience    time.Duration // for a server that refuses

	pace     pace
	answer   answer
	pause    time.Duration // before the next request
	due      time.Time     // of that, when it waits
	troubled time.Time     // since when a server refuses; zero when it does not
	failed   error         // why there will be no more

	running context.Context // until Stop
	stop    context.CancelFunc
}

// An answer is that to one request.
type answer struct {
	batch    jetstream.MessageBatch // nil: nothing is asked for
	incoming <-chan jetstream.Msg   // closed when the answer is complete
	messages int                    // that were read of it
	bytes    int                    // of these
}

// mostAhead bounds an answer, in bytes: what a client has to hold at once.
const mostAhead = nats.DefaultSubPendingBytesLimit / 4

// leastAhead is what the longest message of the declared stream takes: of one that is
// longer than an answer may be, a server says so each time it is asked, and no more
// messages come.
var leastAhead = sync.OnceValue(func() int { return int(Declared().Stream.MaxMsgSize) + 64<<10 })

// group is the one of a consumer that can be read at a distance.
const group = "reader"

// Distant lets a consumer be read by [ReadAhead].
func Distant(c jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	c.PriorityPolicy, c.PriorityGroups = jetstream.PriorityPolicyOverflow, []string{group}
	return c
}

// ReadAhead asks a consumer, see [Distant], for messages: at most so many, and so many
// bytes, gather in the client; what is less than one message takes, or more than a client
// should hold, is not taken at its word. While the stream grows fast it is read at a
// distance, see [pace], unless prompt, where there is one, says that somebody waits for
// each message. The caller MUST call [Messages.Stop].
func ReadAhead(js jetstream.JetStream, c jetstream.Consumer, messages, bytes int, prompt func() bool) *Messages {
	m := &Messages{
		conn: js.Conn(), consumer: c, most: messages, bytes: min(max(bytes, leastAhead()), mostAhead),
		prompt: prompt, patience: 2 * heartbeat, pace: pace{since: time.Now()},
	}
	m.running, m.stop = context.WithCancel(context.Background())
	m.ask()
	return m
}

// Next waits for the next message. The error is why there will be none: a heartbeat
// that did not come, a consumer or a connection that is gone, a server that refuses for
// long, or the end of ctx, after which one may ask again. It is not for concurrent use.
func (m *Messages) Next(ctx context.Context) (jetstream.Msg, error) {
	for m.failed == nil {
		if m.answer.batch == nil {
			if !m.rest(ctx) {
				return nil, ctx.Err()
			}
			m.ask()
			continue
		}
		select {
		case msg, ok := <-m.answer.incoming:
			if ok {
				m.took(msg)
				return msg, nil
			}
			m.over(m.answer.batch.Error())
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, m.failed
}

// Stop ends it, for whoever reads. What was asked for and not taken is left to the
// server.
func (m *Messages) Stop() {
	m.stop()
	if m.answer.incoming != nil {
		for range m.answer.incoming { // until the client has ended, too
		}
	}
	m.answer, m.failed = answer{}, errStopped
}

var errStopped = errors.New("reading was stopped")

// took notes what was read. The last message of an answer is known by their number, and
// the next answer is asked for before that one is dealt with.
func (m *Messages) took(msg jetstream.Msg) {
	m.troubled, m.pause = time.Time{}, 0
	m.answer.messages++
	m.answer.bytes += len(msg.Data())
	if m.answer.messages == m.most {
		m.over(nil)
		m.ask()
	}
}

// ask asks for the next answer.
func (m *Messages) ask() {
	m.pace.near = m.prompt != nil && m.prompt()
	opts := []jetstream.FetchOpt{jetstream.FetchMaxBytes(m.bytes), jetstream.FetchPriorityGroup(group)}
	if distance := m.pace.distance(); distance > 0 {
		opts = append(opts, jetstream.FetchMinPending(distance), jetstream.FetchContext(within{m.running, time.Now().Add(lag)}))
	} else {
		opts = append(opts, jetstream.FetchHeartbeat(heartbeat), jetstream.FetchContext(m.running))
	}
	batch, err := m.consumer.Fetch(m.most, opts...)
	if err != nil {
		m.refused(err)
		return
	}
	m.answer = answer{batch: batch, incoming: batch.Messages()}
}

// within has the server end an answer after a time. The client does not: what came at
// the last moment would be lost to it.
type within struct {
	context.Context
	end time.Time
}

// Deadline is what a client tells the server, less a tenth.
func (w within) Deadline() (time.Time, bool) { return w.end, true }

// over notes that an answer is complete, or why it ended.
func (m *Messages) over(err error) {
	a := m.answer
	m.answer = answer{}
	if err != nil {
		m.refused(err)
		return
	}
	if a.messages == 0 {
		m.pause = firstPause // a message too long for an answer would be told at once, each time
		m.due = time.Now().Add(m.pause)
	}
	m.pace.answered(time.Now(), a.messages, a.bytes)
}

// firstPause is how long it waits before it asks a server again that refused; each
// time twice as long, up to lastPause.
const firstPause, lastPause = 50 * time.Millisecond, time.Second

// refused notes that nothing came of a request. A consumer without a leader, for one,
// gets another one soon. And what is taken for a server's word may be a message, without
// data and with a header Status, that anybody who may publish has put on the stream.
func (m *Messages) refused(err error) {
	if m.troubled.IsZero() {
		m.troubled = time.Now()
	}
	m.pause = min(max(2*m.pause, firstPause), lastPause)
	m.due = time.Now().Add(m.pause)
	switch {
	case errors.Is(err, jetstream.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionClosed):
		m.fail(err)
	case errors.Is(err, jetstream.ErrConsumerDeleted) && m.deleted():
		m.fail(err)
	case !m.conn.IsConnected(): // it will be, or whoever reads knows better
		m.troubled = time.Time{}
	case errors.Is(err, jetstream.ErrNoHeartbeat), time.Since(m.troubled) >= m.patience:
		m.fail(err)
	}
}

// deleted reports whether the consumer is gone, as a server says of itself.
func (m *Messages) deleted() bool {
	ctx, cancel := context.WithTimeout(m.running, heartbeat)
	defer cancel()
	_, err := m.consumer.Info(ctx)
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDoesNotExist) || errors.Is(err, jetstream.ErrStreamNotFound)
}

func (m *Messages) fail(err error) {
	m.failed = fmt.Errorf("read consumer %s: %w", m.consumer.CachedInfo().Name, err)
}

// rest waits before a request, and reports whether ctx lets it. What was waited before
// ctx ended counts: who asks again in short turns comes to the request, too.
func (m *Messages) rest(ctx context.Context) bool {
	wait := time.Until(m.due)
	if wait <= 0 {
		return true
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
