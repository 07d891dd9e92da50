// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"strings"
	"testing"

	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// TestFailuresQuoteNoValues patches fields with what they cannot hold: the
// failure's detail says where, and not what.
func TestFailuresQuoteNoValues(t *testing.T) {
	const canary = "canary-4711"
	for path, where := range map[string]string{
		"/sandbox/spec/replicas": "int32 field replicas", "/sandbox/paused": "bool field paused", "/sandbox/resourceVersion": "uint64 field resourceVersion",
		"/sandbox/spec/environment": "unexpected token", "/sandbox/spec/ports": "unexpected token", "/sandbox/name": "string field name", "/sandbox/labels": "string field",
	} {
		for _, value := range []string{`"` + canary + `"`, `"` + canary + ` unknown field x"`, `["duplicate field ` + canary + `"]`, `{"` + canary + `":"` + canary + `"}`, `["` + canary + `"]`, `{"` + canary + `":4711}`, `4711.5`} {
			op := &Operation{Service: "demo.S", Method: "Create", Request: &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Name: "a", Spec: &sandboxv1.SandboxSpec{Image: "i"}}}}
			_, _, detail := through(t, Plan{}, op, []Patch{{Op: "add", Path: path, Value: []byte(value)}})
			if strings.Contains(detail, canary) || strings.Contains(detail, "4711") {
				t.Errorf("%s = %s: %s", path, value, detail)
			}
			if value[0] == '[' && detail != "" && !strings.Contains(detail, where) && !strings.Contains(detail, "unexpected token") {
				t.Errorf("%s = %s: %s, want it to say %s", path, value, detail, where)
			}
		}
	}
	_, _, detail := through(t, Plan{}, &Operation{Service: "demo.S", Method: "Create", Request: &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Spec: &sandboxv1.SandboxSpec{Image: "i"}}}},
		[]Patch{{Op: "add", Path: "/sandbox/spec/ports", Value: []byte(`[{"numbber":"` + canary + `"}]`)}})
	if !strings.Contains(detail, "numbber") || strings.Contains(detail, canary) {
		t.Errorf("an unknown field: %s", detail)
	}
}
