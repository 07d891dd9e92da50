// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

// How a period began.
const (
	Activated = "activated" // the gateway said that the plan is in force from then on
	Stated    = "stated"    // it said that the plan was in force already
	Operation = "operation" // it said nothing; this is the first operation that names the plan
)

// How a period ended. While it goes on, as far as the record goes, it is "".
const (
	Replaced = "replaced" // another plan came into force
	Stopped  = "stopped"  // the gateway stopped
	// Unknown: the gateway was killed, or what it said is not in the record. It
	// started again later; the period ends with its last event before that.
	Unknown = "unknown"
)

// A Period is a time in which a plan was in force at a gateway: From <= time < Until,
// by the gateway's clock.
type Period struct {
	Digest  string // of the plan, with "sha256:"
	Gateway string // the name of its emitter
	From    time.Time
	Until   time.Time // zero while it goes on
	Began   string    // Activated, Stated or Operation
	Ended   string    // Replaced, Stopped, Unknown or ""
	Event   string    // metadata.uid of the event by which it began
}

// Has reports whether the plan was in force at t.
func (p *Period) Has(t time.Time) bool {
	return !t.Before(p.From) && (p.Until.IsZero() || t.Before(p.Until))
}

// touches reports whether some of the period is in since <= time < until. One that
// ended as it began has its one moment.
func (p *Period) touches(since, until time.Time) bool {
	if !until.IsZero() && !p.From.Before(until) {
		return false
	}
	return since.IsZero() || p.Until.IsZero() || p.Until.After(since) || !p.From.Before(since)
}

// At returns those periods in which t is.
func At(periods []Period, t time.Time) (at []Period) {
	for i := range periods {
		if periods[i].Has(t) {
			at = append(at, periods[i])
		}
	}
	return at
}

// A Query selects periods; zero fields select all.
type Query struct {
	Gateway      string
	Since, Until time.Time // periods that have some of since <= time < until
	AsOf         uint64    // of a commit; see [store.Query]

	// Sees says of which tenants events are looked at; nil is all.
	Sees func(tenant string) bool

	// Usage tells which plans outcomes name that known does not explain, as [Scan]
	// does; nil is that. A store that counts columns has it sooner.
	Usage func(ctx context.Context, known []Known) ([]Usage, error)
}

// Read derives periods from what a store holds, by gateway and, for each, in the
// order in which they began.
//
// It reads the columns of events of kind lifecycle of the tenant "docket", what
// Usage does, and for each gateway that did not say that it stopped its last
// event.
func Read(ctx context.Context, r store.Reader, q Query) ([]Period, error) {
	if q.Sees == nil {
		q.Sees = func(string) bool { return true }
	}
	if q.Usage == nil {
		q.Usage = func(ctx context.Context, known []Known) ([]Usage, error) { return Scan(ctx, r, q, known) }
	}
	gateways, err := readMarks(ctx, r, q)
	if err != nil {
		return nil, err
	}
	if err := q.complete(ctx, gateways); err != nil {
		return nil, err
	}
	var all []Period
	for _, name := range slices.Sorted(maps.Keys(gateways)) {
		for _, s := range gateways[name].spans() {
			// An end that is to be found is before the one that is known, but where the
			// clock was set back.
			if s.setBack() || s.touches(q.Since, q.Until) {
				if err := s.find(ctx, r, q); err != nil {
					return nil, err
				}
			}
			if !s.touches(q.Since, q.Until) {
				continue
			}
			if err := s.name(ctx, r, q); err != nil {
				return nil, err
			}
			all = append(all, s.Period)
		}
	}
	return all, nil
}

// rounds bounds how often outcomes are looked at.
const rounds = 8

// complete adds the marks of operations that what gateways said does not explain.
// Such a mark ends a period that had explained others until then, so they are
// looked at again until nothing is left to explain. Mostly nothing is at once.
func (q *Query) complete(ctx context.Context, gateways map[string]*gateway) error {
	for range rounds {
		var known []Known
		for _, name := range slices.Sorted(maps.Keys(gateways)) {
			for _, s := range gateways[name].spans() {
				known = append(known, s.known())
			}
		}
		used, err := q.Usage(ctx, known)
		if err != nil {
			return err
		}
		used = slices.DeleteFunc(used, func(u Usage) bool { return !IsDigest(u.Digest) || q.Gateway != "" && u.Gateway != q.Gateway })
		if len(used) == 0 {
			return nil
		}
		for _, u := range used {
			g := gateways[u.Gateway]
			if g == nil {
				g = &gateway{name: u.Gateway}
				gateways[u.Gateway] = g
			}
			g.used = append(g.used, u)
		}
	}
	return nil
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// IsDigest reports whether a value of the column plan_digest is that of a plan: of
// others' events it is the version of whatever policy they had.
func IsDigest(digest string) bool { return digestForm.MatchString(digest) }
