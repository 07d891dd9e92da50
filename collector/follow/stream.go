// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/judge"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/stream"
)

// Why a session with the stream ends though nothing is wrong.
var (
	errReconnected = errors.New("reconnected")
	errSkipped     = errors.New("messages did not come")
	errBehind      = errors.New("more is not stored than there is room for")
)

// A place is how far the stream was read.
type place struct {
	created time.Time // of the stream; another one may have its name
	number  uint64    // of the streams that were seen, from 1
	read    uint64    // its last sequence that was judged
}

// readStream shows what comes by the stream until ctx ends. It may miss
// messages, or stop: what is not shown is shown when it is stored. But it judges
// in the order of the stream and passes over nothing that is not stored, for the
// first event of an epoch says whose the epoch is.
func (h *Hub) readStream(ctx context.Context) {
	var at place
	const first, last = 50 * time.Millisecond, 5 * time.Second
	for wait := first; ; {
		err := h.session(ctx, &at, func() { wait = first })
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errBehind):
			h.setState(Position{Reason: ReasonBehind})
			h.awaitRoom(ctx)
			continue
		case errors.Is(err, errReconnected), errors.Is(err, errSkipped):
			continue
		case !h.cfg.JetStream.Conn().IsConnected():
			h.setState(Position{Reason: ReasonDisconnected})
		default:
			h.setState(Position{Reason: ReasonFailing})
		}
		h.log.Warn("reading the stream failed; will be tried again", "error", err)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		wait = min(2*wait, last)
	}
}

// awaitRoom waits for a commit that leaves half of the window.
func (h *Hub) awaitRoom(ctx context.Context) {
	select {
	case <-h.room: // of before
	default:
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.room:
		}
		h.mu.Lock()
		n := len(h.window)
		h.mu.Unlock()
		if n <= h.cfg.Events/2 {
			return
		}
	}
}

// session shows what comes by one connection to the stream.
func (h *Hub) session(ctx context.Context, at *place, working func()) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stop := h.watch(ctx, end)
	defer stop()
	messages, err := h.subscribe(ctx, at)
	if err != nil {
		return err
	}
	defer messages.Stop()
	working()
	h.setState(Position{Live: true})
	for n := uint64(0); ; n++ {
		msg, err := messages.Next(ctx)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("read stream: %w", err)
		}
		// The first one of a consumer may be behind what went from the stream. Later
		// ones come behind each other, unless the client dropped some.
		if err := h.message(msg, at, n == 0); err != nil {
			return err
		}
		if n%1024 == 0 && h.judge.Trim() > maxJudged {
			return errBehind
		}
	}
}

// maxJudged bounds of how many epochs that are not stored yet it is known whose
// they are.
const maxJudged = 16 * judge.MaxOwners

// message judges a message and shows the event.
func (h *Hub) message(msg jetstream.Msg, at *place, first bool) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	return h.arrive(judge.Message{Subject: msg.Subject(), Headers: msg.Headers(), Data: msg.Data()}, meta.Sequence.Stream, at, first)
}

func (h *Hub) arrive(m judge.Message, seq uint64, at *place, first bool) error {
	if seq <= at.read {
		return nil
	}
	if seq > at.read+1 && !first {
		return errSkipped
	}
	header, err := h.judge.Event(m)
	if err == nil && h.show(store.Entry{Raw: m.Data, Header: header, StreamSeq: seq}, at.number) {
		at.read = seq - 1 // once more, when there is room
		return errBehind
	}
	at.read = seq
	return nil
}

// watch ends a session when the connection comes back after it was lost. The
// caller MUST call the function that it returns.
func (h *Hub) watch(ctx context.Context, end context.CancelCauseFunc) (stop func()) {
	conn := h.cfg.JetStream.Conn()
	changes := conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s, ok := <-changes:
				switch {
				case !ok:
					return
				case s == nats.CONNECTED:
					end(errReconnected)
				case s == nats.CLOSED:
					end(nats.ErrConnectionClosed)
				default:
					h.setState(Position{Reason: ReasonDisconnected})
				}
			}
		}
	})
	return func() {
		conn.RemoveStatusListener(changes)
		running.Wait()
	}
}

// prefetch is how many messages wait in the client at most.
const prefetch = 1000

// subscribe begins behind what was read, or what the store accounts for, if that
// is more. The consumer is the server's to forget when nobody asks it any more.
func (h *Hub) subscribe(ctx context.Context, at *place) (*stream.Messages, error) {
	name := stream.Declared(stream.Name(h.cfg.Stream)).Stream.Name
	s, err := h.cfg.JetStream.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", name, err)
	}
	info := s.CachedInfo()
	if !info.Created.Equal(at.created) || info.State.LastSeq < at.read {
		*at = place{created: info.Created, number: at.number + 1}
	}
	if stored := h.knower.StreamSeq(); stored <= info.State.LastSeq {
		at.read = max(at.read, stored) // else it is of another stream
	}
	c, err := s.CreateConsumer(ctx, stream.Distant(jetstream.ConsumerConfig{
		Description: "events to subscribers", DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: at.read + 1,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute, MemoryStorage: true, Replicas: 1,
	}))
	if err != nil {
		return nil, fmt.Errorf("make a consumer of stream %s: %w", name, err)
	}
	return stream.ReadAhead(h.cfg.JetStream, c, prefetch, 16<<20, func() bool { return h.followers.Load() > 0 }), nil
}
