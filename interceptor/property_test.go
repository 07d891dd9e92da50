// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// drawBinding makes a binding of random conduct.
func drawBinding(rt *rapid.T, i int, gone func()) interceptor.Binding {
	conduct := rapid.SampledFrom([]string{"allow", "patch", "bad patch", "deny", "deny OK", "error", "panic", "goexit", "hang", "nothing", "caller leaves", "claims the caller left", "writes", "writes what is not its own"}).Draw(rt, "conduct")
	phases := rapid.SampledFrom([][]interceptor.Phase{
		{interceptor.ModifyOperation},
		{interceptor.Validate},
		{interceptor.ModifyOperation, interceptor.Validate},
		{interceptor.Validate, interceptor.PostCommit},
		{interceptor.PostCommit},
	}).Draw(rt, "phases")
	b := bind(fmt.Sprintf("%s-%d", conduct, i), interceptor.Func(func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		r := &interceptor.Result{Decision: interceptor.Allow}
		switch conduct {
		case "patch":
			if e.Phase == interceptor.ModifyOperation {
				r.Patches = []interceptor.Patch{{Op: "replace", Path: "/sandbox/spec/image", Value: []byte(fmt.Sprintf(`"image-%d"`, i))}}
			}
		case "bad patch":
			r.Patches = []interceptor.Patch{{Op: "add", Path: "/sandbox/spec/credentials/token", Value: []byte(`"mine"`)}}
		case "deny":
			r.Decision = interceptor.Deny
		case "deny OK":
			*r = interceptor.Result{Decision: interceptor.Deny, StatusCode: "OK", Patches: make([]interceptor.Patch, 50)}
		case "error":
			return r, errors.New("x")
		case "panic":
			panic("x")
		case "goexit":
			goexit()
		case "hang":
			time.Sleep(time.Minute)
		case "nothing":
			return nil, nil
		case "caller leaves":
			gone()
		case "claims the caller left":
			return nil, &interceptor.Failure{Kind: interceptor.Cancelled}
		case "writes":
			r.Metadata = map[string]map[string]any{"ns": {"by": e.Binding}}
		case "writes what is not its own":
			r.Metadata = map[string]map[string]any{"other": {}}
		}
		return r, nil
	}), phases...)
	if conduct != "hang" && conduct != "goexit" && rapid.Bool().Draw(rt, "heeds") {
		b.Impl = heedful{b.Impl}
	}
	b.FailurePolicy = rapid.SampledFrom([]interceptor.FailurePolicy{interceptor.FailClosed, interceptor.FailOpen}).Draw(rt, "policy")
	b.ModifyPolicy = rapid.SampledFrom([]interceptor.FailurePolicy{0, 0, interceptor.FailClosed, interceptor.FailOpen}).Draw(rt, "modify policy")
	b.Shadow = rapid.IntRange(0, 3).Draw(rt, "shadow") == 0
	b.Principals = rapid.SampledFrom([][]string{nil, nil, {"user/alice"}, {"sandbox"}}).Draw(rt, "principals")
	b.Reads, b.Writes = []string{"ns"}, []string{"ns"}
	b.PostCommitPolicy = rapid.SampledFrom([]interceptor.FailurePolicy{interceptor.FailOpen, interceptor.Ignore}).Draw(rt, "post-commit policy")
	return b
}

// TestWhateverBindingsDo runs random chains of random conduct and holds what
// came of them against what is promised.
func TestWhateverBindingsDo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(rt, "bindings")
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			plan := planOf()
			for i := range n {
				b := drawBinding(rt, i, cancel)
				b.BindingOrder = int32(i)
				plan.Bindings = append(plan.Bindings, b)
			}
			auditFails := rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(rt, "barrier that fails")
			rec := &memory{barrier: func(_ context.Context, i int) error {
				if i == auditFails {
					return errors.New("no")
				}
				return nil
			}}
			h := &handler{}
			chain, err := interceptor.New(plan, rec)
			if err != nil {
				rt.Fatal(err)
			}
			if n := rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12}).Draw(rt, "clock that breaks"); n != 0 {
				chain.Now = ticking(n)
			}
			if fault := rapid.SampledFrom([]error{nil, nil, errors.New("no state")}).Draw(rt, "state"); fault != nil {
				chain.LoadState = func(context.Context, *interceptor.Operation, proto.Message) (proto.Message, error) { return nil, fault }
			}
			out := chain.Run(ctx, operation(), h.handle)
			if err := chain.Close(context.Background()); err != nil {
				rt.Fatal(err)
			}
			holdPromises(rt, plan, rec, h, out)
		})
	})
}

// holdPromises holds what was recorded of one operation against what package
// interceptor promises.
func holdPromises(rt *rapid.T, plan *interceptor.Plan, rec *memory, h *handler, out *interceptor.Outcome) {
	open := map[interceptor.UID]bool{}
	outcomes, refused, over := 0, false, false
	last := map[interceptor.Phase][2]int{}
	for _, f := range rec.facts {
		switch {
		case f.Outcome != nil:
			outcomes++
			over = true
			if len(open) != 0 {
				rt.Errorf("%d evaluations are open at the outcome", len(open))
			}
			continue
		case f.Result == nil && f.Failure == nil:
			if over != (f.Evaluation.Phase == interceptor.PostCommit) {
				rt.Errorf("evaluation of %s on the wrong side of the outcome", f.Evaluation.Phase)
			}
			if refused && !over {
				rt.Errorf("evaluation of %s after a deny", f.Binding.ID)
			}
			open[f.Evaluation.UID] = true
			last[f.Evaluation.Phase] = [2]int{f.Evaluation.Index + 1, f.Evaluation.Count}
			continue
		case f.Result != nil && f.Failure != nil:
			rt.Errorf("both a result and a failure of %s", f.Binding.ID)
		case !open[f.Evaluation.UID]:
			rt.Errorf("a second end of %s", f.Binding.ID)
		case f.Failure != nil:
			holdPolicy(rt, f)
		}
		delete(open, f.Evaluation.UID)
		if !over && !f.Binding.Shadow {
			refused = refused || f.Result != nil && f.Result.Decision == interceptor.Deny || f.Failure != nil && f.Failure.Decision == interceptor.Deny
		}
	}
	if outcomes != 1 || len(open) != 0 {
		rt.Errorf("%d outcomes, %d evaluations without an end", outcomes, len(open))
	}
	if places := last[interceptor.PostCommit]; places[0] != places[1] {
		rt.Errorf("post_commit ended at %d of %d", places[0], places[1])
	}
	if refused && out.Decision != interceptor.Deny {
		rt.Errorf("refused, but the outcome is %s", out.Decision)
	}
	if out.Decision == interceptor.Deny && (h.calls != 0 || out.Ran || out.Status.Code() == codes.OK) || out.Decision != interceptor.Deny && (h.calls != 1 || !out.Ran) {
		rt.Errorf("decision %s, status %s, handler called %d times", out.Decision, out.Status, h.calls)
	}
	holdParts(rt, plan, out, len(last) > 0 && last[interceptor.PostCommit][1] > 0)
}

// holdPolicy: what a failure makes of an operation is what the policy on the
// fact says.
func holdPolicy(rt *rapid.T, f interceptor.Fact) {
	policy := f.Binding.FailurePolicy
	switch {
	case f.Evaluation.Phase == interceptor.PostCommit:
		policy = f.Binding.PostCommitPolicy
	case f.Evaluation.Phase == interceptor.ModifyOperation && f.Binding.ModifyPolicy != 0:
		policy = f.Binding.ModifyPolicy
	}
	if f.Failure.Policy != policy {
		rt.Errorf("failure %+v of %s; its policy is %s", f.Failure, f.Binding.ID, policy)
	}
	switch f.Failure.Decision {
	case interceptor.Allow:
		if policy != interceptor.FailOpen || f.Binding.Shadow {
			rt.Errorf("failure %+v of %s allows", f.Failure, f.Binding.ID)
		}
	case interceptor.None:
		if policy != interceptor.Ignore && !f.Binding.Shadow {
			rt.Errorf("failure %+v of %s is nothing", f.Failure, f.Binding.ID)
		}
	case interceptor.Deny:
		if f.Binding.Shadow || f.Evaluation.Phase == interceptor.PostCommit {
			rt.Errorf("failure %+v of %s denies", f.Failure, f.Binding.ID)
		}
	}
}

// holdParts: every binding of the method has its part, a shadow one without a
// decision. Those of post_commit that are called have none yet.
func holdParts(rt *rapid.T, plan *interceptor.Plan, out *interceptor.Outcome, observed bool) {
	parts := 0
	for _, b := range plan.Bindings {
		for _, p := range b.Phases {
			if p != interceptor.PostCommit || !observed || slices.Equal(b.Principals, []string{"sandbox"}) {
				parts++
			}
		}
	}
	if len(out.Parts) != parts {
		rt.Errorf("%d parts of %d", len(out.Parts), parts)
	}
	for _, p := range out.Parts {
		if p.Shadow && (p.Decision != interceptor.None || out.By != nil && *out.By == p) || (p.Skipped == "") != (p.Evaluation != "") {
			rt.Errorf("part %+v", p)
		}
	}
}
