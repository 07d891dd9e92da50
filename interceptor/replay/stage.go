// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// patience is how long an implementation may take in replay. A machine that
// runs tests is no place to measure the timeouts of production, so those of
// the plan are not lower than this.
const patience = 30 * time.Second

// A Stage is one plan, its bindings stood in for, with the chain that runs it.
// It is used by one goroutine at a time, and closed in the end.
type Stage struct {
	chain   *interceptor.Chain
	plan    *interceptor.Plan
	now     atomic.Pointer[act] // the operation on stage
	observe func(context.Context, *Moment) error
	wants   map[method]wants
}

type method struct{ service, name string }

// wants is what a plan calls for one method. Selective says that it may be less
// for some operations, byLabel that their labels are to tell.
type wants struct {
	before, after      int
	selective, byLabel bool
}

// NewStage returns a stage for a copy of plan. A plan that cannot be run is an
// [*interceptor.PlanError].
func NewStage(plan *interceptor.Plan) (*Stage, error) {
	s := &Stage{wants: map[method]wants{}}
	c := *plan
	c.Audit, c.AuditDeadline = interceptor.AuditBestEffort, 0
	c.Bindings = slices.Clone(plan.Bindings)
	for i := range c.Bindings {
		b := &c.Bindings[i]
		b.Impl = newStandIn(s, b)
		b.Timeout = max(b.Timeout, patience)
	}
	var err error
	if s.chain, err = interceptor.New(&c, s); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	s.plan = s.chain.Plan()
	// An interceptor that looks at the time of an evaluation sees the time of
	// the record.
	s.chain.Now = func() time.Time { return s.now.Load().op.Start }
	s.chain.NewUID = func() interceptor.UID { return s.now.Load().nextUID() }
	return s, nil
}

// Close waits, for a while, for implementations that outlived their timeout:
// nothing else runs any more.
func (s *Stage) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.chain.Close(ctx)
}

// Replay takes one operation through the plan and says how it compares with its
// record.
func (s *Stage) Replay(ctx context.Context, op *activity.Operation) Diff {
	var then take
	then.ofRecord(op)
	now := s.run(ctx, op, nil)
	return compare(op, &then, now, nil)
}

// Ask takes one operation through the plan with another request than it had, and
// returns what comes of it. A binding that has no implementation can answer only
// as long as it is shown what it was shown then, as in [Run]: then why is not
// empty and says what is missing, and the outcome means nothing.
func (s *Stage) Ask(ctx context.Context, op *activity.Operation, request proto.Message) (out *interceptor.Outcome, why string) {
	t := s.run(ctx, op, request)
	return t.outcome, t.unreplayable
}

// run takes one operation through the plan. A request that is not nil stands in
// place of its own.
func (s *Stage) run(ctx context.Context, op *activity.Operation, request proto.Message) *take {
	a := &act{op: op, request: op.Request, done: make(chan struct{})}
	if request != nil {
		a.request, a.altered = request, true
	}
	w := s.wanted(op.Service, op.Method)
	if why := unfit(op, w, a.request); why != "" {
		a.unanswered, a.unreplayable = w.before, why
		return &a.take
	}
	s.now.Store(a)
	again := op.Operation
	again.Durable, again.Request = false, a.request
	if w.byLabel && (again.Labels == nil || op.LabelsRedacted || a.altered) {
		again.Labels = labelsOf(a.request)
	}
	if again.Metadata == nil {
		again.Metadata = initialMetadata(op)
	}
	a.outcome = s.chain.Run(ctx, &again, a.handle)
	a.outcome.Patches, a.aborted = a.soFar(), a.stoppedBy()
	if a.outcome.Ran && a.outcome.HandlerStatus.Code() == codes.OK && w.after > passedOver(a.outcome) {
		<-a.done
		a.aborted = a.stoppedBy()
	}
	return &a.take
}

// wanted counts the bindings that the plan calls for a method, before and after
// the handler.
func (s *Stage) wanted(service, name string) wants {
	key := method{service, name}
	if w, ok := s.wants[key]; ok {
		return w
	}
	var w wants
	for _, b := range s.plan.Bindings {
		if one := (interceptor.Plan{Bindings: []interceptor.Binding{b}}); !one.Governs(service, name) {
			continue
		}
		w.selective = w.selective || len(b.Principals)+len(b.Labels) > 0
		w.byLabel = w.byLabel || len(b.Labels) > 0
		for _, phase := range b.Phases {
			if phase == interceptor.PostCommit {
				w.after++
			} else {
				w.before++
			}
		}
	}
	s.wants[key] = w
	return w
}

// unfit says why an operation cannot be put on stage; "" when it can.
func unfit(op *activity.Operation, w wants, request proto.Message) string {
	if op.Outcome == nil {
		return noOutcome
	}
	if w.before == 0 {
		return ""
	}
	if request == nil && w.byLabel && !knowsLabels(op) {
		return noPayload // else it may be that no binding is called
	}
	if w.byLabel && op.LabelsRedacted && (request == nil || op.Evaluations[0].Redacted) {
		return redactedLabels
	}
	for i := range op.Evaluations {
		if why := halfShown(&op.Evaluations[i]); why != "" {
			return why
		}
	}
	if slices.ContainsFunc(op.Outcome.Parts, unheard) {
		return noEvaluation
	}
	return ""
}

// unheard says that the outcome tells more of a binding's part than the record
// has events of: it was called, and nobody knows with what, or failed, and nobody
// knows how.
func unheard(p interceptor.Part) bool {
	return p.Skipped == "" && (p.Evaluation == "" || p.Failure != nil && p.Failure.Kind == "")
}

// halfShown says what a binding was shown beside the payload that is not in the
// record; "" when nothing is missing. The words are those of the event.
func halfShown(e *activity.Evaluation) string {
	switch {
	case e.Phase == interceptor.PostCommit || e.Missing == "":
		return ""
	case strings.Contains(e.Missing, notRecorded):
		return noEvaluation
	case strings.Contains(e.Missing, "metadata"):
		return noMetadata
	case e.Phase == interceptor.Validate && e.Payload != nil:
		return noState
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

// Record implements [interceptor.Recorder]: the stage watches its own chain.
func (s *Stage) Record(f interceptor.Fact) {
	e := f.Evaluation
	if e == nil || f.Result == nil && f.Failure == nil {
		return
	}
	a := s.now.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended++
	answer := answer{Interceptor: e.Interceptor, Binding: e.Binding, Phase: e.Phase, Shadow: f.Binding.Shadow, missed: a.missing == e.UID}
	if f.Result != nil {
		r := *f.Result // which is the chain's, and what it holds the interceptor's, who may use that memory again
		r.Patches, r.Annotations = copied(r.Patches), maps.Clone(r.Annotations)
		answer.result = &r
	} else {
		failure := *f.Failure
		answer.failure = &failure
	}
	if r := answer.result; r != nil && r.Decision == interceptor.Modify && !f.Binding.Shadow {
		if a.given != nil {
			r.Patches = copied(a.given)
		}
		n := len(a.accepted)
		a.accepted = append(a.accepted, r.Patches...)
		a.edits = append(a.edits, edit{by: answer.part(), patches: a.accepted[n:]})
	}
	a.answers = append(a.answers, answer)
	if e.Phase == interceptor.PostCommit && e.Index == e.Count-1 {
		close(a.done)
	}
}

// copied returns patches whose values nobody else has.
func copied(patches []interceptor.Patch) []interceptor.Patch {
	patches = slices.Clone(patches)
	for i := range patches {
		patches[i].Value = slices.Clone(patches[i].Value)
	}
	return patches
}

// Barrier implements [interceptor.Recorder]. Nobody waits in replay.
func (s *Stage) Barrier(context.Context, interceptor.UID) error { return nil }
