// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// Why events are refused, in gap findings.
const (
	reasonQueueFull = "queue_full" // they came faster than they could be written
	reasonFairShare = "fair_share" // the same, and what room is left is for other principals
	reasonWALFull   = "wal_full"   // the WAL may not grow further
	reasonDiskFull  = "disk_full"  // what is left of the disk is for outcomes
	reasonWALError  = "wal_error"  // the disk refuses
	reasonCanary    = "canary"     // what must not be recorded, and what would say so could not be sealed
	reasonUnfit     = "unfit"      // not encodable, incomplete or too long
)

// gaps counts refused events by whose they were and why.
type gaps map[gapKey]*gap

type gapKey struct{ tenant, reason string }

type gap struct {
	count       int64
	first, last int64 // when, ms since the epoch
}

// maxGaps bounds the findings that wait to be stated, and so what a flood of
// made-up tenants costs. Who comes too late is counted with what belongs to no
// tenant.
const maxGaps = 4096

func (g gaps) add(key gapKey, now int64) {
	if g[key] == nil && len(g) >= maxGaps {
		key.tenant = profile.TenantDocket
	}
	one := g[key]
	if one == nil {
		one = &gap{first: now, last: now}
		g[key] = one
	}
	one.count++
	one.first, one.last = min(one.first, now), max(one.last, now) // clocks jump
}

// sorted returns the keys in an order that does not depend on the map.
func (g gaps) sorted() []gapKey {
	return slices.SortedFunc(maps.Keys(g), func(a, b gapKey) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.reason, b.reason))
	})
}

// gapFinding states refused events. It is an event like any other: it takes a
// sequence of the epoch in which events are missing.
func (s *sequencer) gapFinding(key gapKey, g *gap) ocsf.Event {
	now := s.e.cfg.Now().UnixMilli()
	events := "events"
	if g.count == 1 {
		events = "event"
	}
	message := fmt.Sprintf("%d %s refused: %s", g.count, events, key.reason)
	data := map[string]any{"count": g.count, "reason": key.reason, "first_time": g.first, "last_time": g.last}
	return &ocsf.DetectionFinding{
		ActivityID: ocsf.DetectionFindingCreate, StatusID: ocsf.DetectionFindingStatusNew,
		Base: ocsf.Base{
			Time: now, SeverityID: ocsf.SeverityHigh, IsAlert: new(true), Message: message,
			Metadata: ocsf.Metadata{EventCode: profile.KindFinding, TenantUID: key.tenant},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"finding": "gap", "count": g.count, "reason": key.reason}},
		},
		FindingInfo: &ocsf.FindingInfo{
			UID: s.e.cfg.NewUID(), Title: "Audit gap", Desc: message, Types: []string{"audit_sequence_gap"},
			CreatedTime: now, RelatedEventsCount: new(g.count),
		},
		Evidences: []ocsf.Evidences{{Data: data}},
	}
}
