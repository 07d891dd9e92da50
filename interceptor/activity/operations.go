// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
)

// An Operation is all that the record says of one operation.
type Operation struct {
	// Operation is as the chain saw it, with its Principal, Trace and Start.
	// Request and State are what bindings were shown of them, before patches, as
	// google.protobuf.Struct; nil when that is not in the record. They are messages by
	// reflection, and mostly of no Go type that is known: their JSON is what there is.
	interceptor.Operation

	Plan        string       // digest of the plan that was in force
	Evaluations []Evaluation // in the order in which the bindings were called, as far as is known

	// Outcome is nil when the record has none: the operation was cut off, or is
	// still under way. Evaluation uids and Failures of its Parts are filled in,
	// and its Response where post_commit was shown it.
	Outcome *interceptor.Outcome
	// Truncated says that the Outcome's patches were too large to be recorded,
	// Redacted that they are not as they were.
	Truncated, Redacted bool
	// LabelsRedacted says that Labels are not as they were, or not all there,
	// ReasonRedacted that the Outcome's Reason is not as it was.
	LabelsRedacted, ReasonRedacted bool
}

// An Evaluation is what the record says of one evaluation. It has a Result, or
// a Failure, or, when it was cut off, neither.
type Evaluation struct {
	*interceptor.Evaluation
	Result  *interceptor.Result
	Failure *interceptor.Failure

	// Missing says why Payload, State or Metadata are not in the record, if they are not.
	Missing string
	// Truncated says that the Result was too large to be recorded whole.
	Truncated bool
	// Redacted says that the input, or the Result, is not as it was: see [Recorded].
	Redacted bool
	// Shadow says that the binding was a shadow; Would is what it would have decided.
	Shadow bool
	Would  interceptor.Decision

	payload, state      proto.Message // of Payload and State
	sameAs, stateSameAs interceptor.UID
	metadataSameAs      interceptor.UID
	visible             []string // names of attributes
	input               bool     // the evaluation event itself was read
}

// patience is how many events of others may come between two events of one
// operation that has its outcome: what bindings of post_commit say comes after
// it. Until then an operation is kept in memory.
const patience = 20_000

// Operations puts the events of each operation together and yields the
// operations in the order in which they end. Events of other kinds are left
// out, events that come twice count once. An operation whose outcome does not
// come is yielded at the end, except when there is nothing of it but
// post_commit: that comes after an outcome, which was then yielded long before,
// or not selected.
//
// A nil event says that nothing has come for a while: nothing more is waited for
// of the operations that have ended.
//
// An error of events, or an event that cannot be read, is yielded with a nil
// Operation; the iteration then goes on for as long as the caller does.
func Operations(events iter.Seq2[[]byte, error]) iter.Seq2[*Operation, error] {
	return func(yield func(*Operation, error) bool) {
		a := assembly{open: map[interceptor.UID]*assembled{}, reading: reading{names: names{}}}
		n := 0
		for raw, err := range events {
			if raw == nil && err == nil {
				for _, op := range a.quiet() {
					if !yield(op.finish(), nil) {
						return
					}
				}
				continue
			}
			n++
			if err == nil {
				err = a.add(raw, n)
			}
			if err != nil && !yield(nil, fmt.Errorf("event %d: %w", n, err)) {
				return
			}
			for _, op := range a.due(n) {
				if !yield(op.finish(), nil) {
					return
				}
			}
		}
		for _, op := range a.rest() {
			if !yield(op.finish(), nil) {
				return
			}
		}
	}
}

// An assembly is the operations that are being put together.
type assembly struct {
	open map[interceptor.UID]*assembled
	// ended holds those with an outcome, in the order of their outcomes.
	ended []*assembled

	tree    profile.Tree // of the event that was read last
	reading reading      // of it
}

type assembled struct {
	Operation
	byUID map[interceptor.UID]int // index in Evaluations, once they are many
	// Numbers of the first and the last event.
	began, last int
}

func (a *assembly) add(raw []byte, n int) error {
	h, err := profile.ParseTree(raw, &a.tree)
	if err != nil {
		return err
	}
	if !isFact(h.Kind) {
		return nil
	}
	op := a.open[interceptor.UID(h.OperationUID)]
	a.reading.known = nil
	if op != nil {
		a.reading.known = &op.Operation.Operation
	}
	r, err := a.reading.read(&a.tree, h)
	if err != nil {
		return err
	}
	a.take(op, r, n)
	return nil
}

// take adds what a fact says to op, its operation; nil when there is none yet. Of
// texts of the header it keeps copies: with one that is kept all of them are.
func (a *assembly) take(op *assembled, r *Recorded, n int) {
	if op == nil {
		op = &assembled{began: n}
		op.Operation.Operation = *r.Operation
		op.UID = interceptor.UID(strings.Clone(string(op.UID)))
		for _, s := range []*string{&op.Tenant, &op.Service, &op.Method} {
			*s = a.reading.names.of(*s)
		}
		a.open[op.UID] = op
	}
	op.last = n
	op.learn(r, a.reading.names)
	if r.Outcome != nil && op.Outcome == nil {
		op.Outcome, op.Truncated, op.Redacted, op.Plan = r.Outcome, r.Truncated, r.Redacted, a.reading.names.of(r.Header.PlanDigest)
		op.LabelsRedacted, op.ReasonRedacted = r.LabelsRedacted, r.ReasonRedacted
		a.ended = append(a.ended, op)
	}
}

func (e Evaluation) judges() bool { return e.Phase != interceptor.PostCommit }

// learn takes over what a fact says of its operation and evaluation.
func (op *assembled) learn(r *Recorded, names names) {
	known, told := &op.Operation.Operation, r.Operation
	if known.Principal == nil {
		known.Principal = told.Principal
	}
	if known.Attributes == nil {
		known.Attributes = told.Attributes
	}
	if known.Start.IsZero() {
		known.Start = told.Start
	}
	if known.Labels == nil {
		known.Labels = told.Labels
	}
	known.RequestID = or(known.RequestID, told.RequestID)
	if !known.Trace.HasSpanID() {
		known.Trace = told.Trace
	}
	if !known.Span.HasSpanID() {
		known.Span = told.Span
	}
	known.Durable = known.Durable || told.Durable
	if op.Plan == "" {
		op.Plan = names.of(r.Header.PlanDigest)
	}
	if r.Evaluation == nil {
		return
	}
	e := op.evaluation(r.Evaluation.UID)
	begins := e == nil
	if begins {
		e = op.begin(r.Evaluation, names)
	}
	e.Redacted = e.Redacted || r.Redacted
	if r.Binding.Shadow {
		e.Shadow, e.Would = true, r.Would
	}
	switch {
	case r.Result != nil && e.Result == nil:
		e.Result, e.Truncated = r.Result, r.Truncated
	case r.Failure != nil && e.Failure == nil:
		e.Failure = r.Failure
		e.Failure.Kind = interceptor.FailureKind(names.of(string(r.Failure.Kind)))
	case r.Result == nil && r.Failure == nil && !e.input:
		if !begins {
			op.keep(e.Evaluation, r.Evaluation, e.UID, names)
		}
		e.Missing, e.input = r.Missing, true
		e.payload, e.state, e.sameAs, e.stateSameAs = r.payload, r.state, r.SameAs, r.StateSameAs
		e.visible, e.metadataSameAs = r.visible, r.MetadataSameAs
	}
}

// begin adds an evaluation.
func (op *assembled) begin(told *interceptor.Evaluation, names names) *Evaluation {
	if op.Evaluations == nil {
		op.Evaluations = make([]Evaluation, 0, min(max(told.Count, 1), 8))
	}
	kept := new(interceptor.Evaluation)
	op.keep(kept, told, interceptor.UID(strings.Clone(string(told.UID))), names)
	op.Evaluations = append(op.Evaluations, Evaluation{Evaluation: kept})
	switch n := len(op.Evaluations); {
	case n == few+1:
		op.byUID = make(map[interceptor.UID]int, 2*few)
		for i := range op.Evaluations {
			op.byUID[op.Evaluations[i].UID] = i
		}
	case n > few:
		op.byUID[kept.UID] = n - 1
	}
	return &op.Evaluations[len(op.Evaluations)-1]
}

// keep makes kept what was told of an evaluation, and so was to last no longer than
// its event.
func (op *assembled) keep(kept, told *interceptor.Evaluation, uid interceptor.UID, names names) {
	*kept = *told
	kept.UID, kept.Operation, kept.Service, kept.Method = uid, op.UID, names.of(told.Service), names.of(told.Method)
	kept.Interceptor, kept.Binding = names.of(told.Interceptor), names.of(told.Binding)
}

// due returns the ended operations that nothing more is waited for, now that n
// events were read. ended is in the order of their outcomes.
func (a *assembly) due(n int) []*assembled {
	var out []*assembled
	for len(a.ended) > 0 && n-a.ended[0].last >= patience {
		op := a.ended[0]
		a.ended = a.ended[1:]
		delete(a.open, op.UID)
		out = append(out, op)
	}
	return out
}

// quiet returns all ended operations.
func (a *assembly) quiet() []*assembled {
	out := a.ended
	a.ended = nil
	for _, op := range out {
		delete(a.open, op.UID)
	}
	return out
}

// rest returns all operations that are left: the ended ones, then the others as
// they began.
func (a *assembly) rest() []*assembled {
	var cut []*assembled
	for _, op := range a.open {
		if op.Outcome == nil && slices.ContainsFunc(op.Evaluations, Evaluation.judges) {
			cut = append(cut, op)
		}
	}
	slices.SortFunc(cut, func(x, y *assembled) int { return x.began - y.began })
	return append(a.ended, cut...)
}

// finish resolves what the events of the operation say of each other.
func (op *assembled) finish() *Operation {
	op.order()
	for i := range op.Evaluations {
		e := &op.Evaluations[i]
		e.Principal, e.RequestID = op.Principal, op.RequestID
		if !op.Span.IsValid() {
			e.Trace = op.Operation.Trace
		}
		for _, name := range e.visible {
			if value, ok := op.Attributes[name]; ok {
				if e.Attributes == nil {
					e.Attributes = map[string]string{}
				}
				e.Attributes[name] = value
			}
		}
		if !e.input {
			e.Missing = "the evaluation event is not in the record"
		}
		op.again(e)
	}
	op.messages()
	if op.Outcome != nil {
		op.join()
	}
	return &op.Operation
}

// order brings the evaluations into the order in which the bindings were called. An
// event that was sent again is stored behind those that came after it. Where one
// that judges has no event of its own, nobody knows its place, and the operation is
// not whole anyway.
func (op *assembled) order() {
	called := func(x, y Evaluation) int {
		return cmp.Or(cmp.Compare(x.Phase, y.Phase), cmp.Compare(x.Index, y.Index))
	}
	if slices.IsSortedFunc(op.Evaluations, called) ||
		slices.ContainsFunc(op.Evaluations, func(e Evaluation) bool { return e.judges() && !e.input }) {
		return
	}
	slices.SortStableFunc(op.Evaluations, called)
	if op.byUID == nil {
		return
	}
	for i := range op.Evaluations {
		op.byUID[op.Evaluations[i].UID] = i
	}
}

// messages finds the operation's own messages among those shown to bindings.
// The request is what the first binding was shown: later ones see it patched.
func (op *assembled) messages() {
	for i := range op.Evaluations {
		e := &op.Evaluations[i]
		if e.Phase == interceptor.PostCommit {
			if op.Outcome != nil && op.Outcome.Response == nil {
				op.Outcome.Response = e.payload
			}
			continue
		}
		if i == 0 {
			op.Request = e.payload
		}
		if op.State == nil {
			op.State = e.state
		}
	}
}

// join gives the parts of the outcome their evaluations.
func (op *assembled) join() {
	for i := range op.Outcome.Parts {
		p := &op.Outcome.Parts[i]
		if p.Skipped != "" {
			continue
		}
		for _, e := range op.Evaluations {
			if e.Interceptor == p.Interceptor && e.Binding == p.Binding && e.Phase == p.Phase {
				p.Evaluation = e.UID
				if p.Shadow {
					p.Would = e.Would
				}
				if p.Failure != nil && e.Failure != nil {
					p.Failure = e.Failure
					p.Decision = e.Failure.Decision
				}
			}
		}
	}
}
