// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	file := filepath.Join("testdata", "report.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}
