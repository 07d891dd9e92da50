// SPDX-License-Identifier: Apache-2.0

// Package noroot is an interceptor that refuses sandboxes which run as root.
package noroot

import (
	"context"
	"fmt"

	"github.com/docket-audit/docket/interceptor"
)

// New returns the interceptor.
func New() interceptor.Interceptor { return noRoot{} }

type noRoot struct{}

// Describe implements [interceptor.Interceptor].
func (noRoot) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{
		Name: "no-root",
		Bindings: []interceptor.Binding{{
			ID:     "no-root",
			RPCs:   []string{"demo.sandbox.v1.Sandboxes/CreateSandbox"},
			Phases: []interceptor.Phase{interceptor.Validate},
		}},
	}, nil
}

// Evaluate implements [interceptor.Interceptor].
func (noRoot) Evaluate(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	user, _ := e.Payload.Lookup("/spec/runAsUser")
	if name := fmt.Sprint(user); user == nil || name == "root" || name == "0" {
		return &interceptor.Result{Decision: interceptor.Deny, Reason: "sandboxes run as a user, not as root", StatusCode: "FAILED_PRECONDITION"}, nil
	}
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}
