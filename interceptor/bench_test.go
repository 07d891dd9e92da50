// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"google.golang.org/protobuf/proto"
)

// chain3 returns what runs one operation through three bindings linked into the
// process that nobody records: what is left is the chain's own cost.
func chain3(tb testing.TB) func() *interceptor.Outcome {
	allow := &interceptor.Result{Decision: interceptor.Allow}
	impl := interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { return allow, nil })
	chain, err := interceptor.New(planOf(bind("a", impl), bind("b", impl), bind("c", impl)), interceptor.Discard)
	if err != nil {
		tb.Fatal(err)
	}
	request, response := &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "a"}}, &sandboxv1.CreateSandboxResponse{}
	handler := func(context.Context, proto.Message) (proto.Message, error) { return response, nil }
	ctx := context.Background()
	return func() *interceptor.Outcome {
		return chain.Run(ctx, &interceptor.Operation{Service: service, Method: "CreateSandbox", Request: request}, handler)
	}
}

// BenchmarkChain3InProcess is to take 3 us or less.
func BenchmarkChain3InProcess(b *testing.B) {
	run := chain3(b)
	b.ReportAllocs()
	for b.Loop() {
		if out := run(); out.Decision != interceptor.Allow {
			b.Fatal(out.Reason)
		}
	}
}

// TestRunAllocatesLittle holds the number that can be held in a test: 12 when
// it was written, and some more under the race detector.
func TestRunAllocatesLittle(t *testing.T) {
	run := chain3(t)
	if n := testing.AllocsPerRun(1000, func() { run() }); n > 20 {
		t.Errorf("an operation with three bindings allocates %v times", n)
	}
}
