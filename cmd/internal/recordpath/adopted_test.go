// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"errors"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

func TestAdoptedIsOCSF(t *testing.T) {
	for _, version := range profile.Versions() {
		e := storetest.NewEpoch(t, profile.TenantDocket, "host")
		e.Version = version
		entry := e.Seal(adopted(&ledger.Adoption{Statements: 3, Reason: errors.New("gone"), Aside: []string{"/data/ledger.old"}}, time.UnixMilli(storetest.Start)))
		report, err := ocsf.Validate(entry.Raw, version, ocsf.ModeServer)
		if err != nil || len(report.Errors)+len(report.Warnings) > 0 {
			t.Errorf("OCSF %s: %+v, %v", version, report, err)
		}
	}
}
