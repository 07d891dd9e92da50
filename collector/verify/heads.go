// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
)

// A lifecycle is what an emitter says about itself, in unmapped.docket.
type lifecycle struct {
	Unmapped struct {
		Docket struct {
			Closes []closes `json:"closes"`
			Head   *head    `json:"head"`
		} `json:"docket"`
	} `json:"unmapped"`
}

// A closes is where a start event found that an earlier epoch had ended.
type closes struct {
	Epoch        string `json:"epoch"`
	LastSequence int64  `json:"last_sequence"`
	Fingerprint  string `json:"fingerprint"`
}

// A head states the end of a hash chain, before the event that states it.
type head struct {
	Epoch       string `json:"epoch"`
	Sequence    int64  `json:"sequence"`
	Fingerprint string `json:"fingerprint"`
	Key         string `json:"key"` // see keyName
	Signature   string `json:"signature"`
}

// message is what the signature of a head is over.
func (h *head) message() []byte {
	return fmt.Appendf(nil, "docket-head\n%s\n%d\n%s\n", h.Epoch, h.Sequence, h.Fingerprint)
}

// fetchTold fetches the bytes of the events that speak of ends, which have not
// been read with the columns. There are few of them: of each file the few rows.
func (v *verifier) fetchTold(ctx context.Context, r *rows) {
	wanted := map[*segment]map[int][]*event{}
	want := func(t *told) {
		if t.raw != nil {
			return
		}
		if wanted[t.segment] == nil {
			wanted[t.segment] = map[int][]*event{}
		}
		wanted[t.segment][t.row] = append(wanted[t.segment][t.row], &t.event)
	}
	for _, p := range r.epochs {
		for i := range p.starts {
			want(&p.starts[i])
		}
		for i := range p.stops {
			want(&p.stops[i])
		}
		for i := range p.others {
			want(&p.others[i])
		}
	}
	for s, events := range wanted {
		row := 0
		err := lake.ReadColumns(ctx, v.lakePath(), s.Path, []string{lake.ColumnRaw}, func(columns []arrow.Array) error {
			raw := columns[0].(*array.String)
			for i := range raw.Len() {
				for _, e := range events[row] {
					e.raw = []byte(raw.Value(i))
				}
				row++
			}
			return nil
		})
		if err != nil && !s.damaged && ctx.Err() == nil {
			v.problem(Damage, s.place, "%v", err)
		}
	}
}

// closeEpochs goes through the events that say where an epoch ends. An emitter
// speaks for itself only, and for each tenant apart.
func (v *verifier) closeEpochs(r *rows) {
	for _, p := range r.epochs {
		for i := range p.stops {
			t := &p.stops[i]
			p.closed = &ending{last: t.sequence, fingerprint: t.fingerprint, by: EndClosed, time: t.time, place: t.segment.at(&t.event, "")}
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(r.epochs)) { // it may grow
		p := r.epochs[uid]
		for i := range p.starts {
			t := &p.starts[i]
			place := t.segment.at(&t.event, "")
			said, ok := v.lifecycle(place, t.raw)
			if !ok {
				continue
			}
			for _, c := range said.Unmapped.Docket.Closes {
				v.closeEpoch(r, t, place, c)
			}
		}
	}
	v.closeByStatements(r)
}

// closeByStatements takes the statements at their word about the ends of those
// epochs of which events that may have told them have left.
func (v *verifier) closeByStatements(r *rows) {
	if v.fold == nil {
		return
	}
	left := map[[2]string]bool{} // tenant and emitter
	for _, p := range r.epochs {
		if p.ends {
			left[[2]string{p.tenant, p.emitter}] = true
		}
	}
	for uid, p := range r.epochs {
		c := v.fold.Epochs[uid].Closed
		if p.closed != nil || c == nil || c.By == store.ClosedByStop && !p.ends || !left[[2]string{p.tenant, p.emitter}] {
			continue
		}
		p.closed = &ending{last: c.LastSequence, by: EndClosed, place: v.source.whole(), told: true}
		if c.By != store.ClosedByStop {
			p.closed.by = EndCrash
		}
		unhex(&p.closed.fingerprint, c.Fingerprint) // if not, it matches nothing
	}
}

// closeEpoch takes a start event at its word about an earlier epoch.
func (v *verifier) closeEpoch(r *rows, t *told, place Place, c closes) {
	if c.LastSequence < 1 {
		return // nothing of it was ever durable
	}
	q := r.epoch(c.Epoch)
	q.touched = true
	if q.emitter == "" {
		q.tenant, q.emitter = t.tenant, t.emitter // nothing of it is here
	}
	if q.tenant != t.tenant || q.emitter != t.emitter {
		v.problem(Conflict, place, "it closes epoch %s, which is of tenant %q and emitter %q", safe(c.Epoch), q.tenant, q.emitter)
		return
	}
	end := ending{last: c.LastSequence, by: EndCrash, time: t.time, place: place}
	if !unhex(&end.fingerprint, c.Fingerprint) {
		v.problem(Damage, place, "it closes epoch %s at no fingerprint", safe(c.Epoch))
		return
	}
	if q.closed == nil || q.closed.by == EndCrash && q.closed.time > end.time {
		q.closed = &end
	}
}

func (v *verifier) lifecycle(place Place, raw []byte) (*lifecycle, bool) {
	if raw == nil {
		return nil, false // the file could not be read, which is told
	}
	l := new(lifecycle)
	if err := json.Unmarshal(raw, l); err != nil {
		v.problem(Damage, place, "unmapped.docket of a lifecycle event: %v", err)
		return nil, false
	}
	return l, true
}

// checkEnding compares the end of an epoch with what is stored of it.
func (v *verifier) checkEnding(p *epoch) {
	end := p.closed
	if p.last.sequence > end.last {
		place := end.place
		place.Epoch, place.Sequence = p.uid, p.last.sequence
		v.problem(Conflict, place, "the epoch ended at sequence %d, but sequence %d is stored", end.last, p.last.sequence)
		return
	}
	if p.last.sequence == end.last && p.last.fingerprint != end.fingerprint {
		place := end.place
		place.Epoch, place.Sequence = p.uid, end.last
		v.problem(Conflict, place, "the epoch ended with fingerprint %.16s, the event stored there has %.16s",
			hex.EncodeToString(end.fingerprint[:]), hex.EncodeToString(p.last.fingerprint[:]))
	}
}

// newestHead returns the newest head that an epoch states, and the event that
// states it.
func (v *verifier) newestHead(p *epoch) (*told, *head) {
	for _, list := range [][]told{p.stops, p.others} {
		for i := range slices.Backward(list) {
			t := &list[i]
			said, ok := v.lifecycle(t.segment.at(&t.event, ""), t.raw)
			if ok && said.Unmapped.Docket.Head != nil {
				return t, said.Unmapped.Docket.Head
			}
		}
	}
	return nil, nil
}

// stateHead verifies that head, and notes how far it reaches.
func (v *verifier) stateHead(p *epoch, out *Epoch) {
	t, h := v.newestHead(p)
	if h == nil {
		return
	}
	place := t.segment.at(&t.event, "")
	if h.Epoch != p.uid || h.Sequence != t.sequence-1 || h.Fingerprint != hex.EncodeToString(t.prev[:]) {
		v.problem(Conflict, place, "it states the head of epoch %s at sequence %d, fingerprint %.16s, which is not the event before it", safe(h.Epoch), h.Sequence, h.Fingerprint)
		return
	}
	if h.Signature == "" {
		return
	}
	key := v.emitterKeys()[h.Key]
	if key != nil {
		signature, err := base64.StdEncoding.DecodeString(h.Signature)
		if err != nil || !ed25519.Verify(key, h.message(), signature) {
			v.problem(Signature, place, "the signature of the head at sequence %d is wrong (key %s)", h.Sequence, safe(h.Key))
			return
		}
	}
	out.SignedTo, out.Key, out.SignatureChecked = h.Sequence, h.Key, key != nil
	if out.End == EndOpen {
		out.End = EndHead
	}
}

// compareEpochs compares what the statements account for with the rows.
func (v *verifier) compareEpochs(r *rows) {
	if v.fold == nil || r.lost {
		return
	}
	place := func(uid string) Place {
		p := v.source.whole()
		p.Epoch = uid
		return p
	}
	for uid, said := range v.fold.Epochs {
		if !v.scope.epoch(uid) {
			continue
		}
		p := r.epochs[uid]
		if p == nil {
			p = &epoch{uid: uid}
		}
		for _, set := range []struct {
			name       string
			said, have store.Intervals
		}{
			{"stored", said.Stored, p.stored}, {"quarantined", said.Quarantined, p.quarantined}, {"in conflict", said.Conflicts, p.conflicts},
		} {
			if !equal(set.said, set.have) {
				v.problem(Damage, place(uid), "the statements account for %s as %s, the %s hold %s", intervals(set.said), set.name, v.source.holds(), intervals(set.have))
			}
		}
		switch {
		case said.Closed == nil:
		case p.closed == nil:
			v.problem(Damage, place(uid), "the statements say that it ended at sequence %d, no event does", said.Closed.LastSequence)
		case p.closed.last != said.Closed.LastSequence:
			v.problem(Damage, place(uid), "the statements say that it ended at sequence %d, the events say %d", said.Closed.LastSequence, p.closed.last)
		}
	}
	for uid, p := range r.epochs {
		if _, ok := v.fold.Epochs[uid]; !ok && len(p.stored) > 0 {
			v.problem(Damage, place(uid), "no statement accounts for %s", intervals(p.stored))
		}
	}
}

func missingText(hole store.Interval) string {
	if hole.First == hole.Last {
		return fmt.Sprintf("sequence %d is missing", hole.First)
	}
	return fmt.Sprintf("sequences %d to %d are missing", hole.First, hole.Last)
}

// intervals writes a set for people.
func intervals(s store.Intervals) string {
	if len(s) == 0 {
		return "nothing"
	}
	var parts []string
	for i, iv := range s {
		if i == 8 {
			parts = append(parts, fmt.Sprintf("and %d more ranges", len(s)-i))
			break
		}
		if iv.First == iv.Last {
			parts = append(parts, strconv.FormatInt(iv.First, 10))
			continue
		}
		parts = append(parts, fmt.Sprintf("%d-%d", iv.First, iv.Last))
	}
	return strings.Join(parts, ", ")
}
