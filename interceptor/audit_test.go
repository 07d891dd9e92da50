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
	"google.golang.org/grpc/status"
)

// retryable are the codes that invite a caller to try again.
var retryable = []codes.Code{codes.Unavailable, codes.Aborted, codes.ResourceExhausted, codes.DeadlineExceeded}

// TestAuditUnavailable makes the audit unavailable before, during and after the
// handler, in each way in which it can be. How often the handler was called,
// what the caller is told and what is recorded must agree.
func TestAuditUnavailable(t *testing.T) {
	type state struct {
		when     string
		healthy  bool // of the barrier that is called before the handler
		recovers bool // by the outcome's barrier
	}
	ways := map[string]func(ctx context.Context) error{
		"refused": func(context.Context) error { return errors.New("disk full") },
		"slow":    func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"stuck":   func(context.Context) error { time.Sleep(time.Minute); return nil },
	}
	handlers := map[codes.Code]error{codes.OK: nil, codes.NotFound: status.Error(codes.NotFound, "x"), codes.Unavailable: status.Error(codes.Unavailable, "mine")}
	for _, st := range []state{{"before", false, false}, {"before, back after", false, true}, {"during and after", true, false}, {"never", true, true}} {
		for way, fails := range ways {
			for _, answer := range []string{interceptor.AnswerRelease, interceptor.AnswerWithhold} {
				for handlerCode, handlerErr := range handlers {
					t.Run(fmt.Sprintf("%s, %s, %s, handler %s", st.when, way, answer, handlerCode), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							rec := &memory{barrier: func(ctx context.Context, n int) error {
								if n == 1 && st.healthy || n == 2 && st.recovers {
									return nil
								}
								return fails(ctx)
							}}
							h := &handler{err: handlerErr}
							plan := planOf(bind("b", allows))
							plan.Answer, plan.AuditDeadline = answer, time.Second
							began := time.Now()
							out := start(t, plan, rec).Run(t.Context(), operation(), h.handle)
							took := time.Since(began)
							synctest.Wait() // for barriers that were left behind

							if len(rec.barriers) != 2 || len(rec.statuses) != 1 || rec.barriers[1] != len(rec.facts) {
								t.Fatalf("barriers after facts %v of %v; want one before the handler and one after the outcome", rec.barriers, rec.story())
							}
							if took > plan.AuditDeadline*11/10 {
								t.Errorf("waited for %s", took)
							}
							if !st.healthy {
								if h.calls != 0 || out.Ran || out.Decision != interceptor.Deny || out.Status.Code() != codes.Unavailable || out.Reason != "audit unavailable" || rec.statuses[0] != "Unavailable" {
									t.Errorf("handler called %d times, recorded %v, outcome %+v", h.calls, rec.statuses, out)
								}
								return
							}
							want := handlerCode
							if answer == interceptor.AnswerWithhold && !st.recovers {
								want = codes.Unknown
							}
							if h.calls != 1 || !out.Ran || out.Decision != interceptor.Allow || out.Status.Code() != want || out.AuditPending == st.recovers {
								t.Errorf("handler called %d times, outcome %+v; want status %s", h.calls, out, want)
							}
							if out.HandlerStatus.Code() != handlerCode || rec.statuses[0] != handlerCode.String() {
								t.Errorf("handler's status %s, recorded %v; want %s", out.HandlerStatus, rec.statuses, handlerCode)
							}
							if words := map[bool]string{true: "committed, audit pending", false: "executed, audit pending"}[handlerErr == nil]; want == codes.Unknown && out.Status.Message() != words {
								t.Errorf("the caller is told %q; want %q", out.Status.Message(), words)
							}
							if slices.Contains(retryable, out.Status.Code()) && out.Status.Code() != handlerCode {
								t.Errorf("the handler ran, and %s invites to run it again", out.Status.Code())
							}
						})
					})
				}
			}
		}
	}
}

// The outcome is waited for as long as the plan says, also if all before it was
// durable in no time.
func TestAnOutcomeIsWaitedFor(t *testing.T) {
	for late, pending := range map[time.Duration]bool{9 * time.Second: false, 11 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			rec, h := &memory{barrier: func(_ context.Context, n int) error {
				if n == 2 {
					time.Sleep(late)
				}
				return nil
			}}, &handler{}
			plan := planOf(bind("b", allows))
			plan.AuditDeadline = 10 * time.Second
			if out := start(t, plan, rec).Run(t.Context(), operation(), h.handle); out.AuditPending != pending || !out.Ran {
				t.Errorf("durable after %s of %s: pending %t", late, plan.AuditDeadline, out.AuditPending)
			}
		})
	}
}

func TestADenyWaitsForItsOutcome(t *testing.T) {
	rec := &memory{barrier: func(context.Context, int) error { return errors.New("disk full") }}
	h := &handler{}
	out := start(t, planOf(bind("b", denies)), rec).Run(t.Context(), operation(), h.handle)
	if !slices.Equal(rec.barriers, []int{3}) || out.Status.Code() != codes.PermissionDenied || !out.AuditPending || h.calls != 0 {
		t.Errorf("barriers after %v facts, outcome %+v", rec.barriers, out)
	}
}

func TestBestEffortNeverWaits(t *testing.T) {
	for name, change := range map[string]func(*interceptor.Plan, *interceptor.Operation){
		"by plan":   func(p *interceptor.Plan, _ *interceptor.Operation) { p.Audit = interceptor.AuditBestEffort },
		"by method": func(_ *interceptor.Plan, op *interceptor.Operation) { op.Method = "GetSandbox" },
	} {
		t.Run(name, func(t *testing.T) {
			rec, h, op := &memory{}, &handler{}, operation()
			plan := planOf(bind("b", allows))
			plan.Bindings[0].RPCs = nil
			change(plan, op)
			out := start(t, plan, rec).Run(t.Context(), op, h.handle)
			if len(rec.barriers) != 0 || op.Durable || out.Status.Code() != codes.OK || len(rec.facts) != 3 {
				t.Errorf("barriers after %v facts, outcome %+v", rec.barriers, out)
			}
		})
	}
}

func TestTheCallerLeavesWhileTheAuditIsWaitedFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	rec := &memory{barrier: func(ctx context.Context, n int) error {
		if n == 1 {
			cancel()
			<-ctx.Done()
		}
		return ctx.Err() // of the outcome's barrier: the caller's going does not end it
	}}
	h := &handler{}
	out := start(t, planOf(bind("b", allows)), rec).Run(ctx, operation(), h.handle)
	if h.calls != 0 || out.Status.Code() != codes.Canceled || out.AuditPending {
		t.Errorf("handler called %d times, outcome %+v", h.calls, out)
	}
}

func TestTheCallerLeavesWhileTheHandlerRuns(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	rec := &memory{barrier: func(ctx context.Context, _ int) error { return ctx.Err() }}
	h := &handler{before: cancel}
	out := start(t, planOf(bind("b", allows)), rec).Run(ctx, operation(), h.handle)
	if h.calls != 1 || out.Status.Code() != codes.OK || out.AuditPending || !out.Ran {
		t.Errorf("handler called %d times, outcome %+v", h.calls, out)
	}
}
