// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
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

// TestAnswersTooLate: an implementation that does not heed its context answers when
// another operation is on stage already. Nobody takes that for an answer of it; the
// race detector sees to it that it touches nothing.
func TestAnswersTooLate(t *testing.T) {
	var ops []*activity.Operation
	for op, err := range activity.Operations(record(t, oldPlan()).Events(t.Context(), "")) {
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, op)
	}
	var judge func() // when it is called next
	late := counting(func(*interceptor.Evaluation) (*interceptor.Result, error) {
		judge()
		return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{Op: "replace", Path: "/name", Value: []byte(`"late"`)}}}, nil
	})
	stage, err := replay.NewStage(planOf(late, images("base:1", "base:2"), quota(), watch()))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		judge = func() { cancel(); <-release }
		if d := stage.Replay(ctx, ops[0]); d.Comparison != replay.Erred || d.Reason != string(interceptor.Cancelled) {
			t.Errorf("cancelled: %s", &d)
		}
		judge = func() { close(release) }
		stage.Replay(t.Context(), ops[1])
		judge = func() {}
		if d := stage.Replay(t.Context(), ops[2]); d.Comparison != replay.Flipped || d.To != "modify" {
			t.Errorf("the one after it: %s", &d)
		}
	}
	if err := stage.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
