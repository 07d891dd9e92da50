// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/cmd/internal/config"
)

// The configuration knows the words of package authz, which docket-gateway may not
// link.
func TestCapabilityWords(t *testing.T) {
	if d := cmp.Diff(capabilityNames(), config.Capabilities); d != "" {
		t.Error(d)
	}
}
