// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/remote"
	"github.com/docket-audit/docket/ocsf"
)

// An act is one recorded operation on stage. It is used by one goroutine at a
// time: the chain calls bindings one after the other, and those of post_commit
// only when it has returned.
type act struct {
	take
	op      *activity.Operation
	request proto.Message
	altered bool // the request is not that of the record
	uids    int
	done    chan struct{} // closed when the last binding of post_commit has ended

	missing interceptor.UID // the last evaluation that could not be answered

	mu       sync.Mutex          // guards the rest: an implementation that answers too late is not waited for
	stopped  error               // by who observes
	ended    int                 // evaluations that have
	accepted []interceptor.Patch // so far
	given    []interceptor.Patch // what the last binding answered, if the chain was told otherwise
}

// turn begins an evaluation and returns its number.
func (a *act) turn() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.given = nil
	return a.ended
}

// soFar returns the patches that were accepted.
func (a *act) soFar() []interceptor.Patch {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accepted
}

func (a *act) nextUID() interceptor.UID {
	a.uids++
	return a.op.UID + "/" + interceptor.UID(strconv.Itoa(a.uids)) // called in the small stack of a worker
}

// Why an operation cannot be replayed.
const (
	noOutcome    = "the record has no outcome of it"
	noEvaluation = "an event of an evaluation is not in the record"
	noPayload    = "its payload is not in the record"
	noState      = "the current state is not in the record"
	noMetadata   = "the metadata are not in the record"
	noResponse   = "what was committed is not in the record"
	noPatches    = "its patches were too large to be recorded"
	notCalled    = "no implementation here, and the binding was not called then"
	cutOff       = "no implementation here, and the binding's answer is not in the record"
	otherInput   = "no implementation here, and the binding would be shown another input than then"
	resultLarge  = "no implementation here, and the binding's result was too large to be recorded"

	redactedLabels  = "its labels are redacted"
	redactedInput   = "its payload is redacted"
	redactedPatches = "its patches are redacted"
	redactedResult  = "no implementation here, and the binding's result is redacted"
)

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
	stage  *Stage
	impl   interceptor.Interceptor // nil: there is only the record
	remote bool
	shadow bool

	maxBytes int // of a result
}

func newStandIn(s *Stage, b *interceptor.Binding) *standIn {
	_, dialled := b.Impl.(*remote.Client)
	return &standIn{
		stage: s, impl: b.Impl, remote: dialled, shadow: b.Shadow,
		maxBytes: cmp.Or(b.MaxResponseBytes, interceptor.DefaultMaxResponseBytes),
	}
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
	a := s.stage.now.Load() // once: whoever answers too late finds another there
	turn := a.turn()
	then := a.recorded(e)
	if s.stage.observe == nil {
		r, _, err := s.answer(ctx, a, e, then)
		return s.settled(ctx, a, turn, e, r), err
	}
	if err := a.stoppedBy(); err != nil {
		return nil, a.abort(err)
	}
	m := &Moment{Operation: a.op, Evaluation: a.shown(e, then), Shadow: s.shadow, Then: then}
	if err := s.stage.observe(ctx, m); err != nil {
		return nil, a.abort(err)
	}
	m.Result, m.From, m.Err = s.caught(ctx, a, e, then)
	m.Answered = true
	if err := s.stage.observe(ctx, m); err != nil {
		return nil, a.abort(err)
	}
	return s.settled(ctx, a, turn, e, m.Result), m.Err
}

// caught has the binding answer where somebody observes it, who is told of a panic
// too: as the failure that the chain makes of it.
func (s *standIn) caught(ctx context.Context, a *act, e *interceptor.Evaluation, then *activity.Evaluation) (r *interceptor.Result, from Origin, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			r, from, err = nil, Linked, &interceptor.Failure{Kind: interceptor.Panic, Detail: fmt.Sprintf("%v\n%s", cause, debug.Stack())}
		}
	}()
	return s.answer(ctx, a, e, then)
}

// answer has the binding answer, or answers for it.
func (s *standIn) answer(ctx context.Context, a *act, e *interceptor.Evaluation, then *activity.Evaluation) (*interceptor.Result, Origin, error) {
	if e.Phase == interceptor.PostCommit && a.op.Outcome.Response == nil && (then == nil || then.Failure == nil) {
		return nil, Nowhere, s.miss(a, e, noResponse)
	}
	if then != nil && then.Failure != nil {
		a.answered++
		return nil, FromRecord, &interceptor.Failure{Kind: then.Failure.Kind, Detail: then.Failure.Detail}
	}
	if e.Phase != interceptor.PostCommit && a.request == nil {
		return nil, Nowhere, s.miss(a, e, noPayload)
	}
	shown := a.shown(e, then)
	if s.impl != nil {
		if a.redacted(then, e.Phase) {
			return nil, Nowhere, s.miss(a, e, redactedInput)
		}
		origin := Linked
		if a.linked++; s.remote {
			a.linked--
			a.dialled++
			origin = Dialled
		}
		r, err := s.impl.Evaluate(ctx, shown)
		return r, origin, err
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
		return &again, FromRecord, nil
	}
	return nil, Nowhere, s.miss(a, e, why)
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

// shown returns the evaluation as the binding is to see it: with the uid and the
// time of the record, for interceptors that take their samples by the one and
// look at the clock in the other.
//
// The chain here knows the payload as JSON only, while the recorded one made each
// patched payload a message of the RPC's type, which leaves out defaults and
// settles names. So where the patches so far are those of the record, the payload
// is its too.
func (a *act) shown(e *interceptor.Evaluation, then *activity.Evaluation) *interceptor.Evaluation {
	c := *e
	if then != nil {
		c.UID = then.UID
		if !then.Start.IsZero() {
			c.Start = then.Start
		}
	}
	if e.Phase == interceptor.PostCommit || a.altered {
		return &c
	}
	accepted := a.soFar()
	if len(accepted) == 0 {
		return &c
	}
	if r := a.after(accepted); r != nil {
		c.Payload = r.Payload
	}
	return &c
}

// after returns an evaluation of the record that was shown what just these patches
// made of the request; nil when it has none.
func (a *act) after(patches []interceptor.Patch) *activity.Evaluation {
	var then []interceptor.Patch
	for i := range a.op.Evaluations {
		r := &a.op.Evaluations[i]
		if r.Phase == interceptor.PostCommit {
			break
		}
		if r.Payload != nil && slices.EqualFunc(then, patches, samePatch) {
			return r
		}
		switch {
		case a.shadowed(r.UID) || r.Failure != nil:
		case r.Result == nil || r.Truncated:
			return nil // its patches are not known, and so not those up to what follows
		case r.Result.Decision == interceptor.Modify:
			then = append(then, r.Result.Patches...)
		}
	}
	return nil
}

// settled returns a result as the chain is told it. Where patches are those of the
// record, it is told what they made of the request then, in as many patches: a
// binding that patches next finds names and numbers as the message's type had
// settled them.
func (s *standIn) settled(ctx context.Context, a *act, turn int, e *interceptor.Evaluation, r *interceptor.Result) *interceptor.Result {
	if r == nil || r.Decision == interceptor.Deny || len(r.Patches) == 0 || e.Phase != interceptor.ModifyOperation || s.shadow {
		return r
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil || a.ended != turn || a.altered { // nobody waits for it, or there is no record of it
		return r
	}
	then := a.after(slices.Concat(a.accepted, r.Patches))
	if then == nil || then.Redacted {
		return r
	}
	whole, err := then.Payload.JSON()
	if err != nil {
		return r
	}
	told := *r
	told.Patches = slices.Repeat([]interceptor.Patch{{Op: "replace", Value: []byte("{}")}}, len(r.Patches))
	told.Patches[len(told.Patches)-1].Value = whole
	if sizeOf(r) > s.maxBytes || sizeOf(&told) > s.maxBytes {
		return r
	}
	a.given = r.Patches
	return &told
}

// sizeOf is at least what the chain takes for the size of a result.
func sizeOf(r *interceptor.Result) int {
	n := len(r.Reason) + len(r.StatusCode)
	for _, p := range r.Patches {
		n += len(p.Op) + len(p.Path) + len(p.From) + len(p.Value) + 8
	}
	for k, v := range r.Annotations {
		n += len(k) + len(v) + 4
	}
	for _, w := range r.Warnings {
		n += len(w) + 2
	}
	if len(r.Metadata) > 0 {
		raw, _ := ocsf.EncodeValue(r.Metadata)
		n += 4 * len(raw)
	}
	return n
}

// shadowed says whether an evaluation of the record was a shadow's.
func (a *act) shadowed(uid interceptor.UID) bool {
	return slices.ContainsFunc(a.op.Outcome.Parts, func(p interceptor.Part) bool { return p.Shadow && p.Evaluation == uid })
}

// miss notes that an evaluation could neither be re-executed nor answered from
// the record. What post_commit or a shadow would say changes nothing about the
// operation, so that it stays comparable.
func (s *standIn) miss(a *act, e *interceptor.Evaluation, why string) error {
	if why != noResponse { // nobody could be shown what was never committed
		a.unanswered++
	}
	a.missing = e.UID
	if a.unreplayable == "" && e.Phase != interceptor.PostCommit && !s.shadow {
		a.unreplayable = why
		a.missed = &interceptor.Part{Interceptor: e.Interceptor, Binding: e.Binding, Phase: e.Phase}
	}
	return &interceptor.Failure{Kind: interceptor.Unavailable, Detail: why}
}

// abort ends the operation because somebody who observes it wants no more of it.
func (a *act) abort(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped == nil {
		a.stopped = err
	}
	return &interceptor.Failure{Kind: interceptor.Cancelled, Detail: err.Error()}
}

// stoppedBy returns why the operation was to end; nil when it was not.
func (a *act) stoppedBy() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stopped
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
