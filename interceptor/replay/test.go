// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"fmt"
	"testing"

	"github.com/docket-audit/docket/interceptor"
)

// Test replays history through plan and fails t when it comes out otherwise
// than recorded, but for what is allowed by [Allow]. It also fails when there
// is nothing to replay, when a binding fails that did not, and when too few of
// the candidate's evaluations could be re-executed; see [MinExecuted].
func Test(t testing.TB, plan *interceptor.Plan, source Source, opts ...Option) *Report {
	t.Helper()
	report, err := Run(context.Background(), source, plan, opts...)
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	for _, p := range report.problems(newOptions(opts)) {
		t.Error(p)
	}
	if t.Failed() {
		t.Logf("replay of %s", report)
	}
	return report
}

// problems returns why a test fails on the report; nothing when it passes.
func (r *Report) problems(o options) []string {
	var out []string
	if r.Operations() == 0 {
		return []string{"replay: the source has no operations"}
	}
	if share := r.Executed(); share < o.minExecuted {
		out = append(out, fmt.Sprintf("replay: %.1f %% of the evaluations were re-executed, want at least %.1f %%", 100*share, 100*o.minExecuted))
	}
	used := make([]int, len(o.allowed))
	for i := range r.Groups {
		g := &r.Groups[i]
		left := g.Count
		if g.Comparison == Unreplayable {
			left = 0 // what they cost in coverage is counted above
		}
		for j := range o.allowed {
			d := &o.allowed[j]
			if !d.takes(g) {
				continue
			}
			n := left
			if d.limit >= 0 {
				n = min(n, max(d.limit-used[j], 0))
			}
			used[j] += n
			left -= n
		}
		if left > 0 {
			out = append(out, fmt.Sprintf("replay: %d of %s", left, g))
		}
	}
	return out
}
