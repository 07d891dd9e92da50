// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// An answerer answers collectors that ask for what their store lacks, and sends
// it again from the WAL. One goroutine, beside the publisher's.
//
// It sends nothing but what JetStream acknowledged once, and in the order of the
// WAL: on the stream that is a repetition, whatever the publisher does meanwhile.
// Together the two never have more than two batches open; see publisher.second.
type answerer struct {
	e      *Emitter
	p      *publisher // for its connection
	reader walReader
	out    *batcher
	limit  int // of messages in a batch
	recent recent
}

const (
	// maxQuestions is how many questions wait. Who is not heard asks again.
	maxQuestions = 16
	// answerWithin bounds the work for one question; what was not done by then
	// is answered with later.
	answerWithin = 30 * time.Second
	// resendEvents and resendBytes bound what is sent again for one question.
	resendEvents = 16 << 10
	resendBytes  = 16 << 20
	// resendAgain is how long what was sent again is not sent once more. A
	// collector that asks again within it has not read it yet.
	resendAgain = 10 * time.Second
)

// answer answers questions until ctx is done.
func (p *publisher) answer(ctx context.Context) {
	a := &answerer{e: p.e, p: p, reader: walReader{w: p.e.wal}, limit: batchMessages}
	defer a.reader.close()
	questions := make(chan *nats.Msg, maxQuestions)
	sub, err := p.nc.Subscribe(stream.HolesSubject(profile.Token(p.e.cfg.Name)), func(m *nats.Msg) {
		select {
		case questions <- m:
		default:
		}
	})
	if err != nil {
		p.e.cfg.Logger.Warn("nobody can ask for what a store lacks", "error", err) // the connection was closed for good
		return
	}
	defer func() {
		_ = sub.Unsubscribe() // fails only on a connection that is gone
		if a.out != nil {
			a.out.answers.close()
		}
	}()
	for {
		select {
		case m := <-questions:
			a.take(ctx, m)
		case <-ctx.Done():
			return
		}
	}
}

// take answers one message. One that is no question, or whose sender cannot hear,
// is passed over.
func (a *answerer) take(ctx context.Context, m *nats.Msg) {
	q, err := stream.ParseQuestion(m.Data)
	if err != nil || m.Reply == "" {
		a.e.cfg.Logger.Warn("a message that is no question", "subject", m.Subject, "error", err)
		return
	}
	answer := a.find(ctx, q)
	if len(answer.Ranges) == 0 {
		return // ctx is done
	}
	b, err := answer.Encode()
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil {
		a.e.cfg.Logger.Warn("an answer cannot be sent", "error", err) // it will be asked again
	}
}

// A part is what is said of some sequences of an epoch that were asked for.
type part struct {
	stream.Range
	answer, why string
}

// find sends again what there is of q, and says what became of each part of it.
func (a *answerer) find(ctx context.Context, q stream.Question) stream.Answer {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var parts []part
	var look []stream.Range
	a.recent.forget(a.e.cfg.Now().Add(-resendAgain))
	for _, r := range merge(q.Ranges) {
		if _, known := a.e.reached(r.Epoch); !known {
			parts = append(parts, part{r, stream.AnswerNotMine, ""})
			continue
		}
		rest, again := a.recent.without(r)
		for _, r := range again {
			parts = append(parts, part{r, stream.AnswerResent, "a moment ago"})
		}
		look = append(look, rest...)
	}
	parts = append(parts, a.resend(ctx, look)...)
	return stream.Answer{Ranges: join(parts)}
}

// reached returns the last sequence that an epoch of the emitter's has come to,
// as far as that is known here. It is not known of those that an earlier start
// left and of which nothing was in the WAL any more at this one.
func (e *Emitter) reached(epoch string) (sequence int64, known bool) {
	e.marks.mu.Lock()
	sent, earlier := e.marks.sent[epoch]
	e.marks.mu.Unlock()
	e.epochs.mu.Lock()
	spooled, running := e.epochs.by[epoch]
	e.epochs.mu.Unlock()
	return max(sent, spooled), earlier || running
}

// merge sorts ranges and joins those that touch or overlap.
func merge(ranges []stream.Range) []stream.Range {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b stream.Range) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.First, b.First))
	})
	out := sorted[:0]
	for _, r := range sorted {
		if n := len(out); n > 0 && out[n-1].Epoch == r.Epoch && r.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// join sorts parts, joins those that say the same, and leaves out what does not
// fit into one answer: it will be asked for again.
func join(parts []part) []stream.Answered {
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.First, b.First))
	})
	var out []stream.Answered
	for _, p := range parts {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.Epoch == p.Epoch && last.Last+1 == p.First && last.Answer == p.answer && last.Why == p.why {
				last.Last = p.Last
				continue
			}
		}
		if len(out) == stream.MaxAnswered {
			break
		}
		out = append(out, stream.Answered{Range: p.Range, Answer: p.answer, Why: p.why})
	}
	return out
}

// send publishes records as one batch and returns when JetStream has them.
func (a *answerer) send(ctx context.Context, records []record) error {
	if !a.p.nc.IsConnected() {
		return errDisconnected
	}
	if a.out == nil {
		out, err := newBatcher(a.p.nc)
		if err != nil {
			return err
		}
		a.out = out
	}
	if err := a.p.second.take(ctx); err != nil {
		return err
	}
	defer a.p.second.give()
	lost := a.p.lostSoon()
	a.e.cfg.reached("before-resend")
	b := a.out.begin(records, position{})
	err := a.out.stage(ctx, b, true)
	if err == nil {
		err = a.out.commit(b)
	}
	if err != nil {
		a.out.abandon(b)
		return err
	}
	if err := a.out.settle(ctx, b, lost); err != nil {
		return err
	}
	a.e.cfg.reached("after-resend")
	size, ranges := 0, make([]stream.Range, len(records))
	for i := range records {
		size += len(records[i].raw)
		ranges[i] = stream.Range{Epoch: records[i].epoch, First: records[i].sequence, Last: records[i].sequence}
	}
	a.recent.add(merge(ranges), a.e.cfg.Now())
	a.e.count.resent.Add(int64(len(records)))
	a.e.count.streamed.Add(int64(len(records)))
	a.e.count.streamedBytes.Add(int64(size))
	return nil
}

// sendFitting is send for a server that may take fewer messages in a batch.
func (a *answerer) sendFitting(ctx context.Context, records []record) error {
	for len(records) > 0 {
		n := min(len(records), a.limit)
		err := a.send(ctx, records[:n])
		var refused *batchError
		if errors.As(err, &refused) && refused.ErrCode == errCodeBatchTooLarge && a.limit > 1 {
			a.limit = refused.limit(n)
			continue
		}
		if err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// A slot is the right to have a second batch open.
type slot chan struct{}

func newSlot() slot { return make(slot, 1) }

// try takes the slot if nobody has it or waits for it.
func (s slot) try() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slot) take(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slot) give() { <-s }
