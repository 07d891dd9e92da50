// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
)

// noRoot denies what would run as root.
var noRoot = interceptor.Func(func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	if user, _ := e.Payload.Lookup("/user"); user == "root" {
		return &interceptor.Result{Decision: interceptor.Deny, Reason: "not as root"}, nil
	}
	return &interceptor.Result{Decision: interceptor.Allow}, nil
})

func noRootPlan(impl interceptor.Interceptor) *interceptor.Plan {
	return &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow, Bindings: []interceptor.Binding{
		{Interceptor: "no-root", ID: "user", Phases: []interceptor.Phase{interceptor.Validate}, Impl: impl},
	}}
}

func runAs(chain *interceptor.Chain, users ...string) error {
	for _, user := range users {
		request, err := structpb.NewStruct(map[string]any{"user": user})
		if err != nil {
			return err
		}
		chain.Run(context.Background(), &interceptor.Operation{Service: "demo.Sandboxes", Method: "Create", Request: request}, handler)
	}
	return chain.Close(context.Background())
}

// A cassette of a chain, what is in it, and a second one of it, with more left out.
func ExampleCassette() {
	var b bytes.Buffer
	cassette := replay.NewCassette(&b)
	chain, err := interceptor.New(noRootPlan(noRoot), cassette)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := runAs(chain, "app", "root"); err != nil {
		fmt.Println(err)
		return
	}
	if err := cassette.Close(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("lines:", bytes.Count(b.Bytes(), []byte("\n")))

	redactor, err := activity.NewRedactor([]activity.Rule{{Name: "users", Pointers: []string{"/user"}, Do: activity.RedactMask}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var second bytes.Buffer
	n, err := replay.Cut(context.Background(), lines(b.Bytes()), &second, replay.Events(activity.WithRedactor(redactor)))
	fmt.Println("operations:", n, err)
	fmt.Println("says root:", bytes.Contains(second.Bytes(), []byte(`:"root"`)))
	// Output:
	// lines: 8
	// operations: 2 <nil>
	// says root: false
}
