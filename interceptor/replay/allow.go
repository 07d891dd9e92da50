// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"fmt"

	"github.com/docket-audit/docket/interceptor"
)

// Allow lets a [Test] pass in spite of a difference. Several may be given; each
// operation that differs counts against the first that takes it.
func Allow(d Difference) Option { return func(o *options) { o.allowed = append(o.allowed, d) } }

// A Difference is one that was thought of.
type Difference struct {
	comparison Comparison
	from, to   string
	binding    string
	limit      int // -1: any number
}

// Flip is the difference that operations decided one way are decided another:
// "allow", "deny" or "modify", or "*" for any. What was denied and would pass
// now is meant only where from is "deny": no asterisk takes it.
func Flip(from, to string) Difference {
	return Difference{comparison: Flipped, from: from, to: to, limit: -1}
}

// PatchDiff is the difference that operations are patched otherwise.
func PatchDiff() Difference { return differenceOf(PatchesDiffer) }

// StatusDiff is the difference that operations are denied with another gRPC
// status, code or message.
func StatusDiff() Difference { return differenceOf(StatusDiffers) }

// FailureDiff is the difference that a failure of the record is under another
// failure policy, though the operation is decided as it was.
func FailureDiff() Difference { return differenceOf(FailureDiffers) }

// AnnotationDiff is the difference that results are annotated otherwise.
func AnnotationDiff() Difference { return differenceOf(AnnotationsDiffer) }

func differenceOf(c Comparison) Difference {
	return Difference{comparison: c, from: anything, to: anything, limit: -1}
}

const anything = "*"

// On narrows the difference to those that a binding brings about, told by its
// id, by the name of its interceptor, or by both as "interceptor/id".
func (d Difference) On(binding string) Difference {
	d.binding = binding
	return d
}

// Max bounds the number of operations. Less than none is none.
func (d Difference) Max(n int) Difference {
	d.limit = max(n, 0)
	return d
}

// takes says whether the difference is of the group's kind.
func (d *Difference) takes(g *Group) bool {
	return d.comparison == g.Comparison &&
		(d.from == g.From || d.from == anything && !g.loosens()) && (d.to == anything || d.to == g.To) &&
		(d.binding == "" || d.binding == g.Interceptor || d.binding == g.Binding || d.binding == g.Interceptor+"/"+g.Binding)
}

// loosens says whether the group's operations were denied and would pass.
func (g *Group) loosens() bool {
	return g.Comparison == Flipped && g.From == interceptor.Deny.String()
}

// String returns the difference as Go code.
func (d Difference) String() string {
	var s string
	switch d.comparison {
	case Flipped:
		s = fmt.Sprintf("replay.Flip(%q, %q)", d.from, d.to)
	case PatchesDiffer:
		s = "replay.PatchDiff()"
	case StatusDiffers:
		s = "replay.StatusDiff()"
	case FailureDiffers:
		s = "replay.FailureDiff()"
	default:
		s = "replay.AnnotationDiff()"
	}
	if d.binding != "" {
		s += fmt.Sprintf(".On(%q)", d.binding)
	}
	if d.limit >= 0 {
		s += fmt.Sprintf(".Max(%d)", d.limit)
	}
	return s
}

// allowance returns the difference that takes just so many of the group's
// operations; false when nothing does: an error of an interceptor is never meant.
func (g *Group) allowance(n int) (Difference, bool) {
	if g.Comparison == Erred {
		return Difference{}, false
	}
	d := differenceOf(g.Comparison)
	if g.Comparison == Flipped {
		d = Flip(g.From, g.To)
	}
	if g.Interceptor != "" {
		d = d.On(g.Interceptor + "/" + g.Binding)
	}
	return d.Max(n), true
}
