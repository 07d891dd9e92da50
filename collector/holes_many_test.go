// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// holedStore is a store as far as its epochs go.
type holedStore struct {
	Store
	epochs map[string]*store.Epoch
}

func (s *holedStore) Epoch(uid string) *store.Epoch { return s.epochs[uid] }

func (s *holedStore) Epochs() (all []string) {
	for uid := range s.epochs {
		all = append(all, uid)
	}
	return all
}

// everySecond is an epoch that lacks every second of its events.
func everySecond(holes int64) *store.Epoch {
	e := &store.Epoch{Tenant: "acme", Emitter: "gateway-0", HeadSequence: 2*holes + 1}
	for n := range holes + 1 {
		e.Stored = append(e.Stored, store.Interval{First: 2*n + 1, Last: 2*n + 1})
	}
	return e
}

// bare makes holes over a store, without a stream.
func bare(t *testing.T, s *holedStore, c *clock, findings func(context.Context, ocsf.Event)) *holes {
	t.Helper()
	h := newHoles(&Collector{})
	h.c.cfg = Config{Store: s, Now: c.Now, Findings: findings, Emitter: "collector-0"}.withDefaults()
	h.c.log, h.c.status.caughtUp = h.c.cfg.Logger, true
	var err error
	if h.c.metrics, err = newMetrics(h.c.cfg.MeterProvider); err != nil {
		t.Fatal(err)
	}
	return h
}

// An epoch with very many holes is asked for in questions of bounded size, one at a
// time, and what is kept of it does not grow while nobody answers.
func TestManyHoles(t *testing.T) {
	const many = manyHoles
	s := &holedStore{epochs: map[string]*store.Epoch{}}
	uid := storetest.NewUID()
	s.epochs[uid] = everySecond(many)
	c := newClock()
	told := 0
	var h *holes
	h = bare(t, s, c, func(_ context.Context, event ocsf.Event) {
		told++
		entry := storetest.NewEpoch(t, "acme", "collector-0").Seal(event)
		if len(entry.Raw) > 64<<10 {
			t.Errorf("a finding of %d bytes", len(entry.Raw))
		}
		found, ok := readLoss(entry.Raw)
		if !ok {
			t.Errorf("a finding that is none: %s", entry.Raw)
		}
		h.stored(&found) // it comes back
	})
	h.touch(uid, s.epochs[uid])
	q := h.asking[uid]
	asked := 0
	ask := func(q *inquiry) error {
		asked++
		b, err := q.question.Encode()
		if err != nil || len(q.question.Ranges) > stream.MaxRanges {
			t.Errorf("question of %d ranges, %v", len(q.question.Ranges), err)
		}
		if _, err := stream.ParseQuestion(b); err != nil {
			t.Error(err)
		}
		return nil
	}
	// Nobody is there, and the epoch goes on to grow holes.
	for range 200 {
		h.tick(t.Context(), ask)
		c.move(time.Minute)
		n := s.epochs[uid].HeadSequence + 2
		s.epochs[uid].HeadSequence, s.epochs[uid].Stored = n, append(s.epochs[uid].Stored, store.Interval{First: n, Last: n})
	}
	if asked < 20 || asked > 200 || len(q.first) > 50 || len(q.grown) > 10 || told > 0 {
		t.Errorf("asked %d times, %d and %d marks, told %d", asked, len(q.first), len(q.grown), told)
	}
	// It is back, and has nothing any more: one finding for each question.
	for round := 0; len(h.asking) > 0; round++ {
		if round > 5000 {
			t.Fatalf("%d holes are left", len(h.open(uid, s.epochs[uid])))
		}
		asked = 0
		h.tick(t.Context(), ask)
		c.move(10 * time.Second)
		if asked == 0 {
			continue
		}
		a := stream.Answer{}
		for _, r := range q.question.Ranges {
			a.Ranges = append(a.Ranges, stream.Answered{Range: r, Answer: stream.AnswerGone, Why: "trimmed"})
		}
		b, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		h.answer(t.Context(), q.token, &nats.Msg{Data: b})
	}
	if want := (many + 200 + stream.MaxRanges - 1) / stream.MaxRanges; told != want {
		t.Errorf("%d findings, want %d", told, want)
	}
	missing, _ := h.status(uid)
	if n := missing.Count(); n != many+200 {
		t.Errorf("%d events are missing", n)
	}
}

// So many epochs are asked for at a time; the others have their turn.
func TestManyEpochsWithHoles(t *testing.T) {
	const many = maxAsking + 10
	s := &holedStore{epochs: map[string]*store.Epoch{}}
	c := newClock()
	h := bare(t, s, c, nil)
	for i := range many {
		uid := fmt.Sprintf("0199c1f2-7a10-7c3e-9b1d-%012d", i)
		s.epochs[uid] = everySecond(1)
		h.touch(uid, s.epochs[uid])
	}
	asked := map[string]bool{}
	ask := func(q *inquiry) error { asked[q.epoch] = true; return nil }
	for range 3 {
		h.tick(t.Context(), ask)
		if len(h.asking) > maxAsking {
			t.Fatalf("%d epochs are asked for", len(h.asking))
		}
		for uid := range asked { // it came
			s.epochs[uid].Stored.Add(2)
		}
		c.move(2 * time.Minute)
		h.tick(t.Context(), ask)
		c.move(2 * time.Minute)
	}
	h.tick(t.Context(), ask)
	if len(asked) != many {
		t.Errorf("%d of %d epochs were asked for", len(asked), many)
	}
}
