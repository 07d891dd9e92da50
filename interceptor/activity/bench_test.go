// SPDX-License-Identifier: Apache-2.0

package activity_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
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

// BenchmarkOperations reads a history back from memory: 4000 operations, each with
// a request of about 1 KB and three bindings that allow it, and so seven events.
// decisions/s is how many evaluations are read in a second, and bounds what replay
// can do; GOMAXPROCS=1 tells it per core.
func BenchmarkOperations(b *testing.B) {
	const operations, bindings = 4000, 3
	events := history(b, operations, bindings)
	size := 0
	for _, raw := range events {
		size += len(raw)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for op, err := range activity.Operations(each(events)) {
			if err != nil || len(op.Evaluations) != bindings || op.Request == nil {
				b.Fatalf("operation %+v, %v", op, err)
			}
			n++
		}
	}
	if n != b.N*operations {
		b.Errorf("%d operations, want %d", n, b.N*operations)
	}
	b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(n*bindings)/b.Elapsed().Seconds(), "decisions/s")
}

// each is events as a source yields them.
func each(events [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, raw := range events {
			if !yield(raw, nil) {
				return
			}
		}
	}
}

// history records operations that all bindings allow.
func history(t testing.TB, operations, bindings int) [][]byte {
	t.Helper()
	allow := interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	plan := &interceptor.Plan{Unmatched: interceptor.UnmatchedDeny}
	for i := range bindings {
		plan.Bindings = append(plan.Bindings, interceptor.Binding{
			Interceptor: fmt.Sprintf("judge-%d", i), ID: "create", Order: int32(i), Phases: []interceptor.Phase{interceptor.Validate}, Impl: allow,
		})
	}
	var events [][]byte
	link := profile.Link{Emitter: "gateway-0", Epoch: "0199d0aa-0000-7000-8000-00000000e001", Sequence: 1}
	chain, err := interceptor.New(plan, activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		raw, h, err := profile.SealHeader(e, link)
		if err != nil {
			t.Fatal(err)
		}
		link.Sequence++
		link.PrevUID, link.PrevFingerprint, link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
		events = append(events, raw)
		return silent{}
	}))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range operations {
		who := random.IntN(1000)
		chain.Run(context.Background(), &interceptor.Operation{
			Tenant: "acme", Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox", Start: time.UnixMilli(1793215000000 + int64(i)),
			Principal:  map[string]string{"kind": "user", "subject": fmt.Sprintf("user-%d", who), "display_name": fmt.Sprintf("User %d", who)},
			Attributes: map[string]string{"source.address": fmt.Sprintf("192.0.2.%d:4711", who%250), "user_agent": "grpc-go/1.85"},
			Request:    bigRequest(t, random),
		}, created)
	}
	if err := chain.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return events
}

// bigRequest is about 1 KB of JSON.
func bigRequest(t testing.TB, random *rand.Rand) *structpb.Struct {
	t.Helper()
	environment := map[string]any{}
	for i := range 12 {
		environment[fmt.Sprintf("SERVICE_SETTING_%02d", i)] = fmt.Sprintf("https://service.internal/%016x", random.Uint64())
	}
	return object(t, map[string]any{"sandbox": map[string]any{
		"name": fmt.Sprintf("sandbox-%06d", random.IntN(1e6)), "labels": map[string]any{"team": fmt.Sprintf("team-%d", random.IntN(30)), "stage": "production"},
		"spec": map[string]any{
			"image": fmt.Sprintf("registry.example/team-%d/service:%d", random.IntN(30), random.IntN(40)), "replicas": float64(random.IntN(9)), "environment": environment,
		},
	}})
}
