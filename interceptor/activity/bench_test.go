// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"context"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/ocsf"
)

type silent struct{}

func (silent) Spooled(context.Context) error { return nil }

// BenchmarkRecord records the three facts of a small operation: with an emit that
// gives the events back, as an emitter does that has encoded them, and with one
// that leaves them to the garbage collector.
func BenchmarkRecord(b *testing.B) {
	for name, emit := range map[string]func(context.Context, ocsf.Event) activity.Ack{
		"released": func(_ context.Context, e ocsf.Event) activity.Ack {
			e.(activity.Lent).Release() //nolint:forcetypeassert // no findings here
			return silent{}
		},
		"kept": func(context.Context, ocsf.Event) activity.Ack { return silent{} },
	} {
		b.Run(name, func(b *testing.B) {
			rec := activity.NewRecorder(emit)
			op, facts := facts(b)
			b.ReportAllocs()
			for b.Loop() {
				for _, f := range facts {
					f.Operation = op
					rec.Record(f)
				}
			}
		})
	}
}

// facts returns a small operation and what happens to it.
func facts(t testing.TB) (*interceptor.Operation, []interceptor.Fact) {
	t.Helper()
	op, plan := operation(t, "op", "web", "base:1", 1), storyPlan()
	e := &interceptor.Evaluation{UID: "e", Operation: "op", Interceptor: "i", Binding: "b", Phase: interceptor.Validate, Payload: interceptor.NewPayload(op.Request)}
	return op, []interceptor.Fact{
		{Plan: plan, Evaluation: e},
		{Plan: plan, Evaluation: e, Result: &interceptor.Result{Decision: interceptor.Allow}},
		{Plan: plan, Outcome: &interceptor.Outcome{Decision: interceptor.Allow, Ran: true}},
	}
}
