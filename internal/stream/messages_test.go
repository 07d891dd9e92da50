// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// numbered makes a stream of so many messages and a consumer of it.
func numbered(t *testing.T, nc *nats.Conn, messages int) (jetstream.JetStream, jetstream.Consumer) {
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
	c, err := s.CreateConsumer(t.Context(), stream.Distant(jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1}))
	if err != nil {
		t.Fatal(err)
	}
	return js, c
}

// A reader that stands still has as many before it as it asked for, and the server's
// word behind them that this was all. It misses none when it goes on.
func TestReadAheadDropsNothing(t *testing.T) {
	const messages, ahead = 1000, 20
	dropped := make(chan error, messages)
	nc := natstest.Run(t).Conn(t, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { dropped <- err }))
	js, c := numbered(t, nc, messages)
	m := stream.ReadAhead(js, c, ahead, 1<<20, nil)
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
	js, c := numbered(t, natstest.Run(t).Conn(t), 3)
	m := stream.ReadAhead(js, c, 10, 1<<20, nil)
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
	if err := js.DeleteConsumer(t.Context(), "N", c.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := m.Next(t.Context()); !errors.Is(err, jetstream.ErrConsumerDeleted) {
			t.Errorf("of a consumer that is gone: %v", err)
		}
	}
}

// A server that refuses is asked again, for a while: then the reader hears what it said.
func TestReadAheadRefused(t *testing.T) {
	s := natstest.Run(t)
	js, c := numbered(t, s.Conn(t), 0)
	other := s.Conn(t)
	asked := requests(t, other)
	within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	refuse := func(why string) {
		if err := refuse(within, other, asked, why); err != nil {
			t.Error(err)
		}
	}
	m := stream.ReadAhead(js, c, 10, 1<<20, nil)
	defer m.Stop()
	refused := make(chan struct{})
	go func() {
		defer close(refused)
		refuse("Leadership Change")
		refuse("what nobody knows")
		if _, err := js.Publish(within, "n", []byte("0")); err != nil {
			t.Error(err)
		}
	}()
	if msg, err := m.Next(within); err != nil || string(msg.Data()) != "0" {
		t.Fatalf("after it was refused twice: %v, %v", msg, err)
	}
	<-refused
	m.SetPatience(time.Nanosecond)
	go refuse("Leadership Change")
	for range 2 {
		if _, err := m.Next(within); !errors.Is(err, jetstream.ErrConsumerLeadershipChanged) {
			t.Errorf("of a server that refuses for long: %v", err)
		}
	}
}

// Who waits in turns that are shorter than the pause after a refusal is answered, too.
func TestReadAheadInTurns(t *testing.T) {
	s := natstest.Run(t)
	js, c := numbered(t, s.Conn(t), 0)
	other := s.Conn(t)
	asked := requests(t, other)
	within, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m := stream.ReadAhead(js, c, 10, 1<<20, nil)
	defer m.Stop()
	err := refuse(within, other, asked, "Leadership Change")
	if err == nil {
		err = other.Flush() // before there is a message that the first request would have
	}
	if err != nil {
		t.Fatal(err)
	}
	for asking := true; asking; {
		turn, end := context.WithTimeout(within, 10*time.Millisecond)
		_, err := m.Next(turn)
		end()
		if within.Err() != nil || err == nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("no request came behind the one that was refused: %v", err)
		}
		_, err = asked.NextMsg(time.Millisecond)
		asking = err != nil
	}
}

// refuse answers the next request as a server does that has a reason.
func refuse(ctx context.Context, nc *nats.Conn, asked *nats.Subscription, why string) error {
	request, err := asked.NextMsgWithContext(ctx)
	if err != nil {
		return err
	}
	return nc.PublishMsg(&nats.Msg{Subject: request.Reply, Header: nats.Header{"Status": {"409"}, "Description": {why}}})
}

// requests hears what is asked of consumers.
func requests(t *testing.T, nc *nats.Conn) *nats.Subscription {
	t.Helper()
	asked, err := nc.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return asked
}

// At speed it is read behind the end; and what is there when nothing more comes is read,
// too, each message once and in order. Whoever wants each at once has no distance.
func TestReadAheadAtDistance(t *testing.T) {
	const messages, size = 60, 512 << 10
	const distance = (8<<20)/size + 1
	for name, prompt := range map[string]func() bool{"": nil, "prompt": func() bool { return true }} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Run(t)
			asked := requests(t, s.Conn(t))
			js, c := numbered(t, s.Conn(t), 0)
			for n := range messages {
				data := make([]byte, size)
				data[0] = byte(n)
				if _, err := js.Publish(t.Context(), "n", data); err != nil {
					t.Fatal(err)
				}
			}
			m := stream.ReadAhead(js, c, 10, 1<<20, prompt)
			defer m.Stop()
			m.Hasten(distance)
			for n := range messages {
				msg, err := m.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got := int(msg.Data()[0]); got != n {
					t.Fatalf("message %d came, want %d", got, n)
				}
			}
			distant := 0
			for {
				request, err := asked.NextMsg(time.Second)
				if err != nil {
					break
				}
				var said struct {
					MinPending int64         `json:"min_pending"`
					Expires    time.Duration `json:"expires"`
				}
				if err := json.Unmarshal(request.Data, &said); err != nil {
					t.Fatal(err)
				}
				if said.MinPending > 0 {
					distant++
					if said.MinPending != distance || said.Expires <= 0 || said.Expires > time.Second {
						t.Errorf("asked was %s", request.Data)
					}
				}
			}
			if wanted := prompt == nil; wanted != (distant > 0) {
				t.Errorf("%d requests had a distance", distant)
			}
		})
	}
}

// After Stop there is nothing to wait for.
func TestReadAheadStopped(t *testing.T) {
	js, c := numbered(t, natstest.Run(t).Conn(t), 3)
	m := stream.ReadAhead(js, c, 10, 1<<20, nil)
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
	js, c := numbered(t, s.Conn(t), 1)
	other := s.Conn(t)
	if err := other.Publish("n", make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	asked := requests(t, other)
	within, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, bytes := range []int{1000, 1 << 30} {
		m := stream.ReadAhead(js, c, 10, bytes, nil)
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
