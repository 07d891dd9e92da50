// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

// A tester records what a test under test says.
type tester struct {
	testing.TB
	failures []string
}

func (t *tester) Helper()             {}
func (t *tester) Logf(string, ...any) {}
func (t *tester) Failed() bool        { return len(t.failures) > 0 }
func (t *tester) Error(args ...any)   { t.failures = append(t.failures, fmt.Sprint(args...)) }
func (t *tester) Fatalf(format string, args ...any) {
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
	panic(t)
}

func TestTest(t *testing.T) {
	h := record(t, oldPlan())
	tight := func() *interceptor.Plan { return planOf(naming(), images("base:1"), quota(), watch()) }
	loose := func() *interceptor.Plan {
		return planOf(naming(), images("base:1", "base:2", "evil:1"), quota(), watch())
	}
	for _, c := range []struct {
		name string
		plan *interceptor.Plan
		opts []replay.Option
		want []string // what the failures begin with
	}{
		{"unchanged", oldPlan(), nil, nil},
		{"tight", tight(), nil, []string{"replay: 2 of 2 demo", "replay: 1 of 1 demo"}},
		{"tight, allowed", tight(), []replay.Option{replay.Allow(replay.Flip("*", "deny").On("images").Max(3))}, nil},
		{"tight, allowed in parts", tight(), []replay.Option{replay.Allow(replay.Flip("allow", "deny").On("allow-list")), replay.Allow(replay.Flip("modify", "deny").On("images/allow-list").Max(1))}, nil},
		{"tight, too many", tight(), []replay.Option{replay.Allow(replay.Flip("*", "deny").Max(2))}, []string{"replay: 1 of 1 demo"}},
		{"tight, elsewhere", tight(), []replay.Option{replay.Allow(replay.Flip("*", "deny").On("quota"))}, []string{"replay: 2 of 2", "replay: 1 of 1"}},
		{"loose", loose(), nil, []string{"replay: 1 of 1 demo.Sandboxes/CreateSandbox: deny -> allow by images/allow-list"}},
		{"loose, the other way allowed", loose(), []replay.Option{replay.Allow(replay.Flip("allow", "deny"))}, []string{"replay: 1 of 1"}},
		{"loose, allowed", loose(), []replay.Option{replay.Allow(replay.Flip("deny", "allow"))}, nil},
		{"nothing executed", planOf(nil, nil, nil, nil), nil, []string{"replay: 0.0 % of the evaluations were re-executed, want at least 90.0 %"}},
		{"nothing executed, allowed", planOf(nil, nil, nil, nil), []replay.Option{replay.MinExecuted(0)}, nil},
		{"names", planOf(watch(), images("base:1", "base:2"), quota(), watch()), []replay.Option{replay.Allow(replay.Flip("modify", "allow"))}, nil},
		{"no plan", &interceptor.Plan{}, nil, []string{"replay: replay operation "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			under := &tester{TB: t}
			func() {
				defer func() {
					if r := recover(); r != nil && r != any(under) {
						panic(r)
					}
				}()
				replay.Test(under, c.plan, h, c.opts...)
			}()
			ok := len(under.failures) == len(c.want)
			for i := range min(len(under.failures), len(c.want)) {
				ok = ok && strings.HasPrefix(under.failures[i], c.want[i])
			}
			if !ok {
				t.Errorf("failures %q, want %q", under.failures, c.want)
			}
		})
	}
	under := &tester{TB: t}
	replay.Test(under, oldPlan(), &history{})
	if len(under.failures) != 1 {
		t.Errorf("an empty history: %q", under.failures)
	}
}
