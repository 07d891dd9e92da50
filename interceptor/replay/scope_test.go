// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
)

// tally is what a report counts of operations.
type tally struct{ Same, Flips, Errors, Unreplayable int }

func tallyOf(r *replay.Report) tally { return tally{r.Same, r.Flips, r.Errors, r.Unreplayable} }

// selected changes the selectors of the old plan's bindings.
func selected(plan *interceptor.Plan, change func(*interceptor.Binding)) *interceptor.Plan {
	for i := range plan.Bindings {
		change(&plan.Bindings[i])
	}
	return plan
}

// TestSelectors replays operations that bindings select by who asks, and by
// labels. Nobody is waited for who is not called.
func TestSelectors(t *testing.T) {
	nobody := func(b *interceptor.Binding) { b.Principals = []string{"sandbox/*"} }
	alice := func(b *interceptor.Binding) { b.Principals = []string{"user/alice"} }
	teamA := func(b *interceptor.Binding) { b.Labels = map[string]string{"team": "a"} }
	labelled := func(name string, labels map[string]any) *structpb.Struct {
		s, err := structpb.NewStruct(map[string]any{"spec": map[string]any{"labels": labels}, "name": name, "image": "base:1"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	strict := func() *interceptor.Plan { return planOf(naming(), images(), quota(), watch()) }
	for name, tc := range map[string]struct {
		then func(*interceptor.Binding)
		now  func() *interceptor.Plan
		want tally
	}{
		"nobody is selected, and nothing was shown":    {nobody, func() *interceptor.Plan { return selected(strict(), nobody) }, tally{Same: 2}},
		"who was not selected is":                      {nobody, func() *interceptor.Plan { return selected(strict(), alice) }, tally{Unreplayable: 2}},
		"who was not selected is, by nothing":          {nobody, strict, tally{Unreplayable: 2}},
		"nobody is selected any more":                  {alice, func() *interceptor.Plan { return selected(strict(), nobody) }, tally{Same: 2}},
		"everybody is":                                 {alice, strict, tally{Flips: 2}},
		"one by a label":                               {alice, func() *interceptor.Plan { return selected(strict(), teamA) }, tally{Same: 1, Flips: 1}},
		"one by a label, and nothing of it was shown":  {nobody, func() *interceptor.Plan { return selected(strict(), teamA) }, tally{Same: 1, Unreplayable: 1}},
		"the commits alone, of somebody else":          {alice, func() *interceptor.Plan { p := oldPlan(); nobody(&p.Bindings[3]); return p }, tally{Same: 2}},
		"all but the commits, whose binding says more": {alice, func() *interceptor.Plan { p := selected(strict(), nobody); alice(&p.Bindings[3]); return p }, tally{Same: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
			h.run(t, selected(oldPlan(), tc.then), func(chain *interceptor.Chain) {
				for i, team := range []string{"a", "b"} {
					op := operation(t, i+1, "", "")
					op.Request = labelled("web", map[string]any{"team": team})
					op.Labels = map[string]string{"team": team}
					chain.Run(context.Background(), op, handler)
				}
			})
			report := replayed(t, h, tc.now)
			if diff := cmp.Diff(tc.want, tallyOf(report)); diff != "" {
				t.Errorf("%s\n%s", diff, report)
			}
		})
	}
}

// TestShadows replays candidates that are shadows: whatever they say, whether
// they fail or cannot be had, operations come out as they did.
func TestShadows(t *testing.T) {
	same := tally{Same: len(requests)}
	for name, shadow := range map[string]interceptor.Interceptor{
		"denies": images(), "patches": counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "replace", Path: "/image", Value: []byte(`"evil:1"`)}}}, nil
		}),
		"patches badly": counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "remove", Path: "/nothing"}}}, nil
		}),
		"panics":                counting(func(*interceptor.Evaluation) (*interceptor.Result, error) { panic("index out of range") }),
		"has no implementation": nil,
	} {
		t.Run(name, func(t *testing.T) {
			report := replayed(t, record(t, oldPlan()), func() *interceptor.Plan {
				p := oldPlan()
				p.Bindings = append(p.Bindings, interceptor.Binding{
					Interceptor: "new", ID: "one", Phases: []interceptor.Phase{interceptor.ModifyOperation}, Impl: shadow, Shadow: true,
				})
				return p
			})
			if diff := cmp.Diff(same, tallyOf(report)); diff != "" {
				t.Errorf("%s\n%s", diff, report)
			}
		})
	}
}

// TestShadowsThen replays what shadows said then: their patches were never made.
func TestShadowsThen(t *testing.T) {
	evil := counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "replace", Path: "/image", Value: []byte(`"evil:1"`)}}}, nil
	})
	with := func(shadow interceptor.Interceptor, others *interceptor.Plan) *interceptor.Plan {
		others.Bindings = append(others.Bindings, interceptor.Binding{
			Interceptor: "new", ID: "one", Phases: []interceptor.Phase{interceptor.ModifyOperation}, Impl: shadow, Shadow: true,
		})
		return others
	}
	h := record(t, with(evil, oldPlan()))
	for name, tc := range map[string]struct {
		plan func() *interceptor.Plan
		want tally
	}{
		"unchanged":       {func() *interceptor.Plan { return with(evil, oldPlan()) }, tally{Same: len(requests)}},
		"from the record": {func() *interceptor.Plan { return with(nil, planOf(nil, nil, nil, nil)) }, tally{Same: len(requests)}},
		"without it":      {oldPlan, tally{Same: len(requests)}},
		"in force, and patches": {func() *interceptor.Plan {
			p := with(evil, oldPlan())
			p.Bindings[4].Shadow = false
			return p
		}, tally{Same: 1, Flips: len(requests) - 1}}, // one never got by the list of images, and asked for that image
	} {
		t.Run(name, func(t *testing.T) {
			report := replayed(t, h, tc.plan)
			if diff := cmp.Diff(tc.want, tallyOf(report)); diff != "" {
				t.Errorf("%s\n%s", diff, report)
			}
		})
	}
}

// TestRedacted: nothing is judged by what an operator had taken out of the
// record. Who judged then is answered from it.
func TestRedacted(t *testing.T) {
	redactor, err := activity.NewRedactor([]activity.Rule{{Name: "names", Pointers: []string{"/name"}, Do: activity.RedactMask}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := record(t, oldPlan(), activity.WithRedactor(redactor))
	report := replayed(t, h, oldPlan)
	if report.Same != 0 || report.Differs() || report.Reexecuted != 0 || report.Groups[0].Reason != "its payload is redacted" {
		t.Errorf("re-executed: %s", report)
	}
	report = replayed(t, h, func() *interceptor.Plan { return planOf(nil, nil, nil, nil) })
	if report.Same == 0 || report.Differs() {
		t.Errorf("answered: %s", report)
	}
}

// TestGrants replays bindings that were shown attributes and metadata, and set
// some.
func TestGrants(t *testing.T) {
	sets := counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Allow, Metadata: map[string]map[string]any{"risk": {"score": 7, "from": e.Metadata["tenant"]["plan"]}}}, nil
	})
	judges := func(limit float64) interceptor.Interceptor {
		return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
			score, _ := e.Metadata["risk"]["score"].(float64)
			if score > limit || e.Attributes["user_agent"] != "curl" || e.Metadata["risk"]["from"] != "gold" {
				return &interceptor.Result{Decision: interceptor.Deny}, nil
			}
			return allow()
		})
	}
	plan := func(naming, images interceptor.Interceptor) *interceptor.Plan {
		p := planOf(naming, images, nil, nil)
		p.Bindings = p.Bindings[:2]
		p.Bindings[0].Writes, p.Bindings[0].Reads = []string{"risk"}, []string{"tenant"}
		p.Bindings[1].Reads, p.Bindings[1].Attributes = []string{"risk"}, []string{"user_*"}
		return p
	}
	h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	h.run(t, plan(sets, judges(9)), func(chain *interceptor.Chain) {
		op := operation(t, 1, "web", "base:1")
		op.Attributes = map[string]string{"user_agent": "curl", "source.address": "10.0.0.7:1"}
		op.Metadata = map[string]map[string]any{"tenant": {"plan": "gold"}, "unseen": {"x": 1}}
		if out := chain.Run(context.Background(), op, handler); !out.Ran {
			t.Fatalf("%s: %s", out.Decision, out.Reason)
		}
	})
	for name, tc := range map[string]struct {
		plan func() *interceptor.Plan
		want tally
	}{
		"unchanged":       {func() *interceptor.Plan { return plan(sets, judges(9)) }, tally{Same: 1}},
		"stricter":        {func() *interceptor.Plan { return plan(sets, judges(5)) }, tally{Flips: 1}},
		"half answered":   {func() *interceptor.Plan { return plan(nil, judges(9)) }, tally{Same: 1}},
		"other half":      {func() *interceptor.Plan { return plan(sets, nil) }, tally{Same: 1}},
		"from the record": {func() *interceptor.Plan { return plan(nil, nil) }, tally{Same: 1}},
		"not granted any more": {func() *interceptor.Plan {
			p := plan(sets, judges(9))
			p.Bindings[1].Attributes = nil
			return p
		}, tally{Flips: 1}},
		"answered to other grants": {func() *interceptor.Plan {
			p := plan(sets, nil)
			p.Bindings[1].Reads = nil
			return p
		}, tally{Unreplayable: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			report := replayed(t, h, tc.plan)
			if diff := cmp.Diff(tc.want, tallyOf(report)); diff != "" {
				t.Errorf("%s\n%s", diff, report)
			}
		})
	}
}
