// SPDX-License-Identifier: Apache-2.0

package metered_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/metered"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counts is a meter provider that keeps the sum of each counter, and how often
// a histogram was recorded, by name and attributes. The SDK would do it too,
// and put itself into the go.sum of everybody who uses the package.
type counts struct {
	noop.MeterProvider
	mu  sync.Mutex
	sum map[string]int64
}

func (c *counts) Meter(string, ...metric.MeterOption) metric.Meter { return meter{c: c} }

func (c *counts) add(name string, set attribute.Set, n int64) {
	var parts []string
	for _, kv := range set.ToSlice() {
		parts = append(parts, string(kv.Key)+"="+kv.Value.String())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum[name+"{"+strings.Join(parts, ",")+"}"] += n
}

type meter struct {
	noop.Meter
	c *counts
}

func (m meter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return counter{name: name, c: m.c}, nil
}

func (m meter) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return histogram{name: name, c: m.c}, nil
}

type counter struct {
	embedded.Int64Counter
	name string
	c    *counts
}

func (k counter) Add(_ context.Context, n int64, o ...metric.AddOption) {
	k.c.add(k.name, metric.NewAddConfig(o).Attributes(), n)
}
func (counter) Enabled(context.Context) bool { return true }

type histogram struct {
	embedded.Float64Histogram
	name string
	c    *counts
}

func (h histogram) Record(_ context.Context, _ float64, o ...metric.RecordOption) {
	h.c.add(h.name, metric.NewRecordConfig(o).Attributes(), 1)
}
func (histogram) Enabled(context.Context) bool { return true }

// late is a Recorder that can no longer keep its promise.
type late struct{ interceptor.Recorder }

func (late) Barrier(context.Context, interceptor.UID) error { return errors.New("disk full") }

func TestCountsWhatTheChainDecides(t *testing.T) {
	c := &counts{sum: map[string]int64{}}
	rec, err := metered.New(interceptor.Discard, c)
	if err != nil {
		t.Fatal(err)
	}
	run(t, rec)
	want := map[string]int64{
		"docket_chain_audit_wait{}": 2,
		"docket_chain_evaluation_duration{binding=label,interceptor=naming,phase=modify_operation}":                     1,
		"docket_chain_evaluation_duration{binding=count,interceptor=quota,phase=validate}":                              1,
		"docket_chain_evaluations{binding=label,decision=allow,interceptor=naming,phase=modify_operation,shadow=false}": 1,
		"docket_chain_evaluations{binding=count,decision=allow,interceptor=quota,phase=validate,shadow=false}":          1,
		"docket_chain_failures{binding=count,interceptor=quota,kind=unavailable,policy=fail_open}":                      1,
		"docket_chain_operation_duration{decision=allow}":                                                               1,
		"docket_chain_operations{decision=allow,method=demo.S/Create,ran=true}":                                         1,
	}
	if diff := cmp.Diff(want, c.sum); diff != "" {
		t.Errorf("(-want +got):\n%s\nall: %v", diff, slices.Sorted(maps.Keys(c.sum)))
	}
}

func TestCountsUnkeptPromises(t *testing.T) {
	c := &counts{sum: map[string]int64{}}
	rec, err := metered.New(late{interceptor.Discard}, c)
	if err != nil {
		t.Fatal(err)
	}
	run(t, rec)
	if n := c.sum["docket_chain_audit_unavailable{}"]; n != 2 {
		t.Errorf("%d waits ended without durable facts, want 2: %v", n, c.sum)
	}
	if n := c.sum["docket_chain_operations{decision=deny,method=demo.S/Create,ran=false}"]; n != 1 {
		t.Errorf("%d denied operations, want 1: %v", n, c.sum)
	}
}

// Who has its turn at once did not wait; of whom it never came it is said.
func TestWaitsForATurn(t *testing.T) {
	c := &counts{sum: map[string]int64{}}
	rec, err := metered.New(interceptor.Discard, c)
	if err != nil {
		t.Fatal(err)
	}
	e := &interceptor.Evaluation{Interceptor: "quota", Binding: "count", Phase: interceptor.Validate}
	allow := &interceptor.Result{Decision: interceptor.Allow}
	for _, f := range []interceptor.Fact{
		{Evaluation: e},
		{Evaluation: e, Result: allow},
		{Evaluation: e, Result: allow, Waited: time.Second},
		{Evaluation: e, Failure: &interceptor.Failure{Kind: interceptor.Timeout}, Waited: time.Second},
		{Evaluation: e, Failure: &interceptor.Failure{Kind: interceptor.Limit}},                       // a long answer
		{Evaluation: e, Failure: &interceptor.Failure{Kind: interceptor.Unavailable}, Uncalled: true}, // of the state
		{Evaluation: e, Failure: &interceptor.Failure{Kind: interceptor.Limit}, Uncalled: true},       // the queue is full
		{Evaluation: e, Failure: &interceptor.Failure{Kind: interceptor.Limit}, Waited: time.Minute, Uncalled: true},
	} {
		f.Operation = &interceptor.Operation{}
		rec.Record(f)
	}
	for called, want := range map[string]int64{"true": 2, "false": 2} {
		if n := c.sum["docket_chain_queue_wait{called="+called+",interceptor=quota}"]; n != want {
			t.Errorf("called %s: %d, want %d: %v", called, n, want, c.sum)
		}
	}
}

// run sends one operation through a chain of one binding that allows and one
// that fails open.
func run(t *testing.T, rec interceptor.Recorder) {
	t.Helper()
	chain, err := interceptor.New(&interceptor.Plan{
		Unmatched: interceptor.UnmatchedDeny,
		Audit:     interceptor.AuditDurable,
		Bindings: []interceptor.Binding{
			{
				Interceptor: "naming", ID: "label", Phases: []interceptor.Phase{interceptor.ModifyOperation},
				Impl: interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
					return &interceptor.Result{Decision: interceptor.Allow}, nil
				}),
			},
			{
				Interceptor: "quota", ID: "count", Phases: []interceptor.Phase{interceptor.Validate}, FailurePolicy: interceptor.FailOpen,
				Impl: interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
					return nil, &interceptor.Failure{Kind: interceptor.Unavailable, Detail: "gone"}
				}),
			},
		},
	}, rec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := chain.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	op := &interceptor.Operation{Service: "demo.S", Method: "Create", Request: &structpb.Struct{}}
	chain.Run(context.Background(), op, func(context.Context, proto.Message) (proto.Message, error) {
		return &structpb.Struct{}, nil
	})
}
