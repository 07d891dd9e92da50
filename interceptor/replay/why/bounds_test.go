// SPDX-License-Identifier: Apache-2.0

package why_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay/why"
)

// Whoever does not answer equally is told as unstable, and nothing of it is relied on.
func TestUnstable(t *testing.T) {
	for name, denies := range map[string]func(call int64) bool{
		"every other call":    func(n int64) bool { return n%2 == 1 },
		"until it had enough": func(n int64) bool { return n < 20 },
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			a := explain(t, planOf(validating("moody", judge(func(map[string]any) string {
				if denies(calls.Add(1)) {
					return "no"
				}
				return ""
			}))), why.Options{}, map[string]any{"a": "b", "c": true, "d": 5, "e": []any{"f", "g", "h", "i", "j", "k", "l"}})
			if !a.Now.Unstable && a.Now.Decision == "deny" || a.Change != nil {
				t.Errorf("%s", text(a))
			}
		})
	}
}

// Hostile requests are bounded by what is looked at and by the budget.
func TestHostileRequests(t *testing.T) {
	deep := map[string]any{"x": "y"}
	for range 90 {
		deep = object{"in": deep, "list": []any{deep["x"]}}
	}
	wide := map[string]any{}
	for i := range 10_000 {
		wide[fmt.Sprintf("field-%05d", i)] = i
	}
	for name, request := range map[string]map[string]any{"deep": deep, "wide": wide} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			plan := planOf(validating("never", judge(func(map[string]any) string {
				calls.Add(1)
				return "never"
			})))
			ops := record(t, plan, request)
			calls.Store(0)
			a, err := why.Explain(t.Context(), ops[0], plan, why.Options{Budget: 60})
			if err != nil {
				t.Fatal(err)
			}
			if a.Change != nil || a.Search.Tries > 60 || a.Search.Tries < 55 || a.Search.Stopped != "budget" || calls.Load() != int64(a.Search.Tries) || len(a.Fields) != 0 {
				t.Errorf("%d calls\n%s", calls.Load(), text(a))
			}
		})
	}

	// What the reason speaks of is tried before all else, and found.
	wide["image"] = "evil:1"
	a := explain(t, planOf(validating("images", judge(func(r map[string]any) string {
		if image := get(r, "image"); image != "base:1" {
			return fmt.Sprintf("image %v is not on the list", image)
		}
		return ""
	}))), why.Options{Budget: 40}, object{"image": "base:1"}, wide)
	if got := patches(a.Change); got != `replace /image "base:1"` || a.Search.Tries > 40 {
		t.Errorf("change %s\n%s", got, text(a))
	}
}

func TestBudget(t *testing.T) {
	plan := planOf(validating("rules", judge(func(r map[string]any) string {
		if get(r, "a") == "x" || get(r, "b") == "x" || get(r, "c") == "x" || get(r, "d") == "x" {
			return "no"
		}
		return ""
	})))
	request := object{"a": "x", "b": "x", "c": "x", "d": "x", "e": "x", "f": "x"}
	for _, budget := range []int{1, 5, 12, 20} {
		a := explain(t, plan, why.Options{Budget: budget}, request)
		if a.Search.Tries > budget || a.Search.Stopped != "budget" || a.Change != nil {
			t.Errorf("budget %d\n%s", budget, text(a))
		}
	}
	// Where everything was tried that is tried, it says so.
	if a := explain(t, plan, why.Options{}, request); a.Search.Stopped != "" || a.Change != nil || a.Search.Tries >= why.DefaultBudget {
		t.Errorf("%s", text(a))
	}
	if a := explain(t, plan, why.Options{Budget: -1}, request); a.Search != nil || a.Now.How != why.ReExecuted || a.By == nil {
		t.Errorf("%s", text(a))
	}
}

func TestCancelAndDeadline(t *testing.T) {
	var calls atomic.Int64
	var stop func()
	plan := planOf(validating("slow", interceptor.Func(func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if calls.Add(1) == 8 && stop != nil {
			stop()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &interceptor.Result{Decision: interceptor.Deny, Reason: "no"}, nil
	})))
	ops := record(t, plan, object{"a": 1, "b": 2, "c": 3, "d": 4})

	calls.Store(0)
	ctx, cancel := context.WithCancel(t.Context())
	stop = cancel
	if a, err := why.Explain(ctx, ops[0], plan, why.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v\n%s", err, text(a))
	}

	calls.Store(0)
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	stop = func() {}
	a, err := why.Explain(ctx, ops[0], plan, why.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Search.Stopped != "time" || a.Change != nil || a.By == nil || a.Search.Tries == 0 {
		t.Errorf("deadline\n%s", text(a))
	}
}
