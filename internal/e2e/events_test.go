// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// checkEvents holds every event that was stored against the OCSF schema of its
// own version, and against its own fingerprint. It returns how many there are of
// each version.
func checkEvents(t *testing.T, dir string) map[string]int {
	t.Helper()
	type row struct {
		Raw     string `json:"_raw"`
		Version string `json:"version"`
	}
	kinds, versions := map[string]int{}, map[string]int{}
	for _, r := range query[row](t, dir, `SELECT _raw, json_extract_string(_raw, '$.metadata.version') AS version FROM events`) {
		h, err := profile.Check([]byte(r.Raw))
		if err != nil {
			t.Error(err)
			continue
		}
		kinds[h.Kind]++
		versions[r.Version]++
		report, err := ocsf.Validate([]byte(r.Raw), r.Version, ocsf.ModeServer)
		if err != nil {
			t.Fatalf("%s event %s: %v", h.Kind, h.MetadataUID, err)
		}
		for _, issue := range append(report.Errors, report.Warnings...) {
			t.Errorf("%s event %s: %s %s: %s", h.Kind, h.MetadataUID, issue.Code, issue.Path, issue.Message)
		}
		if t.Failed() {
			t.Log(r.Raw)
			break // one is enough to read
		}
	}
	t.Logf("clean: %v, %v", kinds, versions)
	return versions
}
