// SPDX-License-Identifier: Apache-2.0

package why

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/genproto/googleapis/rpc/code"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
)

// DefaultBudget is how often an operation is asked at most.
const DefaultBudget = 2000

// again is how often what is relied on is asked once more, to see whether it is
// answered equally.
const again = 2

// maxFields bounds how many fields are listed, decisive ones and others.
const maxFields = 50

// Options say how far to look.
type Options struct {
	// Budget is how often the operation may be asked; 0 is DefaultBudget, less
	// than 0 asks only whether the record still holds.
	Budget int
	// Allowed are other operations, the newest first. Of those of the same method
	// that were allowed the values are tried. May be nil.
	Allowed []*activity.Operation
}

var errNoOutcome = errors.New("the record has no outcome of the operation: it was cut off, or is still under way")

// Explain says why an operation came out as it did. plan is asked now: the one
// that was in force for it, or a candidate. A binding of it without an
// implementation is answered for from the record. Without a plan, nil, the record
// is all that is told.
//
// When ctx has a deadline the search ends there, and the Answer says so. When it
// is cancelled Explain fails.
func Explain(ctx context.Context, op *activity.Operation, plan *interceptor.Plan, o Options) (*Answer, error) {
	if op.Outcome == nil {
		return nil, errNoOutcome
	}
	a := recorded(op)
	if plan == nil {
		a.Now.Why = "there is no plan to ask"
		return a, nil
	}
	x := &explaining{op: op, plan: deciding(plan), options: o, answer: a}
	if digest := plan.Digest(); digest != op.Plan {
		a.Asked = digest
	}
	x.options.Budget = cmp.Or(o.Budget, DefaultBudget)
	base, err := x.confirm(ctx)
	if err == nil && base != nil && x.options.Budget > 0 {
		err = x.look(ctx, base)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, fmt.Errorf("explain operation %s: %w", op.UID, context.Cause(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("explain operation %s: %w", op.UID, err)
	}
	return a, nil
}

// recorded returns what the record says by itself.
func recorded(op *activity.Operation) *Answer {
	out := op.Outcome
	a := &Answer{
		Operation: string(op.UID), Tenant: op.Tenant, Service: op.Service, Method: op.Method,
		Decision: out.Decision.String(), By: bindingOf(out.By), Plan: op.Plan, Judged: []Judged{},
		Principal: op.Principal, Labels: op.Labels, Now: Now{How: NotAsked}, Fields: []Field{}, Notes: []string{},
	}
	if out.Decision == interceptor.Deny {
		a.Status, a.Reason = code.Code(out.Status.Code()).String(), out.Reason
	}
	for i := range out.Parts {
		p := &out.Parts[i]
		if p.Phase == interceptor.PostCommit {
			continue
		}
		j := Judged{Binding: *bindingOf(p), Decision: p.Decision.String(), Skipped: p.Skipped}
		if p.Shadow {
			j.Shadow, j.Decision = true, p.Would.String()
		}
		if p.Failure != nil {
			j.Failure, j.Policy = string(p.Failure.Kind), p.Failure.Policy.String()
		}
		a.Judged = append(a.Judged, j)
	}
	if out.By == nil {
		return a
	}
	if f := out.By.Failure; f != nil {
		a.Failure = &Failure{Kind: string(f.Kind), Policy: f.Policy.String(), Detail: f.Detail}
	}
	if e := evaluationOf(op, out.By); e != nil {
		a.Attributes, a.Metadata = e.Attributes, e.Metadata
		if e.Missing != "" {
			a.note("not in the record: %s", e.Missing)
		}
		if e.Redacted {
			a.note("the record has what %s was shown, or what it answered, not as it was: something is redacted", a.By)
		}
	}
	return a
}

func evaluationOf(op *activity.Operation, p *interceptor.Part) *activity.Evaluation {
	i := slices.IndexFunc(op.Evaluations, func(e activity.Evaluation) bool {
		return e.Interceptor == p.Interceptor && e.Binding == p.Binding && e.Phase == p.Phase
	})
	if i < 0 {
		return nil
	}
	return &op.Evaluations[i]
}

func (a *Answer) note(format string, args ...any) {
	a.Notes = append(a.Notes, fmt.Sprintf(format, args...))
}

// deciding returns the plan without what decides nothing.
func deciding(plan *interceptor.Plan) *interceptor.Plan {
	c := *plan
	c.Bindings = nil
	for _, b := range plan.Bindings {
		b.Phases = slices.DeleteFunc(slices.Clone(b.Phases), func(p interceptor.Phase) bool { return p == interceptor.PostCommit })
		if len(b.Phases) > 0 && !b.Shadow {
			c.Bindings = append(c.Bindings, b)
		}
	}
	return &c
}

// An explaining makes one Answer.
type explaining struct {
	op      *activity.Operation
	plan    *interceptor.Plan
	options Options
	answer  *Answer
}

func (x *explaining) binding(p *interceptor.Part) *interceptor.Binding {
	i := slices.IndexFunc(x.plan.Bindings, func(b interceptor.Binding) bool { return b.Interceptor == p.Interceptor && b.ID == p.Binding })
	if i < 0 {
		return nil
	}
	return &x.plan.Bindings[i]
}

// confirm asks the recorded request once more. It returns what came of it when
// more can be asked: when a binding denied it that can be asked.
func (x *explaining) confirm(ctx context.Context) (*verdict, error) {
	stage, err := replay.NewStage(x.plan)
	if err != nil {
		return nil, err
	}
	defer stage.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it says only that somebody did not heed its context
	now := &x.answer.Now
	v := verdictOf(stage.Ask(ctx, x.op, nil))
	if ctx.Err() != nil {
		now.Why = "there was no time to ask"
		return nil, nil
	}
	if v.missing != "" {
		now.Why = v.missing
		return nil, nil
	}
	now.How, now.Decision, now.Reason, now.By = ReExecuted, v.decision.String(), v.reason, bindingOf(v.by)
	if v.decision != interceptor.Deny {
		now.Reason = ""
		if !x.executes() {
			now.How, now.Why = FromRecord, "no binding that judges it has an implementation here"
		}
		return nil, nil
	}
	return x.denied(v)
}

// executes says whether any binding that judged can be asked.
func (x *explaining) executes() bool {
	return slices.ContainsFunc(x.plan.Bindings, func(b interceptor.Binding) bool {
		one := interceptor.Plan{Bindings: []interceptor.Binding{b}}
		return b.Impl != nil && one.Governs(x.op.Service, x.op.Method)
	})
}

// denied says of a request that is denied now whether more can be asked.
func (x *explaining) denied(v *verdict) (*verdict, error) {
	now := &x.answer.Now
	if v.by == nil {
		now.Why = "no binding denies it: " + v.reason
		return nil, nil
	}
	if e := evaluationOf(x.op, v.by); e != nil && e.Failure != nil {
		now.How, now.Why = FromRecord, "whatever was asked, it gave no answer"
		return nil, nil
	}
	if b := x.binding(v.by); b == nil || b.Impl == nil {
		now.How, now.Why = FromRecord, "it has no implementation here"
		return nil, nil
	}
	if v.part(v.by).Failure != nil {
		now.Why = "it fails now"
		return nil, nil
	}
	return v, nil
}

// look searches for what would have been allowed.
func (x *explaining) look(ctx context.Context, base *verdict) error {
	request, ok := objectOf(x.op.Request)
	if !ok {
		x.answer.note("nothing was varied: the request is not in the record")
		return nil
	}
	plan, assumed, why := x.askable(base)
	if why != "" {
		x.answer.note("nothing was varied: %s", why)
		return nil
	}
	stage, err := replay.NewStage(plan)
	if err != nil {
		return err
	}
	defer stage.Close(context.WithoutCancel(ctx)) //nolint:errcheck // as above
	q := &inquiry{stage: stage, op: x.op, request: request, budget: x.options.Budget, tries: 1, known: map[string]*verdict{}}
	for _, p := range base.parts {
		if p.Failure != nil {
			q.fails = append(q.fails, p)
			when := "now"
			if e := evaluationOf(x.op, &p); e != nil && e.Failure != nil {
				when = "then"
			}
			x.answer.note("%s failed %s, and is taken to fail again", bindingOf(&p), when)
		}
	}
	s := &search{
		inquiry: q, places: placesOf(request), experience: experienceOf(x.op, x.options.Allowed),
		edits: map[*place][]edit{}, decisive: map[string]bool{}, telling: map[string]bool{}, changed: map[string]bool{},
	}
	s.absent = s.lacking()
	x.answer.Search = &Search{Budget: q.budget, Fields: s.places.fields, Allowed: len(s.experience.requests), Assumed: assumed}
	if s.base = x.steady(ctx, s, base); s.base != nil {
		const kept = 2 * again // to ask once more in the end
		q.budget -= kept
		s.run(ctx)
		q.budget += kept
		stopped := q.stopped
		q.stopped = ""
		x.settle(ctx, s, stopped)
	} else {
		x.answer.Search.Stopped = q.stopped
	}
	x.answer.Search.Tries, x.answer.Search.Changed = q.tries, s.touched()
	if s.places.more {
		x.answer.note("the request has more fields, or deeper ones, than are varied")
	}
	return nil
}

// askable returns the plan to vary requests by: without the bindings that could
// answer only what they were asked then. They are assumed to have nothing against
// it. why says why that cannot be assumed.
func (x *explaining) askable(base *verdict) (plan *interceptor.Plan, assumed []Binding, why string) {
	c := *x.plan
	c.Bindings = nil
	for _, b := range x.plan.Bindings {
		one := interceptor.Plan{Bindings: []interceptor.Binding{b}}
		if b.Impl != nil || !one.Governs(x.op.Service, x.op.Method) {
			c.Bindings = append(c.Bindings, b)
			continue
		}
		for _, phase := range b.Phases {
			p := base.part(&interceptor.Part{Interceptor: b.Interceptor, Binding: b.ID, Phase: phase})
			switch {
			case p != nil && unselected(p):
				continue
			case p != nil && p.Decision == interceptor.Modify:
				return nil, nil, fmt.Sprintf("%s patched the request, and has no implementation here", bindingOf(p))
			}
			assumed = append(assumed, Binding{b.Interceptor, b.ID, phase.String()})
		}
	}
	return &c, assumed, ""
}

// steady asks the request as it was, a few times, and returns what came of it;
// nil when that is not always the same, or not what it should be.
func (x *explaining) steady(ctx context.Context, s *search, base *verdict) *verdict {
	var first *verdict
	for range 1 + again {
		v := s.again(ctx, nil)
		if v == nil {
			return nil
		}
		if first == nil {
			first = v
		}
		if !v.same(first) {
			x.unstable()
			return nil
		}
	}
	s.known[keyOf(nil)] = first
	if !first.same(base) {
		switch {
		case first.missing != "":
			x.answer.note("nothing was varied: %s", first.missing)
		case x.answer.Search.Assumed == nil:
			x.unstable()
		default:
			x.answer.note("nothing was varied: without the bindings that have no implementation here it comes out otherwise")
		}
		return nil
	}
	return first
}

func (x *explaining) unstable() {
	x.answer.Now.Unstable = true
	x.answer.note("the same request is not always answered equally: it depends on more than what a binding is shown, and nothing can be told from varying it")
}

// settle asks what was found, and the request as it was, once more, and takes
// over what can be relied on.
func (x *explaining) settle(ctx context.Context, s *search, stopped string) {
	for range again {
		for _, edits := range [][]edit{nil, s.best} {
			v := s.again(ctx, edits)
			if v == nil {
				break
			}
			if v.allowed() != (edits != nil) {
				x.unstable()
				return
			}
			if s.best == nil {
				break
			}
		}
	}
	if s.stopped == outOfTime && s.best != nil {
		x.answer.note("there was no time to ask once more whether what was found is allowed")
	}
	x.answer.Search.Stopped = or(stopped, s.stopped)
	x.answer.Fields = s.fields()
	if s.untold > 0 {
		x.answer.note("%d more fields matter than are listed", s.untold)
	}
	if s.best != nil {
		x.answer.Change = s.change()
	} else if s.twins > 0 {
		x.answer.note("the same request was allowed in other operations (%d): something else than the request decided", s.twins)
	}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// fields returns the places that were seen to matter, in the order of the
// request, the decisive ones first. A value that has such places in it is left
// out, unless the change is of all of it: it matters for theirs.
func (s *search) fields() []Field {
	all := slices.Concat(s.places.all, s.absent)
	known, ofChange := map[string]bool{}, map[string]bool{}
	for _, p := range all {
		known[p.pointer] = true
	}
	for _, e := range s.best {
		ofChange[e.at.pointer] = true
		if !known[e.at.pointer] { // an object that an allowed operation had
			all = append(all, e.at)
		}
	}
	out := []Field{}
	add := func(decisive bool) {
		n := 0
		for _, p := range all {
			if s.decisive[p.pointer] != decisive || !decisive && !s.telling[p.pointer] || !p.leaf && !ofChange[p.pointer] && s.inner(p) {
				continue
			}
			if n++; n <= maxFields {
				out = append(out, Field{Pointer: p.pointer, Value: textOf(p.value), Decisive: decisive})
			}
		}
		s.untold += max(n-maxFields, 0)
	}
	add(true)
	add(false)
	return out
}

// inner says whether something within a place was seen to matter.
func (s *search) inner(of *place) bool {
	return slices.ContainsFunc(s.places.all, func(p *place) bool {
		return p != of && (s.decisive[p.pointer] || s.telling[p.pointer]) && p.inside(of)
	})
}

// change returns the best change as people and programs are told of it.
func (s *search) change() *Change {
	edits := inOrder(s.best)
	c := &Change{Patches: patchesOf(s.request, edits)}
	for _, e := range edits {
		told := Edit{Pointer: e.at.pointer, Seen: e.seen, Limit: e.limit}
		if e.limit != "" {
			told.Beyond = textOf(e.beyond)
		}
		c.Edits = append(c.Edits, told)
	}
	v := s.known[keyOf(s.best)]
	for i := range v.parts {
		p := &v.parts[i]
		if was := s.base.part(p); unselected(p) && was != nil && was.Skipped == "" {
			c.Skips = append(c.Skips, *bindingOf(p))
		}
	}
	return c
}

// touched counts the fields of the request that were changed at least once.
func (s *search) touched() int {
	n := 0
	for _, p := range s.places.all {
		if p.leaf && s.changed[p.pointer] {
			n++
		}
	}
	return n
}
