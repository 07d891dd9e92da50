// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/docket-audit/docket/collector/authz"
)

// The record of an order names who gave it, not whom they say.
func TestOrderedBy(t *testing.T) {
	for _, c := range []struct{ by, said, want string }{
		{authz.ByToken, "somebody else", "alice"},
		{authz.ByCertificate, "somebody else", "alice"},
		{authz.BySecret, "alice", "alice"},
		{authz.BySocket, "the user of this machine", "the user of this machine"},
		{authz.ByToken, "", ""},
	} {
		ctx := authz.NewContext(t.Context(), authz.Trusted("alice", c.by))
		if got := orderedBy(ctx, c.said); got != c.want {
			t.Errorf("by %s, who says %q: %q, want %q", c.by, c.said, got, c.want)
		}
	}
}
