// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"errors"
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
