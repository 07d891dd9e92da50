// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
)

func newHistory() *history {
	return &history{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
}

// TestShadowsAlone replays a method that only shadows select, where such methods
// are denied: nobody was shown the payload, and nobody need be.
func TestShadowsAlone(t *testing.T) {
	plan := func(unmatched string) *interceptor.Plan {
		p := planOf(naming(), images(), quota(), watch())
		p.Unmatched = unmatched
		for i := range p.Bindings {
			p.Bindings[i].Shadow = true
		}
		return p
	}
	h := newHistory()
	h.run(t, plan(interceptor.UnmatchedDeny), func(chain *interceptor.Chain) {
		if out := chain.Run(context.Background(), operation(t, 1, "web", "base:1"), handler); out.Ran {
			t.Fatal("ran")
		}
	})
	for unmatched, want := range map[string]tally{
		interceptor.UnmatchedDeny:  {Same: 1},
		interceptor.UnmatchedAllow: {Flips: 1},
	} {
		report := replayed(t, h, func() *interceptor.Plan { return plan(unmatched) })
		if diff := cmp.Diff(want, tallyOf(report)); diff != "" {
			t.Errorf("%s: %s\n%s", unmatched, diff, report)
		}
	}
	// Who is to judge now has nothing to judge by.
	report := replayed(t, h, oldPlan)
	if diff := cmp.Diff(tally{Unreplayable: 1}, tallyOf(report)); diff != "" || report.Reexecuted != 0 {
		t.Errorf("%s\n%s", diff, report)
	}
}

// TestLargeMetadata: a binding of any phase that was shown more metadata than the
// record keeps is not called with less.
func TestLargeMetadata(t *testing.T) {
	gold := func() *counter {
		return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
			if e.Metadata["tenant"]["plan"] != "gold" {
				return &interceptor.Result{Decision: interceptor.Deny}, nil
			}
			return allow()
		})
	}
	for _, phase := range []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate} {
		plan := func() *interceptor.Plan {
			p := planOf(naming(), gold(), nil, nil)
			p.Bindings = p.Bindings[:2]
			p.Bindings[1].Phases, p.Bindings[1].Reads = []interceptor.Phase{phase}, []string{"tenant"}
			return p
		}
		h := newHistory()
		h.opts = []activity.Option{activity.WithCaptureMax(200)}
		h.run(t, plan(), func(chain *interceptor.Chain) {
			for i, terms := range []string{"", strings.Repeat("x", 300)} {
				op := operation(t, i+1, "web", "base:1")
				op.Metadata = map[string]map[string]any{"tenant": {"plan": "gold", "terms": terms}}
				if out := chain.Run(context.Background(), op, handler); !out.Ran {
					t.Fatal(out.Reason)
				}
			}
		})
		report := replayed(t, h, plan)
		if diff := cmp.Diff(tally{Same: 1, Unreplayable: 1}, tallyOf(report)); diff != "" || report.Groups[0].Reason != "the metadata are not in the record" {
			t.Errorf("%s: %s\n%s", phase, diff, report)
		}
	}
}

// TestNoPlanDecided replays operations that were denied by what no plan decides,
// after some of the bindings had been called or before.
func TestNoPlanDecided(t *testing.T) {
	h := newHistory()
	ctx, leave := context.WithCancel(context.Background())
	then := oldPlan()
	then.Bindings[1].Impl = counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
		leave()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	then.Bindings = then.Bindings[:2]
	h.run(t, then, func(chain *interceptor.Chain) {
		if out := chain.Run(ctx, operation(t, 1, "Web", "base:1"), handler); out.Status.Code() != codes.Canceled || len(out.Patches) != 1 {
			t.Fatal(out.Status)
		}
	})
	h.run(t, &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow}, func(chain *interceptor.Chain) {
		op := operation(t, 2, "Web", "base:1")
		op.Refusal = status.New(codes.PermissionDenied, "not with this certificate")
		chain.Run(context.Background(), op, handler)
	})
	bad := func(patch string) *interceptor.Plan {
		return planOf(counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "add", Path: "/name", Value: []byte(patch)}}}, nil
		}), images(), nil, nil)
	}
	for name, tc := range map[string]struct {
		plan func() *interceptor.Plan
		want tally
	}{
		"unchanged":               {func() *interceptor.Plan { return planOf(naming(), images("base:1"), quota(), watch()) }, tally{Same: 1, Unreplayable: 1}},
		"other patches, a denial": {func() *interceptor.Plan { return bad(`"x"`) }, tally{Same: 1, Unreplayable: 1}},
		"nobody asked":            {func() *interceptor.Plan { return &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow} }, tally{Same: 2}},
		"nobody asked, denied":    {func() *interceptor.Plan { return &interceptor.Plan{Unmatched: interceptor.UnmatchedDeny} }, tally{Same: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			report := replayed(t, h, tc.plan)
			if diff := cmp.Diff(tc.want, tallyOf(report)); diff != "" || report.PatchDiffs > 0 {
				t.Errorf("%s\n%s", diff, report)
			}
		})
	}
}

// TestWhoPatchesOtherwise: of several that patch, the one is named whose patches
// are others.
func TestWhoPatchesOtherwise(t *testing.T) {
	tags := func(list ...string) *interceptor.Plan {
		p := &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow}
		for i, tag := range list {
			p.Bindings = append(p.Bindings, interceptor.Binding{
				Interceptor: "tags", ID: strings.ToLower(tag), Order: int32(i), Phases: []interceptor.Phase{interceptor.ModifyOperation},
				Impl: counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
					return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "add", Path: "/" + strings.ToLower(tag), Value: []byte(`"` + tag + `"`)}}}, nil
				}),
			})
		}
		return p
	}
	h := newHistory()
	h.run(t, tags("a", "b", "c"), func(chain *interceptor.Chain) {
		chain.Run(context.Background(), operation(t, 1, "web", "base:1"), handler)
	})
	for _, tc := range []struct {
		plan []string
		want string
	}{
		{[]string{"a", "b", "C"}, "c"},
		{[]string{"a", "B", "c"}, "b"},
		{[]string{"a", "B", "C"}, "b"},
		{[]string{"a", "c"}, "b"},
		{[]string{"b", "C"}, "a"},
		{[]string{"a", "x", "b", "c"}, "x"},
		{[]string{"a", "b", "c", "x"}, "x"},
		{[]string{"a", "c", "b"}, ""}, // which comes to the same
	} {
		report := replayed(t, h, func() *interceptor.Plan { return tags(tc.plan...) })
		if tc.want == "" && report.Same == 1 {
			continue
		}
		if report.PatchDiffs != 1 || report.Groups[0].Binding != tc.want {
			t.Errorf("%v, want it of %s: %s", tc.plan, tc.want, report)
		}
	}
}

// TestRedactedLabels: nobody is selected by labels that are not as they were. Those
// of a payload that was not touched are.
func TestRedactedLabels(t *testing.T) {
	for pointer, want := range map[string]map[string]tally{
		"/name":        {"a": {Unreplayable: 1}, "b": {Unreplayable: 1}}, // of the payload, not of the labels
		"/spec":        {"a": {Same: 1}, "b": {Flips: 1}},                // which is not there; labels might have come from it
		"/labels/team": {"a": {Unreplayable: 1}, "b": {Unreplayable: 1}},
	} {
		redactor, err := activity.NewRedactor([]activity.Rule{{Name: "r", Pointers: []string{pointer}, Do: activity.RedactMask}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for team, want := range want {
			h := newHistory()
			h.opts = []activity.Option{activity.WithRedactor(redactor)}
			h.run(t, planOf(watch(), images(), watch(), watch()), func(chain *interceptor.Chain) {
				op := operation(t, 1, "", "")
				op.Request = labelled(t, team)
				op.Labels = map[string]string{"team": team}
				chain.Run(context.Background(), op, handler)
			})
			report := replayed(t, h, func() *interceptor.Plan {
				p := planOf(watch(), images(), watch(), watch())
				p.Bindings[1].Labels = map[string]string{"team": "a"}
				return p
			})
			if diff := cmp.Diff(want, tallyOf(report)); diff != "" {
				t.Errorf("%s, team %s: %s\n%s", pointer, team, diff, report)
			}
		}
	}
}

func labelled(t testing.TB, team string) proto.Message {
	s, err := structpb.NewStruct(map[string]any{"labels": map[string]any{"team": team}, "name": "web", "image": "base:1"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestHoles: an operation of which any one event before the outcome is missing is
// not replayed as if it had never been.
func TestHoles(t *testing.T) {
	plan := func() *interceptor.Plan {
		p := planOf(naming(), images("base:1"), quota(), watch())
		p.Bindings[2].FailurePolicy = interceptor.FailClosed
		return p
	}
	for _, name := range []string{"Web", "Web-slow"} {
		h := newHistory()
		h.run(t, plan(), func(chain *interceptor.Chain) {
			chain.Run(context.Background(), operation(t, 1, name, "base:1"), handler)
		})
		if report := replayed(t, h, plan); report.Same != 1 {
			t.Fatalf("whole: %s", report)
		}
		all := h.raw
		lose := func(which func(profile.Header) bool) {
			h.raw = slices.DeleteFunc(slices.Clone(all), func(raw []byte) bool {
				header, err := profile.Parse(raw)
				return err == nil && which(header)
			})
			if report := replayed(t, h, plan); report.Differs() || report.Operations() != 1 {
				t.Errorf("%s without %d events: %s", name, len(all)-len(h.raw), report)
			}
		}
		lost := map[string]bool{}
		for _, raw := range all {
			header, err := profile.Parse(raw)
			if err != nil || header.EvaluationUID == "" {
				continue
			}
			lose(func(h profile.Header) bool { return h.MetadataUID == header.MetadataUID })
			if !lost[header.EvaluationUID] {
				lost[header.EvaluationUID] = true
				lose(func(h profile.Header) bool { return h.EvaluationUID == header.EvaluationUID })
			}
		}
		if len(lost) < 3 {
			t.Errorf("%d evaluations", len(lost))
		}
	}
}

// TestLargeResult: what a binding is shown is not taken from a record in which
// patches that came before are not known.
func TestLargeResult(t *testing.T) {
	fills := func(note string) *counter {
		return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{
				{Op: "add", Path: "/note", Value: []byte(`"` + note + `"`)},
				{Op: "remove", Path: "/note"},
				{Op: "add", Path: "/size", Value: []byte(fmt.Sprint(len(note)))},
			}}, nil
		})
	}
	judge := func() *counter {
		return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
			if at(e, "/size") != "300" {
				return &interceptor.Result{Decision: interceptor.Deny, Reason: "size " + at(e, "/size")}, nil
			}
			return allow()
		})
	}
	plan := func(first interceptor.Interceptor) *interceptor.Plan {
		p := planOf(first, naming(), judge(), watch())
		p.Bindings[1].Phases = []interceptor.Phase{interceptor.ModifyOperation}
		return p
	}
	h := newHistory()
	h.opts = []activity.Option{activity.WithCaptureMax(200)}
	h.run(t, plan(fills(strings.Repeat("x", 300))), func(chain *interceptor.Chain) {
		if out := chain.Run(context.Background(), operation(t, 1, "Web", "base:1"), handler); !out.Ran {
			t.Fatal(out.Reason)
		}
	})
	// The one patch that is known is made now too, but not the others.
	report := replayed(t, h, func() *interceptor.Plan { return plan(watch()) })
	if diff := cmp.Diff(tally{Flips: 1}, tallyOf(report)); diff != "" {
		t.Errorf("%s\n%s", diff, report)
	}
}

// TestTypedPatches replays patches of patches of a message with a type, which
// settled names and numbers in between.
func TestTypedPatches(t *testing.T) {
	patcher := func(patches ...interceptor.Patch) *counter {
		return counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Modify, Patches: patches}, nil
		})
	}
	plan := func(comment string, most int) *interceptor.Plan {
		p := planOf(
			patcher(interceptor.Patch{Op: "add", Path: "/location", Value: []byte(`[{"leading_comments":"x","span":["1"]}]`)}),
			patcher(interceptor.Patch{Op: "test", Path: "/location/0/span/0", Value: []byte("1")}, interceptor.Patch{Op: "replace", Path: "/location/0/leadingComments", Value: []byte(comment)}),
			patcher(interceptor.Patch{Op: "test", Path: "/location/0/leadingComments", Value: []byte(comment)}, interceptor.Patch{Op: "add", Path: "/location/0/trailingComments", Value: []byte(`"z"`)}),
			watch())
		for i := range p.Bindings[:3] {
			p.Bindings[i].Phases, p.Bindings[i].MaxPatches = []interceptor.Phase{interceptor.ModifyOperation}, most
		}
		return p
	}
	h := newHistory()
	h.run(t, plan(`"y"`, 2), func(chain *interceptor.Chain) {
		op := operation(t, 1, "", "")
		op.Request = &descriptorpb.SourceCodeInfo{}
		if out := chain.Run(context.Background(), op, handler); !out.Ran || len(out.Patches) != 5 {
			t.Fatal(out.Reason, out.Parts)
		}
	})
	for name, tc := range map[string]struct {
		comment string
		most    int
		want    replay.Comparison
	}{
		"unchanged":       {`"y"`, 2, replay.Same},
		"another comment": {`"yy"`, 2, replay.PatchesDiffer},
		"fewer patches":   {`"y"`, 1, replay.Erred},
	} {
		got := replay.Same
		report := replayed(t, h, func() *interceptor.Plan { return plan(tc.comment, tc.most) }, replay.Each(func(d replay.Diff) { got = d.Comparison }))
		if got != tc.want {
			t.Errorf("%s: %s", name, report)
		}
	}
}
