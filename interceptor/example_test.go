// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"fmt"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"google.golang.org/protobuf/proto"
)

// An interceptor that denies one image.
func ExampleFunc() {
	noRoot := interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		if image, _ := e.Payload.Lookup("/sandbox/spec/image"); image == "root" {
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "root is not allowed"}, nil
		}
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	chain, err := interceptor.New(&interceptor.Plan{
		Unmatched: interceptor.UnmatchedDeny,
		Bindings:  []interceptor.Binding{{Interceptor: "no-root", ID: "image", Phases: []interceptor.Phase{interceptor.Validate}, Impl: noRoot}},
	}, interceptor.Discard)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := func(context.Context, proto.Message) (proto.Message, error) {
		return &sandboxv1.CreateSandboxResponse{}, nil
	}
	for _, image := range []string{"debian", "root"} {
		out := chain.Run(context.Background(), &interceptor.Operation{
			Service: "demo.sandbox.v1.Sandboxes", Method: "CreateSandbox",
			Request: &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Spec: &sandboxv1.SandboxSpec{Image: image}}},
		}, handler)
		fmt.Println(out.Decision, out.Status.Code(), out.Status.Message(), "handler ran:", out.Ran)
	}
	// Output:
	// allow OK  handler ran: true
	// deny PermissionDenied root is not allowed handler ran: false
}
