// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// losses is what was found to be missing of one epoch.
type losses struct {
	findings []*loss
	told     store.Intervals // of all findings
	gone     store.Intervals // of told, what the emitter has not got any more
}

// A loss is one finding about missing events.
type loss struct {
	UID    string          `json:"uid"`
	Ranges store.Intervals `json:"ranges"`
	Answer string          `json:"answer"`
	Why    string          `json:"why"`
	Stored bool            `json:"stored"` // the finding came back
	Closed bool            `json:"closed"` // it was taken back since

	at time.Time // when it was last told; zero when not since the start
}

const (
	findingMissing = "missing"
	missingPrefix  = findingMissing + ":"
	// tellAgain is how long a finding may be on its way.
	tellAgain = 10 * time.Minute
)

// declare finds ranges of an epoch missing, and returns what to tell. What was
// told once is not told again.
func (h *holes) declare(q *inquiry, ranges store.Intervals, answer, why string, now time.Time) []finding {
	l := h.lost[q.epoch]
	if l == nil {
		l = new(losses)
	}
	fresh := ranges.Without(l.told)
	if answer == stream.AnswerGone {
		if len(ranges.Without(l.gone)) > 0 {
			l.gone = store.Union(l.gone, ranges)
			h.changed[q.epoch], h.dirty = true, true
			h.lost[q.epoch] = l
		}
	}
	var found []finding
	for part := range slices.Chunk(fresh, stream.MaxRanges) {
		x := &loss{
			UID:    fmt.Sprintf("%s%s:%d-%d:%d", missingPrefix, q.epoch, part[0].First, part[len(part)-1].Last, part.Count()),
			Ranges: part.Clone(), Answer: answer, Why: why, at: now,
		}
		l.findings, l.told = append(l.findings, x), store.Union(l.told, part)
		h.lost[q.epoch], h.dirty = l, true
		found = append(found, x.finding(q.epoch, q.owner))
	}
	return found
}

// finding says what is missing, or that it came after all.
func (x *loss) finding(epoch string, of owner) finding {
	first, last := x.Ranges[0].First, x.Ranges[len(x.Ranges)-1].Last
	what := fmt.Sprintf("%d events of epoch %s, from sequence %d to %d", x.Ranges.Count(), epoch, first, last)
	if first == last {
		what = fmt.Sprintf("sequence %d of epoch %s", first, epoch)
	}
	said := fmt.Sprintf("its emitter %s was asked and answered: %s", of.emitter, x.Answer)
	if x.Answer == answerNone {
		said = fmt.Sprintf("its emitter %s did not answer for a day", of.emitter)
	}
	if x.Why != "" {
		said += ": " + x.Why
	}
	f := finding{
		uid: x.UID, kind: findingMissing, tenant: of.tenant, closed: x.Closed,
		title: "Missing events", message: what + ": not stored, and " + said,
		data: map[string]any{
			"epoch": epoch, "emitter": of.emitter, "ranges": x.Ranges, "count": x.Ranges.Count(), "answer": x.Answer, "why": x.Why,
		},
	}
	if x.Closed {
		f.message = what + ": stored after all"
	}
	return f
}

// arrived takes findings back whose events are all there now. It is told of each
// epoch that got events.
func (h *holes) arrived(uid string, e *store.Epoch) []finding {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lost[uid]
	if l == nil || e == nil {
		return nil
	}
	var found []finding
	accounted := e.Accounted()
	now := h.c.cfg.Now()
	for _, x := range l.findings {
		if !x.Closed && len(x.Ranges.Without(accounted)) == 0 {
			x.Closed, x.Stored, x.at = true, false, now
			h.dirty = true
			found = append(found, x.finding(uid, owner{e.Tenant, e.Emitter}))
		}
	}
	return found
}

// untold returns the findings that were told long ago and did not come back, or
// not since the start.
func (h *holes) untold(now time.Time) []finding {
	if h.c.cfg.Findings == nil {
		return nil
	}
	var found []finding
	for uid, l := range h.lost {
		for _, x := range l.findings {
			if x.Stored {
				continue
			}
			if x.at.IsZero() { // it may be on the stream yet
				x.at = now
			}
			if now.Sub(x.at) < tellAgain {
				continue
			}
			x.at = now
			if e := h.c.cfg.Store.Epoch(uid); e != nil {
				found = append(found, x.finding(uid, owner{e.Tenant, e.Emitter}))
			}
		}
	}
	return found
}

// tell hands findings on. h.mu is not held: who takes them may ask for the
// status.
func (h *holes) tell(ctx context.Context, found []finding) {
	for i := range found {
		f := &found[i]
		h.c.log.Warn("finding", "type", f.kind, "uid", f.uid, "message", f.message, "closed", f.closed)
		h.c.metrics.found(f.kind)
		if h.c.cfg.Findings != nil {
			h.c.cfg.Findings(ctx, f.event(h.c.cfg.NewUID(), h.c.cfg.Now().UnixMilli()))
		}
	}
}

// A toldLoss is what a stored finding about missing events says.
type toldLoss struct {
	loss
	epoch string
}

// readLoss reads a finding about missing events, if raw is one.
func readLoss(raw []byte) (toldLoss, bool) {
	if !bytes.Contains(raw, []byte(`"uid":"`+missingPrefix)) {
		return toldLoss{}, false
	}
	var e struct {
		ActivityID  ocsf.DetectionFindingActivityID `json:"activity_id"`
		FindingInfo struct {
			UID string `json:"uid"`
		} `json:"finding_info"`
		Evidences []struct {
			Data struct {
				Epoch  string          `json:"epoch"`
				Ranges store.Intervals `json:"ranges"`
				Answer string          `json:"answer"`
				Why    string          `json:"why"`
			} `json:"data"`
		} `json:"evidences"`
	}
	if err := json.Unmarshal(raw, &e); err != nil || !strings.HasPrefix(e.FindingInfo.UID, missingPrefix) || len(e.Evidences) != 1 {
		return toldLoss{}, false
	}
	d := &e.Evidences[0].Data
	for _, iv := range d.Ranges {
		if iv.First < 1 || iv.Last < iv.First || iv.Last > profile.MaxSequence {
			return toldLoss{}, false
		}
	}
	return toldLoss{epoch: d.Epoch, loss: loss{
		UID: e.FindingInfo.UID, Ranges: store.Union(d.Ranges, nil), Answer: d.Answer, Why: d.Why,
		Stored: true, Closed: e.ActivityID == ocsf.DetectionFindingClose,
	}}, len(d.Ranges) > 0
}

// stored notes a finding that is stored.
func (h *holes) stored(t *toldLoss) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lost[t.epoch]
	if l == nil {
		l = new(losses)
		h.lost[t.epoch] = l
	}
	h.changed[t.epoch], h.dirty = true, true
	i := slices.IndexFunc(l.findings, func(x *loss) bool { return x.UID == t.UID })
	switch {
	case t.Closed:
		if i >= 0 {
			l.findings = slices.Delete(l.findings, i, i+1)
		}
		l.told, l.gone = l.told.Without(t.Ranges), l.gone.Without(t.Ranges)
		if len(l.findings) == 0 {
			delete(h.lost, t.epoch)
		}
		return
	case i < 0:
		l.findings = append(l.findings, &t.loss)
		l.told = store.Union(l.told, t.Ranges)
	case !l.findings[i].Closed:
		l.findings[i].Stored = true
	}
	if t.Answer == stream.AnswerGone {
		l.gone = store.Union(l.gone, t.Ranges)
	}
}

// known returns the sequences of an epoch that a stored finding says are
// missing, and of those the ones that its emitter has not got any more.
func (h *holes) known(uid string) (missing, gone store.Intervals) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lost[uid]
	if l == nil {
		return nil, nil
	}
	for _, x := range l.findings {
		if x.Stored && !x.Closed {
			missing = append(missing, x.Ranges...)
		}
	}
	missing = store.Union(missing, nil)
	return missing, missing.Within(l.gone)
}

// takeChanged returns the epochs of which [holes.known] may say more.
func (h *holes) takeChanged() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed := h.changed
	h.changed = map[string]bool{}
	return changed
}

// change puts epochs back that were taken and not dealt with.
func (h *holes) change(epochs map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.Copy(h.changed, epochs)
}

// watermark returns the sequence up to which an epoch is accounted for, with
// what is gone for good. What is missing and may be with its emitter holds it:
// else the emitter would drop what it alone has.
func (h *holes) watermark(uid string, e *store.Epoch) int64 {
	_, gone := h.known(uid)
	if len(gone) == 0 {
		return e.Watermark()
	}
	accounted := store.Union(e.Accounted(), gone)
	return min(accounted.Watermark(), e.HeadSequence)
}

// status returns what is missing of an epoch, and how its emitter is being asked.
func (h *holes) status(uid string) (missing store.Intervals, asking *AskingStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.lost[uid]; l != nil {
		missing = l.told.Clone()
	}
	if q := h.asking[uid]; q != nil && len(q.first) > 0 {
		asking = &AskingStatus{Since: q.first[0].At, Asked: q.asked, Answer: q.heard, Why: q.why}
	}
	return missing, asking
}

// measure records how much is lacking. h.mu is held.
func (h *holes) measure() {
	var missing int64
	for _, l := range h.lost {
		missing += l.told.Count()
	}
	h.c.metrics.lacking(len(h.asking), missing)
}
