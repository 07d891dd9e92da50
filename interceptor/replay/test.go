// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/interceptor"
)

// Test replays history through plan and fails t when it comes out otherwise than
// recorded, but for what is allowed by [Allow] or listed by [Golden]. What was
// denied and would pass now fails unless it is allowed by name. It also fails
// when there is nothing to replay, when a binding fails that did not, when too
// few of the candidate's evaluations could be re-executed, and when too many
// operations could not be replayed; see [MinExecuted] and [MaxUnreplayable].
//
// Where t can run subtests there is one for each service, method and recorded
// decision; with [Against] a difference is told in that of the other plan's
// decision. A plan may be nil with [Recorded].
//
// Two flags are for people at work: -replay.update writes the files that [Golden]
// names, and -replay.event=UID replays a single operation and tells all of it.
func Test(t testing.TB, plan *interceptor.Plan, source Source, opts ...Option) *Report {
	t.Helper()
	var lines []string
	var told story
	given := newOptions(opts)
	each := given.each
	opts = append(opts, Each(func(d Diff) {
		if each != nil {
			each(d)
		}
		if given.golden != "" && d.Comparison != Same && d.Comparison != Unreplayable {
			lines = append(lines, d.line())
		}
	}))
	alone := *eventFlag != ""
	if alone {
		opts = append(opts, Only(*eventFlag), Observe(told.observe), Sample(0, 0), MinExecuted(0), MaxUnreplayable(1))
		given = newOptions(opts)
	}
	report, err := Run(context.Background(), source, plan, opts...)
	if missing := (*NotFoundError)(nil); alone && errors.As(err, &missing) {
		t.Fatalf("replay: -replay.event: %v of this test; if it is of another one, select that with -run", err)
		return nil
	}
	if err != nil {
		t.Fatalf("replay: %v", err)
		return nil
	}
	if alone {
		t.Logf("replay: the whole story:\n%s", &told)
	}
	judged := judge(report, given)
	if given.golden != "" && !alone {
		judged.groups = nil
		text, err := goldenProblem(given.golden, lines, *updateFlag)
		if err != nil {
			t.Fatalf("replay: %v", err)
			return nil
		}
		if text != "" {
			judged.whole = append(judged.whole, text)
		}
	}
	judged.tell(t, report)
	return report
}

// A judgement is why a test fails.
type judgement struct {
	whole  []string                // of all operations
	groups map[stratumKey][]string // of those of a stratum
	unused []Difference            // that were allowed and are not there
}

// tell fails t for what was found.
func (j *judgement) tell(t testing.TB, report *Report) {
	t.Helper()
	failed := len(j.whole)+len(j.groups) > 0
	if failed {
		t.Logf("replay: %s", report)
	}
	for _, text := range j.whole {
		t.Errorf("replay: %s", text)
	}
	for _, k := range j.strata(report) {
		in(t, k.service+"/"+k.method+"/"+k.decision, func(t testing.TB) {
			for _, text := range j.groups[k] {
				t.Errorf("replay: %s", text)
			}
		})
	}
	for _, d := range j.unused {
		t.Logf("replay: %s is allowed, and nothing of the kind is there", d)
	}
}

// strata returns those of the report, and after them what else fails: with [Against]
// a group's operations were decided by the other plan, which the record need not
// have a stratum for.
func (j *judgement) strata(report *Report) []stratumKey {
	var keys, others []stratumKey
	for i := range report.Strata {
		s := &report.Strata[i]
		keys = append(keys, stratumKey{s.Service, s.Method, s.Decision})
	}
	for k := range j.groups {
		if !slices.Contains(keys, k) {
			others = append(others, k)
		}
	}
	slices.SortFunc(others, func(a, b stratumKey) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.method, b.method), cmp.Compare(a.decision, b.decision))
	})
	return append(keys, others...)
}

// in runs f in a subtest where t can have one.
func in(t testing.TB, name string, f func(testing.TB)) {
	if whole, ok := t.(*testing.T); ok {
		whole.Run(name, func(t *testing.T) { f(t) })
		return
	}
	f(t)
}

// judge finds why a test fails on the report; nothing when it passes.
func judge(r *Report, o options) *judgement {
	j := &judgement{groups: map[stratumKey][]string{}}
	if r.Operations() == 0 {
		j.whole = append(j.whole, "the source has no operations that are asked for, which shows nothing")
		return j
	}
	if share := r.Executed(); share < o.minExecuted {
		j.whole = append(j.whole, fmt.Sprintf("%.1f %% of the evaluations were re-executed, want at least %.1f %%: link the interceptors, or lower replay.MinExecuted",
			100*share, 100*o.minExecuted))
	}
	if share := float64(r.Unreplayable) / float64(r.Operations()); share > o.maxUnreplayable {
		j.whole = append(j.whole, r.unreplayableText(share, o.maxUnreplayable))
	}
	used := make([]int, len(o.allowed))
	for i := range r.Groups {
		g := &r.Groups[i]
		if g.Comparison == Unreplayable {
			continue // their share was looked at
		}
		if left := g.beyond(o.allowed, used); left > 0 {
			k := stratumKey{g.Service, g.Method, g.From}
			j.groups[k] = append(j.groups[k], g.failure(left))
		}
	}
	for i, d := range o.allowed {
		if used[i] == 0 && d.limit != 0 {
			j.unused = append(j.unused, d)
		}
	}
	return j
}

// beyond counts the group's operations against what is allowed, and returns how
// many are left.
func (g *Group) beyond(allowed []Difference, used []int) int {
	left := g.Count
	for i := range allowed {
		d := &allowed[i]
		if !d.takes(g) {
			continue
		}
		n := left
		if d.limit >= 0 {
			n = min(n, max(d.limit-used[i], 0))
		}
		used[i] += n
		left -= n
	}
	return left
}

// failure is why a test fails for so many of the group's operations.
func (g *Group) failure(n int) string {
	d := Diff{Comparison: g.Comparison, From: g.From, To: g.To, Interceptor: g.Interceptor, Binding: g.Binding, Reason: g.Reason}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s %s/%s: %s", thousands(n), thousands(g.Count), g.Service, g.Method, d.headline())
	for i := range g.Samples {
		b.WriteString("\n" + g.Samples[i].String())
	}
	if more := g.Count - len(g.Samples); more > 0 {
		fmt.Fprintf(&b, "\nand %s more", thousands(more))
	}
	if a, ok := g.allowance(g.Count); ok {
		fmt.Fprintf(&b, "\nif this is meant: replay.Allow(%s)", a)
	}
	if len(g.Operations) > 0 {
		fmt.Fprintf(&b, "\nlook at one: -replay.event=%s", g.Operations[0])
	}
	return b.String()
}

func (r *Report) unreplayableText(share, limit float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.1f %% of the operations could not be replayed, want at most %.1f %% (replay.MaxUnreplayable)", 100*share, 100*limit)
	for i := range r.Groups {
		if g := &r.Groups[i]; g.Comparison == Unreplayable {
			b.WriteString("\n  " + g.String())
		}
	}
	return b.String()
}
