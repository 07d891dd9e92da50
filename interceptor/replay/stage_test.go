// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

type durable struct{}

func (durable) Spooled(context.Context) error { return nil }

// BenchmarkStage replays operations that have been read already: what a
// candidate plan costs by itself.
func BenchmarkStage(b *testing.B) {
	yes := interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	plan := &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow}
	for i := range 3 {
		plan.Bindings = append(plan.Bindings, interceptor.Binding{Interceptor: "i", ID: fmt.Sprint(i), Phases: []interceptor.Phase{interceptor.Validate}, Impl: yes})
	}
	var raws [][]byte
	link := profile.Link{Emitter: "g", Epoch: "e", Sequence: 1}
	rec := activity.NewRecorder(func(_ context.Context, e ocsf.Event) activity.Ack {
		raw, fingerprint, err := profile.Seal(e, link)
		if err != nil {
			b.Fatal(err)
		}
		raws = append(raws, raw)
		link.Sequence++
		link.PrevUID, link.PrevFingerprint = e.Common().Metadata.UID, fingerprint
		return durable{}
	})
	chain, err := interceptor.New(plan, rec)
	if err != nil {
		b.Fatal(err)
	}
	request, _ := structpb.NewStruct(map[string]any{"name": "web", "image": "base:1"})
	for range 100 {
		chain.Run(context.Background(), &interceptor.Operation{Service: "demo.Sandboxes", Method: "Create", Request: request}, handleNothing)
	}
	var events iter.Seq2[[]byte, error] = func(yield func([]byte, error) bool) {
		for _, raw := range raws {
			if !yield(raw, nil) {
				return
			}
		}
	}
	var ops []*activity.Operation
	for op, err := range activity.Operations(events) {
		if err != nil {
			b.Fatal(err)
		}
		ops = append(ops, op)
	}
	b.Run("stage", func(b *testing.B) {
		s, err := NewStage(plan)
		if err != nil {
			b.Fatal(err)
		}
		i := 0
		for b.Loop() {
			if d := s.Replay(context.Background(), ops[i%len(ops)]); d.Comparison != Same {
				b.Fatal(d.String())
			}
			i++
		}
		b.ReportMetric(float64(3*i)/b.Elapsed().Seconds(), "decisions/s")
	})
	b.Run("read", func(b *testing.B) {
		n := 0
		for b.Loop() {
			for range activity.Operations(events) {
				n++
			}
		}
		b.ReportMetric(float64(3*n)/b.Elapsed().Seconds(), "decisions/s")
	})
}

var handleNothing = (&act{op: &activity.Operation{Outcome: &interceptor.Outcome{}}}).handle
