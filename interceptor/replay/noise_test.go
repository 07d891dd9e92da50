// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

// count goes on and on, as the time of day does.
var count atomic.Int64

// noisy stamps each request with the count. It denies names that end in -5 every
// other time.
func noisy() *counter {
	return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		now := count.Add(1)
		if strings.HasSuffix(at(e, "/name"), "-5") && now%2 == 0 {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "not now"}, nil
		}
		return &interceptor.Result{
			Decision:    interceptor.Modify,
			Patches:     []interceptor.Patch{{Op: "add", Path: "/stamps", Value: fmt.Appendf(nil, `["v1",%d,%d]`, now, now)}},
			Annotations: map[string]string{"request": fmt.Sprint(now), "version": "1"},
		}, nil
	})
}

func TestNoise(t *testing.T) {
	with := func(stamp interceptor.Interceptor, images interceptor.Interceptor) *interceptor.Plan {
		return planOf(naming(), images, quota(), watch(), interceptor.Binding{
			Interceptor: "stamps", ID: "all", Order: 9, Phases: []interceptor.Phase{interceptor.ModifyOperation}, Impl: stamp,
		})
	}
	old := func() *interceptor.Plan { return with(noisy(), images("base:1", "base:2")) }
	h := record(t, old())

	// Without learning it is all differences.
	r, err := replay.Run(context.Background(), h, old())
	if err != nil {
		t.Fatal(err)
	}
	if r.PatchDiffs == 0 {
		t.Errorf("no noise: %s", r)
	}

	r, err = replay.Run(context.Background(), h, old(), replay.LearnNoise(old()))
	if err != nil {
		t.Fatal(err)
	}
	if r.Differs() {
		t.Errorf("noise was taken for a difference: %s", r)
	}
	var fields []string
	for _, n := range r.Noise {
		if n.Excluded > r.Operations() {
			t.Errorf("%s was passed over in %d of %d operations", n.Field, n.Excluded, r.Operations())
		}
		fields = append(fields, n.Interceptor+" "+n.Field)
		if n.Learned == 0 {
			t.Errorf("%s was never learned", n.Field)
		}
	}
	if got, want := strings.Join(fields, ", "), " payload /stamps/*, stamps annotation request, stamps decision"; got != want {
		t.Errorf("noise in %q, want %q", got, want)
	}
	if !strings.Contains(r.String(), "noise: demo.Sandboxes/CreateSandbox: payload /stamps/* differs by itself") {
		t.Errorf("the report does not tell: %s", r)
	}

	// What differs beside it is found.
	r, err = replay.Run(context.Background(), h, with(noisy(), images("base:1")), replay.LearnNoise(old()))
	if err != nil {
		t.Fatal(err)
	}
	if r.Flips < 2 || r.Flips > 3 { // one of three was denied by chance, then or not
		t.Errorf("%d flips, want those of base:2: %s", r.Flips, r)
	}
	other := counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{
			Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "add", Path: "/stamps", Value: []byte(`["v2",0]`)}, {Op: "add", Path: "/owner", Value: []byte(`"alice"`)}},
			Annotations: map[string]string{"request": "0", "version": "2"},
		}, nil
	})
	r, err = replay.Run(context.Background(), h, with(other, images("base:1", "base:2")), replay.LearnNoise(old()))
	if err != nil {
		t.Fatal(err)
	}
	if r.PatchDiffs < 5 {
		t.Errorf("%d patch diffs, want those of /owner: %s", r.PatchDiffs, r)
	}
	if _, err := replay.Run(context.Background(), h, old(), replay.LearnNoise(nil)); err == nil {
		t.Error("noise was learned from no plan")
	}
}

// TestNoiseHidesNoLoosening: a binding whose decisions are noise denied something
// that the candidate lets pass. That is told.
func TestNoiseHidesNoLoosening(t *testing.T) {
	judging := func(list ...string) *interceptor.Plan {
		times := 0
		return planOf(naming(), counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
			image := at(e, "/image")
			unsteady := image == "base:2"
			if unsteady {
				times++
			}
			if unsteady && times%2 == 1 || !slices.Contains(list, image) {
				return &interceptor.Result{Decision: interceptor.Deny, Reason: "not now"}, nil
			}
			return allow()
		}), quota(), watch())
	}
	h := record(t, oldPlan())
	r, err := replay.Run(t.Context(), h, judging("base:1", "base:2", "evil:1"), replay.LearnNoise(judging("base:1", "base:2")))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Noise) == 0 || r.Noise[0].Field != "decision" || r.Noise[0].Excluded == 0 {
		t.Errorf("no noise in decisions that is passed over: %s", r)
	}
	if r.Flipped("deny", "allow") != 1 || r.Flipped("allow", "deny") != 0 {
		t.Errorf("want the one deny->allow: %s", r)
	}
}
