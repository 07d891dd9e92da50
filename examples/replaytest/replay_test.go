// SPDX-License-Identifier: Apache-2.0

// Package replaytest shows how a policy is tested against recorded history, in
// a module of its own, as yours would be.
package replaytest

import (
	"testing"

	"github.com/docket-audit/docket/examples/replaytest/noroot"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/replay"
)

// TestPolicyAgainstHistory replays what happened in March, when sandboxes were
// still allowed to run as root: twelve of them would be refused now.
func TestPolicyAgainstHistory(t *testing.T) {
	report := replay.Test(t, chainfile.ForTest(t, "chain.toml", chainfile.Local("no-root", noroot.New())), replay.File("testdata/march.ndjson.gz"),
		replay.RequireVerified(),
		replay.Allow(replay.Flip("allow", "deny").On("no-root").Max(12)))
	if report.Flips != 12 {
		t.Errorf("%d flips, want 12:\n%s", report.Flips, report)
	}
}
