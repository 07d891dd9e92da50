// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"slices"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// A take is what came of an operation once: as the record has it, or as a plan
// has it now. Two of them are compared.
type take struct {
	outcome *interceptor.Outcome
	answers []answer // of the bindings, as they were called
	edits   []edit   // that were accepted, in order

	truncated, redacted bool // the patches of the outcome are not what they were
	reasonRedacted      bool

	unreplayable string            // why, if nothing can be said
	missed       *interceptor.Part // the binding that could not be answered for
	aborted      error             // by who observes

	tally
}

// A tally counts evaluations by who answered.
type tally struct{ linked, dialled, answered, unanswered int }

// An answer is what one binding answered: a result or a failure.
type answer struct {
	Interceptor, Binding string
	Phase                interceptor.Phase
	Shadow               bool

	result  *interceptor.Result
	failure *interceptor.Failure
	missed  bool // nobody could answer
	vague   bool // the result is not what it was: too large, or redacted
}

func (a *answer) part() interceptor.Part {
	return interceptor.Part{Interceptor: a.Interceptor, Binding: a.Binding, Phase: a.Phase}
}

func (a *answer) of(b *answer) bool {
	return a.Interceptor == b.Interceptor && a.Binding == b.Binding && a.Phase == b.Phase
}

// ofRecord makes the take that the record has of an operation.
func (t *take) ofRecord(op *activity.Operation) {
	t.outcome, t.truncated, t.redacted, t.reasonRedacted = op.Outcome, op.Truncated, op.Redacted, op.ReasonRedacted
	t.answers = make([]answer, 0, len(op.Evaluations))
	for i := range op.Evaluations {
		e := &op.Evaluations[i]
		a := answer{
			Interceptor: e.Interceptor, Binding: e.Binding, Phase: e.Phase, Shadow: e.Shadow,
			result: e.Result, failure: e.Failure, vague: e.Truncated || e.Redacted,
		}
		t.answers = append(t.answers, a)
		if e.Result != nil && e.Result.Decision == interceptor.Modify && !e.Shadow {
			t.edits = append(t.edits, edit{a.part(), e.Result.Patches, e.Truncated})
		}
	}
}

// An edit is the patches of one binding that were accepted.
type edit struct {
	by      interceptor.Part
	patches []interceptor.Patch
	lost    bool // they were too large to be recorded
}

// likewise says whether two edits are the same, as far as is known.
func (x *edit) likewise(y *edit) bool {
	return x.isBy(y) && (x.lost || y.lost || slices.EqualFunc(x.patches, y.patches, samePatch))
}

func (x *edit) isBy(y *edit) bool {
	return x.by.Interceptor == y.by.Interceptor && x.by.Binding == y.by.Binding && x.by.Phase == y.by.Phase
}

// cause returns the binding that a flip goes back to: the one that denies now,
// else the one that denied then, else the one that patches otherwise.
func cause(then, now *take) *interceptor.Part {
	if now.outcome.By != nil {
		return now.outcome.By
	}
	if then.outcome.By != nil {
		return then.outcome.By
	}
	return patcher(then.edits, now.edits)
}

// patcher returns the binding at which patches begin to be others: one that
// patches now and did not then, else one that did and does not, else the one that
// has other patches or another place. It is nil when there is none.
func patcher(then, now []edit) *interceptor.Part {
	n := 0
	for n < len(then) && n < len(now) && now[n].likewise(&then[n]) {
		n++
	}
	then, now = then[n:], now[n:]
	amongst := func(list []edit, x *edit) bool {
		return slices.ContainsFunc(list, func(y edit) bool { return x.isBy(&y) })
	}
	switch {
	case len(now) > 0 && !amongst(then, &now[0]):
		return &now[0].by
	case len(then) > 0 && !amongst(now, &then[0]):
		return &then[0].by
	case len(now) > 0:
		return &now[0].by
	}
	return nil
}

// find returns the answer of the same binding in the same phase; nil when it was
// not called.
func (t *take) find(a *answer) *answer {
	for i := range t.answers {
		if t.answers[i].of(a) {
			return &t.answers[i]
		}
	}
	return nil
}
