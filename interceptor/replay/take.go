// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// A take is what came of an operation once: as the record has it, or as a plan
// has it now. Two of them are compared.
type take struct {
	outcome *interceptor.Outcome
	answers []answer // of the bindings, as they were called

	truncated, redacted bool // the patches of the outcome are not what they were

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

func (a *answer) of(b *answer) bool {
	return a.Interceptor == b.Interceptor && a.Binding == b.Binding && a.Phase == b.Phase
}

// ofRecord makes the take that the record has of an operation.
func (t *take) ofRecord(op *activity.Operation) {
	t.outcome, t.truncated, t.redacted = op.Outcome, op.Truncated, op.Redacted
	t.answers = make([]answer, 0, len(op.Evaluations))
	for i := range op.Evaluations {
		e := &op.Evaluations[i]
		t.answers = append(t.answers, answer{
			Interceptor: e.Interceptor, Binding: e.Binding, Phase: e.Phase, Shadow: e.Shadow,
			result: e.Result, failure: e.Failure, vague: e.Truncated || e.Redacted,
		})
	}
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
