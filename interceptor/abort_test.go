// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// hostile is a message that nobody can look at.
type hostile struct{ proto.Message }

func (hostile) ProtoReflect() protoreflect.Message { panic("hostile") }

// hostileLater is one that can be looked at once.
type hostileLater struct {
	proto.Message
	looked *bool
}

func (h hostileLater) ProtoReflect() protoreflect.Message {
	if *h.looked {
		panic("hostile")
	}
	*h.looked = true
	return h.Message.ProtoReflect()
}

// ticking returns a clock that panics when it is asked for the n-th time.
func ticking(n int) func() time.Time {
	return func() time.Time {
		if n--; n == 0 {
			panic("no time")
		}
		return time.Now()
	}
}

// Whatever panics, or ends its goroutine, an operation has one Outcome, that is
// waited for like any, and each of its evaluations has one end.
func TestRunNeverPanics(t *testing.T) {
	deny, allow := interceptor.Deny, interceptor.Allow
	for _, tc := range []struct {
		name     string
		clock    func() time.Time
		uids     func() interceptor.UID
		impl     interceptor.Interceptor
		request  proto.Message
		handler  interceptor.Handler
		decision interceptor.Decision
		code     codes.Code
		story    string
		barriers int
	}{
		{name: "handler", handler: func(context.Context, proto.Message) (proto.Message, error) { panic("x") }, decision: allow, code: codes.Internal, story: "a? a:allow b? b:allow outcome:allow", barriers: 2},
		{name: "no context", decision: allow, story: "a? a:allow b? b:allow outcome:allow", barriers: 2},
		{name: "clock at the beginning", clock: ticking(1), decision: deny, code: codes.Internal, story: "outcome:deny", barriers: 1},
		{name: "clock before a call", clock: ticking(2), decision: deny, code: codes.Internal, story: "outcome:deny", barriers: 1},
		{name: "clock after a call", clock: ticking(3), decision: deny, code: codes.Internal, story: "a? a:panic=deny outcome:deny", barriers: 1},
		{name: "clock before the second call", clock: ticking(4), decision: deny, code: codes.Internal, story: "a? a:allow outcome:deny", barriers: 1},
		{name: "clock after the handler", clock: ticking(6), decision: allow, story: "a? a:allow b? b:allow outcome:allow", barriers: 2},
		{name: "clock after a deny", clock: ticking(4), impl: denies, decision: deny, code: codes.PermissionDenied, story: "a? a:deny outcome:deny", barriers: 1},
		{name: "uids", uids: func() interceptor.UID { panic("no uid") }, decision: deny, code: codes.Internal, story: "outcome:deny", barriers: 1},
		{name: "request", request: hostile{}, decision: deny, code: codes.Internal, story: "outcome:deny", barriers: 1},
		{name: "patching", impl: patches(interceptor.Patch{Op: "remove", Path: "/x"}), request: hostileLater{operation().Request, new(bool)}, decision: deny, code: codes.PermissionDenied, story: "a? a:invalid_result=deny outcome:deny", barriers: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec, h, op := &memory{}, &handler{}, operation()
			if tc.request != nil {
				op.Request = tc.request
			}
			if tc.handler == nil {
				tc.handler = h.handle
			}
			if tc.impl == nil {
				tc.impl = allows
			}
			phase := interceptor.Validate
			if tc.name == "patching" {
				phase = interceptor.ModifyOperation
			}
			chain := start(t, planOf(bind("a", tc.impl, phase), bind("b", allows)), rec)
			if tc.clock != nil {
				chain.Now = tc.clock
			}
			chain.NewUID = tc.uids
			ctx := t.Context()
			if tc.name == "no context" {
				ctx = nil
			}
			out := chain.Run(ctx, op, tc.handler)
			if out == nil || out.Decision != tc.decision || out.Status.Code() != tc.code || out.Ran != (tc.decision == allow) || out.AuditPending || out.End.IsZero() {
				t.Errorf("outcome %+v", out)
			}
			if diff := cmp.Diff(strings.Fields(tc.story), rec.story()); diff != "" {
				t.Error(diff)
			}
			if len(rec.barriers) != tc.barriers || rec.barriers[tc.barriers-1] != len(rec.facts) {
				t.Errorf("barriers after facts %v", rec.barriers)
			}
			if op.UID == "" || op.Start.IsZero() || len(out.Parts) != 2 {
				t.Errorf("operation %q, parts %+v", op.UID, out.Parts)
			}
		})
	}
	t.Run("recorder", func(t *testing.T) {
		h := &handler{}
		out := start(t, planOf(bind("b", allows)), panicky{}).Run(t.Context(), operation(), h.handle)
		if out.Ran || h.calls != 0 || out.Status.Code() != codes.Unavailable {
			t.Errorf("outcome %+v", out)
		}
	})
	t.Run("no operation", func(t *testing.T) {
		plan := planOf()
		plan.Unmatched = interceptor.UnmatchedDeny
		if out := start(t, plan, &memory{}).Run(t.Context(), nil, nil); out == nil || out.Decision != interceptor.Deny {
			t.Errorf("outcome %+v", out)
		}
	})
}

// A goroutine that is ended under a run takes Run with it, but not the record.
func TestAGoroutineThatEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		clock   func() time.Time
		handler interceptor.Handler
		story   string
	}{
		"in the handler":   {time.Now, func(context.Context, proto.Message) (proto.Message, error) { goexit(); return nil, nil }, "b? b:allow outcome:allow:INTERNAL"},
		"at the beginning": {func() time.Time { goexit(); return time.Time{} }, nil, "outcome:deny:INTERNAL"},
	} {
		t.Run(name, func(t *testing.T) {
			rec := &memory{}
			chain := start(t, planOf(bind("b", allows)), rec)
			chain.Now = tc.clock
			ended := make(chan bool, 1)
			go func() {
				back := false
				defer func() { ended <- back }()
				chain.Run(context.Background(), operation(), tc.handler)
				back = true
			}()
			if <-ended {
				t.Error("Run came back")
			}
			words := rec.story()
			words[len(words)-1] += ":" + strings.ToUpper(rec.statuses[0])
			if out := rec.facts[len(rec.facts)-1].Outcome; name == "at the beginning" && out.Reason != "the goroutine of the operation was ended" {
				t.Errorf("reason %q", out.Reason)
			}
			if diff := cmp.Diff(strings.Fields(tc.story), words); diff != "" || rec.barriers[len(rec.barriers)-1] != len(rec.facts) {
				t.Errorf("%s\nbarriers after facts %v", diff, rec.barriers)
			}
		})
	}
}

// What was open when the chain broke has an end, and the operation does not go on,
// whatever the failure policy says.
func TestWhatIsOpenWhenTheChainBreaks(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*interceptor.Binding)
		end    string // of the call that was open
		part   interceptor.Part
	}{
		"closed":         {func(*interceptor.Binding) {}, "a:panic=deny", interceptor.Part{Decision: interceptor.Deny}},
		"open":           {func(b *interceptor.Binding) { b.FailurePolicy = interceptor.FailOpen }, "a:panic=deny", interceptor.Part{Decision: interceptor.Deny}},
		"a shadow":       {func(b *interceptor.Binding) { b.Shadow = true }, "a:panic=none", interceptor.Part{Shadow: true, Would: interceptor.Deny}},
		"an open shadow": {func(b *interceptor.Binding) { b.Shadow, b.FailurePolicy = true, interceptor.FailOpen }, "a:panic=none", interceptor.Part{Shadow: true, Would: interceptor.Allow}},
	} {
		rec, h, a := &memory{}, &handler{}, bind("a", allows)
		tc.change(&a)
		chain := start(t, planOf(a, bind("b", allows)), rec)
		chain.Now = ticking(3) // after the first call
		out := chain.Run(t.Context(), operation(), h.handle)
		if diff := cmp.Diff([]string{"a?", tc.end, "outcome:deny"}, rec.story()); diff != "" || h.calls != 0 || out.Status.Code() != codes.Internal || out.Reason != "chain panicked: no time" {
			t.Errorf("%s: handler called %d times, %s (%s)\n%s", name, h.calls, out.Status, out.Reason, diff)
		}
		failure := rec.failure(t)
		tc.part.Evaluation, tc.part.Interceptor, tc.part.Binding, tc.part.Phase, tc.part.Failure = rec.facts[1].Evaluation.UID, "i", "a", interceptor.Validate, failure
		skipped := interceptor.Part{Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Skipped: out.Reason}
		if diff := cmp.Diff([]interceptor.Part{tc.part, skipped}, out.Parts); diff != "" || failure.End.IsZero() || failure.Detail != out.Reason {
			t.Errorf("%s: failure %+v\n%s", name, failure, diff)
		}
	}
}

// A recorder that panics has kept nothing of what it was told.
func TestARecorderThatPanics(t *testing.T) {
	for name, tc := range map[string]struct {
		rec     interceptor.Recorder
		durable bool
	}{
		"in Record":  {panicsInRecord{}, false},
		"in Barrier": {panicsInBarrier{}, false},
		"not at all": {interceptor.Discard, true},
	} {
		h, began := &handler{}, time.Now()
		plan := planOf(bind("b", allows))
		plan.AuditDeadline = time.Hour
		out := start(t, plan, tc.rec).Run(t.Context(), operation(), h.handle)
		if out.Ran != tc.durable || (h.calls == 1) != tc.durable || (out.Status.Code() == codes.Unavailable) == tc.durable || time.Since(began) > time.Hour/2 {
			t.Errorf("%s: handler called %d times, outcome %+v", name, h.calls, out)
		}
	}
}

type panicsInRecord struct{}

func (panicsInRecord) Record(interceptor.Fact)                        { panic("record") }
func (panicsInRecord) Barrier(context.Context, interceptor.UID) error { return nil }

type panicsInBarrier struct{}

func (panicsInBarrier) Record(interceptor.Fact)                        {}
func (panicsInBarrier) Barrier(context.Context, interceptor.UID) error { panic("barrier") }

// Who counts the evaluations of post_commit comes to the last, also when the
// chain does not.
func TestPostCommitEndsWhateverHappens(t *testing.T) {
	for n, want := range map[int]string{
		3: "outcome:allow a? a:panic=allow b? b:panic=allow c? c:panic=allow",
		4: "outcome:allow a? a:panic=allow b? b:panic=allow c? c:panic=allow",
		5: "outcome:allow a? a:allow b? b:panic=allow c? c:panic=allow",
		8: "outcome:allow a? a:allow b? b:allow c? c:panic=allow",
		9: "outcome:allow a? a:allow b? b:allow c? c:allow",
	} {
		rec, h := &memory{}, &handler{}
		plan := planOf(bind("a", allows, interceptor.PostCommit), bind("b", allows, interceptor.PostCommit), bind("c", allows, interceptor.PostCommit))
		chain, err := interceptor.New(plan, rec)
		if err != nil {
			t.Fatal(err)
		}
		chain.Now = ticking(n)
		chain.Run(t.Context(), operation(), h.handle)
		if err := chain.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Fields(want), rec.story()); diff != "" {
			t.Errorf("clock breaks at %d:\n%s", n, diff)
		}
		last := slices.IndexFunc(rec.facts, func(f interceptor.Fact) bool { return f.Failure != nil && f.Evaluation.Index == f.Evaluation.Count-1 })
		if n < 9 && last != len(rec.facts)-1 {
			t.Errorf("clock breaks at %d: the last end is fact %d of %d", n, last, len(rec.facts))
		}
	}
}

// panicky is a recorder that keeps none of its promises.
type panicky struct{}

func (panicky) Record(interceptor.Fact)                        { panic("record") }
func (panicky) Barrier(context.Context, interceptor.UID) error { panic("barrier") }

// An interceptor cannot pass its own trouble off as the caller's going, which
// would overrule the failure policy.
func TestOnlyTheChainSaysThatTheCallerLeft(t *testing.T) {
	claim := answers(nil, &interceptor.Failure{Kind: interceptor.Cancelled, Detail: "no, you"})
	for policy, want := range map[interceptor.FailurePolicy]string{
		interceptor.FailClosed: "b? b:unavailable=deny outcome:deny", interceptor.FailOpen: "b? b:unavailable=allow outcome:allow",
	} {
		rec, h, b := &memory{}, &handler{}, bind("b", claim)
		b.FailurePolicy = policy
		out := start(t, planOf(b), rec).Run(t.Context(), operation(), h.handle)
		if diff := cmp.Diff(strings.Fields(want), rec.story()); diff != "" || out.Status.Code() == codes.Canceled {
			t.Errorf("%s: status %s\n%s", policy, out.Status, diff)
		}
	}
}
