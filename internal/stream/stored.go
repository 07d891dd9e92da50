// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Stored is a message as the stream has it.
type Stored struct {
	jetstream.RawStreamMsg
}

// StatusAlike reports whether a message looks like a server's word about a request, as
// whoever may publish can have it: without data, and with a header Status. A client
// never hands over such a one, and may end for it.
func (m *Stored) StatusAlike() bool { return len(m.Data) == 0 && m.Header.Get("Status") != "" }

// At returns the message of a stream with a sequence; the error is
// [jetstream.ErrMsgNotFound] where there is none.
func At(ctx context.Context, js jetstream.JetStream, s jetstream.Stream, sequence uint64) (*Stored, error) {
	return stored(ctx, js, s, storedRequest{Sequence: sequence})
}

// From returns the first message of a stream whose sequence is not below one.
func From(ctx context.Context, js jetstream.JetStream, s jetstream.Stream, sequence uint64) (*Stored, error) {
	return stored(ctx, js, s, storedRequest{Sequence: sequence, NextFor: ">"})
}

// A storedRequest is what a server is asked for directly (NATS ADR-31).
type storedRequest struct {
	Sequence uint64 `json:"seq"`
	NextFor  string `json:"next_by_subj,omitempty"`
}

// answerWithin is how long a server may take.
const answerWithin = 5 * time.Second

// stored asks as the client does, which takes a message that is StatusAlike for a refusal,
// and its headers for what the server says of it: here a server is known by what it says
// last.
func stored(ctx context.Context, js jetstream.JetStream, s jetstream.Stream, r storedRequest) (*Stored, error) {
	info := s.CachedInfo()
	if !info.Config.AllowDirect {
		var opts []jetstream.GetMsgOpt
		if r.NextFor != "" {
			opts = append(opts, jetstream.WithGetMsgSubject(r.NextFor))
		}
		msg, err := s.GetMsg(ctx, r.Sequence, opts...)
		if err != nil {
			return nil, err
		}
		return &Stored{*msg}, nil
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	nc, answers := js.Conn(), make(chan *nats.Msg, 1)
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails where the connection is closed, and it with it
	if err := nc.PublishRequest("$JS.API.DIRECT.GET."+info.Config.Name, inbox, body); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	select {
	case msg := <-answers:
		return answered(info.Config.Name, msg)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answered reads a server's answer.
func answered(stream string, msg *nats.Msg) (*Stored, error) {
	last := func(name string) string {
		values := msg.Header.Values(name)
		if len(values) == 0 {
			return ""
		}
		msg.Header[name] = values[:len(values)-1]
		if len(values) == 1 {
			delete(msg.Header, name)
		}
		return values[len(values)-1]
	}
	if !slices.Contains(msg.Header.Values(jetstream.StreamHeader), stream) {
		switch msg.Header.Get("Status") {
		case "404":
			return nil, jetstream.ErrMsgNotFound
		case "503":
			return nil, nats.ErrNoResponders
		}
		return nil, fmt.Errorf("ask stream %s for a message: %s %s", stream, msg.Header.Get("Status"), msg.Header.Get("Description"))
	}
	found := &Stored{jetstream.RawStreamMsg{Data: msg.Data, Header: msg.Header}}
	var err1, err2 error
	last(jetstream.StreamHeader)
	found.Subject = last(jetstream.SubjectHeader)
	found.Sequence, err1 = strconv.ParseUint(last(jetstream.SequenceHeader), 10, 64)
	found.Time, err2 = time.Parse(time.RFC3339Nano, last(jetstream.TimeStampHeaer))
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("ask stream %s for a message: %w", stream, err)
	}
	return found, nil
}
