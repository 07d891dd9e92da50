// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"math"
	"slices"
	"strings"
	"time"
)

// A force is a plan in force, made ready to be run, and who runs by it.
type force struct {
	plan   *Plan
	routes map[rpc]*route // of the methods that bindings name
	others *route         // of all other methods
	lanes  map[string]*lane

	// running counts what runs by the plan. Whatever the chain starts is counted
	// on behalf of an operation that is itself counted here.
	running tally
}

type rpc struct{ service, method string }

// A route is what happens to operations of one method.
type route struct {
	judge     []step // modify_operation, then validate
	observe   []step // post_commit
	patience  time.Duration
	selective bool // a binding selects by more than the method
}

// A bound is a binding in force.
type bound struct {
	*Binding
	lane  *lane
	heeds bool // its interceptor heeds the context of a call, see heeding
}

// newForce makes a copy of the plan ready. An interceptor whose bounds did not
// change keeps its lane: calls that hang by the plan before count on.
func newForce(plan *Plan, before *force) (*force, error) {
	p := plan.normal()
	if err := p.check(); err != nil {
		return nil, err
	}
	f := &force{plan: p, routes: map[rpc]*route{}, lanes: map[string]*lane{}, running: newTally()}
	bounds := make([]*bound, len(p.Bindings))
	for i := range p.Bindings {
		b := &p.Bindings[i]
		if f.lanes[b.Interceptor] == nil {
			l := newLane(b.MaxConcurrent, b.MaxQueue)
			if before != nil && before.lanes[b.Interceptor].like(l) {
				l = before.lanes[b.Interceptor]
			}
			f.lanes[b.Interceptor] = l
		}
		bounds[i] = &bound{Binding: b, lane: f.lanes[b.Interceptor], heeds: heeds(b.Impl)}
	}
	f.others = newRoute(bounds, rpc{})
	for _, b := range bounds {
		for _, name := range b.RPCs {
			service, method, _ := strings.Cut(name, "/")
			if key := (rpc{service, method}); f.routes[key] == nil {
				f.routes[key] = newRoute(bounds, key)
			}
		}
	}
	return f, nil
}

func newRoute(bounds []*bound, key rpc) *route {
	in := map[Phase][]step{}
	r := &route{patience: math.MaxInt64}
	for _, b := range bounds {
		if b.selects(key.service, key.method) {
			for _, phase := range b.Phases {
				in[phase] = append(in[phase], step{bound: b, phase: phase})
			}
			r.patience = min(r.patience, b.Timeout)
			r.selective = r.selective || len(b.Principals)+len(b.Labels) > 0
		}
	}
	for _, steps := range in {
		places(steps)
	}
	r.judge = slices.Concat(in[ModifyOperation], in[Validate])
	r.observe = in[PostCommit]
	return r
}

// places gives the steps of each phase that are not skipped their places.
func places(steps []step) {
	count := map[Phase]int{}
	for i := range steps {
		if s := &steps[i]; s.skipped == "" {
			s.index = count[s.phase]
			count[s.phase]++
		}
	}
	for i := range steps {
		steps[i].count = count[steps[i].phase]
	}
}

// route returns what happens to operations of a method.
func (f *force) route(service, method string) *route {
	if r := f.routes[rpc{service, method}]; r != nil {
		return r
	}
	return f.others
}
