// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// answerNone is what a finding says of an emitter that said nothing.
const answerNone = "none"

// maxAnswers is how many answers wait to be read. One that is not heard is
// asked for again.
const maxAnswers = 256

// newToken returns what an answer must come with to be one: nobody who was not
// asked can know it.
func newToken() string { return rand.Text() }

// run asks, and hears answers, until ctx is done.
func (h *holes) run(ctx context.Context) error {
	conn := h.c.cfg.JetStream.Conn()
	inbox := conn.NewInbox()
	answers := make(chan *nats.Msg, maxAnswers)
	sub, err := conn.Subscribe(inbox+".*", func(m *nats.Msg) {
		select {
		case answers <- m:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to answers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a connection that is gone
	ask := func(q *inquiry) error {
		b, err := q.question.Encode()
		if err != nil {
			return err
		}
		if !conn.IsConnected() {
			return nats.ErrDisconnected // it would be kept, and asked at who knows what time
		}
		return conn.PublishRequest(stream.HolesSubject(profile.Token(q.owner.emitter)), inbox+"."+q.token, b)
	}
	tick := time.NewTicker(h.c.cfg.pollHoles)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			h.tick(ctx, ask)
			h.saveNow(false)
		case m := <-answers:
			h.answer(ctx, strings.TrimPrefix(m.Subject, inbox+"."), m)
		}
	}
}

// answer takes an answer. It is believed of the epoch that was asked for with
// that token, and of what of it was asked for; whatever else comes is counted.
func (h *holes) answer(ctx context.Context, token string, m *nats.Msg) {
	h.mu.Lock()
	q := h.find(token)
	if q == nil {
		h.mu.Unlock()
		return // too late, or made up
	}
	now := h.c.cfg.Now()
	open := h.open(q.epoch, h.c.cfg.Store.Epoch(q.epoch))
	var found []finding
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		found = h.settle(q, open, now) // nobody of that name is there
	} else if a, err := stream.ParseAnswer(m.Data, q.question); err != nil {
		h.c.metrics.answered("unreadable", 1)
		h.c.log.Warn("an answer that is none", "emitter", q.owner.emitter, "error", err)
	} else {
		found = h.believe(q, a, open, now)
	}
	h.mu.Unlock()
	h.tell(ctx, found)
}

func (h *holes) find(token string) *inquiry {
	if token == "" {
		return nil
	}
	for _, q := range h.asking {
		if q.token == token {
			return q
		}
	}
	return nil
}

// believe takes what the emitter says.
func (h *holes) believe(q *inquiry, a stream.Answer, open store.Intervals, now time.Time) []finding {
	var found []finding
	gone := map[string]store.Intervals{}
	var reasons []string
	for _, r := range a.Ranges {
		h.c.metrics.answered(r.Answer, r.Len())
		if r.Answer == stream.AnswerNotMine {
			// Another process of that name may know better.
			if q.heard == "" {
				q.heard = r.Answer
			}
			continue
		}
		q.answered, q.heard, q.why = true, r.Answer, r.Why
		switch r.Answer {
		case stream.AnswerResent:
			q.filled = true
		case stream.AnswerGone:
			if _, ok := gone[r.Why]; !ok {
				reasons = append(reasons, r.Why)
			}
			gone[r.Why] = store.Union(gone[r.Why], store.Intervals{{First: r.First, Last: r.Last}})
		}
	}
	for _, why := range reasons {
		ranges := gone[why].Within(open)
		found = append(found, h.declare(q, ranges, stream.AnswerGone, why, now)...)
		open = open.Without(ranges)
	}
	// What was sent again needs a while to be stored; only if it is high time it
	// is waited for.
	if q.answered && q.due() == 0 {
		found = append(found, h.settle(q, open, now)...)
	}
	return found
}
