// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
)

func modifying(patches ...interceptor.Patch) *counter {
	return counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Modify, Patches: patches}, nil
	})
}

func denying(code, note string) *counter {
	return counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Deny, Reason: "no", StatusCode: code, Annotations: map[string]string{"note": note}}, nil
	})
}

func noting(note string) *counter {
	return counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Allow, Reason: note, Annotations: map[string]string{"note": note}}, nil
	})
}

func failingWith(kind interceptor.FailureKind) *counter {
	return counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
		return nil, &interceptor.Failure{Kind: kind, Detail: "gone"}
	})
}

func set(path, value string) interceptor.Patch {
	return interceptor.Patch{Op: "add", Path: path, Value: []byte(value)}
}

// TestComparisons replays one operation through a plan that differs from the old
// one in a single way.
func TestComparisons(t *testing.T) {
	bound := func(impl interceptor.Interceptor, phase interceptor.Phase, policy interceptor.FailurePolicy) []interceptor.Binding {
		return []interceptor.Binding{{Interceptor: "one", ID: "b", Phases: []interceptor.Phase{phase}, FailurePolicy: policy, Impl: impl}}
	}
	modify := func(patches ...interceptor.Patch) []interceptor.Binding {
		return bound(modifying(patches...), interceptor.ModifyOperation, 0)
	}
	judge := func(impl interceptor.Interceptor) []interceptor.Binding {
		return bound(impl, interceptor.Validate, 0)
	}
	closedAndOpen := func(policy interceptor.FailurePolicy) []interceptor.Binding {
		return append(bound(failingWith(interceptor.Unavailable), interceptor.Validate, policy),
			interceptor.Binding{Interceptor: "two", ID: "b", Order: 1, Phases: []interceptor.Phase{interceptor.Validate}, Impl: denying("", "")})
	}
	for _, c := range []struct {
		name     string
		old, now []interceptor.Binding
		want     replay.Comparison
		from, to string
		opts     []activity.Option
	}{
		{name: "the same patches", old: modify(set("/a", "1")), now: modify(set("/a", "1")), want: replay.Same},
		{name: "in another order", old: modify(set("/a", "1"), set("/b", "2")), now: modify(set("/b", "2"), set("/a", "1")), want: replay.Same},
		{name: "by a detour", old: modify(set("/a", "1")), now: modify(set("/z", "1"), interceptor.Patch{Op: "move", From: "/z", Path: "/a"}), want: replay.Same},
		{name: "spelled otherwise", old: modify(set("/a", "1")), now: modify(set("/a", " 1.0")), want: replay.Same},
		{name: "another value", old: modify(set("/a", "1")), now: modify(set("/a", "2")), want: replay.PatchesDiffer, from: "modify", to: "modify"},
		{name: "one more", old: modify(set("/a", "1")), now: modify(set("/a", "1"), set("/b", "2")), want: replay.PatchesDiffer, from: "modify", to: "modify"},
		{name: "too large to be recorded", old: modify(set("/a", `"`+string(make64k())+`"`)), now: modify(set("/a", "2")), want: replay.Unreplayable, opts: []activity.Option{activity.WithCaptureMax(256)}},
		{name: "another status", old: judge(denying("FAILED_PRECONDITION", "")), now: judge(denying("RESOURCE_EXHAUSTED", "")), want: replay.StatusDiffers, from: "deny", to: "deny"},
		{name: "the status of a deny without one", old: judge(denying("", "")), now: judge(denying("PERMISSION_DENIED", "")), want: replay.Same},
		{name: "another note on a deny", old: judge(denying("", "a")), now: judge(denying("", "b")), want: replay.AnnotationsDiffer, from: "deny", to: "deny"},
		{name: "another note", old: judge(noting("a")), now: judge(noting("b")), want: replay.AnnotationsDiffer, from: "allow", to: "allow"},
		{name: "no note", old: judge(noting("a")), now: judge(counting(func(*interceptor.Evaluation) (*interceptor.Result, error) { return allow() })), want: replay.AnnotationsDiffer, from: "allow", to: "allow"},
		{name: "a failure, under another policy that comes to the same", old: closedAndOpen(interceptor.FailOpen), now: closedAndOpen(interceptor.FailOpen), want: replay.Same},
		{name: "a failure that is let pass now", old: bound(failingWith(interceptor.Timeout), interceptor.Validate, interceptor.FailClosed), now: bound(failingWith(interceptor.Timeout), interceptor.Validate, interceptor.FailOpen), want: replay.Flipped, from: "deny", to: "allow"},
		{name: "a failure of another kind now", old: judge(failingWith(interceptor.Timeout)), now: judge(failingWith(interceptor.Panic)), want: replay.Same}, // it is answered from the record
		{name: "a failure in place of an answer", old: judge(noting("a")), now: judge(failingWith(interceptor.Panic)), want: replay.Erred, from: "allow", to: "deny"},
		{name: "an answer in place of a failure", old: judge(failingWith(interceptor.Timeout)), now: judge(noting("a")), want: replay.Same},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := func(b []interceptor.Binding) *interceptor.Plan {
				return &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: b}
			}
			h := &history{link: record(t, oldPlan()).link, opts: c.opts}
			h.run(t, plan(c.old), func(chain *interceptor.Chain) {
				chain.Run(context.Background(), operation(t, 1, "web", "base:1"), handler)
			})
			var got replay.Diff
			if _, err := replay.Run(context.Background(), h, plan(c.now), replay.Each(func(d replay.Diff) { got = d })); err != nil {
				t.Fatal(err)
			}
			if got.Comparison != c.want || got.Comparison != replay.Same && (got.From != c.from || got.To != c.to) {
				t.Errorf("%s %s -> %s, want %s %s -> %s\n%s", got.Comparison, got.From, got.To, c.want, c.from, c.to, got.String())
			}
			if got.Comparison != replay.Same && got.Comparison != replay.Unreplayable && got.First == nil {
				t.Errorf("nobody answered otherwise: %s", got.String())
			}
		})
	}
}

func make64k() []byte {
	b := make([]byte, 64<<10)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// TestFailureHandling changes what is made of a failure that did not decide.
func TestFailureHandling(t *testing.T) {
	plan := func(policy interceptor.FailurePolicy) *interceptor.Plan {
		return &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{
			{Interceptor: "one", ID: "b", Phases: []interceptor.Phase{interceptor.Validate}, Impl: noting("a")},
			{Interceptor: "late", ID: "b", Phases: []interceptor.Phase{interceptor.PostCommit}, PostCommitPolicy: policy, Impl: failingWith(interceptor.Timeout)},
		}}
	}
	h := &history{link: record(t, oldPlan()).link}
	h.run(t, plan(interceptor.FailOpen), func(chain *interceptor.Chain) {
		chain.Run(context.Background(), operation(t, 1, "web", "base:1"), handler)
	})
	r, err := replay.Run(context.Background(), h, plan(interceptor.Ignore))
	if err != nil {
		t.Fatal(err)
	}
	if r.FailureDiffs != 1 || r.Groups[0].Interceptor != "late" {
		t.Errorf("report: %s", r)
	}
}

// TestAgainst compares a plan with another, whatever the record says.
func TestAgainst(t *testing.T) {
	h := record(t, oldPlan())
	loose := func() *interceptor.Plan {
		return planOf(naming(), images("base:1", "base:2", "evil:1"), quota(), watch())
	}
	r, err := replay.Run(context.Background(), h, loose(), replay.Against(loose()))
	if err != nil {
		t.Fatal(err)
	}
	if r.Same != len(requests) {
		t.Errorf("a plan against itself: %s", r)
	}
	r, err = replay.Run(context.Background(), h, tightPlan(), replay.Against(loose()))
	if err != nil {
		t.Fatal(err)
	}
	fromRecord, err := replay.Run(context.Background(), record(t, loose()), tightPlan())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tallyOf(fromRecord), tallyOf(r)); diff != "" {
		t.Errorf("against a plan, and against what was recorded of it:\n%s", diff)
	}
}

// TestMemoryUsedAgain: an interceptor answers each time out of the same memory. What
// it answered before stays what it was.
func TestMemoryUsedAgain(t *testing.T) {
	value, notes, times := make([]byte, 0, 64), map[string]string{}, 0
	stamping := counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
		times++
		value = fmt.Appendf(value[:0], "%06d", times)
		value[0] = '1'
		notes["times"] = fmt.Sprint(times)
		return &interceptor.Result{Decision: interceptor.Modify, Annotations: notes, Patches: []interceptor.Patch{{Op: "add", Path: "/stamp", Value: value}}}, nil
	})
	plan := planOf(naming(), images("base:1", "base:2"), quota(), watch(), interceptor.Binding{
		Interceptor: "stamps", ID: "all", Order: 9, Phases: []interceptor.Phase{interceptor.ModifyOperation}, Impl: stamping,
	})
	r, err := replay.Run(t.Context(), record(t, plan), plan, replay.Against(plan))
	if err != nil {
		t.Fatal(err)
	}
	// The one that is denied has annotations alone to differ in.
	if r.PatchDiffs != 7 || r.AnnotationDiffs != 1 {
		t.Errorf("each is stamped otherwise: %s", r)
	}
}

// TestAgainstAFailureOfTheRecord compares with a plan that denies before it comes to
// a binding that failed in the record: that the candidate comes to it, and is
// answered from the record, is no error of its own.
func TestAgainstAFailureOfTheRecord(t *testing.T) {
	plan := func(first, late interceptor.Interceptor) *interceptor.Plan {
		return &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{
			{Interceptor: "one", ID: "b", Phases: []interceptor.Phase{interceptor.Validate}, Impl: first},
			{Interceptor: "two", ID: "b", Order: 1, Phases: []interceptor.Phase{interceptor.Validate}, FailurePolicy: interceptor.FailOpen, Impl: late},
		}}
	}
	h := &history{link: record(t, oldPlan()).link}
	h.run(t, plan(noting("a"), failingWith(interceptor.Timeout)), func(chain *interceptor.Chain) {
		chain.Run(context.Background(), operation(t, 1, "web", "base:1"), handler)
	})
	r, err := replay.Run(context.Background(), h, plan(noting("a"), noting("a")), replay.Against(plan(denying("", ""), noting("a"))))
	if err != nil {
		t.Fatal(err)
	}
	if r.Flipped("deny", "allow") != 1 || r.Errors != 0 {
		t.Errorf("report: %s", r)
	}
}
