// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"cmp"
	"maps"
	"slices"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// phasePostCommit is the phase whose evaluations follow the outcome.
const phasePostCommit = "post_commit"

// A follower goes through the events of one epoch in the order of their
// sequences, whatever order they are stored in: an event that comes early waits
// for those before it. So it knows at each moment what had been begun and not
// ended when the emitter had got that far.
type follower struct {
	epoch string
	owner owner

	next    int64                    // the sequence that comes next
	ahead   map[int64]profile.Header // events behind a hole
	highest int64                    // sequence of an event
	// lost says that more came behind a hole than is kept: when the hole is
	// gone, the epoch is read again from the store.
	lost bool
	// again says that the epoch is to be read again from the store whatever
	// comes: what was taken for granted was not so.
	again bool
	// passed are the sequences that were gone over as quarantined.
	passed map[int64]bool
	// missing are the holes that were found to be missing, skipped those of them
	// that were gone over.
	missing, skipped store.Intervals

	link  string // fingerprint of the event before next; "" when that is unknown
	first int64  // event time of the first event
	time  int64  // highest event time so far
	last  int64  // the epoch's last sequence; 0 while it goes on

	open  map[string]*operation
	found []finding // not yet told
	told  []string  // uids of the findings that were
}

// An operation is one that has begun.
type operation struct {
	uid         string
	awaits      bool                // the outcome
	evaluations map[string]eventRef // that have neither result nor failure
	begun       []eventRef          // what began it, for the finding
	firstSeq    int64
	last        int64  // event time of its latest event
	finding     string // uid of the finding that told of it; "" when none did
}

// An eventRef is what a finding says of an event that it is about.
type eventRef struct {
	UID     string       `json:"uid"`
	TypeUID ocsf.TypeUID `json:"type_uid,omitempty"`
}

func refTo(h *profile.Header) eventRef {
	return eventRef{UID: h.MetadataUID, TypeUID: ocsf.TypeUID(h.TypeUID)}
}

// maxAhead bounds what waits behind a hole.
const maxAhead = 1 << 16

func newFollower(epoch string, o owner) *follower {
	return &follower{epoch: epoch, owner: o, next: 1, ahead: make(map[int64]profile.Header), passed: make(map[int64]bool), open: make(map[string]*operation)}
}

// add takes an event as it was stored, in any order.
func (f *follower) add(e profile.Header) {
	f.highest = max(f.highest, e.Sequence)
	f.skip()
	_, waits := f.ahead[e.Sequence]
	switch {
	case f.again:
		return
	case f.passed[e.Sequence], f.skipped.Contains(e.Sequence):
		f.again = true // the claim was false, or it came after all: here is the event
		return
	case e.Sequence < f.next || waits:
		// Stores keep one event per sequence, and besides only what is in
		// conflict with it.
		f.found = append(f.found, conflict(f, &e))
		return
	case f.lost:
		return
	case e.Sequence > f.next:
		if len(f.ahead) >= maxAhead {
			f.lost, f.ahead = true, make(map[int64]profile.Header)
			return
		}
		f.ahead[e.Sequence] = e
		return
	}
	f.take(&e)
	f.advance()
}

// advance takes what waited for the event before it.
func (f *follower) advance() {
	for e, ok := f.ahead[f.next]; ok; e, ok = f.ahead[f.next] {
		delete(f.ahead, f.next)
		f.take(&e)
	}
}

// pass goes over sequences of which there is a quarantined message only, and over
// those that are missing. It stays behind the last that the epoch itself has got
// to: whoever claims to be an event that is still to come is not waited for, and
// not believed.
func (f *follower) pass(quarantined store.Intervals) {
	for f.skip(); f.next <= f.reached() && !f.lost && !f.again && quarantined.Contains(f.next); f.skip() {
		f.passed[f.next] = true
		f.link = ""
		f.next++
		f.advance()
	}
}

func (f *follower) reached() int64 { return max(f.highest, f.last) }

// skip goes over what is missing at the place where f stands.
func (f *follower) skip() {
	for len(f.missing) > 0 && f.next <= f.reached() && !f.again {
		i, found := f.missing.Find(f.next)
		if !found {
			return
		}
		if f.lost {
			f.again = true // what came behind it was not kept
			return
		}
		to := min(f.missing[i].Last, f.reached())
		f.skipped = store.Union(f.skipped, store.Intervals{{First: f.next, Last: to}})
		f.link = ""
		f.next = to + 1
		f.advance()
	}
}

// take goes on by one event.
func (f *follower) take(e *profile.Header) {
	f.next++
	known := f.link != "" || e.Sequence == 1
	if known && e.PrevFingerprint != f.link {
		f.found = append(f.found, brokenChain(f, e))
	}
	f.link = e.Fingerprint
	if f.first == 0 {
		f.first = e.Time
	}
	f.time = max(f.time, e.Time)
	if e.OperationUID == "" {
		return
	}
	op := f.open[e.OperationUID]
	related := refTo(e)
	switch e.Kind {
	case profile.KindEvaluation:
		if op == nil {
			op = &operation{uid: e.OperationUID, evaluations: make(map[string]eventRef), firstSeq: e.Sequence}
			f.open[e.OperationUID] = op
		}
		op.awaits = op.awaits || e.Phase != phasePostCommit
		op.evaluations[e.EvaluationUID] = related
		op.begun = append(op.begun, related)
	case profile.KindResult, profile.KindFailure:
		if op != nil {
			delete(op.evaluations, e.EvaluationUID)
		}
	case profile.KindOutcome:
		if op != nil {
			op.awaits = false
		}
	default:
		return
	}
	if op == nil {
		return
	}
	op.last = max(op.last, e.Time)
	if op.awaits || len(op.evaluations) > 0 {
		return
	}
	delete(f.open, op.uid)
	if op.finding != "" {
		f.found = append(f.found, noLongerDangling(f, op, related))
	}
}

// complete reports whether the epoch is over and all of it was seen.
func (f *follower) complete() bool { return f.last > 0 && f.next > f.last && !f.lost && !f.again }

// judge finds the operations that the epoch has passed by: all open ones when
// it is over, else those that were silent while its own events went on for
// horizon (ms). Behind a hole nothing is judged, as f has not got there.
func (f *follower) judge(horizon int64) {
	for _, op := range slices.SortedFunc(maps.Values(f.open), func(a, b *operation) int { return cmp.Compare(a.firstSeq, b.firstSeq) }) {
		if op.finding == "" && (f.complete() || op.last+horizon < f.time) {
			found := dangling(f, op)
			op.finding = found.uid
			f.found = append(f.found, found)
		}
	}
}
