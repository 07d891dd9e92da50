// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/ocsf"
)

// An act is one recorded operation on stage. It is used by one goroutine at a
// time: the chain calls bindings one after the other, and those of post_commit
// only when it has returned.
type act struct {
	op   *activity.Operation
	uids int
	done chan struct{} // closed when the last binding of post_commit has ended

	accepted []interceptor.Patch // so far

	reexecuted, answered int
	unanswered           int
	unreplayable         string            // why, if it cannot be replayed
	missed               *interceptor.Part // the binding that could not be answered for
	missing              interceptor.UID   // the last evaluation that could not be answered
	erred                *interceptor.Part // the first binding that failed now and not then
}

func (a *act) nextUID() interceptor.UID {
	a.uids++
	return interceptor.UID(fmt.Sprintf("%s/%d", a.op.UID, a.uids))
}

// Why an operation cannot be replayed.
const (
	noOutcome   = "the record has no outcome of it"
	noPayload   = "its payload is not in the record"
	noState     = "the current state is not in the record"
	noResponse  = "what was committed is not in the record"
	noPatches   = "its patches were too large to be recorded"
	notCalled   = "no implementation here, and the binding was not called then"
	cutOff      = "no implementation here, and the binding's answer is not in the record"
	otherInput  = "no implementation here, and the binding would be shown another input than then"
	resultLarge = "no implementation here, and the binding's result was too large to be recorded"

	redactedInput   = "its payload is redacted"
	redactedPatches = "its patches are redacted"
	redactedResult  = "no implementation here, and the binding's result is redacted"
)

// replay takes one operation through the candidate and compares.
func (s *stage) replay(ctx context.Context, op *activity.Operation) Group {
	a := &act{op: op, done: make(chan struct{})}
	w := s.wanted(op.Service, op.Method)
	if why := unfit(op, w); why != "" {
		s.report.unanswered += w.before
		return Group{Comparison: Unreplayable, Reason: why}
	}
	s.now = a
	again := op.Operation
	again.Durable = false
	if again.Labels == nil && w.byLabel {
		again.Labels = labelsOf(op.Request)
	}
	if again.Metadata == nil {
		again.Metadata = initialMetadata(op)
	}
	out := s.chain.Run(ctx, &again, a.handle)
	if out.Ran && out.HandlerStatus.Code() == codes.OK && w.after > passedOver(out) {
		<-a.done
	}
	s.report.Reexecuted += a.reexecuted
	s.report.Replayed += a.reexecuted + a.answered
	s.report.unanswered += a.unanswered
	return a.compare(out)
}

// unfit says why an operation cannot be put on stage; "" when it can.
func unfit(op *activity.Operation, w wants) string {
	if op.Outcome == nil {
		return noOutcome
	}
	if w.before == 0 {
		return ""
	}
	if op.Request == nil && (!w.selective || w.byLabel && !knowsLabels(op)) {
		return noPayload // else it may be that no binding is called
	}
	for _, e := range op.Evaluations {
		if e.Phase == interceptor.Validate && e.Missing != "" && e.Payload != nil {
			return noState
		}
	}
	return ""
}

// passedOver counts the bindings of post_commit that do not select the operation.
func passedOver(out *interceptor.Outcome) int {
	n := 0
	for i := range out.Parts {
		if p := &out.Parts[i]; p.Phase == interceptor.PostCommit && p.Skipped != "" {
			n++
		}
	}
	return n
}

// handle answers what the handler answered then. Where it did not run then it
// is taken to have succeeded, with a response that nobody knows.
func (a *act) handle(context.Context, proto.Message) (proto.Message, error) {
	then := a.op.Outcome
	if !then.Ran {
		return nil, nil
	}
	if then.HandlerStatus.Code() != codes.OK {
		return nil, then.HandlerStatus.Err()
	}
	return then.Response, nil
}

// recorded returns what the record says of the same binding in the same phase.
func (a *act) recorded(e *interceptor.Evaluation) *activity.Evaluation {
	i := slices.IndexFunc(a.op.Evaluations, func(r activity.Evaluation) bool {
		return r.Interceptor == e.Interceptor && r.Binding == e.Binding && r.Phase == e.Phase
	})
	if i < 0 {
		return nil
	}
	return &a.op.Evaluations[i]
}

// A standIn is called in place of a binding's implementation.
type standIn struct {
	stage  *stage
	impl   interceptor.Interceptor // nil: there is only the record
	shadow bool
}

// Describe implements [interceptor.Interceptor].
func (s *standIn) Describe(ctx context.Context) (*interceptor.Manifest, error) {
	if s.impl == nil {
		return &interceptor.Manifest{}, nil
	}
	return s.impl.Describe(ctx)
}

// Evaluate implements [interceptor.Interceptor].
func (s *standIn) Evaluate(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	a := s.stage.now
	then := a.recorded(e)
	if e.Phase == interceptor.PostCommit && a.op.Outcome.Response == nil && (then == nil || then.Failure == nil) {
		return nil, s.miss(e, noResponse)
	}
	if then != nil && then.Failure != nil {
		a.answered++
		return nil, &interceptor.Failure{Kind: then.Failure.Kind, Detail: then.Failure.Detail}
	}
	if e.Phase != interceptor.PostCommit && a.op.Request == nil {
		return nil, s.miss(e, noPayload)
	}
	shown := a.shown(e)
	if s.impl != nil {
		if a.redacted(then, e.Phase) {
			return nil, s.miss(e, redactedInput)
		}
		a.reexecuted++
		return s.impl.Evaluate(ctx, shown)
	}
	var why string
	switch {
	case then == nil:
		why = notCalled
	case then.Result == nil:
		why = cutOff
	case then.Truncated:
		why = resultLarge
	case slices.ContainsFunc(then.Result.Patches, valueless):
		why = redactedResult
	case !equal(then.Payload, shown.Payload) || !equal(then.State, shown.State) || !sameScope(then.Evaluation, shown):
		why = otherInput
	default:
		a.answered++
		again := *then.Result
		again.Violation = ""
		return &again, nil
	}
	return nil, s.miss(e, why)
}

// redacted says whether the record has the input of a binding not as it was. A
// binding that was not called then is shown what others were.
func (a *act) redacted(then *activity.Evaluation, phase interceptor.Phase) bool {
	if then != nil {
		return then.Redacted
	}
	return slices.ContainsFunc(a.op.Evaluations, func(e activity.Evaluation) bool {
		return e.Redacted && (e.Phase == interceptor.PostCommit) == (phase == interceptor.PostCommit)
	})
}

// valueless says whether a patch has lost its value.
func valueless(p interceptor.Patch) bool {
	return p.Value == nil && (p.Op == "add" || p.Op == "replace" || p.Op == "test")
}

// shown returns the evaluation as the binding is to see it. The chain here knows
// the payload as JSON only, while the recorded one made each patched payload a
// message of the RPC's type, which leaves out defaults and settles names. So
// where the patches so far are those of the record, the payload is its too.
func (a *act) shown(e *interceptor.Evaluation) *interceptor.Evaluation {
	if e.Phase == interceptor.PostCommit || len(a.accepted) == 0 {
		return e
	}
	var then []interceptor.Patch
	for i := range a.op.Evaluations {
		r := &a.op.Evaluations[i]
		if r.Phase == interceptor.PostCommit {
			break
		}
		if r.Payload != nil && slices.EqualFunc(then, a.accepted, samePatch) {
			c := *e
			c.Payload = r.Payload
			return &c
		}
		if r.Result != nil && r.Result.Decision == interceptor.Modify && !a.shadowed(r.UID) {
			then = append(then, r.Result.Patches...)
		}
	}
	return e
}

// shadowed says whether an evaluation of the record was a shadow's.
func (a *act) shadowed(uid interceptor.UID) bool {
	return slices.ContainsFunc(a.op.Outcome.Parts, func(p interceptor.Part) bool { return p.Shadow && p.Evaluation == uid })
}

// miss notes that an evaluation could neither be re-executed nor answered from
// the record. What post_commit or a shadow would say changes nothing about the
// operation, so that it stays comparable.
func (s *standIn) miss(e *interceptor.Evaluation, why string) error {
	a := s.stage.now
	a.unanswered++
	a.missing = e.UID
	if a.unreplayable == "" && e.Phase != interceptor.PostCommit && !s.shadow {
		a.unreplayable = why
		a.missed = &interceptor.Part{Interceptor: e.Interceptor, Binding: e.Binding, Phase: e.Phase}
	}
	return &interceptor.Failure{Kind: interceptor.Unavailable, Detail: why}
}

// equal says whether two payloads are the same JSON.
func equal(x, y *interceptor.Payload) bool {
	if x == nil || y == nil {
		return x == nil && y == nil
	}
	a, err := x.JSON()
	if err != nil {
		return false
	}
	b, err := y.JSON()
	return err == nil && bytes.Equal(a, b)
}

// sameScope says whether two evaluations show the same attributes and metadata.
func sameScope(x, y *interceptor.Evaluation) bool {
	if !maps.Equal(x.Attributes, y.Attributes) || len(x.Metadata) != len(y.Metadata) {
		return false
	}
	if len(x.Metadata) == 0 {
		return true
	}
	a, err := ocsf.EncodeValue(x.Metadata)
	if err != nil {
		return false
	}
	b, err := ocsf.EncodeValue(y.Metadata)
	return err == nil && bytes.Equal(a, b)
}

// Record implements [interceptor.Recorder]: the stage watches its own chain.
func (s *stage) Record(f interceptor.Fact) {
	e := f.Evaluation
	if e == nil || f.Result == nil && f.Failure == nil {
		return
	}
	a := s.now
	if f.Result != nil && f.Result.Decision == interceptor.Modify && !f.Binding.Shadow {
		a.accepted = append(a.accepted, f.Result.Patches...)
	}
	if f.Failure != nil && a.erred == nil && a.missing != e.UID && !f.Binding.Shadow {
		if then := a.recorded(e); then == nil || then.Failure == nil {
			a.erred = &interceptor.Part{Interceptor: e.Interceptor, Binding: e.Binding, Phase: e.Phase, Failure: &interceptor.Failure{Kind: f.Failure.Kind}}
		}
	}
	if e.Phase == interceptor.PostCommit && e.Index == e.Count-1 {
		close(a.done)
	}
}

// Barrier implements [interceptor.Recorder]. Nobody waits in replay.
func (s *stage) Barrier(context.Context, interceptor.UID) error { return nil }
