// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
)

// A tester records what a test under test says.
type tester struct {
	testing.TB
	failures, logs []string
}

func (t *tester) Helper()      {}
func (t *tester) Failed() bool { return len(t.failures) > 0 }
func (t *tester) Logf(format string, args ...any) {
	t.logs = append(t.logs, fmt.Sprintf(format, args...))
}

func (t *tester) Errorf(format string, args ...any) {
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

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
		{"tight, less than none allowed", tight(), []replay.Option{replay.Allow(replay.Flip("*", "deny").Max(-1))}, []string{"replay: 2 of 2 demo", "replay: 1 of 1 demo"}},
		{"tight, too many", tight(), []replay.Option{replay.Allow(replay.Flip("*", "deny").Max(2))}, []string{"replay: 1 of 1 demo"}},
		{"tight, elsewhere", tight(), []replay.Option{replay.Allow(replay.Flip("*", "deny").On("quota"))}, []string{"replay: 2 of 2", "replay: 1 of 1"}},
		{"against a plan that decides as nobody did", oldPlan(), []replay.Option{replay.Only(uids(1)[0]), replay.Against(planOf(naming(), images(), quota(), watch()))}, []string{"replay: 1 of 1 demo.Sandboxes/CreateSandbox: deny -> "}},
		{"loose", loose(), nil, []string{"replay: 1 of 1 demo.Sandboxes/CreateSandbox: deny -> allow by images/allow-list"}},
		{"loose, the other way allowed", loose(), []replay.Option{replay.Allow(replay.Flip("allow", "deny"))}, []string{"replay: 1 of 1"}},
		{"loose, allowed", loose(), []replay.Option{replay.Allow(replay.Flip("deny", "allow"))}, nil},
		{"loose, allowed by an asterisk", loose(), []replay.Option{replay.Allow(replay.Flip("*", "*")), replay.Allow(replay.Flip("*", "allow"))}, []string{"replay: 1 of 1"}},
		{"not to be replayed", planOf(nil, nil, nil, nil, strangers()...), []replay.Option{replay.MinExecuted(0)}, []string{"replay: 87.5 % of the operations could not be replayed, want at most 10.0 %"}},
		{"not to be replayed, allowed", planOf(nil, nil, nil, nil, strangers()...), []replay.Option{replay.MinExecuted(0), replay.MaxUnreplayable(0.9)}, nil},
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
	replay.Test(under, oldPlan(), h, replay.Allow(replay.PatchDiff().On("naming").Max(3)))
	if want := `replay: replay.PatchDiff().On("naming").Max(3) is allowed, and nothing of the kind is there`; len(under.failures) > 0 || !slices.Equal(under.logs, []string{want}) {
		t.Errorf("an allowance for nothing: %q, %q", under.failures, under.logs)
	}
	under = &tester{TB: t}
	replay.Test(under, oldPlan(), &history{})
	if len(under.failures) != 1 {
		t.Errorf("an empty history: %q", under.failures)
	}
}

// strangers are bindings that nobody had, and nobody has an implementation of.
func strangers() []interceptor.Binding {
	return []interceptor.Binding{{Interceptor: "new", ID: "one", Order: 9, Phases: []interceptor.Phase{interceptor.Validate}}}
}

// TestFailureText keeps what a failing test says. It has to be enough to go on
// with.
func TestFailureText(t *testing.T) {
	h := record(t, oldPlan())
	var got strings.Builder
	for _, c := range []struct {
		name string
		plan *interceptor.Plan
		opts []replay.Option
	}{
		{"a tightened rule", planOf(naming(), images("base:1"), quota(), watch()), nil},
		{"a loosened rule", planOf(naming(), images("base:1", "base:2", "evil:1"), quota(), watch()), []replay.Option{replay.Allow(replay.Flip("*", "*"))}},
		{"other patches", planOf(counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "add", Path: "/owner", Value: []byte(`"alice"`)}}}, nil
		}), images("base:1", "base:2"), quota(), watch()), []replay.Option{replay.Allow(replay.Flip("allow", "modify").Max(2))}},
		{"a failure", planOf(naming(), counting(func(*interceptor.Evaluation) (*interceptor.Result, error) { panic("no list") }), quota(), watch()), nil},
		{"little executed", planOf(nil, nil, nil, nil), nil},
		{"not to be replayed", planOf(nil, nil, nil, nil, strangers()...), []replay.Option{replay.MinExecuted(0)}},
	} {
		under := &tester{TB: t}
		replay.Test(under, c.plan, h, c.opts...)
		fmt.Fprintf(&got, "=== %s\n%s\n", c.name, strings.Join(append(under.logs, under.failures...), "\n"))
	}
	goldenFile(t, "failure.txt", got.String())
}

func TestGoldenFlips(t *testing.T) {
	h := record(t, oldPlan())
	tight, loose := planOf(naming(), images("base:1"), quota(), watch()), planOf(naming(), images("base:1", "base:2", "evil:1"), quota(), watch())
	path := filepath.Join(t.TempDir(), "testdata", "flips.golden")
	fails := func(plan *interceptor.Plan) string {
		t.Helper()
		under := &tester{TB: t}
		replay.Test(under, plan, h, replay.Golden(path))
		return strings.Join(under.failures, "\n")
	}
	if got := fails(tight); !strings.Contains(got, path+" is not there; write it with `go test -replay.update`") {
		t.Errorf("without the file: %q", got)
	}
	setFlag(t, "replay.update", "true")
	if got := fails(loose); got != "" {
		t.Errorf("writing it: %q", got)
	}
	setFlag(t, "replay.update", "false")
	if got := fails(loose); got != "" {
		t.Errorf("with what it lists, a deny that is an allow now: %q", got)
	}
	for _, want := range []string{
		"  - 0199d0aa-3000-7000-8000-000000000005 flip deny->allow images/allow-list",
		"  + 0199d0aa-3000-7000-8000-000000000003 flip allow->deny images/allow-list",
		"  + 0199d0aa-3000-7000-8000-000000000006 flip modify->deny images/allow-list",
	} {
		if got := fails(tight); !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if got := fails(oldPlan()); !strings.Contains(got, "- 0199") {
		t.Errorf("what is listed and gone: %q", got)
	}
}

func TestOneEvent(t *testing.T) {
	h := record(t, oldPlan())
	header, err := profile.Parse(h.raw[len(h.raw)/2])
	if err != nil {
		t.Fatal(err)
	}
	setFlag(t, "replay.event", header.MetadataUID)
	under := &tester{TB: t}
	report := replay.Test(under, planOf(naming(), images("base:1"), quota(), watch()), h)
	if report.Operations() != 1 || !strings.Contains(strings.Join(under.logs, "\n"), "images/allow-list in validate: re-executed in this process") {
		t.Errorf("%s\n%s", report, under.logs)
	}
}

// An uid that nothing has, as by a typing error, is not all that was asked for.
func TestOneEventThatIsNotThere(t *testing.T) {
	h := record(t, oldPlan())
	setFlag(t, "replay.event", uids(1)[0]+"0")
	under := &tester{TB: t}
	func() {
		defer func() {
			if r := recover(); r != any(under) {
				panic(r)
			}
		}()
		replay.Test(under, oldPlan(), h)
	}()
	if len(under.failures) != 1 || !strings.Contains(under.failures[0], "-replay.event: no operation, event or evaluation \""+uids(1)[0]+"0\"") {
		t.Errorf("failures %q", under.failures)
	}
}

// TestOneEventThatPanics tells the story of an interceptor that has a bug: what it
// said, and where.
func TestOneEventThatPanics(t *testing.T) {
	h := record(t, oldPlan())
	setFlag(t, "replay.event", uids(1)[0])
	under := &tester{TB: t}
	report := replay.Test(under, planOf(naming(), counting(func(*interceptor.Evaluation) (*interceptor.Result, error) { panic("no such image") }), quota(), watch()), h)
	logs := strings.Join(under.logs, "\n")
	for _, want := range []string{"images/allow-list in validate: re-executed in this process", `now   {"failure":{"kind":"panic"}}`, "        no such image\n", "TestOneEventThatPanics"} {
		if report.Errors != 1 || !strings.Contains(logs, want) {
			t.Errorf("no %q: %s\n%s", want, report, logs)
		}
	}
}

func setFlag(t *testing.T, name, value string) {
	t.Helper()
	before := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, before) })
}

// goldenFile compares a text with a file of testdata.
func goldenFile(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
