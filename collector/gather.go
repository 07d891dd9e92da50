// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// A batch is what one flush stores.
type batch struct {
	store.Batch
	last    jetstream.Msg // whose acknowledgement is that of all
	pending uint64        // messages behind last
	bytes   int
}

// drainEvery is the pace of flushes after [Collector.Drain] was called.
const drainEvery = 10 * time.Millisecond

// gather waits for a message, and then for more until a flush is due.
func (c *Collector) gather(ctx context.Context, messages jetstream.MessagesContext) (*batch, error) {
	b := new(batch)
	msg, err := c.first(ctx, messages)
	if err != nil {
		return nil, err
	}
	if err := c.take(ctx, b, msg); err != nil {
		return nil, err
	}
	b.Entries = slices.Grow(b.Entries, c.gathered) // as many as last time, most likely
	due, done := c.due(ctx)
	defer done()
	for len(b.Entries)+len(b.Quarantined) < c.cfg.FlushMessages && b.bytes < c.cfg.FlushBytes {
		msg, err := messages.Next(jetstream.NextContext(due))
		if err != nil {
			if due.Err() != nil && ctx.Err() == nil {
				break
			}
			return nil, err
		}
		if err := c.take(ctx, b, msg); err != nil {
			return nil, err
		}
	}
	c.gathered = len(b.Entries)
	return b, nil
}

// due returns a context that ends when the next flush is due.
func (c *Collector) due(ctx context.Context) (context.Context, func()) {
	select {
	case <-c.hurry:
		return context.WithTimeout(ctx, min(drainEvery, c.cfg.FlushEvery))
	default:
	}
	due, cancel := context.WithTimeout(ctx, c.cfg.FlushEvery)
	ended := make(chan struct{})
	go func() { // ends with due
		defer close(ended)
		select {
		case <-c.hurry:
			cancel()
		case <-due.Done():
		}
	}()
	return due, func() {
		cancel()
		<-ended
	}
}

// take judges a message and puts it where it belongs.
func (c *Collector) take(ctx context.Context, b *batch, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	seq := meta.Sequence.Stream
	if err := c.follows(ctx, seq); err != nil {
		return err
	}
	b.last, b.pending, b.bytes = msg, meta.NumPending, b.bytes+len(msg.Data())
	// A message that comes again lies before what is accounted for.
	b.StreamSeq = max(b.StreamSeq, c.accounted.Load(), seq)
	header, err := c.judge(msg)
	if err != nil {
		b.Quarantined = append(b.Quarantined, c.quarantined(msg, seq, err))
		return nil
	}
	b.Entries = append(b.Entries, store.Entry{Raw: msg.Data(), Header: header, StreamSeq: seq})
	return nil
}

// An owner is whose an epoch is: the emitter that made it and the tenant that
// it is about.
type owner struct{ tenant, emitter string }

// Why a message is quarantined, beside what [profile.Check] finds.
var (
	errSubject = errors.New("the subject is not the event's own")
	errHeaders = errors.New("the headers are not the event's own")
	errOwner   = errors.New("the epoch is another emitter's or tenant's")
	errJump    = errors.New("the sequence is too far ahead of its epoch")
)

// maxJump is how far a sequence may be ahead of all that was stored of its
// epoch: several times as many events as a stream has room for. What is further
// ahead was not lost, it was made up.
const maxJump = 1 << 26

// judge says whether a message is an event that its sender may send. NATS binds
// the last token of the subject to the sender; so subject, event and epoch must
// agree.
func (c *Collector) judge(msg jetstream.Msg) (profile.Header, error) {
	h, err := profile.Check(msg.Data())
	if err != nil {
		return h, err
	}
	if err := h.Admit(); err != nil {
		return h, err
	}
	if want := profile.Subject(c.cfg.Prefix, h); msg.Subject() != want {
		return h, fmt.Errorf("%w: it should be %q", errSubject, want)
	}
	headers := msg.Headers()
	for _, own := range [...]struct{ name, value string }{
		{profile.HeaderEventUID, h.MetadataUID},
		{profile.HeaderEpoch, h.Epoch},
		{profile.HeaderSequence, strconv.FormatInt(h.Sequence, 10)},
	} {
		if got := headers.Get(own.name); got != own.value {
			return h, fmt.Errorf("%w: %s is %.80q, should be %q", errHeaders, own.name, got, own.value)
		}
	}
	by := owner{h.Tenant, h.Emitter}
	o, known := c.owner(h.Epoch)
	if !known {
		o = &origin{owner: by}
	}
	if err := o.may(by, h.Sequence); err != nil {
		return h, err
	}
	if err := c.judgeClosing(by, h, msg.Data()); err != nil {
		return h, err
	}
	o.last = max(o.last, h.Sequence)
	c.owners[h.Epoch] = o
	return h, nil
}

// judgeClosing says whether an event may end the epochs that it says it ends.
// What it says of them is taken at its word by all who judge them later.
func (c *Collector) judgeClosing(by owner, h profile.Header, raw []byte) error {
	closes, err := store.Closing(h, raw)
	if err != nil {
		return fmt.Errorf("%w: %w", profile.ErrMalformed, err)
	}
	for _, closed := range closes {
		ended := profile.Header{MetadataUID: h.MetadataUID, Epoch: closed.Epoch, Sequence: max(closed.LastSequence, 1)}
		if err := ended.Admit(); err != nil {
			return fmt.Errorf("it closes an epoch: %w", err)
		}
		if o, known := c.owner(closed.Epoch); known {
			if err := o.may(by, closed.LastSequence); err != nil {
				return fmt.Errorf("it closes epoch %s: %w", closed.Epoch, err)
			}
		}
	}
	return nil
}

// An origin is whose an epoch is and how far it has come. The first that is
// seen of it may be any event: a store that was made anew has not seen the
// others.
type origin struct {
	owner
	last int64 // highest sequence; 0 when there is none
}

// may says whether by may send the event of that sequence, or end with it.
func (o *origin) may(by owner, sequence int64) error {
	if o.owner != by {
		return fmt.Errorf("%w: of emitter %q and tenant %q", errOwner, o.emitter, o.tenant)
	}
	if o.last > 0 && sequence-o.last > maxJump {
		return fmt.Errorf("%w: %d, the highest so far is %d", errJump, sequence, o.last)
	}
	return nil
}

// owner returns whose an epoch is, if one of its events was ever taken.
func (c *Collector) owner(epoch string) (*origin, bool) {
	o, ok := c.owners[epoch]
	if !ok {
		if e := c.cfg.Store.Epoch(epoch); e != nil && e.Tenant != "" {
			o, ok = &origin{owner{e.Tenant, e.Emitter}, e.HeadSequence}, true
			c.owners[epoch] = o
		}
	}
	return o, ok
}

// maxOwners bounds what is kept in memory of epochs that the store knows too.
const maxOwners = 4096

// forgetOwners is called when all that was judged is stored.
func (c *Collector) forgetOwners() {
	if len(c.owners) > maxOwners {
		clear(c.owners)
	}
}

// quarantined makes a message that judge refused ready for the quarantine. Its
// claim to be a certain event of an epoch counts only when the epoch is known,
// the subject names its emitter and the sequence may be one: else anyone could
// make holes disappear.
func (c *Collector) quarantined(msg jetstream.Msg, seq uint64, reason error) store.Quarantined {
	q := store.Quarantined{
		Subject: msg.Subject(), Headers: msg.Headers(), Data: msg.Data(), StreamSeq: seq, Reason: reason.Error(),
	}
	epoch := msg.Headers().Get(profile.HeaderEpoch)
	sequence, err := strconv.ParseInt(msg.Headers().Get(profile.HeaderSequence), 10, 64)
	if err != nil || sequence < 1 || sequence > profile.MaxSequence || !profile.IsUID(epoch) {
		return q
	}
	o, known := c.owner(epoch)
	if known && profile.Token(o.emitter) == lastToken(msg.Subject()) && sequence-o.last <= maxJump {
		q.Epoch, q.Sequence = epoch, sequence
	}
	return q
}

func lastToken(subject string) string {
	for i := len(subject) - 1; i >= 0; i-- {
		if subject[i] == '.' {
			return subject[i+1:]
		}
	}
	return subject
}
