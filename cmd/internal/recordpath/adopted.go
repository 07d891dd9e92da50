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
	ms, alert := now.UnixMilli(), true
	aside := make([]string, 0, len(a.Aside))
	for _, path := range a.Aside {
		aside = append(aside, filepath.Base(path))
	}
	message := fmt.Sprintf("the ledger was begun anew over %d statements, by --adopt-ledger; before: %v", a.Statements, a.Reason)
	return &ocsf.DetectionFinding{
		Base: ocsf.Base{
			ActivityID: 1, Time: ms, SeverityID: 5, StatusID: 1, IsAlert: &alert, Message: message,
			Metadata: ocsf.Metadata{UID: uuid.Must(uuid.NewV7()).String(), EventCode: profile.KindFinding, TenantUID: profile.TenantDocket},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"finding": findingAdopted}},
		},
		FindingInfo: &ocsf.FindingInfo{
			UID: findingAdopted + ":" + strconv.FormatInt(ms, 10), Title: "Ledger begun anew", Desc: message, Types: []string{findingAdopted}, CreatedTime: ms,
		},
		Evidences: []ocsf.Evidence{{Data: map[string]any{"statements": a.Statements, "reason": a.Reason.Error(), "set_aside": aside}}},
	}
}
