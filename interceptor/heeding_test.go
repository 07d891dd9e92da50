// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
)

// heedful is an interceptor that promises to heed its context.
type heedful struct{ interceptor.Interceptor }

func (heedful) HeedsContext() bool { return true }

// heedless says that it does not, for now.
type heedless struct{ interceptor.Interceptor }

func (heedless) HeedsContext() bool { return false }

// goroutine returns the line by which the runtime names the goroutine it is
// called on.
func goroutine() string {
	var b [64]byte
	id, _, _ := strings.Cut(string(b[:runtime.Stack(b[:], false)]), "[")
	return id
}

// Only who promises to heed its context, and comes before all that do not, is
// called on the goroutine of Run.
func TestWhoHeedsIsCalledByRun(t *testing.T) {
	for order, want := range map[string]string{"h": "own", "hh": "own,own", "n": "other", "hnh": "own,other,other", "0": "other"} {
		t.Run(order, func(t *testing.T) {
			var got []string
			own := goroutine()
			where := interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
				if goroutine() == own {
					got = append(got, "own")
				} else {
					got = append(got, "other")
				}
				return &interceptor.Result{Decision: interceptor.Allow}, nil
			})
			plan := planOf()
			for i, c := range order {
				b := bind(string(c)+string(rune('0'+i)), map[rune]interceptor.Interceptor{'h': heedful{where}, 'n': where, '0': heedless{where}}[c])
				b.BindingOrder = int32(i)
				plan.Bindings = append(plan.Bindings, b)
			}
			h := &handler{}
			if out := start(t, plan, &memory{}).Run(t.Context(), operation(), h.handle); !out.Ran {
				t.Error(out.Reason)
			}
			if diff := cmp.Diff(want, strings.Join(got, ",")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The context that is heeded ends at the binding's timeout, at the caller's
// deadline if that is earlier, when the caller leaves, and when the call returns;
// and it has nothing of the caller's but that.
func TestTheContextThatIsHeeded(t *testing.T) {
	type key struct{}
	for name, tc := range map[string]struct {
		caller   time.Duration // the caller's patience; zero is without end
		leaves   time.Duration // when it leaves
		story    string
		took     time.Duration
		code     codes.Code
		endpoint string // of one that is elsewhere
	}{
		"timeout":         {0, 0, "b? b:timeout=deny outcome:deny", time.Second, codes.PermissionDenied, ""},
		"elsewhere":       {0, 0, "b? b:timeout=deny outcome:deny", time.Second, codes.PermissionDenied, "unix:///s"},
		"caller's":        {100 * time.Millisecond, 0, "b? b:cancelled=deny outcome:deny", 100 * time.Millisecond, codes.DeadlineExceeded, ""},
		"caller's, later": {time.Minute, 0, "b? b:timeout=deny outcome:deny", time.Second, codes.PermissionDenied, ""},
		"caller leaves":   {0, 200 * time.Millisecond, "b? b:cancelled=deny outcome:deny", 200 * time.Millisecond, codes.Canceled, ""},
		"the same, there": {0, 200 * time.Millisecond, "b? b:cancelled=deny outcome:deny", 200 * time.Millisecond, codes.Canceled, "unix:///s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var kept context.Context
				b := bind("b", heedful{interceptor.Func(func(ctx context.Context, _ *interceptor.Evaluation) (*interceptor.Result, error) {
					if kept = ctx; ctx.Value(key{}) != nil {
						t.Error("the caller's values are there")
					}
					<-ctx.Done()
					return nil, ctx.Err()
				})})
				b.Timeout, b.Endpoint = time.Second, tc.endpoint
				ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "bearer canary"))
				defer cancel()
				if tc.caller != 0 {
					ctx, cancel = context.WithTimeout(ctx, tc.caller)
					defer cancel()
				}
				if tc.leaves != 0 {
					defer time.AfterFunc(tc.leaves, cancel).Stop()
				}
				rec, h, began := &memory{}, &handler{}, time.Now()
				out := start(t, planOf(b), rec).Run(ctx, operation(), h.handle)
				if took := time.Since(began); took != tc.took || out.Status.Code() != tc.code || h.calls != 0 {
					t.Errorf("status %s after %s; want %s after %s", out.Status, took, tc.code, tc.took)
				}
				if diff := cmp.Diff(strings.Fields(tc.story), rec.story()); diff != "" {
					t.Error(diff)
				}
				if kept.Err() == nil {
					t.Error("the context outlived the call")
				}
			})
		})
	}
}

// Whoever is called on the goroutine of Run may panic, or end it: each evaluation
// has one end, and the operation its Outcome.
func TestWhoIsCalledByRunMayPanic(t *testing.T) {
	for name, tc := range map[string]struct {
		does  func()
		story string
		back  bool
	}{
		"panic":  {func() { panic("x") }, "b? b:panic=deny outcome:deny", true},
		"goexit": {goexit, "b? b:panic=deny outcome:deny", false},
	} {
		t.Run(name, func(t *testing.T) {
			rec, h := &memory{}, &handler{}
			chain := start(t, planOf(bind("b", heedful{interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
				tc.does()
				return nil, nil
			})})), rec)
			back := make(chan bool, 1)
			go func() {
				came := false
				defer func() { back <- came }()
				chain.Run(context.Background(), operation(), h.handle)
				came = true
			}()
			if <-back != tc.back {
				t.Errorf("Run came back: %t", !tc.back)
			}
			if diff := cmp.Diff(strings.Fields(tc.story), rec.story()); diff != "" || h.calls != 0 {
				t.Errorf("handler called %d times\n%s", h.calls, diff)
			}
		})
	}
}
