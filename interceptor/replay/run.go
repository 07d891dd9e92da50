// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

var (
	errNoPlan     = errors.New("no plan to replay with")
	errUnverified = errors.New("the source cannot tell whether its events are what was recorded")
)

// Run replays the operations of source through plan, the candidate, and reports
// how they compare with the record. plan may be nil where [Recorded] finds the
// plans that were in force.
//
// It fails when the source does, or holds an event that cannot be read: a
// report on part of the history would look like one on all of it.
func Run(ctx context.Context, source Source, plan *interceptor.Plan, opts ...Option) (*Report, error) {
	o := newOptions(opts)
	if plan == nil && o.plans == nil {
		return nil, errNoPlan
	}
	if o.requireVerified {
		v, ok := source.(verifier)
		if !ok {
			return nil, errUnverified
		}
		if err := v.Verified(ctx); err != nil {
			return nil, err
		}
	}
	p := player{report: &Report{Groups: []Group{}}, groups: map[groupKey]int{}, stages: map[string]*stage{}, find: o.plans}
	if plan != nil {
		p.find = func(string) (*interceptor.Plan, error) { return plan, nil }
		p.onePlan = true
	}
	err := p.play(ctx, source, o.where)
	if closed := p.close(ctx); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	p.report.sort()
	return p.report, nil
}

// A player replays operations one after the other.
type player struct {
	report *Report
	groups map[groupKey]int

	find    func(digest string) (*interceptor.Plan, error)
	onePlan bool
	stages  map[string]*stage // by digest; one plan is kept under ""
}

func (p *player) play(ctx context.Context, source Source, where string) error {
	for op, err := range activity.Operations(source.Events(ctx, where)) {
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		s, err := p.stage(op.Plan)
		if err != nil {
			return fmt.Errorf("replay operation %s: %w", op.UID, err)
		}
		g := s.replay(ctx, op)
		g.Service, g.Method = op.Service, op.Method
		p.report.add(p.groups, g, string(op.UID))
	}
	return nil
}

func (p *player) stage(digest string) (*stage, error) {
	if p.onePlan {
		digest = ""
	}
	if s, ok := p.stages[digest]; ok {
		return s, nil
	}
	plan, err := p.find(digest)
	if err != nil {
		return nil, fmt.Errorf("find plan %s: %w", digest, err)
	}
	s, err := newStage(plan, p.report)
	if err != nil {
		return nil, err
	}
	p.stages[digest] = s
	return s, nil
}

func (p *player) close(ctx context.Context) error {
	var errs []error
	for _, s := range p.stages {
		// Nothing runs any more but implementations that outlived their timeout.
		ctx, cancel := context.WithTimeout(ctx, patience)
		errs = append(errs, s.chain.Close(ctx))
		cancel()
	}
	return errors.Join(errs...)
}

// patience is how long an implementation may take in replay. A machine that
// runs tests is no place to measure the timeouts of production, so those of
// the plan are not lower than this.
const patience = 30 * time.Second

// A stage is one plan, its bindings stood in for, with the chain that runs it.
type stage struct {
	chain  *interceptor.Chain
	plan   *interceptor.Plan
	now    *act // the operation on stage; one at a time
	report *Report
	wants  map[string]wants // by service/method
}

// wants is what a plan calls for one method. Selective says that it may be less
// for some operations, byLabel that their labels are to tell.
type wants struct {
	before, after      int
	selective, byLabel bool
}

func newStage(plan *interceptor.Plan, report *Report) (*stage, error) {
	s := &stage{report: report, wants: map[string]wants{}}
	c := *plan
	c.Audit, c.AuditDeadline = interceptor.AuditBestEffort, 0
	c.Bindings = slices.Clone(plan.Bindings)
	for i := range c.Bindings {
		b := &c.Bindings[i]
		b.Impl = &standIn{stage: s, impl: b.Impl, shadow: b.Shadow}
		b.Timeout = max(b.Timeout, patience)
	}
	var err error
	if s.chain, err = interceptor.New(&c, s); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	s.plan = s.chain.Plan()
	// An interceptor that looks at the time of an evaluation sees the time of
	// the record.
	s.chain.Now = func() time.Time { return s.now.op.Start }
	s.chain.NewUID = func() interceptor.UID { return s.now.nextUID() }
	return s, nil
}

// wanted counts the bindings that the plan calls for a method, before and after
// the handler.
func (s *stage) wanted(service, method string) wants {
	key := service + "/" + method
	if w, ok := s.wants[key]; ok {
		return w
	}
	var w wants
	for _, b := range s.plan.Bindings {
		if one := (interceptor.Plan{Bindings: []interceptor.Binding{b}}); !one.Governs(service, method) {
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
