// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/google/go-cmp/cmp"
)

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// An operation ends by the plan that it began with, and a plan is retired when
// nothing runs by it any more: no operation, no post_commit, no call that
// outlived its deadline.
func TestSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		operation1, post, stuck := make(chan struct{}), make(chan struct{}), make(chan struct{})
		wait := func(c chan struct{}) interceptor.Interceptor {
			return interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
				<-c
				return &interceptor.Result{Decision: interceptor.Allow}, nil
			})
		}
		left := bind("left", wait(stuck))
		left.Timeout, left.FailurePolicy = time.Millisecond, interceptor.FailOpen
		slow, observer := bind("slow", wait(operation1)), bind("observer", wait(post), interceptor.PostCommit)
		slow.Timeout, observer.Timeout = time.Hour, time.Hour
		rec, h := &memory{}, &handler{}
		chain := start(t, planOf(left, slow, observer), rec)
		old := chain.Plan()

		first := make(chan *interceptor.Outcome, 1)
		go func() { first <- chain.Run(t.Context(), operation(), h.handle) }()
		synctest.Wait()
		time.Sleep(time.Second)
		retired, err := chain.Swap(planOf(bind("new", denies)))
		if err != nil {
			t.Fatal(err)
		}
		if out := chain.Run(t.Context(), operation(), h.handle); out.Decision != interceptor.Deny || out.By.Binding != "new" {
			t.Errorf("after the swap: %+v", out)
		}
		for _, step := range []struct {
			name string
			let  chan struct{}
			want bool
		}{{"an operation runs", operation1, false}, {"its post_commit runs", post, false}, {"a call was left behind", stuck, false}} {
			synctest.Wait()
			if isClosed(retired) != step.want {
				t.Errorf("retired while %s", step.name)
			}
			close(step.let)
		}
		synctest.Wait()
		if !isClosed(retired) {
			t.Error("not retired when nothing runs")
		}
		if out := <-first; out.Decision != interceptor.Allow || len(out.Parts) != 2 {
			t.Errorf("the operation that began before: %+v", out)
		}
		for _, f := range rec.facts {
			if (f.Plan == old) != (f.Binding == nil && f.Outcome.Decision == interceptor.Allow || f.Binding != nil && f.Binding.ID != "new") {
				t.Errorf("fact %+v has the other plan", f)
			}
		}
	})
}

func TestABadPlanIsNotSwappedIn(t *testing.T) {
	chain := start(t, planOf(bind("a", allows)), interceptor.Discard)
	before := chain.Plan()
	for name, plan := range map[string]*interceptor.Plan{"none": nil, "cannot be run": planOf(bind("", allows))} {
		if retired, err := chain.Swap(plan); err == nil || retired != nil || chain.Plan() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := chain.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := chain.Swap(planOf()); err == nil || chain.Plan() != before {
		t.Errorf("a closed chain: %v", err)
	}
}

func TestSwapsUnderLoad(t *testing.T) {
	chain := start(t, planOf(bind("a", allows)), interceptor.Discard)
	var stop atomic.Bool
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for !stop.Load() {
				if out := chain.Run(t.Context(), operation(), (&handler{}).handle); out.Decision != interceptor.Allow || len(out.Parts) == 0 {
					t.Errorf("outcome %+v", out)
				}
			}
		})
	}
	var last <-chan struct{}
	for i := range 100 {
		plan := planOf(bind("a", allows), bind("b", allows, interceptor.PostCommit))
		if i%2 == 0 {
			plan = planOf(bind("c", allows))
		}
		var err error
		if last, err = chain.Swap(plan); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	load.Wait()
	<-last
}

// Calls that hang by the plan before count against the bounds of an interceptor
// that stayed the same.
func TestALaneOutlivesASwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		plan := func(most int) *interceptor.Plan {
			b := bind("b", interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
				<-release
				return &interceptor.Result{Decision: interceptor.Allow}, nil
			}))
			b.MaxConcurrent, b.Timeout = most, time.Second
			return planOf(b)
		}
		rec, h := &memory{}, &handler{}
		chain := start(t, plan(1), rec)
		for _, most := range []int{1, 1, 2} {
			if _, err := chain.Swap(plan(most)); err != nil {
				t.Fatal(err)
			}
			chain.Run(t.Context(), operation(), h.handle)
		}
		want := []string{"b?", "b:timeout=deny", "outcome:deny", "b?", "b:limit=deny", "outcome:deny", "b?", "b:timeout=deny", "outcome:deny"}
		if diff := cmp.Diff(want, rec.story()); diff != "" {
			t.Error(diff)
		}
		close(release)
	})
}
