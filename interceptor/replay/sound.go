// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"errors"
	"fmt"
)

// ErrUnsound says that a report that is to be gone on with does not add up, and so
// is not what a [Checkpoint] was given.
var ErrUnsound = errors.New("the report that is to be gone on with does not add up")

// sound says whether what the report counts adds up: what a replay goes on with is
// read from a file, and is a part of what it will say.
func (r *Report) sound() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrUnsound, fmt.Sprintf(format, args...))
	}
	for _, n := range []int{r.Linked, r.Dialled, r.Replayed - r.Reexecuted, r.Unanswered, r.Same} {
		if n < 0 {
			return wrong("less than none")
		}
	}
	if r.Reexecuted != r.Linked+r.Dialled {
		return wrong("%d evaluations re-executed, %d in process and %d over gRPC", r.Reexecuted, r.Linked, r.Dialled)
	}
	grouped := Report{}
	keys := map[groupKey]bool{}
	for i := range r.Groups {
		g := &r.Groups[i]
		if g.Count < 1 || keys[g.key()] {
			return wrong("group %q is empty, or there twice", g)
		}
		keys[g.key()] = true
		*grouped.counter(g.Comparison) += g.Count
	}
	if grouped.Same > 0 { // where what is no comparison is counted
		return wrong("a group that does not say how its operations differ")
	}
	for _, c := range []Comparison{Erred, Flipped, PatchesDiffer, StatusDiffers, FailureDiffers, AnnotationsDiffer, Unreplayable} {
		if said, found := *r.counter(c), *grouped.counter(c); said != found {
			return wrong("%d of %s, %d in groups", said, c, found)
		}
	}
	var all Stratum
	strata := map[stratumKey]bool{}
	for i := range r.Strata {
		s := &r.Strata[i]
		key := stratumKey{s.Service, s.Method, s.Decision}
		if strata[key] || min(s.Same, s.Different, s.Unreplayable) < 0 || s.Operations != s.Same+s.Different+s.Unreplayable {
			return wrong("stratum %s/%s %s", s.Service, s.Method, s.Decision)
		}
		strata[key] = true
		all.Same, all.Different, all.Unreplayable = all.Same+s.Same, all.Different+s.Different, all.Unreplayable+s.Unreplayable
	}
	if all.Same != r.Same || all.Different != r.different() || all.Unreplayable != r.Unreplayable {
		return wrong("%d operations, %d in strata", r.Operations(), all.Same+all.Different+all.Unreplayable)
	}
	return nil
}
