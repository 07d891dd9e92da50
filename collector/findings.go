// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// The types of the findings of a collector: finding_info.types, and the first
// part of finding_info.uid.
const (
	findingDangling = "dangling_intent"
	findingConflict = "conflict"
	findingBroken   = "hash_chain_break"
)

// A finding is told once. Its uid follows from what was found, so that whoever
// finds the same again, after a crash, knows.
type finding struct {
	uid       string
	kind      string
	tenant    string
	operation string
	closed    bool // it takes an earlier finding of the same uid back
	title     string
	message   string
	related   []ocsf.RelatedEvent
	data      map[string]any
}

// prefixes begin the uids of a collector's findings.
var prefixes = []string{"dangling:", findingConflict + ":", findingBroken + ":"}

// maxRelated bounds what one finding names.
const maxRelated = 50

func dangling(f *follower, op *operation) finding {
	missing := make([]string, 0, 2)
	if op.awaits {
		missing = append(missing, "no outcome")
	}
	if n := len(op.evaluations); n > 0 {
		missing = append(missing, fmt.Sprintf("%d of %d evaluations without result or failure", n, len(op.begun)))
	}
	why := fmt.Sprintf("%d s of later events went by", (f.time-op.last)/1000)
	if f.complete() {
		why = fmt.Sprintf("its epoch ended with sequence %d", f.last)
	}
	evaluations := slices.Sorted(maps.Keys(op.evaluations))
	return finding{
		uid: "dangling:" + op.uid, kind: findingDangling, tenant: f.owner.tenant, operation: op.uid,
		title:   "Dangling intent",
		message: fmt.Sprintf("operation %s has %s, and %s", op.uid, strings.Join(missing, " and "), why),
		related: op.begun,
		data: map[string]any{
			"epoch": f.epoch, "first_sequence": op.firstSeq, "outcome_missing": op.awaits, "open_evaluations": evaluations,
		},
	}
}

func noLongerDangling(f *follower, op *operation, by ocsf.RelatedEvent) finding {
	return finding{
		uid: op.finding, kind: findingDangling, tenant: f.owner.tenant, operation: op.uid, closed: true,
		title:   "Dangling intent",
		message: fmt.Sprintf("operation %s is complete after all", op.uid),
		related: append(slices.Clone(op.begun), by),
		data:    map[string]any{"epoch": f.epoch, "first_sequence": op.firstSeq},
	}
}

func conflict(f *follower, h *profile.Header) finding {
	return finding{
		uid:  fmt.Sprintf("%s:%s:%d:%s", findingConflict, f.epoch, h.Sequence, h.Fingerprint),
		kind: findingConflict, tenant: f.owner.tenant, operation: h.OperationUID,
		title:   "Conflicting events",
		message: fmt.Sprintf("sequence %d of epoch %s has two events; both are kept, the hash chain tells which is the emitter's", h.Sequence, f.epoch),
		related: []ocsf.RelatedEvent{{UID: h.MetadataUID, TypeUID: h.TypeUID}},
		data:    map[string]any{"epoch": f.epoch, "sequence": h.Sequence, "fingerprint": h.Fingerprint},
	}
}

func brokenChain(f *follower, h *profile.Header) finding {
	return finding{
		uid:  fmt.Sprintf("%s:%s:%d", findingBroken, f.epoch, h.Sequence),
		kind: findingBroken, tenant: f.owner.tenant, operation: h.OperationUID,
		title:   "Broken hash chain",
		message: fmt.Sprintf("sequence %d of epoch %s does not follow the event before it", h.Sequence, f.epoch),
		related: []ocsf.RelatedEvent{{UID: h.MetadataUID, TypeUID: h.TypeUID}},
		data:    map[string]any{"epoch": f.epoch, "sequence": h.Sequence, "names": h.PrevFingerprint, "stored": f.link},
	}
}

// event makes the finding an event. Conflicts and broken hash chains are signs
// of a forger or of damage; a dangling intent mostly is one of a crash.
func (f *finding) event(uid string, now int64) ocsf.Event {
	activity, severity, alert := int32(1), int32(5), !f.closed
	if f.closed {
		activity = 3
	}
	if f.kind == findingDangling {
		severity = 3
	}
	status := int32(1) // New
	if f.closed {
		status = 4 // Resolved
	}
	count := int64(len(f.related))
	related := slices.Clone(f.related[:min(len(f.related), maxRelated)])
	return &ocsf.DetectionFinding{
		Base: ocsf.Base{
			ActivityID: activity, Time: now, SeverityID: severity, StatusID: status, IsAlert: &alert, Message: f.message,
			Metadata: ocsf.Metadata{UID: uid, EventCode: profile.KindFinding, TenantUID: cmp.Or(f.tenant, profile.TenantDocket), CorrelationUID: f.operation},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"finding": f.kind}},
		},
		FindingInfo: &ocsf.FindingInfo{
			UID: f.uid, Title: f.title, Desc: f.message, Types: []string{f.kind}, CreatedTime: now,
			RelatedEvents: related, RelatedEventsCount: count,
		},
		Evidences: []ocsf.Evidence{{Data: f.data}},
	}
}

// findingUID returns the uid of a stored finding if a collector made it. It
// looks for the prefix first: most findings are others'.
func findingUID(raw []byte) (string, bool) {
	if !slices.ContainsFunc(prefixes, func(p string) bool { return bytes.Contains(raw, []byte(`"uid":"`+p)) }) {
		return "", false
	}
	var e struct {
		FindingInfo struct {
			UID string `json:"uid"`
		} `json:"finding_info"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return "", false
	}
	uid := e.FindingInfo.UID
	return uid, slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(uid, p) })
}
