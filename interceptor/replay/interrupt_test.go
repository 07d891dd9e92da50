// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

// A replay that is told to end gives what it has, counts the operation that was
// under way for nothing, and is gone on with as if nothing had been.
func TestInterrupted(t *testing.T) {
	h := record(t, oldPlan())
	candidate := func(before func(ctx context.Context) error) *interceptor.Plan {
		check := images("base:1")
		judge := check.Func
		check.Func = func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
			if err := before(ctx); err != nil {
				return nil, err
			}
			return judge(ctx, e)
		}
		return planOf(naming(), check, quota(), watch())
	}
	through := func(context.Context) error { return nil }
	whole, err := replay.Run(t.Context(), h, candidate(through))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{1, 4} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		calls := 0
		part, err := replay.Run(ctx, h, candidate(func(ctx context.Context) error {
			if calls++; calls == at {
				cancel()
			}
			return ctx.Err()
		}))
		if !errors.Is(err, context.Canceled) || part == nil {
			t.Fatalf("interrupted: %v, %v", part, err)
		}
		if n := part.Operations(); n >= whole.Operations() || part.Errors > 0 {
			t.Errorf("%d of %d operations, %d errors", n, whole.Operations(), part.Errors)
		}
		rest, err := replay.Run(t.Context(), h, candidate(through), replay.Resume(part), replay.Workers(at))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole.String(), rest.String()); diff != "" {
			t.Errorf("gone on with (-whole +gone on with):\n%s", diff)
		}
	}
}
