// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"encoding/json"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
)

// TestGolden keeps the JSON form, which is a contract, and the one for people.
// It does not tell in which version of OCSF the history was recorded.
func TestGolden(t *testing.T) {
	for _, version := range profile.Versions() {
		t.Run(version, func(t *testing.T) { golden(t, record(t, oldPlan(), activity.WithSchema(version))) })
	}
}

func golden(t *testing.T, h *history) {
	report := replayed(t, h, func() *interceptor.Plan { return planOf(watch(), images("base:1", "evil:1"), nil, nil) })
	whole, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got := string(whole) + "\n\n" + report.String()
	for i := range report.Groups {
		for j := range report.Groups[i].Samples {
			got += "\n" + report.Groups[i].Samples[j].String() + "\n"
		}
	}
	goldenFile(t, "report.txt", got)
}
