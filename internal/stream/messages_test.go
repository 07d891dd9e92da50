// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// numbered makes a stream of so many messages and a consumer of it.
func numbered(t *testing.T, nc *nats.Conn, messages int) jetstream.Consumer {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "N", Subjects: []string{"n"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if _, err := js.PublishAsync("n", []byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	c, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A reader that stands still has as many before it as it asked for, and the server's
// word behind them that this was all. It misses none when it goes on.
func TestReadAheadDropsNothing(t *testing.T) {
	const messages, ahead = 1000, 20
	dropped := make(chan error, messages)
	nc := natstest.Run(t).Conn(t, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { dropped <- err }))
	c := numbered(t, nc, messages)
	m, err := stream.ReadAhead(c, ahead, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	for n := range messages {
		for n%ahead == 0 { // until the server has sent all that it was asked for
			info, err := c.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if info.NumWaiting == 0 && info.Delivered.Stream >= uint64(min(n+ahead, messages)) || info.NumPending == 0 {
				break
			}
		}
		msg, err := m.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := string(msg.Data()); got != strconv.Itoa(n) {
			t.Fatalf("message %s came, want %d", got, n)
		}
	}
	select {
	case err := <-dropped:
		t.Errorf("the client said: %v", err)
	default:
	}
}

// What ends it is told to each who asks, and Stop lets go of what waits.
func TestReadAheadEnds(t *testing.T) {
	nc := natstest.Run(t).Conn(t)
	c := numbered(t, nc, 3)
	m, err := stream.ReadAhead(c, 10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	for range 3 {
		if _, err := m.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Next(over); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteConsumer(t.Context(), "N", c.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := m.Next(t.Context()); !errors.Is(err, jetstream.ErrConsumerDeleted) {
			t.Errorf("of a consumer that is gone: %v", err)
		}
	}
}

// What the server says and the client makes nothing of ends it in the client, which says
// no more then, not even that heartbeats do not come. The reader hears of it.
func TestReadAheadGivenUp(t *testing.T) {
	s := natstest.Run(t)
	c := numbered(t, s.Conn(t), 3)
	other := s.Conn(t)
	asked, err := other.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	m, err := stream.ReadAhead(c, 10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	for range 3 {
		if _, err := m.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	within, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := asked.NextMsgWithContext(within)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.PublishMsg(&nats.Msg{Subject: request.Reply, Header: nats.Header{"Status": {"408"}, "Nats-Pending-Messages": {"many"}}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := m.Next(within); err == nil || within.Err() != nil || !strings.Contains(err.Error(), "Nats-Pending-Messages") {
			t.Errorf("of a client that gave up: %v", err)
		}
	}
}

// After Stop there is nothing to wait for.
func TestReadAheadStopped(t *testing.T) {
	c := numbered(t, natstest.Run(t).Conn(t), 3)
	m, err := stream.ReadAhead(c, 10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m.Stop()
	within, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for n := 0; ; n++ {
		if _, err := m.Next(within); err != nil {
			if within.Err() != nil {
				t.Errorf("after Stop and %d messages: %v", n, err)
			}
			return
		}
	}
}

// What is asked for at a time is at least as much as one message takes, and never so much
// that the client would drop any.
func TestReadAheadBounds(t *testing.T) {
	s := natstest.Run(t)
	c := numbered(t, s.Conn(t), 1)
	other := s.Conn(t)
	if err := other.Publish("n", make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	asked, err := other.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	within, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, bytes := range []int{1000, 1 << 30} {
		m, err := stream.ReadAhead(c, 10, bytes)
		if err != nil {
			t.Fatal(err)
		}
		for bytes == 1000 {
			msg, err := m.Next(within)
			if err != nil {
				t.Fatalf("of a message that is longer than what was asked for: %v", err)
			}
			if len(msg.Data()) == 5000 {
				break
			}
		}
		m.Stop()
		request, err := asked.NextMsgWithContext(within)
		if err != nil {
			t.Fatal(err)
		}
		var said struct {
			MaxBytes int64 `json:"max_bytes"`
		}
		if err := json.Unmarshal(request.Data, &said); err != nil {
			t.Fatal(err)
		}
		if least, most := int64(stream.Declared().Stream.MaxMsgSize), int64(nats.DefaultSubPendingBytesLimit); said.MaxBytes < least || said.MaxBytes > most/3 {
			t.Errorf("%d bytes were asked for, not from %d to a third of %d", said.MaxBytes, least, most)
		}
	}
}
