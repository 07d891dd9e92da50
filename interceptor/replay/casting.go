// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// A casting finds the plan that an operation is to run through: one for all, or
// that of its record. It is shared by all workers.
type casting struct {
	one  *interceptor.Plan
	find func(digest string) (*interceptor.Plan, error)

	mu    sync.Mutex
	found map[string]*interceptor.Plan // guarded by mu
}

// oneOrFound returns a casting with one plan, or, when that is nil, with those
// that find finds; nil when there is neither.
func oneOrFound(one *interceptor.Plan, find func(string) (*interceptor.Plan, error)) *casting {
	if one == nil && find == nil {
		return nil
	}
	return &casting{one: one, find: find, found: map[string]*interceptor.Plan{}}
}

func (c *casting) plan(digest string) (*interceptor.Plan, error) {
	if c.one != nil {
		return c.one, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.found[digest]; p != nil {
		return p, nil
	}
	p, err := c.find(digest)
	if err != nil {
		return nil, fmt.Errorf("find plan %s: %w", digest, err)
	}
	c.found[digest] = p
	return p, nil
}

// A troupe is the stages of one worker.
type troupe struct {
	*casting
	observe func(context.Context, *Moment) error
	stages  map[*interceptor.Plan]*Stage
}

func newTroupe(c *casting, observe func(context.Context, *Moment) error) *troupe {
	return &troupe{casting: c, observe: observe, stages: map[*interceptor.Plan]*Stage{}}
}

// run takes an operation through its plan.
func (t *troupe) run(ctx context.Context, op *activity.Operation) (*take, error) {
	plan, err := t.plan(op.Plan)
	if err != nil {
		return nil, err
	}
	s := t.stages[plan]
	if s == nil {
		if s, err = NewStage(plan); err != nil {
			return nil, err
		}
		s.observe = t.observe
		t.stages[plan] = s
	}
	return s.run(ctx, op, nil), nil
}

func (t *troupe) close(ctx context.Context) error {
	var errs []error
	for _, s := range t.stages {
		errs = append(errs, s.Close(ctx))
	}
	return errors.Join(errs...)
}
