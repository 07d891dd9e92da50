// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/docket-audit/docket/internal/profile"
)

// A Comparison is how an operation compares with its record.
type Comparison string

// The comparisons.
const (
	Same          Comparison = "same"
	Flipped       Comparison = "flip"       // another decision, or the handler would run where it did not
	PatchesDiffer Comparison = "patch_diff" // the same decision with other patches
	Erred         Comparison = "error"      // a binding failed now that did not then
	Unreplayable  Comparison = "unreplayable"
)

// A Report is what came of a replay. Replayed and Reexecuted count evaluations,
// the rest counts operations; its JSON form is a contract.
type Report struct {
	Replayed     int     `json:"replayed"`   // re-executed or answered from the record
	Reexecuted   int     `json:"reexecuted"` // calls of implementations
	Same         int     `json:"same"`
	Flips        int     `json:"flips"`
	PatchDiffs   int     `json:"patch_diffs"`
	Errors       int     `json:"errors"`
	Unreplayable int     `json:"unreplayable"`
	Groups       []Group `json:"groups"` // of all that is not the same; the most severe and the largest first

	unanswered int // evaluations that the candidate wanted and that could not be had
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
}

// samples is how many uids a group names.
const samples = 5

// Operations returns the number of operations.
func (r *Report) Operations() int {
	return r.Same + r.Flips + r.PatchDiffs + r.Errors + r.Unreplayable
}

// Differs says whether any operation that could be replayed came out otherwise.
func (r *Report) Differs() bool { return r.Flips+r.PatchDiffs+r.Errors > 0 }

// Executed returns the share of the candidate's evaluations that were
// re-executed; 1 when it had none.
func (r *Report) Executed() float64 {
	wanted := r.Replayed + r.unanswered
	if wanted == 0 {
		return 1
	}
	return float64(r.Reexecuted) / float64(wanted)
}

// add counts one operation. The group tells what is common; Count and
// Operations are filled in.
func (r *Report) add(index map[groupKey]int, g Group, uid string) {
	switch g.Comparison {
	case Same:
		r.Same++
		return
	case Flipped:
		r.Flips++
	case PatchesDiffer:
		r.PatchDiffs++
	case Erred:
		r.Errors++
	case Unreplayable:
		r.Unreplayable++
	}
	key := groupKey{g.Comparison, g.Service, g.Method, g.From, g.To, g.Interceptor, g.Binding, g.Reason}
	i, ok := index[key]
	if !ok {
		i = len(r.Groups)
		index[key] = i
		r.Groups = append(r.Groups, g)
	}
	r.Groups[i].Count++
	if len(r.Groups[i].Operations) < samples {
		r.Groups[i].Operations = append(r.Groups[i].Operations, uid)
	}
}

type groupKey struct {
	comparison                                              Comparison
	service, method, from, to, interceptor, binding, reason string
}

// severity orders the comparisons: an operation that would now pass comes first.
func (g *Group) severity() int {
	switch {
	case g.Comparison == Flipped && g.From == "deny":
		return 0
	case g.Comparison == Flipped:
		return 1
	case g.Comparison == Erred:
		return 2
	case g.Comparison == PatchesDiffer:
		return 3
	default:
		return 4
	}
}

// sort puts the groups into their order, which depends on nothing else.
func (r *Report) sort() {
	slices.SortStableFunc(r.Groups, func(a, b Group) int {
		return cmp.Or(
			cmp.Compare(a.severity(), b.severity()), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Comparison, b.Comparison),
			cmp.Compare(a.Service, b.Service), cmp.Compare(a.Method, b.Method), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To),
			cmp.Compare(a.Interceptor, b.Interceptor), cmp.Compare(a.Binding, b.Binding), cmp.Compare(a.Reason, b.Reason),
		)
	})
}

// String returns the report for people to read.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d same, %d flips, %d patch diffs, %d errors, %d unreplayable\n",
		counted(r.Operations(), "operation"), r.Same, r.Flips, r.PatchDiffs, r.Errors, r.Unreplayable)
	fmt.Fprintf(&b, "%s: %d re-executed, %d answered from the record", counted(r.Replayed, "evaluation"), r.Reexecuted, r.Replayed-r.Reexecuted)
	if r.unanswered > 0 {
		fmt.Fprintf(&b, ", %d more could not be had", r.unanswered)
	}
	b.WriteByte('\n')
	for i := range r.Groups {
		b.WriteString("  ")
		b.WriteString(r.Groups[i].String())
		b.WriteByte('\n')
	}
	return b.String()
}

// String returns the group in one line.
func (g *Group) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s/%s: ", g.Count, g.Service, g.Method)
	switch g.Comparison {
	case Flipped:
		fmt.Fprintf(&b, "%s -> %s", g.From, g.To)
	case PatchesDiffer:
		b.WriteString("other patches")
	case Erred:
		b.WriteString("error")
	default:
		b.WriteString(string(g.Comparison))
	}
	if g.Interceptor != "" {
		fmt.Fprintf(&b, " by %s/%s", g.Interceptor, g.Binding)
	}
	if g.Reason != "" {
		fmt.Fprintf(&b, ": %s", g.Reason)
	}
	fmt.Fprintf(&b, " (%s", strings.Join(g.Operations, ", "))
	if g.Count > len(g.Operations) {
		b.WriteString(", ...")
	}
	b.WriteByte(')')
	return profile.Printable(b.String())
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
