// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
)

func TestRule9ShadowIsRecordedNeverApplied(t *testing.T) {
	const modify, validate, post = interceptor.ModifyOperation, interceptor.Validate, interceptor.PostCommit
	const allow, deny, none = interceptor.Allow, interceptor.Deny, interceptor.None
	image := interceptor.Patch{Op: "replace", Path: "/sandbox/spec/image", Value: []byte(`"shadow"`)}
	hangs := interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		time.Sleep(time.Minute)
		return &interceptor.Result{Decision: interceptor.Deny}, nil
	})
	panics := interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { panic("x") })
	writes := answers(&interceptor.Result{Decision: allow, Metadata: map[string]map[string]any{"ns": {"by": "shadow"}}}, nil)
	for _, tc := range []struct {
		name   string
		impl   interceptor.Interceptor
		phase  interceptor.Phase
		policy interceptor.FailurePolicy
		would  interceptor.Decision
		end    string // of the fact
	}{
		{"allow", allows, validate, 0, allow, "shadow:allow"},
		{"deny", denies, modify, 0, deny, "shadow:deny"},
		{"deny", denies, validate, 0, deny, "shadow:deny"},
		{"deny", denies, post, 0, none, "shadow:invalid_result=none"},
		{"patch", patches(image), modify, 0, interceptor.Modify, "shadow:modify"},
		{"bad patch", patches(image, interceptor.Patch{Op: "remove", Path: "/x"}), modify, interceptor.FailClosed, deny, "shadow:invalid_result=none"},
		{"bad patch", patches(image, interceptor.Patch{Op: "remove", Path: "/x"}), modify, interceptor.FailOpen, allow, "shadow:invalid_result=none"},
		{"timeout", hangs, validate, interceptor.FailClosed, deny, "shadow:timeout=none"},
		{"timeout", hangs, validate, interceptor.FailOpen, allow, "shadow:timeout=none"},
		{"timeout", hangs, post, interceptor.FailOpen, none, "shadow:timeout=none"},
		{"panic", panics, modify, interceptor.FailClosed, deny, "shadow:panic=none"},
		{"panic", panics, modify, interceptor.FailOpen, allow, "shadow:panic=none"},
		{"panic", panics, post, interceptor.Ignore, none, "shadow:panic=none"},
		{"metadata", writes, modify, 0, allow, "shadow:allow"},
		{"metadata", writes, post, 0, none, "shadow:allow"},
	} {
		t.Run(fmt.Sprintf("%s in %s, %s", tc.name, tc.phase, tc.policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec, h, op := &memory{}, &handler{}, operation()
				op.Metadata = map[string]map[string]any{"ns": {"by": "adapter"}}
				shadow := bind("shadow", tc.impl, tc.phase)
				shadow.Shadow, shadow.Writes = true, []string{"ns"}
				if shadow.FailurePolicy = tc.policy; tc.phase == post {
					shadow.FailurePolicy, shadow.PostCommitPolicy = 0, tc.policy
				}
				var shown []*interceptor.Evaluation
				look := bind("look", interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
					shown = append(shown, e)
					return &interceptor.Result{Decision: interceptor.Allow}, nil
				}), modify, validate, post)
				look.Reads = []string{"ns"}
				chain := start(t, planOf(shadow, look), rec)
				out := chain.Run(t.Context(), op, h.handle)
				if err := chain.Close(t.Context()); err != nil {
					t.Fatal(err)
				}

				if out.Decision != allow || h.calls != 1 || !proto.Equal(h.given, op.Request) || h.given.(*sandboxv1.CreateSandboxRequest).GetSandbox().GetSpec().GetImage() != "debian" || len(out.Patches) != 0 || out.By != nil {
					t.Errorf("outcome %+v, the handler was given %v", out, h.given)
				}
				for _, e := range shown {
					if diff := cmp.Diff(op.Metadata, e.Metadata); diff != "" {
						t.Errorf("in %s: %s", e.Phase, diff)
					}
				}
				end := interceptor.Fact{}
				for i, word := range rec.story() {
					if word == tc.end {
						end = rec.facts[i]
					}
				}
				if len(shown) != 3 || end.Evaluation == nil {
					t.Fatalf("facts %v", rec.story())
				}
				if tc.phase == post {
					return
				}
				i := 0
				if tc.phase == validate { // after look's modify_operation
					i = 1
				}
				want := interceptor.Part{
					Evaluation: end.Evaluation.UID, Interceptor: "i", Binding: "shadow", Phase: tc.phase,
					Decision: none, Failure: end.Failure, Shadow: true, Would: tc.would,
				}
				if diff := cmp.Diff(want, out.Parts[i]); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// Nobody waits for an operation whose caller left, whoever was asked then.
func TestTheCallerLeavesDuringAShadow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	shadow := bind("shadow", interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	shadow.Shadow = true
	rec, h := &memory{}, &handler{}
	start(t, planOf(shadow, bind("b", allows)), rec).Run(ctx, operation(), h.handle)
	if diff := cmp.Diff([]string{"shadow?", "shadow:cancelled=none", "outcome:deny"}, rec.story()); diff != "" || h.calls != 0 {
		t.Errorf("handler called %d times\n%s", h.calls, diff)
	}
}
