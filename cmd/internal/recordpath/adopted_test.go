// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"errors"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// What is told is OCSF, of whichever version.
func TestAdoptedIsOCSF(t *testing.T) {
	for _, version := range profile.Versions() {
		e := storetest.NewEpoch(t, profile.TenantDocket, "host")
		e.Version = version
		now := time.UnixMilli(storetest.Start)
		longer := &clickhouse.Change{Before: retention.Policy{Default: retention.Day}, After: retention.Policy{Default: retention.Forever}}
		for _, event := range []ocsf.Event{
			adopted(&ledger.Adoption{Statements: 3, Reason: errors.New("gone"), Aside: []string{"/data/ledger.old"}}, now),
			kept(longer, now),
			kept(&clickhouse.Change{Before: longer.Before, After: longer.After, Found: "none"}, now),
			kept(&clickhouse.Change{Before: longer.After, After: longer.Before, Refused: true}, now),
		} {
			if l, ok := event.(*ocsf.ApplicationLifecycle); ok {
				// As an emitter does.
				if version == ocsf.DefaultVersion {
					l.App = &ocsf.Product{Name: "docket"}
				} else {
					l.Application = &ocsf.Application{Name: "docket"}
				}
			}
			entry := e.Seal(event)
			report, err := ocsf.Validate(entry.Raw, version, ocsf.ModeServer)
			if err != nil || len(report.Errors)+len(report.Warnings) > 0 {
				t.Errorf("OCSF %s: %+v, %v: %s", version, report, err, entry.Raw)
			}
		}
	}
}
