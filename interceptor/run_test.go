// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestOrderAndPlaces(t *testing.T) {
	rec, h := &memory{}, &handler{}
	var plan interceptor.Plan
	plan.Unmatched = interceptor.UnmatchedDeny
	for _, b := range []struct {
		service      string
		id           string
		order, place int32
	}{{"b", "z", 1, 0}, {"a", "y", 2, 0}, {"b", "x", 1, 1}, {"a", "w", 1, 1}, {"a", "v", 1, 1}} {
		c := bind(b.id, allows, interceptor.Validate, interceptor.ModifyOperation)
		c.Interceptor, c.Order, c.BindingOrder = b.service, b.order, b.place
		plan.Bindings = append(plan.Bindings, c)
	}
	start(t, &plan, rec).Run(t.Context(), operation(), h.handle)
	var got []string
	for _, f := range rec.facts {
		if f.Evaluation != nil && f.Result == nil {
			got = append(got, f.Evaluation.Phase.String()[:1]+f.Binding.ID)
			if f.Evaluation.Index != (len(got)-1)%5 || f.Evaluation.Count != 5 {
				t.Errorf("%s is %d of %d", f.Binding.ID, f.Evaluation.Index, f.Evaluation.Count)
			}
		}
	}
	if diff := cmp.Diff(strings.Fields("mz mv mw mx my vz vv vw vx vy"), got); diff != "" {
		t.Error(diff)
	}
}

func TestLaterBindingsSeeWhatEarlierOnesMade(t *testing.T) {
	var shown []string
	look := interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		raw, err := e.Payload.JSON()
		shown = append(shown, string(raw))
		return &interceptor.Result{Decision: interceptor.Allow}, err
	})
	bad := bind("bad", patches(
		interceptor.Patch{Op: "replace", Path: "/sandbox/name", Value: []byte(`"changed"`)},
		interceptor.Patch{Op: "replace", Path: "/sandbox/spec/replicas", Value: []byte(`"many"`)},
	), interceptor.ModifyOperation)
	bad.FailurePolicy = interceptor.FailOpen
	good := patches(interceptor.Patch{Op: "replace", Path: "/sandbox/name", Value: []byte(`"b"`)})
	rec, h := &memory{}, &handler{}
	op := operation()
	out := start(t, planOf(bad, bind("look", look, interceptor.ModifyOperation), bind("good", good, interceptor.ModifyOperation), bind("see", look)), rec).Run(t.Context(), op, h.handle)

	want := []string{
		`{"sandbox":{"name":"a","resourceVersion":"7","spec":{"credentials":{"tokenHint":"hint"},"image":"debian","replicas":5}}}`,
		`{"sandbox":{"name":"b","resourceVersion":"7","spec":{"credentials":{"tokenHint":"hint"},"image":"debian","replicas":5}}}`,
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Error(diff)
	}
	given := h.given.(*sandboxv1.CreateSandboxRequest).GetSandbox()
	if given.GetName() != "b" || given.GetSpec().GetCredentials().GetToken() != "canary" || given.GetSpec().GetCredentials().GetSecrets()["k"] != "canary" {
		t.Errorf("the handler was given %v", given)
	}
	if op.Request.(*sandboxv1.CreateSandboxRequest).GetSandbox().GetName() != "a" {
		t.Error("the proposed payload was changed")
	}
	if out.Decision != interceptor.Modify || len(out.Patches) != 1 || out.Request != h.given {
		t.Errorf("outcome %s, patches %v", out.Decision, out.Patches)
	}
}

func TestPostCommitSeesTheResponseAndDelaysNothing(t *testing.T) {
	rec, h := &memory{}, &handler{}
	answered := make(chan struct{})
	var shown string
	look := interceptor.Func(func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		select { // ends only after Run has returned
		case <-answered:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		raw, err := e.Payload.JSON()
		shown = string(raw)
		return &interceptor.Result{Decision: interceptor.Allow}, err
	})
	b := bind("b", look, interceptor.PostCommit)
	b.Timeout = time.Minute
	chain, err := interceptor.New(planOf(b), rec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := chain.Run(ctx, operation(), h.handle)
	cancel() // the caller has its answer and goes
	close(answered)
	if err := chain.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := `{"session":{"id":"s-1"}}`; shown != want || out.Status.Code() != codes.OK {
		t.Errorf("post_commit was shown %s; want %s", shown, want)
	}
	if diff := cmp.Diff([]string{"outcome:allow", "b?", "b:allow"}, rec.story()); diff != "" {
		t.Error(diff)
	}
	for i, f := range rec.facts { // those after the outcome are not waited for
		if f.Operation.Durable != (i == 0) || f.Operation.UID != rec.facts[0].Operation.UID {
			t.Errorf("fact %d is of %+v", i, f.Operation)
		}
	}
}

func TestPostCommitOnlyAfterSuccess(t *testing.T) {
	rec, h := &memory{}, &handler{err: status.Error(codes.NotFound, "gone")}
	chain, err := interceptor.New(planOf(bind("b", allows, interceptor.PostCommit)), rec)
	if err != nil {
		t.Fatal(err)
	}
	out := chain.Run(t.Context(), operation(), h.handle)
	if err := chain.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(rec.story(), []string{"outcome:allow"}) || out.Status.Code() != codes.NotFound || out.HandlerStatus.Message() != "gone" || out.Response != nil {
		t.Errorf("facts %v, status %s", rec.story(), out.Status)
	}
}

func TestCallerGoesAway(t *testing.T) {
	for _, policy := range []interceptor.FailurePolicy{interceptor.FailClosed, interceptor.FailOpen} {
		for name, late := range map[string]bool{"cancelled": false, "deadline": true} {
			t.Run(policy.String()+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rec, h := &memory{}, &handler{}
					b := bind("b", interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
						time.Sleep(time.Minute) // heeds nothing
						return &interceptor.Result{Decision: interceptor.Allow}, nil
					}))
					b.Timeout, b.FailurePolicy = time.Hour, policy
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					want, after, began := codes.DeadlineExceeded, time.Second, time.Now()
					if !late {
						want, after = codes.Canceled, time.Millisecond
						time.AfterFunc(after, cancel)
					}
					out := start(t, planOf(b, bind("c", allows)), rec).Run(ctx, operation(), h.handle)
					if out.Status.Code() != want || out.Decision != interceptor.Deny || h.calls != 0 || out.Parts[1].Skipped == "" {
						t.Errorf("status %s, decision %s, handler called %d times", out.Status, out.Decision, h.calls)
					}
					if took := time.Since(began); took != after {
						t.Errorf("came back after %s; the caller left after %s", took, after)
					}
					if diff := cmp.Diff([]string{"b?", "b:cancelled=deny", "outcome:deny"}, rec.story()); diff != "" {
						t.Error(diff)
					}
				})
			})
		}
	}
}

// A handler without an error has the status OK, not none.
func TestSuccessHasAStatus(t *testing.T) {
	rec, h := &memory{}, &handler{}
	out := start(t, planOf(bind("b", allows)), rec).Run(t.Context(), operation(), h.handle)
	if out.HandlerStatus == nil || out.HandlerStatus.Code() != codes.OK || out.Status != out.HandlerStatus {
		t.Errorf("handler's status %v, answered %v", out.HandlerStatus, out.Status)
	}
}

// An operation without a request to judge is denied by its adapter's word; no
// binding is called, and its failure policy has no say.
func TestRefusal(t *testing.T) {
	for _, tc := range []struct {
		refusal *status.Status
		code    codes.Code
		reason  string
	}{
		{status.New(codes.ResourceExhausted, "9 bytes of 8"), codes.ResourceExhausted, "9 bytes of 8"},
		{status.New(codes.InvalidArgument, ""), codes.InvalidArgument, "refused before it could be judged"},
		{status.New(codes.OK, ""), codes.PermissionDenied, "operation denied"},
	} {
		rec, h := &memory{}, &handler{}
		b := bind("b", breaks)
		b.FailurePolicy = interceptor.FailOpen
		chain := start(t, planOf(b), rec)
		op := operation()
		op.Request, op.Refusal = nil, tc.refusal
		chain.Begin(op)
		uid := op.UID
		out := chain.Run(t.Context(), op, h.handle)
		if out.Decision != interceptor.Deny || out.Ran || h.calls != 0 || out.Status.Code() != tc.code || out.Reason != tc.reason || out.By != nil {
			t.Errorf("%s: outcome %+v, handler called %d times", tc.refusal, out, h.calls)
		}
		if uid == "" || op.UID != uid || op.Start.IsZero() {
			t.Errorf("operation %q became %q", uid, op.UID)
		}
		if !slices.Equal(rec.story(), []string{"outcome:deny"}) || len(rec.barriers) != 1 || out.Parts[0].Skipped != tc.reason {
			t.Errorf("facts %v, barriers %v, parts %+v", rec.story(), rec.barriers, out.Parts)
		}
	}
}
