// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"google.golang.org/protobuf/proto"
)

// chain3 returns what runs one operation through three bindings linked into the
// process that nobody records: what is left is the chain's own cost.
func chain3(tb testing.TB, heed bool) func() *interceptor.Outcome {
	allow := &interceptor.Result{Decision: interceptor.Allow}
	var impl interceptor.Interceptor = interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) { return allow, nil })
	if heed {
		impl = heedful{impl}
	}
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

// BenchmarkChain3InProcess is to take 3 us or less. Interceptors that promise to
// heed their context are called by Run; for all others a goroutine is started and
// waited for, and with a processor idle the scheduler wakes it to look for work.
func BenchmarkChain3InProcess(b *testing.B) {
	for _, c := range []struct {
		name string
		heed bool
	}{{"that promise nothing", false}, {"that heed their context", true}} {
		b.Run(c.name, func(b *testing.B) {
			run := chain3(b, c.heed)
			b.ReportAllocs()
			for b.Loop() {
				if out := run(); out.Decision != interceptor.Allow {
					b.Fatal(out.Reason)
				}
			}
		})
	}
}

// TestRunAllocatesLittle holds the numbers that can be held in a test: the
// operation itself, what is kept for the outcome and for those who are shown
// something, and the uids. Under the race detector pools lose what they hold.
func TestRunAllocatesLittle(t *testing.T) {
	for _, heed := range []bool{false, true} {
		allocatesLittle(t, chain3(t, heed))
	}
}

func allocatesLittle(t *testing.T, run func() *interceptor.Outcome) {
	t.Helper()
	const runs = 2000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	times := testing.AllocsPerRun(runs, func() { run() })
	runtime.ReadMemStats(&after)
	bytes := (after.TotalAlloc - before.TotalAlloc) / (runs + 1) // and one to warm up
	if times > 4+6*racing || bytes > 2200+2000*racing {
		t.Errorf("an operation with three bindings allocates %v times, %d bytes", times, bytes)
	}
}
