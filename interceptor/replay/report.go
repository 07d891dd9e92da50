// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
)

// A Report is what came of a replay. Replayed, Reexecuted, Linked, Dialled and
// Unanswered count evaluations, the rest counts operations; its JSON form is a
// contract, to which members may be added.
type Report struct {
	Replayed        int       `json:"replayed"`   // re-executed or answered from the record
	Reexecuted      int       `json:"reexecuted"` // calls of implementations: Linked and Dialled
	Linked          int       `json:"linked"`     // in this process
	Dialled         int       `json:"dialled"`    // over gRPC
	Unanswered      int       `json:"unanswered"` // that the candidate wanted and that could not be had, though there was something to show
	Same            int       `json:"same"`
	Flips           int       `json:"flips"`
	PatchDiffs      int       `json:"patch_diffs"`
	StatusDiffs     int       `json:"status_diffs"`
	FailureDiffs    int       `json:"failure_diffs"`
	AnnotationDiffs int       `json:"annotation_diffs"`
	Errors          int       `json:"errors"`
	Unreplayable    int       `json:"unreplayable"`
	Groups          []Group   `json:"groups"` // of all that is not the same; the most severe and the largest first
	Strata          []Stratum `json:"strata"` // of all, by service, method and recorded decision
	Noise           []Noise   `json:"noise,omitempty"`
	Sampled         *Sampled  `json:"sampled,omitempty"` // nil: all that was selected

	groups map[groupKey]int
	strata map[stratumKey]int
}

// Sampled says how a [Sample] was taken.
type Sampled struct {
	Each int    `json:"each"`        // at most so many of each stratum
	Seed uint64 `json:"seed,string"` // the same seed takes the same ones
}

// A Stratum is operations of one method that were decided alike.
type Stratum struct {
	Service      string `json:"service"`
	Method       string `json:"method"`
	Decision     string `json:"decision"` // recorded; "none" when there is no outcome
	Operations   int    `json:"operations"`
	Same         int    `json:"same"`
	Different    int    `json:"different"`
	Unreplayable int    `json:"unreplayable"`
}

// A Group is operations that differ alike.
type Group struct {
	Comparison  Comparison `json:"comparison"`
	Service     string     `json:"service"`
	Method      string     `json:"method"`
	From        string     `json:"from,omitempty"` // the recorded decision
	To          string     `json:"to,omitempty"`   // the candidate's
	Interceptor string     `json:"interceptor,omitempty"`
	Binding     string     `json:"binding,omitempty"` // that brings the difference about
	Reason      string     `json:"reason,omitempty"`  // why operations are unreplayable, or what the error is
	Count       int        `json:"count"`
	Operations  []string   `json:"operations"` // uids of the first few
	Samples     []Diff     `json:"samples"`    // the first three, whole
}

// A group names so many uids, and has so many operations whole.
const (
	named   = 5
	samples = 3
)

// newReport returns an empty report, or one that goes on from another.
func newReport(from *Report) *Report {
	r := &Report{Groups: []Group{}, Strata: []Stratum{}, groups: map[groupKey]int{}, strata: map[stratumKey]int{}}
	if from == nil {
		return r
	}
	groups, strata := r.groups, r.strata
	*r = *from
	r.groups, r.strata, r.Noise = groups, strata, nil
	r.Groups, r.Strata = append([]Group{}, from.Groups...), append([]Stratum{}, from.Strata...)
	for i := range r.Groups {
		r.groups[r.Groups[i].key()] = i
	}
	for i := range r.Strata {
		s := &r.Strata[i]
		r.strata[stratumKey{s.Service, s.Method, s.Decision}] = i
	}
	return r
}

// Operations returns the number of operations.
func (r *Report) Operations() int { return r.Same + r.different() + r.Unreplayable }

func (r *Report) different() int {
	return r.Flips + r.PatchDiffs + r.StatusDiffs + r.FailureDiffs + r.AnnotationDiffs + r.Errors
}

// Differs says whether any operation that could be replayed came out otherwise.
func (r *Report) Differs() bool { return r.different() > 0 }

// Flipped returns the number of operations that were decided one way and are
// decided another: "allow", "deny" or "modify", or "*" for any.
func (r *Report) Flipped(from, to string) int {
	n := 0
	for i := range r.Groups {
		if g := &r.Groups[i]; g.Comparison == Flipped && (from == anything || from == g.From) && (to == anything || to == g.To) {
			n += g.Count
		}
	}
	return n
}

// Executed returns the share of the candidate's evaluations that were
// re-executed; 1 when it had none.
func (r *Report) Executed() float64 {
	wanted := r.Replayed + r.Unanswered
	if wanted == 0 {
		return 1
	}
	return float64(r.Reexecuted) / float64(wanted)
}

// add counts one operation.
func (r *Report) add(d *Diff) {
	r.Linked += d.tally.linked
	r.Dialled += d.tally.dialled
	r.Reexecuted += d.tally.linked + d.tally.dialled
	r.Replayed += d.tally.linked + d.tally.dialled + d.tally.answered
	r.Unanswered += d.tally.unanswered
	i, ok := r.strata[d.stratum]
	if !ok {
		i = len(r.Strata)
		r.strata[d.stratum] = i
		r.Strata = append(r.Strata, Stratum{Service: d.stratum.service, Method: d.stratum.method, Decision: d.stratum.decision})
	}
	s := &r.Strata[i]
	s.Operations++
	switch d.Comparison {
	case Same:
		r.Same++
		s.Same++
		return
	case Unreplayable:
		s.Unreplayable++
	default:
		s.Different++
	}
	*r.counter(d.Comparison)++
	g := Group{
		Comparison: d.Comparison, Service: d.Service, Method: d.Method, From: d.From, To: d.To,
		Interceptor: d.Interceptor, Binding: d.Binding, Reason: d.Reason,
	}
	i, ok = r.groups[g.key()]
	if !ok {
		i = len(r.Groups)
		r.groups[g.key()] = i
		r.Groups = append(r.Groups, g)
	}
	of := &r.Groups[i]
	of.Count++
	if len(of.Operations) < named {
		of.Operations = append(of.Operations, d.Operation)
	}
	if len(of.Samples) < samples {
		of.Samples = append(of.Samples, *d)
	}
}

// counter returns where operations of a comparison are counted.
func (r *Report) counter(c Comparison) *int {
	switch c {
	case Flipped:
		return &r.Flips
	case PatchesDiffer:
		return &r.PatchDiffs
	case StatusDiffers:
		return &r.StatusDiffs
	case FailureDiffers:
		return &r.FailureDiffs
	case AnnotationsDiffer:
		return &r.AnnotationDiffs
	case Erred:
		return &r.Errors
	case Unreplayable:
		return &r.Unreplayable
	default:
		return &r.Same
	}
}

type groupKey struct {
	comparison                                              Comparison
	service, method, from, to, interceptor, binding, reason string
}

func (g *Group) key() groupKey {
	return groupKey{g.Comparison, g.Service, g.Method, g.From, g.To, g.Interceptor, g.Binding, g.Reason}
}

// severity orders the comparisons: an operation that would now pass comes first.
func (g *Group) severity() int {
	switch g.Comparison {
	case Flipped:
		if g.From == interceptor.Deny.String() {
			return 0
		}
		return 1
	case Erred:
		return 2
	case PatchesDiffer:
		return 3
	case StatusDiffers:
		return 4
	case FailureDiffers:
		return 5
	case AnnotationsDiffer:
		return 6
	default:
		return 7
	}
}

// sort puts groups and strata into their order, which depends on nothing else.
func (r *Report) sort() {
	slices.SortStableFunc(r.Groups, func(a, b Group) int {
		return cmp.Or(
			cmp.Compare(a.severity(), b.severity()), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Comparison, b.Comparison),
			cmp.Compare(a.Service, b.Service), cmp.Compare(a.Method, b.Method), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To),
			cmp.Compare(a.Interceptor, b.Interceptor), cmp.Compare(a.Binding, b.Binding), cmp.Compare(a.Reason, b.Reason),
		)
	})
	slices.SortFunc(r.Strata, func(a, b Stratum) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Decision, b.Decision))
	})
}

// String returns the report for people to read: a headline, and a line for each
// group.
func (r *Report) String() string {
	var b strings.Builder
	b.WriteString(r.Headline())
	b.WriteByte('\n')
	for i := range r.Groups {
		b.WriteString("  ")
		b.WriteString(r.Groups[i].String())
		b.WriteByte('\n')
	}
	for i := range r.Noise {
		b.WriteString("  ")
		b.WriteString(r.Noise[i].String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Headline returns the counts in one line: of evaluations, then of operations.
// What there is none of is left out, but for flips and what could not be
// replayed.
func (r *Report) Headline() string {
	parts := []string{fmt.Sprintf("replayed %s (re-executed %s, recorded answers %s)",
		thousands(r.Replayed), thousands(r.Reexecuted), thousands(r.Replayed-r.Reexecuted))}
	if r.Unanswered > 0 {
		parts[0] += fmt.Sprintf(", %s could not be had", thousands(r.Unanswered))
	}
	count := func(name string, n int) { parts = append(parts, name+" "+thousands(n)) }
	some := func(name string, n int) {
		if n > 0 {
			count(name, n)
		}
	}
	tightened, loosened := r.Flipped("allow", "deny"), r.Flipped("deny", "allow")
	count("same", r.Same)
	count("allow->deny", tightened)
	count("deny->allow", loosened)
	some("other flips", r.Flips-tightened-loosened)
	count("patch-diff", r.PatchDiffs)
	some("status-diff", r.StatusDiffs)
	some("failure-diff", r.FailureDiffs)
	some("annotation-diff", r.AnnotationDiffs)
	some("error", r.Errors)
	count("unreplayable", r.Unreplayable)
	if r.Sampled != nil {
		parts = append(parts, fmt.Sprintf("sample of %s each, seed %d", thousands(r.Sampled.Each), r.Sampled.Seed))
	}
	return strings.Join(parts, " | ")
}

// thousands writes a number with a comma before every three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// String returns the group in one line.
func (g *Group) String() string {
	d := Diff{Comparison: g.Comparison, From: g.From, To: g.To, Interceptor: g.Interceptor, Binding: g.Binding, Reason: g.Reason}
	line := fmt.Sprintf("%s %s/%s: %s (%s", thousands(g.Count), g.Service, g.Method, d.headline(), strings.Join(g.Operations, ", "))
	if g.Count > len(g.Operations) {
		line += ", ..."
	}
	return profile.Printable(line + ")")
}

// String returns the noise in one line.
func (n *Noise) String() string {
	who := n.Service + "/" + n.Method
	if n.Interceptor != "" {
		who += " " + n.Interceptor + "/" + n.Binding
	}
	return profile.Printable(fmt.Sprintf("noise: %s: %s differs by itself (in %s operations), passed over in %s",
		who, n.Field, thousands(n.Learned), thousands(n.Excluded)))
}
