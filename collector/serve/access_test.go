// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"testing"

	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// Every method has the capability that it needs, and nothing else has one: what
// is forgotten cannot be called.
func TestEveryMethodNeedsACapability(t *testing.T) {
	desc := auditv1.AuditService_ServiceDesc
	have := map[string]bool{}
	for _, m := range desc.Methods {
		have["/"+desc.ServiceName+"/"+m.MethodName] = true
	}
	for _, m := range desc.Streams {
		have["/"+desc.ServiceName+"/"+m.StreamName] = true
	}
	for method := range have {
		if needs[method] == "" {
			t.Errorf("%s needs no capability", method)
		}
		if open[method] {
			t.Errorf("%s is open to all", method)
		}
	}
	for method := range needs {
		if !have[method] {
			t.Errorf("there is no %s", method)
		}
	}
}
