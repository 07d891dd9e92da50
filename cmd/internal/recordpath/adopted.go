// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

const findingAdopted = "ledger_adopted"

// adopted tells, in the record itself, that the ledger was begun anew: from
// there on it vouches for what it found, not for what there was.
func adopted(a *ledger.Adoption, now time.Time) ocsf.Event {
	ms := now.UnixMilli()
	aside := make([]string, 0, len(a.Aside))
	for _, path := range a.Aside {
		aside = append(aside, filepath.Base(path))
	}
	message := fmt.Sprintf("the ledger was begun anew over %d statements, by --adopt-ledger; before: %v", a.Statements, a.Reason)
	return &ocsf.DetectionFinding{
		ActivityID: ocsf.DetectionFindingCreate, StatusID: ocsf.DetectionFindingStatusNew,
		Base: ocsf.Base{
			Time: ms, SeverityID: ocsf.SeverityCritical, IsAlert: new(true), Message: message,
			Metadata: ocsf.Metadata{UID: uuid.Must(uuid.NewV7()).String(), EventCode: profile.KindFinding, TenantUID: profile.TenantDocket},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"finding": findingAdopted}},
		},
		FindingInfo: &ocsf.FindingInfo{
			UID: findingAdopted + ":" + strconv.FormatInt(ms, 10), Title: "Ledger begun anew", Desc: message, Types: []string{findingAdopted}, CreatedTime: ms,
		},
		Evidences: []ocsf.Evidences{{Data: map[string]any{"statements": a.Statements, "reason": a.Reason.Error(), "set_aside": aside}}},
	}
}
