// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// A message is what was published, whatever it pretends to be.
func TestStored(t *testing.T) {
	for _, direct := range []bool{false, true} {
		js, err := jetstream.New(natstest.Run(t).Conn(t))
		if err != nil {
			t.Fatal(err)
		}
		s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "N", Subjects: []string{"n"}, AllowDirect: direct})
		if err != nil {
			t.Fatal(err)
		}
		sent := []*nats.Msg{
			{Data: []byte("data")},
			{},
			{Header: nats.Header{"Status": {"404"}, "Description": {"Message Not Found"}}},
			{Header: nats.Header{"Status": {"503"}}},
			{Header: nats.Header{"Status": {"400"}, "Nats-Sequence": {"1"}, "Nats-Subject": {"another"}, "Nats-Time-Stamp": {"never"}, "Nats-Stream": {"M", "N"}}},
			{Data: []byte("data"), Header: nats.Header{"Nats-Sequence": {"1000"}, "Status": {"400"}}},
			{Data: []byte("last")},
		}
		for _, msg := range sent {
			msg.Subject = "n"
			if _, err := js.PublishMsg(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.DeleteMsg(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		for i, msg := range sent {
			sequence := uint64(i) + 1
			got, err := stream.At(t.Context(), js, s, sequence)
			if sequence == 2 {
				if !errors.Is(err, jetstream.ErrMsgNotFound) {
					t.Errorf("direct %v: of one that was deleted: %v, %v", direct, got, err)
				}
				if got, err = stream.From(t.Context(), js, s, sequence); err != nil || got.Sequence != 3 {
					t.Errorf("direct %v: behind one that was deleted: %v, %v", direct, got, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("direct %v, message %d: %v", direct, sequence, err)
				continue
			}
			if got.Sequence != sequence || got.Subject != "n" || string(got.Data) != string(msg.Data) || got.Time.IsZero() || len(got.Header) != len(msg.Header) {
				t.Errorf("direct %v, message %d: %+v", direct, sequence, got)
			}
			for name := range msg.Header {
				if len(got.Header[name]) != len(msg.Header[name]) || got.Header.Get(name) != msg.Header.Get(name) {
					t.Errorf("direct %v, message %d: %s is %q", direct, sequence, name, got.Header[name])
				}
			}
			if want := sequence >= 3 && sequence <= 5; got.StatusAlike() != want {
				t.Errorf("direct %v, message %d: like a status %v", direct, sequence, !want)
			}
		}
		for _, sequence := range []uint64{0, 8, 1 << 63} {
			if got, err := stream.At(t.Context(), js, s, sequence); err == nil {
				t.Errorf("direct %v: message %d is %v", direct, sequence, got)
			}
		}
		if _, err := stream.From(t.Context(), js, s, 8); !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("direct %v: behind the last one: %v", direct, err)
		}
	}
}
