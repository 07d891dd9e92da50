// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"

	"github.com/docket-audit/docket/internal/ocsftest"
	"github.com/docket-audit/docket/internal/profile"
)

// checkEvents holds every event that was stored against the OCSF schema and
// against its own fingerprint.
func checkEvents(t *testing.T, dir string) {
	type row struct {
		Raw string `json:"_raw"`
	}
	kinds := map[string]int{}
	for _, r := range query[row](t, dir, `SELECT _raw FROM events`) {
		h, err := profile.Check([]byte(r.Raw))
		if err != nil {
			t.Error(err)
			continue
		}
		kinds[h.Kind]++
		for _, problem := range ocsftest.Problems([]byte(r.Raw)) {
			t.Errorf("%s event %s: %s", h.Kind, h.MetadataUID, problem)
		}
		if t.Failed() {
			return // one is enough to read
		}
	}
	t.Logf("clean: %v", kinds)
}
