// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// What is drawn under the race detector is a slice; without it, all is.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", strconv.Itoa(100/slower)); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// replayed runs the history through a plan, twice, and wants equal reports.
func replayed(t *testing.T, h replay.Source, plan func() *interceptor.Plan, opts ...replay.Option) *replay.Report {
	t.Helper()
	first, err := replay.Run(context.Background(), h, plan(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	second, err := replay.Run(context.Background(), h, plan(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(first)
	b, _ := json.Marshal(second)
	if !bytes.Equal(a, b) {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
	return first
}

// uids names operations of the history by the numbers of their requests.
func uids(numbers ...int) []string {
	var out []string
	for _, n := range numbers {
		out = append(out, fmt.Sprintf("0199d0aa-3000-7000-8000-%012d", n))
	}
	return out
}

func TestUnchanged(t *testing.T) {
	h := record(t, oldPlan())
	n, i, q, w := naming(), images("base:1", "base:2"), quota(), watch()
	report, err := replay.Run(context.Background(), h, planOf(n, i, q, w))
	if err != nil {
		t.Fatal(err)
	}
	// 8 names; 8 images; 7 quotas, of which 2 failed then; 6 commits.
	want := &replay.Report{Replayed: 29, Reexecuted: 27, Same: 8, Groups: []replay.Group{}}
	if diff := cmp.Diff(counts(want), counts(report)); diff != "" {
		t.Errorf("report (-want +got):\n%s\n%s", diff, report)
	}
	if calls := n.calls.Load() + i.calls.Load() + q.calls.Load() + w.calls.Load(); calls != int64(report.Reexecuted) {
		t.Errorf("%d calls, %d re-executed", calls, report.Reexecuted)
	}
	if q.calls.Load() != 5 {
		t.Errorf("quota was called %d times, want 5: its failures are answered from the record", q.calls.Load())
	}
}

// counts is the report's JSON form, which has no other state, without what
// [TestSamples] looks at.
func counts(r *replay.Report) string {
	c := *r
	c.Linked, c.Strata, c.Groups = 0, nil, slices.Clone(r.Groups)
	for i := range c.Groups {
		c.Groups[i].Samples = nil
	}
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestCandidates replays the history through changed plans.
func TestCandidates(t *testing.T) {
	create := replay.Group{Service: "demo.Sandboxes", Method: "CreateSandbox"}
	group := func(c replay.Comparison, from, to, who, binding, reason string, operations ...int) replay.Group {
		g := create
		g.Comparison, g.From, g.To, g.Interceptor, g.Binding, g.Reason = c, from, to, who, binding, reason
		g.Count, g.Operations = len(operations), uids(operations...)
		return g
	}
	for _, c := range []struct {
		name string
		plan func() *interceptor.Plan
		want replay.Report
	}{
		{
			"tightened list",
			func() *interceptor.Plan { return planOf(naming(), images("base:1"), quota(), watch()) },
			replay.Report{Replayed: 23, Reexecuted: 22, Same: 5, Flips: 3, Groups: []replay.Group{
				group(replay.Flipped, "allow", "deny", "images", "allow-list", "", 3, 8),
				group(replay.Flipped, "modify", "deny", "images", "allow-list", "", 6),
			}},
		},
		{
			"loosened list",
			func() *interceptor.Plan {
				return planOf(naming(), images("base:1", "base:2", "evil:1"), quota(), watch())
			},
			replay.Report{Replayed: 30, Reexecuted: 28, Same: 7, Flips: 1, Groups: []replay.Group{
				group(replay.Flipped, "deny", "allow", "images", "allow-list", "", 5),
			}},
		},
		{
			"closed on failure",
			func() *interceptor.Plan {
				p := oldPlan()
				p.Bindings[2].FailurePolicy = interceptor.FailClosed
				return p
			},
			replay.Report{Replayed: 27, Reexecuted: 25, Same: 6, Flips: 2, Groups: []replay.Group{
				group(replay.Flipped, "allow", "deny", "quota", "per-tenant", "", 4),
				group(replay.Flipped, "modify", "deny", "quota", "per-tenant", "", 6),
			}},
		},
		{
			"all denied",
			func() *interceptor.Plan { return planOf(naming(), images(), quota(), watch()) },
			replay.Report{Replayed: 16, Reexecuted: 16, Same: 1, Flips: 7, Groups: []replay.Group{
				group(replay.Flipped, "allow", "deny", "images", "allow-list", "", 1, 3, 4, 7, 8),
				group(replay.Flipped, "modify", "deny", "images", "allow-list", "", 2, 6),
			}},
		},
		{
			"names unchanged",
			func() *interceptor.Plan { return planOf(watch(), images("base:1", "base:2"), quota(), watch()) },
			replay.Report{Replayed: 29, Reexecuted: 27, Same: 6, Flips: 2, Groups: []replay.Group{
				group(replay.Flipped, "modify", "allow", "naming", "lower-case", "", 2, 6),
			}},
		},
		{
			"other names",
			func() *interceptor.Plan {
				return planOf(counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
					if at(e, "/name") == "Web-2" {
						return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "replace", Path: "/name", Value: []byte(`"x"`)}}}, nil
					}
					return naming().Func(context.Background(), e)
				}), images("base:1", "base:2"), quota(), watch())
			},
			replay.Report{Replayed: 29, Reexecuted: 27, Same: 7, PatchDiffs: 1, Groups: []replay.Group{
				group(replay.PatchesDiffer, "modify", "modify", "naming", "lower-case", "", 2),
			}},
		},
		{
			"a bug",
			func() *interceptor.Plan {
				return planOf(naming(), counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
					if at(e, "/image") == "base:2" {
						panic("index out of range")
					}
					return images("base:1").Func(context.Background(), e)
				}), quota(), watch())
			},
			replay.Report{Replayed: 23, Reexecuted: 22, Same: 5, Errors: 3, Groups: []replay.Group{
				group(replay.Erred, "allow", "deny", "images", "allow-list", "panic", 3, 8),
				group(replay.Erred, "modify", "deny", "images", "allow-list", "panic", 6),
			}},
		},
		{
			"from the record alone",
			func() *interceptor.Plan { return planOf(nil, nil, nil, nil) },
			replay.Report{Replayed: 29, Same: 8, Groups: []replay.Group{}},
		},
		{
			"no quota here, and other names",
			func() *interceptor.Plan { return planOf(watch(), images("base:1", "base:2", "evil:1"), nil, nil) },
			replay.Report{Replayed: 28, Reexecuted: 16, Unanswered: 2, Same: 5, Flips: 1, Unreplayable: 2, Groups: []replay.Group{
				group(replay.Flipped, "modify", "allow", "naming", "lower-case", "", 6),
				group(replay.Unreplayable, "", "", "quota", "per-tenant", "no implementation here, and the binding was not called then", 5),
				group(replay.Unreplayable, "", "", "quota", "per-tenant", "no implementation here, and the binding would be shown another input than then", 2),
			}},
		},
		{
			"a new binding without an implementation",
			func() *interceptor.Plan {
				p := oldPlan()
				p.Bindings = append(p.Bindings, interceptor.Binding{Interceptor: "new", ID: "one", Order: 9, Phases: []interceptor.Phase{interceptor.Validate}})
				return p
			},
			replay.Report{Replayed: 23, Reexecuted: 21, Unanswered: 7, Same: 1, Unreplayable: 7, Groups: []replay.Group{
				func() replay.Group {
					g := group(replay.Unreplayable, "", "", "new", "one", "no implementation here, and the binding was not called then", 1, 2, 3, 4, 6)
					g.Count = 7
					return g
				}(),
			}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := replayed(t, record(t, oldPlan()), c.plan)
			if diff := cmp.Diff(counts(&c.want), counts(report)); diff != "" {
				t.Errorf("report (-want +got):\n%s\n%s", diff, report)
			}
		})
	}
}

// TestCircumstances replays operations that no plan decided.
func TestCircumstances(t *testing.T) {
	h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	plan := oldPlan()
	plan.Audit = interceptor.AuditDurable
	h.lose = func(e ocsf.Event) bool { return e.Common().Metadata.EventCode == profile.KindResult }
	h.run(t, plan, func(chain *interceptor.Chain) {
		if out := chain.Run(context.Background(), operation(t, 1, "w", "base:1"), handler); out.Status.Code() != codes.Unavailable {
			t.Errorf("audit unavailable: %v", out.Status)
		}
		h.lose = nil
		ctx, cancel := context.WithCancel(context.Background())
		plan.Bindings[0].Impl.(*counter).Func = func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			cancel()
			return allow()
		}
		chain.Run(ctx, operation(t, 2, "w", "base:1"), handler)
	})
	// An operation that was cut off: its outcome is not in the record.
	h.run(t, oldPlan(), func(chain *interceptor.Chain) {
		chain.Run(context.Background(), operation(t, 3, "w", "base:1"), handler)
	})
	h.raw = slices.DeleteFunc(h.raw, func(raw []byte) bool {
		p, _ := profile.Parse(raw)
		return p.Kind == profile.KindOutcome && p.OperationUID == uids(3)[0]
	})
	report := replayed(t, h, oldPlan)
	if report.Same != 2 || report.Unreplayable != 1 || report.Differs() {
		t.Errorf("report: %s", report)
	}
	// A candidate that denies agrees with a denial.
	report = replayed(t, h, func() *interceptor.Plan { return planOf(naming(), images(), quota(), watch()) })
	if report.Same != 2 {
		t.Errorf("report: %s", report)
	}
}

// TestTypedPayloads replays patches of a message with a type: what its JSON form
// leaves out or names otherwise was not shown then, and is not now.
func TestTypedPayloads(t *testing.T) {
	patcher := func() *counter {
		return counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
			return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{
				{Op: "add", Path: "/location", Value: []byte(`[{"leading_comments":"x","span":[]}]`)},
			}}, nil
		})
	}
	strict := func() *counter {
		return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
			if raw, _ := e.Payload.JSON(); string(raw) != `{"location":[{"leadingComments":"x"}]}` {
				return &interceptor.Result{Decision: interceptor.Deny, Reason: string(raw)}, nil
			}
			return allow()
		})
	}
	h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	h.run(t, planOf(patcher(), strict(), watch(), watch()), func(chain *interceptor.Chain) {
		op := operation(t, 1, "", "")
		op.Request = &descriptorpb.SourceCodeInfo{}
		if out := chain.Run(context.Background(), op, handler); !out.Ran {
			t.Fatal(out.Reason)
		}
	})
	for name, plan := range map[string]func() *interceptor.Plan{
		"re-executed": func() *interceptor.Plan { return planOf(patcher(), strict(), watch(), watch()) },
		"answered":    func() *interceptor.Plan { return planOf(patcher(), nil, nil, nil) },
	} {
		if report := replayed(t, h, plan); report.Same != 1 {
			t.Errorf("%s: %s", name, report)
		}
	}
}

// TestLarge replays what was too large to be recorded.
func TestLarge(t *testing.T) {
	h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	chain, err := interceptor.New(oldPlan(), activity.NewRecorder(h.emit, activity.WithCaptureMax(64)))
	if err != nil {
		t.Fatal(err)
	}
	chain.Run(context.Background(), operation(t, 1, strings.Repeat("w", 100), "base:1"), handler)
	chain.Run(context.Background(), operation(t, 2, "W"+strings.Repeat("w", 24), "base:1"), handler)
	if err := chain.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	report := replayed(t, h, oldPlan)
	if report.Unreplayable != 2 || report.Groups[0].Count != 1 {
		t.Errorf("report: %s", report)
	}
}
