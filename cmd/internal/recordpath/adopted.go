// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

const (
	findingAdopted = "ledger_adopted"
	findingRefused = "removal_refused"
	findingKept    = "retention_kept"
)

// adopted tells, in the record itself, that the ledger was begun anew: from
// there on it vouches for what it found, not for what there was.
func adopted(a *ledger.Adoption, now time.Time) ocsf.Event {
	aside := make([]string, 0, len(a.Aside))
	for _, path := range a.Aside {
		aside = append(aside, filepath.Base(path))
	}
	message := fmt.Sprintf("the ledger was begun anew over %d statements, by --adopt-ledger; before: %v", a.Statements, a.Reason)
	return finding(findingAdopted, "Ledger begun anew", message, map[string]any{"statements": a.Statements, "reason": a.Reason.Error(), "set_aside": aside}, now)
}

// refused tells that somebody wanted events gone, and that they are not.
func refused(b *takenBack, now time.Time) ocsf.Event {
	message := fmt.Sprintf("a statement that took events away was taken back, and they are there: %v. Somebody else wrote it, or a docket of an earlier version that was killed meanwhile: then order again what it was to remove", b.reason)
	return finding(findingRefused, "Removal refused", message, map[string]any{"reason": b.reason.Error(), "set_aside": b.path}, now)
}

// kept tells what became of how long events are kept in a store that deletes by
// itself: that this is another now, or that it is not what it was to be.
func kept(c *clickhouse.Change, now time.Time) ocsf.Event {
	said := map[string]any{"before": c.Before.String(), "after": c.After.String()}
	found := ""
	if c.Found != "" {
		said["found"] = c.Found
		found = fmt.Sprintf(". The events had another TTL than docket_retention says: %.200s", c.Found)
	}
	if c.Refused {
		message := fmt.Sprintf("events are kept as before, %s: the configuration says %s, by which some would leave earlier. Start docket with --shorten-retention if that is meant", said["before"], said["after"]) + found
		return finding(findingKept, "Retention not shortened", message, said, now)
	}
	said["lifecycle"] = "retention_changed"
	return &ocsf.ApplicationLifecycle{
		ActivityID: ocsf.ApplicationLifecycleOther, StatusID: ocsf.StatusSuccess,
		Base: ocsf.Base{
			ActivityName: "Retention", Time: now.UnixMilli(), SeverityID: ocsf.SeverityInformational,
			Message:  fmt.Sprintf("how long events are kept is %s from now on, and was %s", said["after"], said["before"]) + found,
			Metadata: ocsf.Metadata{UID: uuid.Must(uuid.NewV7()).String(), EventCode: profile.KindLifecycle, TenantUID: profile.TenantDocket},
			Unmapped: map[string]any{profile.Unmapped: said},
		},
	}
}

// finding is about the directory and not about an event in it.
func finding(name, title, message string, data map[string]any, now time.Time) ocsf.Event {
	ms := now.UnixMilli()
	return &ocsf.DetectionFinding{
		ActivityID: ocsf.DetectionFindingCreate, StatusID: ocsf.DetectionFindingStatusNew,
		Base: ocsf.Base{
			Time: ms, SeverityID: ocsf.SeverityCritical, IsAlert: new(true), Message: message,
			Metadata: ocsf.Metadata{UID: uuid.Must(uuid.NewV7()).String(), EventCode: profile.KindFinding, TenantUID: profile.TenantDocket},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"finding": name}},
		},
		FindingInfo: &ocsf.FindingInfo{
			UID: name + ":" + strconv.FormatInt(ms, 10), Title: title, Desc: message, Types: []string{name}, CreatedTime: ms,
		},
		Evidences: []ocsf.Evidences{{Data: data}},
	}
}
