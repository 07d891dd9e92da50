// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// grace is for how long operations are believed to be under way that began by a
// plan which has been replaced meanwhile.
const grace = 60_000 // ms

// A Known is a time in which a gateway said that a plan was in force: what was
// judged by it then needs no other explanation. It is a time by the gateway's clock
// and, for when that was set back, a part of the store.
type Known struct {
	Gateway, Digest string
	From, To        int64        // ms, From <= time <= To; To is 0 while it goes on
	Begin, End      store.Cursor // Begin <= place < End; End is zero while it goes on
}

// Explains reports whether an outcome at a place of the store was judged within it.
func (k *Known) Explains(h *profile.Header, at store.Cursor) bool {
	if h.Emitter != k.Gateway || h.PlanDigest != k.Digest {
		return false
	}
	return h.Time >= k.From && (k.To == 0 || h.Time <= k.To) ||
		at.Compare(k.Begin) >= 0 && (k.End == store.Cursor{} || at.Compare(k.End) < 0)
}

func (s *span) known() Known {
	k := Known{Gateway: s.Gateway, Digest: s.Digest, From: s.began.time, Begin: s.began.at}
	if s.Ended != "" {
		k.To, k.End = s.ended.time, s.ended.at
	}
	if s.Ended == Replaced {
		k.To = max(k.To+grace, s.last)
	}
	return k
}

// A Usage is what outcomes of one epoch and of one [Slice] of time say of a plan:
// those that nothing known explains.
type Usage struct {
	Gateway, Digest string
	First, Last     int64 // times, in ms
	// Commit is the lowest of theirs.
	Commit uint64
}

// Slice is how long one is, in ms: from one multiple of it to the next.
const Slice = 3_600_000

// Scan returns the usage of plans that known does not explain, by reading the
// columns of all outcomes that q sees.
func Scan(ctx context.Context, r store.Reader, q Query, known []Known) ([]Usage, error) {
	type plan struct{ gateway, digest string }
	type slice struct {
		plan
		epoch string
		n     int64
	}
	knownOf, latest := map[plan][]Known{}, map[plan]int{} // what explains one mostly explains the next
	for _, k := range known {
		p := plan{k.Gateway, k.Digest}
		knownOf[p] = append(knownOf[p], k)
	}
	sel := store.Query{Kinds: []string{profile.KindOutcome}, AsOf: q.AsOf, WithoutRaw: true}
	if q.Gateway != "" {
		sel.Texts = map[string][]string{"emitter": {q.Gateway}}
	}
	found := map[slice]*Usage{}
	for e, err := range r.Scan(ctx, sel) {
		if err != nil {
			return nil, err
		}
		h, at := &e.Header, store.Cursor{Commit: e.Commit, Pos: e.Pos}
		p := plan{h.Emitter, h.PlanDigest}
		if !IsDigest(h.PlanDigest) || q.Sees != nil && !q.Sees(h.Tenant) {
			continue
		}
		if n := latest[p]; n < len(knownOf[p]) && knownOf[p][n].Explains(h, at) {
			continue
		}
		if n := slices.IndexFunc(knownOf[p], func(k Known) bool { return k.Explains(h, at) }); n >= 0 {
			latest[plan{strings.Clone(p.gateway), strings.Clone(p.digest)}] = n
			continue
		}
		u := found[slice{p, h.Epoch, h.Time / Slice}]
		if u == nil {
			p = plan{strings.Clone(p.gateway), strings.Clone(p.digest)} // not the memory of all the others
			found[slice{p, strings.Clone(h.Epoch), h.Time / Slice}] = &Usage{p.gateway, p.digest, h.Time, h.Time, at.Commit}
		} else {
			u.First, u.Last, u.Commit = min(u.First, h.Time), max(u.Last, h.Time), min(u.Commit, at.Commit)
		}
	}
	all := make([]Usage, 0, len(found))
	for _, u := range found {
		all = append(all, *u)
	}
	return all, ctx.Err()
}

// marks are those of operations, in the order of time.
func marks(used []Usage) []mark {
	var all []mark
	for _, u := range used {
		all = append(all, mark{says: judged, digest: u.Digest, time: u.First, last: u.Last, at: store.Cursor{Commit: u.Commit}})
	}
	slices.SortFunc(all, func(a, b mark) int {
		return cmp.Or(cmp.Compare(a.time, b.time), a.at.Compare(b.at), cmp.Compare(a.digest, b.digest))
	})
	return all
}
