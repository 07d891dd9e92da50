// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// TestInputIsWrittenOnce shows several bindings the same of an operation, and one
// something new: each text of the input is in as many events as it was new to.
// Read back, every evaluation has what its binding was shown.
func TestInputIsWrittenOnce(t *testing.T) {
	const bindings = 4
	plan := &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow}
	for i := range bindings {
		b := interceptor.Binding{
			Interceptor: fmt.Sprint("i", i), ID: "b", Order: int32(i), Phases: []interceptor.Phase{interceptor.Validate},
			Attributes: []string{"user_agent"}, Reads: []string{"com.example.one", "com.example.two"},
			Impl: interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
				return &interceptor.Result{Decision: interceptor.Allow}, nil
			}),
		}
		if i == 1 {
			b.Writes = []string{"com.example.two"}
			b.Impl = interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
				return &interceptor.Result{Decision: interceptor.Allow, Metadata: map[string]map[string]any{"com.example.two": {"k": "text-new"}}}, nil
			})
		}
		plan.Bindings = append(plan.Bindings, b)
	}
	s := newStage(t, plan)
	s.run(&interceptor.Operation{
		UID: "0199d0aa-3000-7000-8000-000000000001", Tenant: "acme", Service: "demo.S", Method: "CreateThing",
		Request: object(t, map[string]any{"payload": "text-payload"}), State: object(t, map[string]any{"state": "text-state"}),
		Attributes: map[string]string{"user_agent": "text-attribute"}, Labels: map[string]string{"team": "text-label"},
		Metadata: map[string]map[string]any{"com.example.one": {"k": "text-metadata"}},
	}, created)
	s.close()
	all := string(bytes.Join(s.raw, nil))
	for text, want := range map[string]int{
		"text-payload": 1, "text-state": 1, "text-attribute": 1, "text-label": 1,
		"text-metadata": 2, // once with what came from outside, once with what a binding set beside it
		"text-new":      2, // by the result that sets it, and with the next evaluation
	} {
		if n := strings.Count(all, text); n != want {
			t.Errorf("%s is written %d times, want %d", text, n, want)
		}
	}
	for op, err := range activity.Operations(s.all) {
		if err != nil {
			t.Fatal(err)
		}
		if len(op.Evaluations) != bindings {
			t.Errorf("%d evaluations", len(op.Evaluations))
		}
		for i, e := range op.Evaluations {
			want := map[string]map[string]any{"com.example.one": {"k": "text-metadata"}}
			if i > 1 {
				want["com.example.two"] = map[string]any{"k": "text-new"}
			}
			if diff := cmp.Diff(want, e.Metadata); diff != "" || e.Missing != "" || e.Attributes["user_agent"] != "text-attribute" {
				t.Errorf("evaluation %d: missing %q, attributes %v, metadata (-want +got):\n%s", i, e.Missing, e.Attributes, diff)
			}
			if one := e.Metadata["com.example.one"]; one != nil {
				one["k"] = "changed" // it is its own
			}
		}
	}
}
