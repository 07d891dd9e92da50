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

	"github.com/docket-audit/docket/collector/store"
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
	related   []eventRef
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
	if f.reached() > op.firstSeq && f.skipped.Overlaps(store.Interval{First: op.firstSeq, Last: f.reached()}) {
		why += "; events of the epoch are missing, its end may be among them"
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

func noLongerDangling(f *follower, op *operation, by ...eventRef) finding {
	return finding{
		uid: op.finding, kind: findingDangling, tenant: f.owner.tenant, operation: op.uid, closed: true,
		title:   "Dangling intent",
		message: fmt.Sprintf("operation %s is complete after all", op.uid),
		related: slices.Concat(op.begun, by),
		data:    map[string]any{"epoch": f.epoch, "first_sequence": op.firstSeq},
	}
}

func conflict(f *follower, h *profile.Header) finding {
	return finding{
		uid:  fmt.Sprintf("%s:%s:%d:%s", findingConflict, f.epoch, h.Sequence, h.Fingerprint),
		kind: findingConflict, tenant: f.owner.tenant, operation: h.OperationUID,
		title:   "Conflicting events",
		message: fmt.Sprintf("sequence %d of epoch %s has two events; both are kept, the hash chain tells which is the emitter's", h.Sequence, f.epoch),
		related: []eventRef{refTo(h)},
		data:    map[string]any{"epoch": f.epoch, "sequence": h.Sequence, "fingerprint": h.Fingerprint},
	}
}

func brokenChain(f *follower, h *profile.Header) finding {
	return finding{
		uid:  fmt.Sprintf("%s:%s:%d", findingBroken, f.epoch, h.Sequence),
		kind: findingBroken, tenant: f.owner.tenant, operation: h.OperationUID,
		title:   "Broken hash chain",
		message: fmt.Sprintf("sequence %d of epoch %s does not follow the event before it", h.Sequence, f.epoch),
		related: []eventRef{refTo(h)},
		data:    map[string]any{"epoch": f.epoch, "sequence": h.Sequence, "names": h.PrevFingerprint, "stored": f.link},
	}
}

// event makes the finding an event. Conflicts and broken hash chains are signs
// of a forger or of damage; a dangling intent mostly is one of a crash.
func (f *finding) event(uid string, now int64) ocsf.Event {
	activity, status, severity := ocsf.DetectionFindingCreate, ocsf.DetectionFindingStatusNew, ocsf.SeverityCritical
	if f.closed {
		activity, status = ocsf.DetectionFindingClose, ocsf.DetectionFindingStatusResolved
	}
	if f.kind == findingDangling {
		severity = ocsf.SeverityMedium
	}
	var related []ocsf.RelatedEvent
	for _, r := range f.related[:min(len(f.related), maxRelated)] {
		related = append(related, ocsf.RelatedEvent{UID: r.UID, TypeUID: r.TypeUID})
	}
	return &ocsf.DetectionFinding{
		ActivityID: activity, StatusID: status,
		Base: ocsf.Base{
			Time: now, SeverityID: severity, IsAlert: new(!f.closed), Message: f.message,
			Metadata: ocsf.Metadata{UID: uid, EventCode: profile.KindFinding, TenantUID: cmp.Or(f.tenant, profile.TenantDocket), CorrelationUID: f.operation},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"finding": f.kind}},
		},
		FindingInfo: &ocsf.FindingInfo{
			UID: f.uid, Title: f.title, Desc: f.message, Types: []string{f.kind}, CreatedTime: now,
			RelatedEvents: related, RelatedEventsCount: new(int64(len(f.related))),
		},
		Evidences: []ocsf.Evidences{{Data: f.data}},
	}
}

// A toldDangling is what a stored finding about a dangling intent says.
type toldDangling struct {
	uid, operation, epoch string
	firstSeq              int64
	closed                bool
}

// readDangling reads a finding about a dangling intent, if raw is one.
func readDangling(raw []byte) (toldDangling, bool) {
	if !bytes.Contains(raw, []byte(`"uid":"dangling:`)) {
		return toldDangling{}, false
	}
	var e struct {
		ActivityID  ocsf.DetectionFindingActivityID `json:"activity_id"`
		FindingInfo struct {
			UID string `json:"uid"`
		} `json:"finding_info"`
		Evidences []struct {
			Data struct {
				Epoch string `json:"epoch"`
				First int64  `json:"first_sequence"`
			} `json:"data"`
		} `json:"evidences"`
	}
	err := json.Unmarshal(raw, &e)
	operation, ok := strings.CutPrefix(e.FindingInfo.UID, "dangling:")
	if err != nil || !ok || len(e.Evidences) != 1 {
		return toldDangling{}, false
	}
	d := &e.Evidences[0].Data
	return toldDangling{e.FindingInfo.UID, operation, d.Epoch, d.First, e.ActivityID == ocsf.DetectionFindingClose}, true
}

// findingUID returns the uid of a stored finding if it is one that a collector
// tells. It looks for the prefix first: most findings are others'.
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
