// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

// TestUnchangedChain replays a world through the plans that were in force. Nothing
// of it differs, and what cannot be replayed is what is not in the record.
func TestUnchangedChain(t *testing.T) {
	eras := []charter{firstEra(), secondEra()}
	w := &world{tb: t, seed: 8, first: 1, last: unchanged, eras: eras, holes: true}
	plans, calls := map[string]*interceptor.Plan{}, []*atomic.Int64{}
	for _, c := range eras {
		plan, n := c.plan(nil)
		plans[plan.Digest()] = plan
		calls = append(calls, n)
	}
	recorded := replay.Recorded(func(digest string) (*interceptor.Plan, error) {
		if plan := plans[digest]; plan != nil {
			return plan, nil
		}
		return nil, errors.New("no such plan")
	})
	got := map[string]replay.Group{}
	report, err := replay.Run(context.Background(), w, nil, recorded, replay.Each(func(d replay.Diff) {
		if _, twice := got[d.Operation]; twice {
			t.Errorf("%s is replayed twice", d.Operation)
		}
		got[d.Operation] = *groupOf(&d)
	}))
	if err != nil {
		t.Fatal(err)
	}
	partial, wrong := 0, 0
	for _, d := range w.deeds() {
		then := settle(&eras[d.era], d, nil)
		g, there := got[d.uid()]
		switch whole := d.whole(&eras[d.era], then) && !d.holed(); {
		case d.cut > 0 && !then.judged(): // nothing is in the record
			if !there {
				continue
			}
		case !there && d.holed() && !then.judged(): // the outcome was all there was
			continue
		case !there:
		case g.Comparison == replay.Same:
			continue
		case g.Comparison == replay.Unreplayable && !whole:
			partial++
			continue
		}
		if wrong++; wrong <= 10 {
			t.Errorf("deed %d of era %d: in the report: %v, %s\n%+v\nthen %s by %q, called %v, failed %v", d.n, d.era, there, &g, d, then.decision, then.by, then.called, then.failed)
		}
	}
	if wrong > 0 || report.Differs() || report.Unreplayable != partial || partial == 0 || report.Same < partial {
		t.Errorf("%d of %d are wrong: %.3000s", wrong, unchanged, report)
	}
	var called int64
	for _, n := range calls {
		called += n.Load()
	}
	if called != int64(report.Reexecuted) || report.Reexecuted == 0 {
		t.Errorf("interceptors were called %d times, %d re-executed", called, report.Reexecuted)
	}
	t.Logf("%d operations: %d same, %d unreplayable; %d evaluations re-executed, %d answered", report.Operations(), report.Same, report.Unreplayable, report.Reexecuted, report.Replayed-report.Reexecuted)
}

// An unordered source is events in whatever order they are.
type unordered [][]byte

func (u unordered) Events(context.Context, string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, raw := range u {
			if !yield(raw, nil) {
				return
			}
		}
	}
}

// TestStoredInAnyOrder: what was sent again after a hole is stored behind what came
// after it. In whichever order the events of a world are, the same operations are the
// same, and with some of the events gone nothing differs that did not.
func TestStoredInAnyOrder(t *testing.T) {
	eras := []charter{firstEra(), secondEra()}
	w := &world{tb: t, seed: 9, first: 1, last: max(100, 400/slower), eras: eras}
	plans := map[string]*interceptor.Plan{}
	for _, c := range eras {
		plan, _ := c.plan(nil)
		plans[plan.Digest()] = plan
	}
	run := func(source replay.Source) *replay.Report {
		r, err := replay.Run(t.Context(), source, nil, replay.Recorded(func(digest string) (*interceptor.Plan, error) { return plans[digest], nil }))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var all unordered
	for raw := range w.Events(t.Context(), "") {
		all = append(all, slices.Clone(raw))
	}
	want := run(w)
	mix := rand.New(rand.NewPCG(9, 9))
	for range 3 {
		mix.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if got := run(all); got.Differs() || got.Same != want.Same || got.Reexecuted != want.Reexecuted || got.Unreplayable != want.Unreplayable {
			t.Errorf("in another order: %.2000s\nwant %.300s", got, want)
		}
		if got := run(all[:len(all)*9/10]); got.Differs() || got.Same == 0 {
			t.Errorf("a tenth is gone: %.2000s", got)
		}
	}
}
