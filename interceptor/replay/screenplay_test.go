// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
)

// A screenplay is operations of some kind, the plan that they were recorded
// under, and another one.
type screenplay struct {
	plan, changed func() *interceptor.Plan
	opts          []activity.Option
	play          func(t testing.TB, run func(*interceptor.Operation) *interceptor.Outcome, chain *interceptor.Chain)
	lose          func(h profile.Header) bool // events that did not come
}

// perform records a screenplay.
func (s *screenplay) perform(t testing.TB, rec interceptor.Recorder) {
	t.Helper()
	chain, err := interceptor.New(s.plan(), rec)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64 // post_commit comes beside the next operation
	chain.NewUID = func() interceptor.UID {
		return interceptor.UID(fmt.Sprintf("0199d0aa-7000-7000-8000-%012d", n.Add(1)))
	}
	chain.Now = func() time.Time { return time.UnixMilli(1793215000000) }
	run := func(op *interceptor.Operation) *interceptor.Outcome {
		return chain.Run(t.Context(), op, handler)
	}
	if s.play == nil {
		for i, r := range requests {
			run(operation(t, i+1, r.name, r.image))
		}
	} else {
		s.play(t, run, chain)
	}
	if err := chain.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// cassette writes the cassette of a screenplay.
func (s *screenplay) cassette(t testing.TB, w io.Writer, opts ...replay.CassetteOption) {
	t.Helper()
	if s.lose != nil {
		h := s.history(t)
		kept := h.raw[:0:0]
		for _, raw := range h.raw {
			if header, err := profile.Parse(raw); err != nil || !s.lose(header) {
				kept = append(kept, raw)
			}
		}
		h.raw = kept
		if _, err := replay.Cut(t.Context(), h, w, opts...); err != nil {
			t.Fatal(err)
		}
		return
	}
	c := replay.NewCassette(w, append([]replay.CassetteOption{replay.Events(s.opts...)}, opts...)...)
	s.perform(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// history is a screenplay as a store has it.
func (s *screenplay) history(t testing.TB) *history {
	t.Helper()
	h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	var n atomic.Int64
	uids := func() string { return fmt.Sprintf("0199d0aa-9000-7000-8000-%012d", n.Add(1)) }
	clock := func() time.Time { return time.UnixMilli(1793215000000) }
	s.perform(t, activity.NewRecorder(h.emit, append(s.opts, activity.WithUIDs(uids), activity.WithClock(clock))...))
	return h
}

// says makes an interceptor that gives one answer to each name.
func says(answers map[string]func() (*interceptor.Result, error)) *counter {
	return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		if answer, ok := answers[at(e, "/name")]; ok {
			return answer()
		}
		return allow()
	})
}

func answers(r interceptor.Result) func() (*interceptor.Result, error) {
	return func() (*interceptor.Result, error) { return &r, nil }
}

func failsWith(kind interceptor.FailureKind) func() (*interceptor.Result, error) {
	return func() (*interceptor.Result, error) {
		return nil, &interceptor.Failure{Kind: kind, Detail: "of port 40721, at 12:03"}
	}
}

func bind(name string, phase interceptor.Phase, impl interceptor.Interceptor, change ...func(*interceptor.Binding)) interceptor.Binding {
	b := interceptor.Binding{Interceptor: name, ID: name + "-1", Phases: []interceptor.Phase{phase}, Impl: impl}
	for _, c := range change {
		c(&b)
	}
	return b
}

func planWith(bindings ...interceptor.Binding) *interceptor.Plan {
	for i := range bindings {
		bindings[i].Order = int32(i)
	}
	return &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: bindings}
}

func patchesOf(pairs ...string) interceptor.Result {
	r := interceptor.Result{Decision: interceptor.Modify, Reason: "as the house has it"}
	for i := 0; i < len(pairs); i += 2 {
		r.Patches = append(r.Patches, interceptor.Patch{Op: "replace", Path: pairs[i], Value: []byte(pairs[i+1])})
	}
	return r
}

// named runs an operation for each name.
func named(names ...string) func(testing.TB, func(*interceptor.Operation) *interceptor.Outcome, *interceptor.Chain) {
	return func(t testing.TB, run func(*interceptor.Operation) *interceptor.Outcome, _ *interceptor.Chain) {
		for i, name := range names {
			run(operation(t, i+1, name, "base:1"))
		}
	}
}

var failureKinds = []interceptor.FailureKind{
	interceptor.Timeout, interceptor.Unavailable, interceptor.InvalidResult, interceptor.Limit, interceptor.Panic, interceptor.Scope,
}

// screenplays are operations of all kinds, a few of each. Those of the corpus
// were made of them.
func screenplays(t testing.TB) map[string]*screenplay {
	t.Helper()
	failures := map[string]func() (*interceptor.Result, error){}
	names := make([]string, 0, len(failureKinds)+1)
	for _, k := range failureKinds {
		failures[string(k)] = failsWith(k)
		names = append(names, string(k))
	}
	failures["panics"] = func() (*interceptor.Result, error) { panic("in the midst of it") }
	names = append(names, "panics")
	policy := func(p interceptor.FailurePolicy) func(*interceptor.Binding) {
		return func(b *interceptor.Binding) { b.FailurePolicy = p }
	}
	failed := func(p interceptor.FailurePolicy) *screenplay {
		return &screenplay{
			plan: func() *interceptor.Plan {
				return planWith(bind("first", interceptor.ModifyOperation, says(failures), policy(p)), bind("second", interceptor.Validate, says(failures), policy(p)))
			},
			changed: func() *interceptor.Plan {
				other := interceptor.FailOpen + interceptor.FailClosed - p
				return planWith(bind("first", interceptor.ModifyOperation, says(failures), policy(other)), bind("second", interceptor.Validate, says(failures), policy(p)))
			},
			play: named(append(names, "web")...),
		}
	}
	redactor, err := activity.NewRedactor([]activity.Rule{
		{Name: "names", Pointers: []string{"/name"}, Do: activity.RedactMask},
		{Name: "who", Regex: "alice", Do: activity.RedactDrop},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	leave := func() {}
	return map[string]*screenplay{
		"decisions": {
			plan:    func() *interceptor.Plan { return planOf(naming(), images("base:1", "base:2"), quota(), watch()) },
			changed: func() *interceptor.Plan { return planOf(naming(), images("base:1", "evil:1"), quota(), watch()) },
		},
		"patches": {
			plan: func() *interceptor.Plan {
				return planWith(
					bind("one", interceptor.ModifyOperation, says(map[string]func() (*interceptor.Result, error){
						"web": answers(patchesOf("/image", `"base:2"`, "/size", `{"cpu":2,"memory":"4Gi"}`)),
					})),
					bind("two", interceptor.ModifyOperation, says(map[string]func() (*interceptor.Result, error){
						"web": answers(patchesOf("/size/cpu", `1.5`)), "db": answers(interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{
							{Op: "copy", From: "/name", Path: "/alias"}, {Op: "test", Path: "/alias", Value: []byte(`"db"`)}, {Op: "remove", Path: "/size"},
						}}),
					})))
			},
			changed: func() *interceptor.Plan {
				return planWith(bind("one", interceptor.ModifyOperation, says(nil)),
					bind("two", interceptor.ModifyOperation, says(map[string]func() (*interceptor.Result, error){"web": answers(patchesOf("/size", `1`))})))
			},
			play: func(t testing.TB, run func(*interceptor.Operation) *interceptor.Outcome, _ *interceptor.Chain) {
				for i, name := range []string{"web", "db", "other"} {
					op := operation(t, i+1, name, "base:1")
					op.Request = object(t, map[string]any{"name": name, "image": "base:1", "size": map[string]any{"cpu": 4}})
					run(op)
				}
			},
		},
		"fail_open":   failed(interceptor.FailOpen),
		"fail_closed": failed(interceptor.FailClosed),
		"shadows": {
			plan: func() *interceptor.Plan {
				shadow := func(b *interceptor.Binding) { b.Shadow = true }
				return planWith(
					bind("patches", interceptor.ModifyOperation, says(map[string]func() (*interceptor.Result, error){"web": answers(patchesOf("/image", `"evil:1"`))}), shadow),
					bind("denies", interceptor.Validate, says(map[string]func() (*interceptor.Result, error){
						"web": answers(interceptor.Result{Decision: interceptor.Deny, Reason: "no"}), "db": failsWith(interceptor.Timeout),
					}), shadow),
					bind("images", interceptor.Validate, images("base:1")))
			},
			changed: func() *interceptor.Plan {
				return planWith(bind("patches", interceptor.ModifyOperation, says(nil)),
					bind("denies", interceptor.Validate, says(map[string]func() (*interceptor.Result, error){"web": answers(interceptor.Result{Decision: interceptor.Deny})})),
					bind("images", interceptor.Validate, images("base:1")))
			},
			play: named("web", "db", "other"),
		},
		"post_commit": {
			plan: func() *interceptor.Plan {
				return planWith(bind("images", interceptor.Validate, images("base:1", "base:2")),
					bind("sees", interceptor.PostCommit, says(map[string]func() (*interceptor.Result, error){"db": failsWith(interceptor.Unavailable)})),
					bind("ignored", interceptor.PostCommit, says(map[string]func() (*interceptor.Result, error){"web": failsWith(interceptor.Timeout)}),
						func(b *interceptor.Binding) { b.PostCommitPolicy = interceptor.Ignore }))
			},
			changed: func() *interceptor.Plan {
				return planWith(bind("images", interceptor.Validate, images("base:2")), bind("sees", interceptor.PostCommit, says(nil)))
			},
			play: named("web", "db", "fails"),
		},
		"selectors": {
			plan: func() *interceptor.Plan {
				deny := answers(interceptor.Result{Decision: interceptor.Deny, Reason: "not here", StatusCode: "FAILED_PRECONDITION"})
				return planWith(
					bind("users", interceptor.Validate, says(map[string]func() (*interceptor.Result, error){"db": deny}), func(b *interceptor.Binding) { b.Principals = []string{"user/a*"} }),
					bind("prod", interceptor.Validate, says(map[string]func() (*interceptor.Result, error){"web": deny}), func(b *interceptor.Binding) { b.Labels = map[string]string{"env": "prod"} }))
			},
			changed: func() *interceptor.Plan {
				deny := answers(interceptor.Result{Decision: interceptor.Deny, Reason: "not here", StatusCode: "FAILED_PRECONDITION"})
				return planWith(
					bind("users", interceptor.Validate, says(map[string]func() (*interceptor.Result, error){"db": deny}), func(b *interceptor.Binding) { b.Principals = []string{"user/b*"} }),
					bind("prod", interceptor.Validate, says(map[string]func() (*interceptor.Result, error){"web": deny}), func(b *interceptor.Binding) { b.Labels = map[string]string{"env": "*"} }))
			},
			play: func(t testing.TB, run func(*interceptor.Operation) *interceptor.Outcome, _ *interceptor.Chain) {
				for i, env := range []string{"prod", "test", ""} {
					for j, who := range []string{"alice", "bob"} {
						for k, name := range []string{"web", "db"} {
							op := operation(t, 1+i*4+j*2+k, name, "base:1")
							op.Principal = map[string]string{"kind": "user", "subject": who}
							request := map[string]any{"name": name}
							if env != "" {
								op.Labels = map[string]string{"env": env}
								request["labels"] = map[string]any{"env": env}
							}
							op.Request = object(t, request)
							run(op)
						}
					}
				}
			},
		},
		"metadata": {
			plan:    func() *interceptor.Plan { return scored(7) },
			changed: func() *interceptor.Plan { return scored(3) },
			play: func(t testing.TB, run func(*interceptor.Operation) *interceptor.Outcome, _ *interceptor.Chain) {
				for i, score := range []float64{1, 5, 9} {
					op := operation(t, i+1, "web", "base:1")
					op.Attributes = map[string]string{"user_agent": "curl", "source.address": "10.0.0.7:40721", "authorization": "Bearer hunter2"}
					op.RequestID = fmt.Sprintf("request-%d", i)
					op.Metadata = map[string]map[string]any{"tenant": {"plan": "gold", "score": score}}
					run(op)
				}
			},
		},
		"state": {
			plan:    func() *interceptor.Plan { return planWith(bind("owner", interceptor.Validate, owner("alice"))) },
			changed: func() *interceptor.Plan { return planWith(bind("owner", interceptor.Validate, owner("bob"))) },
			play: func(t testing.TB, run func(*interceptor.Operation) *interceptor.Outcome, _ *interceptor.Chain) {
				for i, who := range []string{"alice", "bob", ""} {
					op := operation(t, i+1, "web", "base:1")
					if who != "" {
						op.State = object(t, map[string]any{"owner": who})
					}
					run(op)
				}
			},
		},
		"redacted": {
			plan:    oldPlan,
			changed: func() *interceptor.Plan { return planOf(nil, nil, nil, nil) },
			opts:    []activity.Option{activity.WithRedactor(redactor)},
		},
		"truncated": {
			plan: func() *interceptor.Plan {
				return planWith(
					bind("long", interceptor.ModifyOperation, says(map[string]func() (*interceptor.Result, error){"web": answers(patchesOf("/note", `"`+strings.Repeat("x", 600)+`"`))})),
					bind("digest", interceptor.Validate, says(nil), func(b *interceptor.Binding) { b.Capture = interceptor.CaptureDigest }),
					bind("none", interceptor.Validate, says(nil), func(b *interceptor.Binding) { b.Capture = interceptor.CaptureNone }))
			},
			changed: func() *interceptor.Plan { return planWith(bind("long", interceptor.ModifyOperation, says(nil))) },
			opts:    []activity.Option{activity.WithCaptureMax(200)},
			play: func(t testing.TB, run func(*interceptor.Operation) *interceptor.Outcome, _ *interceptor.Chain) {
				for i, note := range []string{"short", strings.Repeat("long ", 100)} {
					for j, name := range []string{"web", "db"} {
						op := operation(t, 1+2*i+j, name, "base:1")
						op.Request = object(t, map[string]any{"name": name, "note": note})
						run(op)
					}
				}
			},
		},
		"cut_off": {
			plan:    oldPlan,
			changed: func() *interceptor.Plan { return planOf(naming(), images("base:2"), quota(), watch()) },
			lose: func(h profile.Header) bool {
				switch h.OperationUID[len(h.OperationUID)-1] {
				case '2':
					return h.Kind == profile.KindOutcome
				case '3':
					return h.Kind == profile.KindResult
				case '4':
					return h.Kind == profile.KindEvaluation && h.Interceptor == "naming"
				}
				return false
			},
		},
		"cancelled": {
			plan: func() *interceptor.Plan {
				return planWith(bind("slow", interceptor.Validate, counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
					leave() // the caller does, while the binding judges
					return nil, context.Canceled
				}), policy(interceptor.FailOpen)))
			},
			changed: func() *interceptor.Plan { return planWith(bind("slow", interceptor.Validate, says(nil))) },
			play: func(t testing.TB, _ func(*interceptor.Operation) *interceptor.Outcome, chain *interceptor.Chain) {
				var ctx context.Context
				ctx, leave = context.WithCancel(t.Context())
				chain.Run(ctx, operation(t, 1, "web", "base:1"), handler)
			},
		},
		"violation": {
			plan: func() *interceptor.Plan {
				return planWith(bind("denies", interceptor.ModifyOperation, says(map[string]func() (*interceptor.Result, error){
					"web": answers(interceptor.Result{
						Decision: interceptor.Deny, Reason: "no, and beside the contract", StatusCode: "OK",
						Annotations: map[string]string{"ticket": "A-1"}, Warnings: []string{"first", "second"},
					}),
				})))
			},
			changed: func() *interceptor.Plan { return planWith(bind("denies", interceptor.ModifyOperation, says(nil))) },
			play:    named("web", "db"),
		},
	}
}

func object(t testing.TB, m map[string]any) proto.Message {
	t.Helper()
	s, err := structpb.NewStruct(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// owner denies who is not the owner of what is there.
func owner(who string) interceptor.Interceptor {
	return counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		if e.State == nil {
			return allow()
		}
		if is, _ := e.State.Lookup("/owner"); is != who {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "it is somebody else's", StatusCode: codes.NotFound.String()}, nil
		}
		return allow()
	})
}

// scored is a plan in which one binding sets metadata that the next one judges by.
func scored(limit float64) *interceptor.Plan {
	sets := counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Allow, Metadata: map[string]map[string]any{"risk": {"score": e.Metadata["tenant"]["score"]}}}, nil
	})
	judges := counting(func(e *interceptor.Evaluation) (*interceptor.Result, error) {
		if score, _ := e.Metadata["risk"]["score"].(float64); score > limit || e.Attributes["user_agent"] != "curl" {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "too risky"}, nil
		}
		return allow()
	})
	return planWith(
		bind("sets", interceptor.ModifyOperation, sets, func(b *interceptor.Binding) { b.Reads, b.Writes = []string{"tenant"}, []string{"risk"} }),
		bind("judges", interceptor.Validate, judges, func(b *interceptor.Binding) {
			b.Reads, b.Attributes = []string{"risk"}, []string{"user_*"}
		}))
}
