// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
)

func TestSample(t *testing.T) {
	h := longer(t, 2)
	whole, err := replay.Run(context.Background(), h, oldPlan())
	if err != nil {
		t.Fatal(err)
	}
	taken := func(opts ...replay.Option) map[string]bool {
		uids := map[string]bool{}
		_, err := replay.Run(context.Background(), h, oldPlan(), append(opts, replay.Each(func(d replay.Diff) { uids[d.Operation] = true }))...)
		if err != nil {
			t.Fatal(err)
		}
		return uids
	}
	others := 0
	rapid.Check(t, func(t *rapid.T) {
		n, seed := rapid.IntRange(1, 12).Draw(t, "n"), rapid.Uint64().Draw(t, "seed")
		r, err := replay.Run(context.Background(), h, oldPlan(), replay.Sample(n, seed))
		if err != nil {
			t.Fatal(err)
		}
		if r.Sampled == nil || r.Sampled.Each != n || r.Sampled.Seed != seed || len(r.Strata) != len(whole.Strata) {
			t.Fatalf("%+v of %+v", r.Sampled, r.Strata)
		}
		for i, s := range r.Strata {
			if want := min(n, whole.Strata[i].Operations); s.Operations != want {
				t.Fatalf("%d of %+v, want %d", s.Operations, whole.Strata[i], want)
			}
		}
		first, again := taken(replay.Sample(n, seed)), taken(replay.Sample(n, seed), replay.Workers(3))
		for uid := range first {
			if !again[uid] {
				t.Fatalf("%s is in one sample of seed %d only", uid, seed)
			}
		}
		for uid := range taken(replay.Sample(n, seed+1)) {
			if !first[uid] {
				others++
				break
			}
		}
	})
	if others == 0 {
		t.Error("all seeds take the same")
	}
}

func TestChoose(t *testing.T) {
	h := record(t, oldPlan())
	third, err := profile.Parse(h.raw[20])
	if err != nil {
		t.Fatal(err)
	}
	start := func(n int) time.Time { return operation(t, n, "", "").Start }
	for name, c := range map[string]struct {
		opts []replay.Option
		want int
	}{
		"all":              {nil, 8},
		"from":             {[]replay.Option{replay.Between(start(3), time.Time{})}, 6},
		"until":            {[]replay.Option{replay.Between(time.Time{}, start(3))}, 2},
		"between":          {[]replay.Option{replay.Between(start(3), start(5))}, 2},
		"by a condition":   {[]replay.Option{replay.Select(func(op *activity.Operation) bool { return op.Outcome.Decision == interceptor.Deny })}, 1},
		"by two":           {[]replay.Option{replay.Select(func(op *activity.Operation) bool { return op.Outcome.Ran }), replay.Select(func(op *activity.Operation) bool { return op.Outcome.Decision == interceptor.Modify })}, 2},
		"one":              {[]replay.Option{replay.Only(uids(4)[0])}, 1},
		"one by its event": {[]replay.Option{replay.Only(third.MetadataUID)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := replay.Run(context.Background(), h, oldPlan(), c.opts...)
			if err != nil {
				t.Fatal(err)
			}
			if r.Operations() != c.want || r.Same != c.want {
				t.Errorf("want %d: %s", c.want, r)
			}
		})
	}
	var missing *replay.NotFoundError
	if _, err := replay.Run(context.Background(), h, oldPlan(), replay.Only("nobody")); !errors.As(err, &missing) || missing.UID != "nobody" {
		t.Errorf("nobody: %v", err)
	}
}

// TestBetweenOfCutOff: an operation without an outcome began when the first binding
// was called.
func TestBetweenOfCutOff(t *testing.T) {
	h := record(t, oldPlan())
	h.raw = slices.DeleteFunc(h.raw, func(raw []byte) bool {
		head, err := profile.Parse(raw)
		return err == nil && head.Kind == profile.KindOutcome
	})
	var began []time.Time
	for op, err := range activity.Operations(h.Events(t.Context(), "")) {
		if err != nil {
			t.Fatal(err)
		}
		began = append(began, op.Evaluations[0].Start)
	}
	first, last := began[0], began[len(began)-1].Add(time.Millisecond)
	for _, c := range []struct {
		from, until time.Time
		want        int
	}{
		{first, last, len(requests)}, {first, time.Time{}, len(requests)}, {last, time.Time{}, 0}, {time.Time{}, first, 0},
	} {
		r, err := replay.Run(t.Context(), h, oldPlan(), replay.Between(c.from, c.until))
		if err != nil || r.Unreplayable != c.want || r.Operations() != c.want {
			t.Errorf("from %v until %v: %v, %v, want %d", c.from, c.until, r, err, c.want)
		}
	}
}
