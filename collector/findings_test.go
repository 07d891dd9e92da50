// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"testing"

	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// Every finding is clean OCSF, in both versions.
func TestFindingsAreOCSF(t *testing.T) {
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	f := newFollower(e.UID, owner{"acme", "gateway-0"})
	h := &e.Operation()[0].Header
	op := &operation{uid: h.OperationUID, awaits: true, evaluations: map[string]eventRef{h.EvaluationUID: refTo(h)}, begun: []eventRef{refTo(h)}, finding: "dangling:" + h.OperationUID}
	many := *op
	for range 2 * maxRelated {
		many.begun = append(many.begun, refTo(h))
	}
	nobody := conflict(newFollower(e.UID, owner{}), h)
	for _, version := range profile.Versions() {
		own := storetest.NewEpoch(t, "acme", "collector-0")
		own.Version = version
		for what, found := range map[string]finding{
			"dangling": dangling(f, op), "of many": dangling(f, &many), "no longer dangling": noLongerDangling(f, op, refTo(h)),
			"conflict": conflict(f, h), "of nobody": nobody, "broken hash chain": brokenChain(f, h),
		} {
			event := found.event(storetest.NewUID(), e.Time)
			raw := own.Seal(event).Raw
			report, err := ocsf.Validate(raw, version, ocsf.ModeServer)
			if err != nil {
				t.Fatal(err)
			}
			for _, issue := range append(report.Errors, report.Warnings...) {
				t.Errorf("OCSF %s: %s: %s %s: %s", version, what, issue.Code, issue.Path, issue.Message)
			}
			if uid, ours := findingUID(raw); !ours || uid != found.uid {
				t.Errorf("%s: comes back as %q", what, uid)
			}
		}
	}
}
