// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The tests named TestRule... each hold one rule of the chain, in the order in
// which ARCHITECTURE.md lists them.

func TestRule1DenyIsFinal(t *testing.T) {
	deny := func(change func(*interceptor.Result)) interceptor.Interceptor {
		r := &interceptor.Result{Decision: interceptor.Deny, Reason: "no"}
		change(r)
		return answers(r, nil)
	}
	tooLong := strings.Repeat("x", interceptor.DefaultMaxResponseBytes+1)
	for _, tc := range []struct {
		name      string
		impl      interceptor.Interceptor
		violation string
	}{
		{"plain", deny(func(*interceptor.Result) {}), ""},
		{"over patches beside it", deny(func(r *interceptor.Result) { r.Patches = make([]interceptor.Patch, 1) }), "patches in validate"},
		{"over too many patches", deny(func(r *interceptor.Result) { r.Patches = make([]interceptor.Patch, 99) }), "99 patches; at most 32 are allowed"},
		{"over too long an answer", deny(func(r *interceptor.Result) { r.Annotations = map[string]string{"a": tooLong} }), "result of "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec, h := &memory{}, &handler{}
			first := bind("first", tc.impl)
			first.FailurePolicy = interceptor.FailOpen
			out := start(t, planOf(first, bind("second", allows)), rec).Run(t.Context(), operation(), h.handle)
			if out.Decision != interceptor.Deny || out.Status.Code() != codes.PermissionDenied || out.Status.Message() != "no" || h.calls != 0 || out.Ran {
				t.Errorf("decision %s, status %s, handler called %d times; want a deny", out.Decision, out.Status, h.calls)
			}
			if out.By == nil || out.By.Binding != "first" || out.By != &out.Parts[0] || out.Parts[1].Skipped != "denied by i/first" {
				t.Errorf("by %+v, parts %+v", out.By, out.Parts)
			}
			if got := rec.result(t, "first").Violation; !strings.HasPrefix(got, tc.violation) || (tc.violation == "") != (got == "") {
				t.Errorf("violation %q; want %q", got, tc.violation)
			}
			want := []string{"first?", "first:deny", "outcome:deny"}
			if diff := cmp.Diff(want, rec.story()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRule2NoStatusCodeTurnsADenyIntoSuccess(t *testing.T) {
	for name, want := range map[string]struct {
		code      codes.Code
		violation bool
	}{
		"OK": {codes.PermissionDenied, true}, " ok ": {codes.PermissionDenied, true}, "0": {codes.PermissionDenied, true},
		"NO_SUCH_CODE": {codes.PermissionDenied, true}, "": {codes.PermissionDenied, false},
		"FAILED_PRECONDITION": {codes.FailedPrecondition, false}, " unauthenticated ": {codes.Unauthenticated, false}, "CANCELLED": {codes.Canceled, false},
	} {
		t.Run(name, func(t *testing.T) {
			rec, h := &memory{}, &handler{}
			deny := answers(&interceptor.Result{Decision: interceptor.Deny, StatusCode: name, Reason: " "}, nil)
			out := start(t, planOf(bind("b", deny)), rec).Run(t.Context(), operation(), h.handle)
			if out.Status.Code() != want.code || out.Status.Message() != "operation denied by gateway interceptor" || h.calls != 0 {
				t.Errorf("status %s, handler called %d times", out.Status, h.calls)
			}
			if got := rec.result(t, "b").Violation; (got != "") != want.violation {
				t.Errorf("violation %q", got)
			}
		})
	}
}

func TestRule3NoErrorPathAllowsWithoutFailOpen(t *testing.T) {
	for _, tc := range failures() {
		for _, policy := range []interceptor.FailurePolicy{0, interceptor.FailClosed, interceptor.FailOpen} {
			t.Run(tc.name+" "+policy.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rec, h := &memory{}, &handler{}
					b := bind("b", tc.impl, tc.phase)
					b.FailurePolicy = policy
					out := start(t, planOf(b), rec).Run(t.Context(), operation(), h.handle)
					f := rec.failure(t)
					if f.Kind != tc.kind || f.Detail == "" || f.End.IsZero() {
						t.Errorf("failure %+v; want kind %s", f, tc.kind)
					}
					if policy == interceptor.FailOpen {
						if out.Decision != interceptor.Allow || h.calls != 1 || f.Decision != interceptor.Allow || f.Policy != interceptor.FailOpen || out.Parts[0].Failure != f {
							t.Errorf("decision %s, handler called %d times, failure %+v; want it to pass and say so", out.Decision, h.calls, f)
						}
						return
					}
					if out.Decision != interceptor.Deny || h.calls != 0 || f.Decision != interceptor.Deny || f.Policy != interceptor.FailClosed || out.Status.Code() != codes.PermissionDenied {
						t.Errorf("decision %s, status %s, handler called %d times, failure %+v; want a deny", out.Decision, out.Status, h.calls, f)
					}
				})
			})
		}
	}
}

type failing struct {
	name  string
	phase interceptor.Phase
	impl  interceptor.Interceptor
	kind  interceptor.FailureKind
}

// failures are the ways in which an interceptor can fail.
func failures() []failing {
	f := func(f func(ctx context.Context) (*interceptor.Result, error)) interceptor.Interceptor {
		return interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) { return f(ctx) })
	}
	code := func(c codes.Code) interceptor.Interceptor { return answers(nil, status.Error(c, "x")) }
	allowing := func(r interceptor.Result) interceptor.Interceptor {
		r.Decision = interceptor.Allow
		return answers(&r, nil)
	}
	many := make([]interceptor.Patch, interceptor.DefaultMaxPatches+1)
	for i := range many {
		many[i] = interceptor.Patch{Op: "test", Path: "/sandbox/name", Value: []byte(`"a"`)}
	}
	const modify, validate = interceptor.ModifyOperation, interceptor.Validate
	return []failing{
		{"heeds its context", validate, f(func(ctx context.Context) (*interceptor.Result, error) { <-ctx.Done(); return nil, ctx.Err() }), interceptor.Timeout},
		{"does not heed its context", validate, f(func(context.Context) (*interceptor.Result, error) { time.Sleep(5 * time.Second); return nil, nil }), interceptor.Timeout},
		{"deadline code", validate, code(codes.DeadlineExceeded), interceptor.Timeout},
		{"unavailable", validate, code(codes.Unavailable), interceptor.Unavailable},
		{"cancelled by the peer", validate, code(codes.Canceled), interceptor.Unavailable},
		{"token refused", validate, code(codes.Unauthenticated), interceptor.Unavailable},
		{"not this contract", validate, code(codes.Unimplemented), interceptor.Unavailable},
		{"claims that the caller left", validate, answers(nil, &interceptor.Failure{Kind: interceptor.Cancelled, Detail: "x"}), interceptor.Unavailable},
		{"reset", validate, answers(nil, status.Error(codes.Internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR")), interceptor.Unavailable},
		{"told to be calm", validate, answers(nil, status.Error(codes.ResourceExhausted, "stream terminated by RST_STREAM with error code: ENHANCE_YOUR_CALM")), interceptor.Unavailable},
		{"reset by a proxy", validate, answers(nil, fmt.Errorf("ask i: %w", status.Error(codes.PermissionDenied, "stream terminated by RST_STREAM with error code: INADEQUATE_SECURITY"))), interceptor.Unavailable},
		{"scope", validate, answers(nil, &interceptor.Failure{Kind: interceptor.Scope, Detail: "x"}), interceptor.Scope},
		{"too much", validate, code(codes.ResourceExhausted), interceptor.Limit},
		{"bad request", validate, code(codes.InvalidArgument), interceptor.InvalidResult},
		{"plain error", validate, breaks, interceptor.InvalidResult},
		{"failure as it is", validate, answers(nil, &interceptor.Failure{Kind: interceptor.Limit, Detail: "mine", Decision: interceptor.Allow}), interceptor.Limit},
		{"failure of no kind", validate, answers(nil, &interceptor.Failure{Kind: "nonsense"}), interceptor.InvalidResult},
		{"panic", validate, f(func(context.Context) (*interceptor.Result, error) { panic("x") }), interceptor.Panic},
		{"nil panic", validate, f(func(context.Context) (*interceptor.Result, error) { panic(nil) }), interceptor.Panic},
		{"goexit", validate, f(func(context.Context) (*interceptor.Result, error) { goexit(); return nil, nil }), interceptor.Panic},
		{"no result", validate, answers(nil, nil), interceptor.InvalidResult},
		{"no decision", validate, answers(&interceptor.Result{}, nil), interceptor.InvalidResult},
		{"no such decision", validate, answers(&interceptor.Result{Decision: 77}, nil), interceptor.InvalidResult},
		{"patches in validate", validate, allowing(interceptor.Result{Patches: many[:1]}), interceptor.InvalidResult},
		{"too many patches", modify, allowing(interceptor.Result{Patches: many}), interceptor.Limit},
		{"too long", modify, allowing(interceptor.Result{Reason: strings.Repeat("x", 1<<20+1)}), interceptor.Limit},
		{"bad patch", modify, allowing(interceptor.Result{Patches: []interceptor.Patch{{Op: "remove", Path: "/nowhere"}}}), interceptor.InvalidResult},
	}
}

func TestRule3FailOpenAndIgnoreInPostCommit(t *testing.T) {
	for policy, want := range map[interceptor.FailurePolicy]interceptor.Decision{
		0: interceptor.Allow, interceptor.FailOpen: interceptor.Allow, interceptor.Ignore: interceptor.None,
	} {
		for name, impl := range map[string]interceptor.Interceptor{"error": breaks, "deny": denies, "patch": patches(interceptor.Patch{Op: "remove", Path: "/session"})} {
			t.Run(name+" "+policy.String(), func(t *testing.T) {
				rec, h := &memory{}, &handler{}
				b := bind("b", impl, interceptor.PostCommit)
				b.PostCommitPolicy = policy
				chain, err := interceptor.New(planOf(b, bind("c", allows, interceptor.PostCommit)), rec)
				if err != nil {
					t.Fatal(err)
				}
				out := chain.Run(t.Context(), operation(), h.handle)
				if err := chain.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if out.Decision != interceptor.Allow || out.Status.Code() != codes.OK {
					t.Errorf("outcome %s %s; post_commit cannot change it", out.Decision, out.Status)
				}
				if f := rec.failure(t); f.Kind != interceptor.InvalidResult || f.Decision != want {
					t.Errorf("failure %+v; want decision %s", f, want)
				}
				if got := rec.story(); got[0] != "outcome:allow" || got[len(got)-1] != "c:allow" {
					t.Errorf("facts %v", got)
				}
			})
		}
	}
}

func TestRule4WhatPassesUngovernedIsDecidedInWriting(t *testing.T) {
	for unmatched, want := range map[string]codes.Code{interceptor.UnmatchedAllow: codes.OK, interceptor.UnmatchedDeny: codes.PermissionDenied} {
		plan := planOf(bind("b", allows))
		plan.Unmatched = unmatched
		rec, h := &memory{}, &handler{}
		op := operation()
		op.Method = "DeleteSandbox"
		out := start(t, plan, rec).Run(t.Context(), op, h.handle)
		if out.Status.Code() != want || out.Ran != (want == codes.OK) || h.calls > 1 || len(rec.facts) != 1 {
			t.Errorf("%s: status %s, ran %t, facts %v", unmatched, out.Status, out.Ran, rec.story())
		}
	}
	// Who only observes, or is a shadow, governs nothing: with an empty selector it
	// would else let every method pass that the operator meant to be denied.
	shadow := bind("b", denies)
	shadow.Shadow = true
	judge := bind("judge", allows)
	judge.Principals = []string{"sandbox"} // not this one
	for name, tc := range map[string]struct {
		bindings []interceptor.Binding
		denied   bool
	}{
		"observes":                        {[]interceptor.Binding{bind("b", allows, interceptor.PostCommit)}, true},
		"a shadow":                        {[]interceptor.Binding{shadow}, true},
		"observes, and a judge of others": {[]interceptor.Binding{bind("b", allows, interceptor.PostCommit), judge}, true},
		"observes and judges":             {[]interceptor.Binding{bind("b", allows, interceptor.Validate, interceptor.PostCommit)}, false},
		"observes beside one that judges": {[]interceptor.Binding{bind("a", allows, interceptor.ModifyOperation), bind("b", allows, interceptor.PostCommit)}, false},
	} {
		plan := planOf(tc.bindings...)
		for i := range plan.Bindings {
			plan.Bindings[i].RPCs = nil
		}
		plan.Unmatched = interceptor.UnmatchedDeny
		rec, h := &memory{}, &handler{}
		out := start(t, plan, rec).Run(t.Context(), operation(), h.handle)
		if denied := out.Status.Code() == codes.PermissionDenied; denied != tc.denied || h.calls == 1 == tc.denied || denied && out.Reason != "no binding governs this operation" {
			t.Errorf("%s: status %s, handler called %d times, facts %v", name, out.Status, h.calls, rec.story())
		}
	}
}

func TestRule7EveryCallIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec, h := &memory{}, &handler{}
		release := make(chan struct{})
		stuck := bind("stuck", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			<-release
			return nil, errors.New("late")
		}))
		stuck.FailurePolicy, stuck.MaxConcurrent, stuck.Timeout = interceptor.FailOpen, 2, time.Second
		chain := start(t, planOf(stuck), rec)
		for range 3 {
			if out := chain.Run(t.Context(), operation(), h.handle); out.Decision != interceptor.Allow {
				t.Errorf("decision %s", out.Decision)
			}
		}
		want := []string{
			"stuck?", "stuck:timeout=allow", "outcome:allow", "stuck?", "stuck:timeout=allow", "outcome:allow",
			"stuck?", "stuck:limit=allow", "outcome:allow",
		}
		if diff := cmp.Diff(want, rec.story()); diff != "" {
			t.Error(diff)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := chain.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close while calls hang: %v", err)
		}
		close(release)
		if err := chain.Close(t.Context()); err != nil {
			t.Errorf("Close after they returned: %v", err)
		}
		if out := chain.Run(t.Context(), operation(), h.handle); out.Decision != interceptor.Deny || out.Status.Code() != codes.Unavailable || h.calls != 3 {
			t.Errorf("after Close: %s %s", out.Decision, out.Status)
		}
	})
}

// What has no JSON form cannot be shown to a binding. It is refused before one is
// asked, whatever the failure policies: else one bad field would be a way around
// every binding that fails open.
func TestWhatCannotBeShownIsRefused(t *testing.T) {
	looks := interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		_, err := e.Payload.JSON()
		return &interceptor.Result{Decision: interceptor.Allow}, err
	})
	deep := &structpb.Value{Kind: &structpb.Value_NullValue{}}
	for range 1001 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	for name, request := range map[string]proto.Message{
		"Any of an unknown type":       &anypb.Any{TypeUrl: "type.example/nobody.Knows", Value: []byte{8, 1}},
		"Any of bytes that are none":   &anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.Duration", Value: []byte{8}},
		"Timestamp out of range":       &timestamppb.Timestamp{Seconds: 1 << 40},
		"Duration of two signs":        &durationpb.Duration{Seconds: 1, Nanos: -1},
		"FieldMask with other letters": &fieldmaskpb.FieldMask{Paths: []string{"aB"}},
		"Value of nothing":             &structpb.Value{},
		"NaN in a Struct":              &structpb.Struct{Fields: map[string]*structpb.Value{"x": structpb.NewNumberValue(math.NaN())}},
		"deeper than others read":      deep,
		"Any in Any in Any":            boxed(17),
	} {
		t.Run(name, func(t *testing.T) {
			for _, policy := range []interceptor.FailurePolicy{interceptor.FailOpen, interceptor.FailClosed} {
				rec, h := &memory{}, &handler{}
				op := operation()
				op.Request = request
				b := bind("b", looks, interceptor.Validate)
				b.FailurePolicy = policy
				out := start(t, planOf(b), rec).Run(t.Context(), op, h.handle)
				if out.Decision != interceptor.Deny || out.Status.Code() != codes.InvalidArgument || h.calls != 0 || !strings.Contains(out.Reason, "no JSON form") {
					t.Errorf("%s: outcome %+v because %q, handler called %d times", policy, out.Status, out.Reason, h.calls)
				}
				if len(rec.facts) != 1 || rec.facts[0].Outcome == nil {
					t.Errorf("%s: %d facts, want the outcome alone", policy, len(rec.facts))
				}
			}
			// Who only watches changes nothing.
			h := &handler{}
			op := operation()
			op.Request = request
			b := bind("b", looks, interceptor.Validate)
			b.Shadow = true
			if out := start(t, planOf(b), &memory{}).Run(t.Context(), op, h.handle); out.Decision != interceptor.Allow || h.calls != 1 {
				t.Errorf("shadow: %s, handler called %d times", out.Decision, h.calls)
			}
		})
	}
}

// What interceptors of other languages cannot read is no way past one that fails
// open, and no more of a hindrance elsewhere.
func TestDepthThatOthersCannotRead(t *testing.T) {
	nested := func(n int) proto.Message {
		v := structpb.NewNullValue()
		for range n {
			v = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{v}})
		}
		return v
	}
	for name, tc := range map[string]struct {
		endpoint string
		policy   interceptor.FailurePolicy
		depth    int
		refused  bool
	}{
		"remote, open":           {"unix:///x.sock", interceptor.FailOpen, 34, true},
		"remote, open, readable": {"unix:///x.sock", interceptor.FailOpen, 33, false},
		"remote, closed":         {"unix:///x.sock", interceptor.FailClosed, 34, false},
		"in process, open":       {"", interceptor.FailOpen, 34, false},
	} {
		b := bind("b", allows, interceptor.Validate)
		b.Endpoint, b.FailurePolicy = tc.endpoint, tc.policy
		h, op := &handler{}, operation()
		op.Request = nested(tc.depth)
		out := start(t, planOf(b), &memory{}).Run(t.Context(), op, h.handle)
		if (out.Status.Code() == codes.InvalidArgument) != tc.refused || (h.calls == 0) != tc.refused {
			t.Errorf("%s: %s, handler called %d times", name, out.Status, h.calls)
		}
	}
}

// boxed is so many of google.protobuf.Any within one another.
func boxed(n int) *anypb.Any {
	box := &anypb.Any{TypeUrl: "x/google.protobuf.Duration"}
	for range n - 1 {
		raw, err := proto.Marshal(box)
		if err != nil {
			panic(err) // cannot be
		}
		box = &anypb.Any{TypeUrl: "x/google.protobuf.Any", Value: raw}
	}
	return box
}

// Sixteen are shown.
func TestAnAnyMayHoldOthers(t *testing.T) {
	if raw, err := interceptor.NewPayload(boxed(16)).JSON(); err != nil || strings.Count(string(raw), "@type") != 16 {
		t.Errorf("%s, %v", raw, err)
	}
}

// An error that cannot even be asked what it says is the interceptor's failure,
// and no more than that.
func TestErrorsThatPanic(t *testing.T) {
	var none *interceptor.Failure
	for name, err := range map[string]error{"nil inside": none, "hostile": hostileError{}} {
		for _, policy := range []interceptor.FailurePolicy{interceptor.FailOpen, interceptor.FailClosed} {
			for _, shadow := range []bool{false, true} {
				rec, h := &memory{}, &handler{}
				b := bind("b", answers(&interceptor.Result{Decision: interceptor.Allow}, err), interceptor.Validate)
				b.FailurePolicy, b.Shadow = policy, shadow
				out := start(t, planOf(b), rec).Run(t.Context(), operation(), h.handle)
				if passes := shadow || policy == interceptor.FailOpen; (out.Decision == interceptor.Allow) != passes || (h.calls == 1) != passes {
					t.Errorf("%s, %s, shadow %t: %s, %s", name, policy, shadow, out.Decision, out.Reason)
				}
				if f := rec.failure(t); f.Kind != interceptor.Panic || !strings.Contains(f.Detail, "its error panicked") {
					t.Errorf("%s: failure %+v", name, f)
				}
			}
		}
	}
}

type hostileError struct{}

func (hostileError) Error() string { panic("hostile") }

// The outcome tells the patches that were applied, whatever becomes of the memory
// that the interceptor wrote them in.
func TestPatchesAreTheChainsOwn(t *testing.T) {
	value := []byte(`"enforced"`)
	again := interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		copy(value, `"recorded"`)
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	rec, h := &memory{}, &handler{}
	plan := planOf(bind("a", patches(interceptor.Patch{Op: "replace", Path: "/sandbox/name", Value: value}), interceptor.ModifyOperation), bind("b", again))
	out := start(t, plan, rec).Run(t.Context(), operation(), h.handle)
	if len(out.Patches) != 1 || string(out.Patches[0].Value) != `"enforced"` {
		t.Errorf("the outcome tells %s", out.Patches[0].Value)
	}
}

// However a timeout is noticed, it is told in the same words.
func TestTimeoutsReadAlike(t *testing.T) {
	const reset = "stream terminated by RST_STREAM with error code: CANCEL"
	late := func(err error) interceptor.Interceptor {
		return interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
			<-ctx.Done()
			return nil, err
		})
	}
	for name, tc := range map[string]struct {
		impl interceptor.Interceptor
		more string
	}{
		"does not come back": {interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			time.Sleep(time.Minute)
			return nil, nil
		}), ""},
		"heeds its context":     {answers(nil, context.DeadlineExceeded), ""},
		"wraps its context":     {answers(nil, fmt.Errorf("ask the directory: %w", context.DeadlineExceeded)), ": ask the directory: context deadline exceeded"},
		"by status":             {answers(nil, status.FromContextError(context.DeadlineExceeded).Err()), ""},
		"by reset":              {answers(nil, status.Error(codes.DeadlineExceeded, reset)), ""},
		"by reset and cancel":   {late(status.Error(codes.Canceled, reset)), ""},
		"with words of its own": {answers(nil, status.Error(codes.DeadlineExceeded, "the directory is slow")), ": the directory is slow"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec, h := &memory{}, &handler{}
				b := bind("b", tc.impl)
				b.Timeout = 100 * time.Millisecond
				start(t, planOf(b), rec).Run(t.Context(), operation(), h.handle)
				if f := rec.failure(t); f.Kind != interceptor.Timeout || f.Detail != "no answer within 100ms"+tc.more {
					t.Errorf("failure %+v", f)
				}
			})
		})
	}
}

func TestRule8ABindingSeesNoValuesOfTheCallersContext(t *testing.T) {
	type key struct{}
	seen := any("not called")
	look := interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
		sub, cancel := context.WithCancel(ctx)
		defer cancel()
		seen = sub.Value(key{})
		if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
			return nil, errors.New("no deadline, or over already")
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	h := &handler{}
	out := start(t, planOf(bind("b", look)), &memory{}).Run(context.WithValue(t.Context(), key{}, "bearer canary"), operation(), h.handle)
	if seen != nil || out.Decision != interceptor.Allow {
		t.Errorf("saw %v, decision %s %s", seen, out.Decision, out.Reason)
	}
}

func TestRule10TheCallerIsToldNoTransportDetail(t *testing.T) {
	rec, h := &memory{}, &handler{}
	out := start(t, planOf(bind("b", breaks)), rec).Run(t.Context(), operation(), h.handle)
	if s := out.Status.String() + out.Reason; strings.Contains(s, "10.0.0.7") || strings.Contains(s, "reset") {
		t.Errorf("the caller is told %q", s)
	}
	if f := rec.failure(t); !strings.Contains(f.Detail, "10.0.0.7:443: connection reset") {
		t.Errorf("the full cause is not in the fact: %q", f.Detail)
	}
}
