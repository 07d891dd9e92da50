// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"context"
	"encoding/hex"
	"slices"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/ocsf"
)

// An epoch gathers what the rows say of one epoch.
type epoch struct {
	uid             string
	tenant, emitter string
	stored          store.Intervals
	conflicts       store.Intervals
	quarantined     store.Intervals

	// The hash chain: what is known of a sequence whose neighbour has not been
	// seen. Rows come nearly in order, so that little waits but the last.
	prints map[int64][32]byte // fingerprints of those whose successor has not
	prevs  map[int64]link     // what those say whose predecessor has not
	last   event              // the one with the highest sequence; not in prints

	starts []told // with the epochs that they close
	stops  []told
	others []told // the newest of those that may state a head, oldest first
	closed *ending

	// known says that it began before what is judged, by the statements; touched
	// that something of it is judged. See [scope].
	known, touched bool

	// Of stored, how many are stubs now, by why they left; ends says that one of
	// them may have told where an epoch ends.
	expired, erased int64
	newest          event // of them, where the rows are not read
	ends            bool
}

// A link is what an event says of the one before it.
type link struct {
	prev    [32]byte
	segment *segment
	row     int
	commit  uint64
}

func (l *link) at(epoch string, sequence int64) Place {
	return l.segment.at(&event{row: l.row, commit: l.commit, epoch: epoch, sequence: sequence}, "")
}

// maxOthers is how many lifecycle events are looked at for a head: between two
// heads there are few of another sort.
const maxOthers = 8

// A told is an event whose bytes have to be looked at.
type told struct {
	event
	segment *segment
}

// An ending is where an epoch ends, by the word of an event.
type ending struct {
	last        int64
	fingerprint [32]byte
	by          string // EndClosed or EndCrash
	time        int64  // of the event that says so
	place       Place
	told        bool // by the statements: the event is a stub
}

func (r *rows) epoch(uid string) *epoch {
	if r.latest != nil && r.latest.uid == uid {
		return r.latest
	}
	p := r.epochs[uid]
	if p == nil {
		p = &epoch{uid: uid, prints: map[int64][32]byte{}, prevs: map[int64]link{}}
		r.epochs[uid] = p
	}
	r.latest = p
	return p
}

// add takes in an event of the epoch.
func (p *epoch) add(r *rows, s *segment, e *event) {
	p.touched = true
	if e.stub {
		e.emitter = r.v.emitterOf(p)
	}
	if p.emitter == "" {
		p.tenant, p.emitter = e.tenant, e.emitter
	}
	p.own(r.v, s, e)
	if !p.stored.Add(e.sequence) {
		p.conflicts.Add(e.sequence)
		r.v.problem(Conflict, s.at(e, ""), "another row has this place in the hash chain")
		return
	}
	p.chain(r, s, e)
	if e.stub {
		p.countStub(s, e)
		return
	}
	if !e.lifecycle {
		return
	}
	p.tell(s, e)
}

// tell takes in what an emitter says of itself.
func (p *epoch) tell(s *segment, e *event) {
	switch t := (told{*e, s}); e.activity {
	case int32(ocsf.ApplicationLifecycleStart):
		p.starts = append(p.starts, t)
	case int32(ocsf.ApplicationLifecycleStop):
		p.stops = append(p.stops, t)
	default:
		p.others = append(p.others, t)
		slices.SortFunc(p.others, func(a, b told) int { return cmp.Compare(a.sequence, b.sequence) })
		if len(p.others) > maxOthers {
			p.others = slices.Delete(p.others, 0, 1)
		}
	}
}

// own checks whose an event of the epoch is.
func (p *epoch) own(v *verifier, s *segment, e *event) {
	if p.tenant != e.tenant || p.emitter != e.emitter {
		v.problem(Conflict, s.at(e, ""), "it is of tenant %q and emitter %q, the epoch is of %q and %q", e.tenant, e.emitter, p.tenant, p.emitter)
	}
}

// chain checks an event against its neighbours, or remembers it for them.
func (p *epoch) chain(r *rows, s *segment, e *event) {
	self := link{e.prev, s, e.row, e.commit}
	switch {
	case e.stub && p.last.sequence > 0 && e.sequence == p.last.sequence+1:
		p.last = *e // what it named went with it
		return
	case e.stub:
		delete(p.prints, e.sequence-1)
	case e.sequence == 1:
		if e.prev != ([32]byte{}) {
			r.v.problem(Damage, s.at(e, ""), "the first event of the hash chain names one before it")
		}
	case p.last.sequence > 0 && e.sequence == p.last.sequence+1:
		p.match(r, &self, e.sequence, p.last.fingerprint)
		p.last = *e
		p.last.raw = nil
		return // there is none behind it
	default:
		if fingerprint, ok := p.prints[e.sequence-1]; ok {
			delete(p.prints, e.sequence-1)
			p.match(r, &self, e.sequence, fingerprint)
		} else {
			p.prevs[e.sequence] = self
		}
	}
	if e.sequence > p.last.sequence {
		if p.last.sequence > 0 {
			p.prints[p.last.sequence] = p.last.fingerprint
		}
		p.last = *e
		p.last.raw = nil
		return
	}
	if next, ok := p.prevs[e.sequence+1]; ok {
		delete(p.prevs, e.sequence+1)
		p.match(r, &next, e.sequence+1, e.fingerprint)
	} else {
		p.prints[e.sequence] = e.fingerprint
	}
}

func (p *epoch) match(r *rows, l *link, sequence int64, fingerprint [32]byte) {
	if l.prev != fingerprint {
		r.v.problem(Damage, l.at(p.uid, sequence), "the hash chain breaks: it names %.16s as the fingerprint of the event before it, which has %.16s", hex.EncodeToString(l.prev[:]), hex.EncodeToString(fingerprint[:]))
	}
}

// checkEpochs says of each epoch how much of it is there.
func (v *verifier) checkEpochs(ctx context.Context, r *rows) {
	v.fetchTold(ctx, r)
	v.closeEpochs(r)
	if r.believed != nil {
		r.readLast(ctx, r.believed)
	}
	for _, p := range r.epochs {
		if !v.scope.passed(p) {
			v.checkEpoch(r, p)
		}
	}
	v.countPassed()
	v.compareEpochs(r)
}

func (v *verifier) checkEpoch(r *rows, p *epoch) {
	if p.emitter == "" {
		// All that is known of it is what quarantined messages claim.
		v.note("epoch %s is known from %d quarantined messages only", safe(p.uid), p.quarantined.Count())
		return
	}
	out := Epoch{Expired: p.expired, Erased: p.erased, UID: p.uid, Tenant: p.tenant, Emitter: p.emitter, Last: p.last.sequence, Conflicts: p.conflicts, End: EndOpen}
	if p.closed != nil {
		out.Last, out.End = p.closed.last, p.closed.by
		if out.End == EndCrash {
			// What was lost was emitted behind the last event that is durable
			// and before the start that found the epoch unfinished.
			// An event of somebody else has a time of its own: none was emitted before
			// the epoch began.
			last := p.last.time
			if len(p.starts) > 0 && last != 0 && (last < p.starts[0].time || last > p.closed.time) {
				last = p.starts[0].time
			}
			out.UnknownMS = max(p.closed.time-last, 0)
			if p.closed.time == 0 || p.last.time == 0 {
				out.UnknownMS = -1
			}
		}
		v.checkEnding(p)
	}
	v.stateHead(p, &out)
	out.Caveat = out.caveat()
	if p.closed != nil && p.closed.told {
		out.Caveat = "the event that said so has left, its end is the statements' word"
	}
	out.Open = p.closed == nil && v.owned(p)
	accounted := store.Union(p.stored, p.quarantined)
	out.Stored = out.Last - p.stored.Holes(out.Last).Count()
	out.Missing = accounted.Holes(out.Last)
	out.Quarantined = out.Last - out.Missing.Count() - out.Stored
	for _, hole := range r.known(p, out.Missing) {
		v.problem(Missing, Place{Epoch: p.uid, Sequence: hole.First}, "%s", missingText(hole))
	}
	v.checkClaims(p, &out)
	v.report.Epochs = append(v.report.Epochs, out)
}

// known returns the holes of an epoch of which it is known that they are. Those that
// the statements have as stored, where all that is wrong is that files could not be
// read, may well be there.
func (r *rows) known(p *epoch, holes store.Intervals) store.Intervals {
	if !r.lost || r.changed || r.v.fold == nil {
		return holes
	}
	var known store.Intervals
	said := r.v.fold.Epochs[p.uid].Stored
	for _, hole := range holes {
		for _, gap := range said.Holes(hole.Last) {
			if gap.Last >= hole.First {
				known = append(known, store.Interval{First: max(gap.First, hole.First), Last: min(gap.Last, hole.Last)})
			}
		}
	}
	return known
}

// checkClaims names the sequences that only quarantined messages claim: what
// was quarantined is no event of the epoch, whatever it says.
func (v *verifier) checkClaims(p *epoch, out *Epoch) {
	var only store.Intervals
	for _, hole := range p.stored.Holes(out.Last) {
		for _, claimed := range p.quarantined {
			iv := store.Interval{First: max(hole.First, claimed.First), Last: min(hole.Last, claimed.Last)}
			if iv.First <= iv.Last {
				only = append(only, iv)
			}
		}
	}
	out.Claimed = only
	for _, iv := range only {
		v.problem(Missing, Place{Epoch: p.uid, Sequence: iv.First}, "%s; what claims it was quarantined", missingText(iv))
	}
}

// owned says whether the epoch is of the emitter that runs in the living owner
// of the directory, and of this start of it.
func (v *verifier) owned(p *epoch) bool {
	return v.state == ownerLives && v.announced.Emitter != "" && p.emitter == v.announced.Emitter &&
		len(p.starts) > 0 && p.starts[0].time >= v.announced.Started.UnixMilli()
}
