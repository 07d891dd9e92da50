// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/cmd/internal/config"
)

// A caller cannot have its operations recorded among what belongs to no tenant,
// nor choose between two tenants.
func TestTenant(t *testing.T) {
	byKey := config.Tenant{MetadataKey: "x-tenant"}
	for name, tc := range map[string]struct {
		config config.Tenant
		md     metadata.MD
		want   string
		code   codes.Code
	}{
		"fixed":    {config.Tenant{Fixed: "acme", MetadataKey: "x-tenant"}, metadata.Pairs("x-tenant", "docket"), "acme", codes.OK},
		"by key":   {byKey, metadata.Pairs("x-tenant", "acme"), "acme", codes.OK},
		"none":     {byKey, nil, "", codes.OK},
		"reserved": {byKey, metadata.Pairs("x-tenant", "docket"), "docket", codes.InvalidArgument},
		"two":      {byKey, metadata.Pairs("x-tenant", "acme", "x-tenant", "globex"), "", codes.InvalidArgument},
	} {
		got, err := tenant(tc.config)(tc.md)
		if got != tc.want || status.Code(err) != tc.code {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if tenant(config.Tenant{}) != nil {
		t.Error("a tenant of nothing")
	}
}
