// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// What became of a message that was put on the stream once more.
const (
	BecameStored      = "stored"      // it is an event now
	BecameDuplicate   = "duplicate"   // it is an event already; nothing was sent
	BecameRefused     = "refused"     // again, for the same reason: the quarantine has it once
	BecameQuarantined = "quarantined" // again, for another reason, under another ID
	BecameSent        = "sent"        // it is on the stream, and nobody was waited for who judges it
)

// A Requeued tells what became of one message of the quarantine.
type Requeued struct {
	ID        string `json:"id"`
	Became    string `json:"became"`
	StreamSeq uint64 `json:"stream_seq,omitempty"` // its new place; 0 when it was not sent
	Event     string `json:"event,omitempty"`      // metadata.uid, of what is stored
	As        string `json:"as,omitempty"`         // its new ID in quarantine
	Reason    string `json:"reason,omitempty"`     // why it is refused
}

// ErrNoQuarantine says that a store tells nothing of its quarantine.
var ErrNoQuarantine = errors.New("the store tells nothing of its quarantine")

// Send puts a message of the quarantine on the stream once more, for judgement:
// same subject, same bytes, same headers of its sender, and the ID as
// [store.HeaderRequeued]. The connection must be one that may publish as the
// message's sender. It returns the message's place on the stream.
func Send(ctx context.Context, js jetstream.JetStream, h *store.Held) (uint64, error) {
	msg := nats.NewMsg(h.Subject)
	msg.Data = h.Data
	for name, values := range store.SenderHeaders(h.Headers) {
		msg.Header[name] = values
	}
	msg.Header[store.HeaderRequeued] = []string{h.ID}
	ack, err := js.PublishMsg(ctx, msg)
	if err != nil {
		return 0, fmt.Errorf("requeue %s: %w", h.ID, err)
	}
	return ack.Sequence, nil
}

// A requeuing is sent in parts, so that a large quarantine is not held in memory.
const (
	requeueMessages = 256
	requeueBytes    = 16 << 20
)

// Requeue puts messages of the quarantine on the stream once more, those with the
// given IDs or, with none, all, waits until they are judged, and tells what became
// of each. The quarantine keeps what it has. It may be called again, also after it
// was cut off: what is stored by then is not sent, and nothing is stored twice.
// It fails with [store.ErrNotFound] before anything is sent when an ID is of none.
//
// It returns early with the end of ctx, and with the first error of tell.
func (c *Collector) Requeue(ctx context.Context, ids []string, tell func(Requeued) error) error {
	from, ok := c.cfg.Store.(store.Quarantine)
	if !ok {
		return ErrNoQuarantine
	}
	if err := known(ctx, from, ids); err != nil {
		return err
	}
	var part []store.Held
	size := 0
	done := func() error {
		err := c.requeue(ctx, from, part, tell)
		part, size = part[:0], 0
		return err
	}
	for h, err := range from.Quarantined(ctx) {
		if err != nil {
			return err
		}
		if len(ids) > 0 && !slices.Contains(ids, h.ID) {
			continue
		}
		part = append(part, h)
		if size += len(h.Data); len(part) >= requeueMessages || size >= requeueBytes {
			if err := done(); err != nil {
				return err
			}
		}
	}
	return done()
}

// known fails when an ID is not one of the quarantine.
func known(ctx context.Context, from store.Quarantine, ids []string) error {
	missing := slices.Clone(ids)
	if len(missing) == 0 {
		return nil
	}
	for h, err := range from.Quarantined(ctx) {
		if err != nil {
			return err
		}
		missing = slices.DeleteFunc(missing, func(id string) bool { return id == h.ID })
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %q is not in quarantine", store.ErrNotFound, missing[0])
	}
	return nil
}

func (c *Collector) requeue(ctx context.Context, from store.Quarantine, part []store.Held, tell func(Requeued) error) error {
	sent := make([]uint64, len(part))
	var last uint64
	for i := range part {
		e, err := c.event(ctx, &part[i])
		if err != nil {
			return err
		}
		if e != nil {
			continue
		}
		if sent[i], err = Send(ctx, c.cfg.JetStream, &part[i]); err != nil {
			return err
		}
		last = max(last, sent[i])
	}
	if err := c.judged(ctx, last); err != nil {
		return err
	}
	again, err := refused(ctx, from, part, sent)
	if err != nil {
		return err
	}
	for i := range part {
		r := Requeued{ID: part[i].ID, StreamSeq: sent[i]}
		e, err := c.event(ctx, &part[i])
		switch {
		case err != nil:
			return err
		case e != nil && sent[i] == 0:
			r.Became, r.Event = BecameDuplicate, e.Header.MetadataUID
		case e != nil:
			r.Became, r.Event = BecameStored, e.Header.MetadataUID
		case again[i] != nil:
			r.Became, r.As, r.Reason = BecameQuarantined, again[i].ID, again[i].Reason
		default:
			r.Became, r.Reason = BecameRefused, part[i].Reason
		}
		if err := tell(r); err != nil {
			return err
		}
	}
	return nil
}

// refused finds those of part that are in quarantine once more, by their places
// on the stream.
func refused(ctx context.Context, from store.Quarantine, part []store.Held, sent []uint64) ([]*store.Held, error) {
	again := make([]*store.Held, len(part))
	if !slices.ContainsFunc(sent, func(seq uint64) bool { return seq > 0 }) {
		return again, nil
	}
	for h, err := range from.Quarantined(ctx) {
		if err != nil {
			return nil, err
		}
		i := slices.Index(sent, h.StreamSeq)
		if h.StreamSeq > 0 && i >= 0 && slices.Equal(h.Headers[store.HeaderRequeued], []string{part[i].ID}) && bytes.Equal(h.Data, part[i].Data) {
			again[i] = &h
		}
	}
	return again, nil
}

// judged waits until the messages up to seq are accounted for.
func (c *Collector) judged(ctx context.Context, seq uint64) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for c.accounted.Load() < seq {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for judgement: at %d of %d: %w", c.accounted.Load(), seq, ctx.Err())
		}
	}
	return nil
}

// event returns the stored event that a message is; nil when it is none.
func (c *Collector) event(ctx context.Context, h *store.Held) (*store.Entry, error) {
	header, err := profile.Parse(h.Data)
	if err != nil {
		return nil, nil
	}
	for e, err := range c.cfg.Store.Scan(ctx, store.Query{Event: header.MetadataUID}) {
		if err != nil {
			return nil, fmt.Errorf("look for event %s: %w", header.MetadataUID, err)
		}
		if bytes.Equal(e.Raw, h.Data) {
			return &e, nil
		}
	}
	return nil, nil
}
