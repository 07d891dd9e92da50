// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/google/go-cmp/cmp"
)

// The bindings of one interceptor share its lane: so many calls are under way,
// so many wait, and the next one fails at once.
func TestRule7TheQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		impl := interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			<-release
			return &interceptor.Result{Decision: interceptor.Allow}, nil
		})
		a, b := bind("a", impl), bind("b", impl)
		b.RPCs = []string{service + "/GetSandbox"}
		for _, b := range []*interceptor.Binding{&a, &b} {
			b.MaxConcurrent, b.MaxQueue, b.Timeout = 2, 1, time.Minute
		}
		rec, h := &memory{}, &handler{}
		chain := start(t, planOf(a, b), rec)
		var under sync.WaitGroup
		run := func(method string) *interceptor.Outcome {
			op := operation()
			op.Method = method
			return chain.Run(t.Context(), op, h.handle)
		}
		for _, method := range []string{"CreateSandbox", "GetSandbox", "CreateSandbox"} { // two are under way, one waits
			under.Go(func() {
				if out := run(method); out.Decision != interceptor.Allow {
					t.Errorf("%s: %s", method, out.Reason)
				}
			})
			synctest.Wait()
		}
		began := time.Now()
		if out := run("GetSandbox"); out.Decision != interceptor.Deny || time.Since(began) != 0 {
			t.Errorf("the fourth: %s after %s", out.Decision, time.Since(began))
		}
		if f := rec.failure(t); f.Kind != interceptor.Limit || f.Detail != "2 calls are under way and 1 wait for their turn" {
			t.Errorf("failure %+v", f)
		}
		close(release)
		under.Wait()
		if out := run("GetSandbox"); out.Decision != interceptor.Allow {
			t.Errorf("when the lane is free again: %s", out.Reason)
		}
	})
}

// However many want in at once, no more are under way than there are slots, and
// whoever waits gets its turn.
func TestTheLaneHoldsUnderLoad(t *testing.T) {
	const slots, callers, each = 3, 16, 200
	var under, most atomic.Int32
	b := bind("b", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		defer under.Add(-1)
		n := under.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		runtime.Gosched()
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	}))
	b.MaxConcurrent, b.MaxQueue, b.Timeout = slots, callers, time.Minute
	chain := start(t, planOf(b), interceptor.Discard)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				if out := chain.Run(t.Context(), operation(), (&handler{}).handle); out.Decision != interceptor.Allow {
					t.Error(out.Reason)
				}
			}
		})
	}
	all.Wait()
	if n := most.Load(); n > slots || n == 0 {
		t.Errorf("%d calls were under way at once; at most %d may be", n, slots)
	}
}

// A thousand calls that heed nothing leave no goroutine once they return; the
// bubble and the leak check of this package say so.
func TestThousandTimeouts(t *testing.T) {
	for name, heeds := range map[string]bool{"heed their context": true, "heed nothing": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				b := bind("b", interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
					if heeds {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					<-release
					return &interceptor.Result{Decision: interceptor.Allow}, nil
				}))
				rec, h := &memory{}, &handler{}
				chain, err := interceptor.New(planOf(b), rec)
				if err != nil {
					t.Fatal(err)
				}
				var all sync.WaitGroup
				for range 1000 {
					all.Go(func() { chain.Run(t.Context(), operation(), h.handle) })
				}
				all.Wait()
				close(release)
				if err := chain.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				got := map[string]int{}
				for _, word := range rec.story() {
					got[word]++
				}
				want := map[string]int{"b?": 1000, "b:timeout=deny": 1000, "outcome:deny": 1000}
				if diff := cmp.Diff(want, got); diff != "" || h.calls != 0 {
					t.Errorf("handler called %d times\n%s", h.calls, diff)
				}
			})
		})
	}
}

// The policy of modify_operation may differ from that of validate.
func TestModifyPolicy(t *testing.T) {
	for _, tc := range []struct {
		modify, other interceptor.FailurePolicy
		want          string
	}{
		{0, interceptor.FailOpen, "b? b:invalid_result=allow b? b:invalid_result=allow outcome:allow"},
		{interceptor.FailOpen, interceptor.FailClosed, "b? b:invalid_result=allow b? b:invalid_result=deny outcome:deny"},
		{interceptor.FailClosed, interceptor.FailOpen, "b? b:invalid_result=deny outcome:deny"},
	} {
		t.Run(fmt.Sprintf("%s %s", tc.modify, tc.other), func(t *testing.T) {
			rec, h := &memory{}, &handler{}
			b := bind("b", breaks, interceptor.ModifyOperation, interceptor.Validate)
			b.ModifyPolicy, b.FailurePolicy = tc.modify, tc.other
			start(t, planOf(b), rec).Run(t.Context(), operation(), h.handle)
			if diff := cmp.Diff(strings.Fields(tc.want), rec.story()); diff != "" {
				t.Error(diff)
			}
			for _, f := range rec.facts {
				if f.Failure != nil && (f.Failure.Policy == interceptor.FailOpen) != (f.Failure.Decision == interceptor.Allow) {
					t.Errorf("failure %+v", f.Failure)
				}
			}
		})
	}
}
