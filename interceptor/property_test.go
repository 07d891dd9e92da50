// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"
)

// drawBinding makes a binding of random conduct.
func drawBinding(rt *rapid.T, i int, gone func()) interceptor.Binding {
	conduct := rapid.SampledFrom([]string{"allow", "patch", "bad patch", "deny", "deny OK", "error", "panic", "goexit", "hang", "nothing", "caller leaves"}).Draw(rt, "conduct")
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
		}
		return r, nil
	}), phases...)
	b.FailurePolicy = rapid.SampledFrom([]interceptor.FailurePolicy{interceptor.FailClosed, interceptor.FailOpen}).Draw(rt, "policy")
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
			out := chain.Run(ctx, operation(), h.handle)
			if err := chain.Close(context.Background()); err != nil {
				rt.Fatal(err)
			}
			holdPromises(rt, plan, rec, h, out)
		})
	})
}

func holdPromises(rt *rapid.T, plan *interceptor.Plan, rec *memory, h *handler, out *interceptor.Outcome) {
	open := map[interceptor.UID]bool{}
	outcomes, refusedAt, over := 0, -1, false
	for i, f := range rec.facts {
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
			if refusedAt >= 0 && !over {
				rt.Errorf("evaluation of %s after a deny", f.Binding.ID)
			}
			open[f.Evaluation.UID] = true
			continue
		case f.Result != nil && f.Failure != nil:
			rt.Errorf("both a result and a failure of %s", f.Binding.ID)
		case !open[f.Evaluation.UID]:
			rt.Errorf("a second end of %s", f.Binding.ID)
		case f.Failure != nil && !over && f.Failure.Decision == interceptor.Allow && f.Binding.FailurePolicy != interceptor.FailOpen:
			rt.Errorf("failure %+v of %s allows", f.Failure, f.Binding.ID)
		}
		delete(open, f.Evaluation.UID)
		if !over && (f.Result != nil && f.Result.Decision == interceptor.Deny || f.Failure != nil && f.Failure.Decision == interceptor.Deny) {
			refusedAt = i
		}
	}
	if outcomes != 1 || len(open) != 0 {
		rt.Errorf("%d outcomes, %d evaluations without an end", outcomes, len(open))
	}
	if refusedAt >= 0 && out.Decision != interceptor.Deny {
		rt.Errorf("refused, but the outcome is %s", out.Decision)
	}
	if out.Decision == interceptor.Deny && (h.calls != 0 || out.Ran || out.Status.Code() == codes.OK) || out.Decision != interceptor.Deny && (h.calls != 1 || !out.Ran) {
		rt.Errorf("decision %s, status %s, handler called %d times", out.Decision, out.Status, h.calls)
	}
	parts := 0
	for _, b := range plan.Bindings {
		for _, p := range b.Phases {
			// A part of post_commit is one that was not called.
			if p != interceptor.PostCommit || out.Decision == interceptor.Deny {
				parts++
			}
		}
	}
	if len(out.Parts) != parts {
		rt.Errorf("%d parts of %d", len(out.Parts), parts)
	}
}
