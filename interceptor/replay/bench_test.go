// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
)

// benched is a history of so many operations that three bindings allow, with
// requests of about 1 KB.
func benched(b *testing.B, operations int) (*history, *interceptor.Plan) {
	b.Helper()
	plan := &interceptor.Plan{Unmatched: interceptor.UnmatchedDeny}
	for _, name := range []string{"naming", "quota", "images"} {
		plan.Bindings = append(plan.Bindings, interceptor.Binding{
			Interceptor: name, ID: "create", Phases: []interceptor.Phase{interceptor.Validate},
			Impl: interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
				return &interceptor.Result{Decision: interceptor.Allow}, nil
			}),
		})
	}
	h := &history{link: profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}}
	h.run(b, plan, func(chain *interceptor.Chain) {
		for i := range operations {
			op := operation(b, i, "web", "base:1")
			environment := map[string]any{}
			for n := range 12 {
				environment[fmt.Sprintf("SERVICE_SETTING_%02d", n)] = fmt.Sprintf("https://service.internal/%021d", i*n)
			}
			op.Request.(*structpb.Struct).Fields["environment"], _ = structpb.NewValue(environment)
			chain.Run(context.Background(), op, handler)
		}
	})
	return h, plan
}

// BenchmarkRun replays operations of three bindings each from events in
// memory, which it reads, as it does those of a store.
func BenchmarkRun(b *testing.B) {
	const operations = 5000
	h, plan := benched(b, operations)
	for b.Loop() {
		r, err := replay.Run(b.Context(), h, plan)
		if err != nil {
			b.Fatal(err)
		}
		if r.Same != operations || r.Reexecuted != 3*operations {
			b.Fatal(r)
		}
	}
	b.ReportMetric(float64(3*operations*b.N)/b.Elapsed().Seconds(), "decisions/s")
}
