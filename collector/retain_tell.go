// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"fmt"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// What left the store and what is held is told in events of the collector's own,
// of which none names whose events they were: that would be the one place from
// which a name cannot be erased. They name statements, counts, and what the
// operator calls the reason.

// tellLeft tells what no event has told: changes of holds, and statements by
// which events left. It is found in what is stored, so that a crash costs
// nothing; after one an event may be told twice.
func (c *Collector) tellLeft(ctx context.Context) error {
	from, ok := c.cfg.Store.(Leaver)
	if !ok || c.cfg.Retention == nil || c.cfg.Tell == nil {
		return nil
	}
	changes, told := c.cfg.Retention.Untold()
	for i := range changes {
		if err := c.cfg.Tell(ctx, holdEvent(&changes[i])); err != nil {
			return fmt.Errorf("tell change of holds: %w", err)
		}
	}
	left, last, err := from.LeftSince(max(told, c.toldTo))
	if err != nil {
		return err
	}
	for i := range left {
		if err := c.cfg.Tell(ctx, leftEvent(&left[i], c.cfg.NewUID(), c.cfg.Now().UnixMilli())); err != nil {
			return fmt.Errorf("tell what left the store: %w", err)
		}
	}
	c.toldTo = last
	if len(left) == 0 && len(changes) == 0 {
		return nil
	}
	return c.cfg.Retention.Tell(changes, last)
}

func leftEvent(l *retention.Leaving, uid string, now int64) ocsf.Event {
	total := int64(0)
	rules := make(map[string]any, len(l.Events))
	for rule, n := range l.Events {
		total += n
		rules[rule] = n
	}
	said := map[string]any{"lifecycle": l.Reason, "events": total, "first_commit": int64(l.First), "last_commit": int64(l.Last)}
	name, message := "Retention", fmt.Sprintf("%d events expired by retention; their stubs stay", total)
	if l.Reason == retention.Erased {
		name, message = "Erasure", fmt.Sprintf("%d events were erased; their stubs stay", total)
		said["reference"], said["by"] = l.Reference, l.By
	} else {
		said["rules"] = rules
	}
	return lifecycleEvent(uid, now, name, message, said)
}

func holdEvent(h *retention.Change) ocsf.Event {
	name, message, what := "Hold", "a legal hold was placed", "hold_added"
	if !h.Added {
		message, what = "a legal hold was taken away", "hold_removed"
	}
	return lifecycleEvent(h.UID, h.Time, name, message, map[string]any{"lifecycle": what, "hold": h.Hold, "reason": h.Reason, "by": h.By})
}

func lifecycleEvent(uid string, now int64, name, message string, said map[string]any) ocsf.Event {
	return &ocsf.ApplicationLifecycle{
		ActivityID: ocsf.ApplicationLifecycleOther, StatusID: ocsf.StatusSuccess,
		Base: ocsf.Base{
			ActivityName: name, Time: now, SeverityID: ocsf.SeverityInformational, Message: message,
			Metadata: ocsf.Metadata{UID: uid, EventCode: profile.KindLifecycle, TenantUID: profile.TenantDocket},
			Unmapped: map[string]any{profile.Unmapped: said},
		},
	}
}
