// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// What a mark says.
type saying int

const (
	started saying = iota
	stopped
	activated
	rejected // another plan; the mark's is in force
	judged   // an operation was
)

// A mark is an event that says something of the plan in force at a gateway.
type mark struct {
	says     saying
	digest   string
	time     int64 // ms
	sequence int64
	at       store.Cursor
	event    string
	last     int64 // of judged: when the last such operation was
}

// before reports whether m came before n by the gateway's clock and by the store's
// order. Where one of them says otherwise the clock was set back, or an event was
// stored late.
func (m *mark) before(n *mark) bool { return m.time < n.time && m.at.Compare(n.at) < 0 }

// A run is what a gateway said of itself from a start to its end: an epoch of the
// tenant docket.
type run struct {
	marks []mark // in the order of their sequences
	first store.Cursor
}

type gateway struct {
	name string
	runs []*run  // in the order in which they were stored
	used []Usage // that these do not explain
}

// readMarks reads what gateways said of themselves.
func readMarks(ctx context.Context, r store.Reader, q Query) (map[string]*gateway, error) {
	gateways, runs := map[string]*gateway{}, map[string]*run{}
	if !q.Sees(profile.TenantDocket) {
		return gateways, nil
	}
	sel := store.Query{Tenant: profile.TenantDocket, Kinds: []string{profile.KindLifecycle}, AsOf: q.AsOf, WithoutRaw: true}
	if q.Gateway != "" {
		sel.Texts = map[string][]string{"emitter": {q.Gateway}}
	}
	for e, err := range r.Scan(ctx, sel) {
		if err != nil {
			return nil, err
		}
		m, ok := markOf(&e)
		if !ok {
			continue
		}
		u := runs[e.Header.Epoch]
		if u == nil {
			u = &run{first: m.at}
			runs[strings.Clone(e.Header.Epoch)] = u
			g := gateways[e.Header.Emitter]
			if g == nil {
				g = &gateway{name: strings.Clone(e.Header.Emitter)}
				gateways[g.name] = g
			}
			g.runs = append(g.runs, u)
		}
		u.marks = append(u.marks, m)
	}
	for _, u := range runs {
		slices.SortStableFunc(u.marks, func(a, b mark) int { return cmp.Compare(a.sequence, b.sequence) })
	}
	return gateways, ctx.Err()
}

// markOf returns what an event says of the plan in force.
func markOf(e *store.Entry) (m mark, ok bool) {
	h := &e.Header
	m = mark{time: h.Time, sequence: h.Sequence, at: store.Cursor{Commit: e.Commit, Pos: e.Pos}, event: strings.Clone(h.MetadataUID)}
	switch {
	case h.ClassUID == int32(ocsf.ClassApplicationLifecycle) && h.ActivityID == int32(ocsf.ApplicationLifecycleStart):
		m.says = started
	case h.ClassUID == int32(ocsf.ClassApplicationLifecycle) && h.ActivityID == int32(ocsf.ApplicationLifecycleStop):
		m.says = stopped
	case h.ClassUID == int32(ocsf.ClassEntityManagement) && h.ActivityID == int32(ocsf.EntityManagementActivate) && IsDigest(h.PlanDigest):
		m.says, m.digest = activated, strings.Clone(h.PlanDigest)
	case h.ClassUID == int32(ocsf.ClassApplicationError) && IsDigest(h.PlanDigest):
		m.says, m.digest = rejected, strings.Clone(h.PlanDigest)
	default:
		return mark{}, false
	}
	return m, true
}
