// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

var (
	errNoPlan     = errors.New("no plan to replay with")
	errNoOld      = errors.New("no plan to learn noise from: name it in LearnNoise, or give Against or Recorded")
	errLeft       = errors.New("the goroutine that takes the operations was ended by who is told of them: t.FailNow is not for there")
	errUnverified = errors.New("the source cannot tell whether its events are what was recorded")
)

// Run replays the operations of source through plan, the candidate, and reports
// how they compare with the record. plan may be nil where [Recorded] finds the
// plans that were in force.
//
// It fails when the source does, or holds an event that cannot be read: a
// report on part of the history would look like one on all of it. Only when ctx
// ends it is returned, beside the error: it holds then what was replayed until then.
func Run(ctx context.Context, source Source, plan *interceptor.Plan, opts ...Option) (*Report, error) {
	o := newOptions(opts)
	if plan == nil && o.plans == nil {
		return nil, errNoPlan
	}
	if o.resumed != nil {
		if err := o.resumed.sound(); err != nil {
			return nil, err
		}
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
	if o.only != "" {
		uid, err := operationOf(ctx, source, o)
		if err != nil {
			return nil, err
		}
		o.only = uid
	}
	p := &player{options: o, candidate: oneOrFound(plan, o.plans), report: newReport(o.resumed)}
	if o.against != nil {
		p.baseline = oneOrFound(o.against, nil)
	}
	if o.learn {
		old := oneOrFound(firstPlan(o.old, o.against), o.plans)
		if old == nil {
			return nil, errNoOld
		}
		if err := p.learn(ctx, source, old); err != nil {
			return p.sofar(ctx), err
		}
		p.noise.resume(o.resumed)
	}
	if err := p.play(ctx, source); err != nil {
		return p.sofar(ctx), err
	}
	return p.finish(), nil
}

func (p *player) finish() *Report {
	p.report.Noise = p.noise.list()
	if p.sample > 0 {
		p.report.Sampled = &Sampled{Each: p.sample, Seed: p.seed}
	}
	p.report.sort()
	return p.report
}

// sofar returns what a replay that failed is still worth: nothing, unless it was
// told to end.
func (p *player) sofar(ctx context.Context) *Report {
	if ctx.Err() == nil {
		return nil
	}
	return p.finish()
}

func firstPlan(plans ...*interceptor.Plan) *interceptor.Plan {
	for _, p := range plans {
		if p != nil {
			return p
		}
	}
	return nil
}

// A player replays operations.
type player struct {
	options
	candidate, baseline *casting
	noise               *noise
	report              *Report
}

// operations yields those that are asked for, in the order in which they ended.
func (p *player) operations(ctx context.Context, source Source) iter.Seq2[*activity.Operation, error] {
	ops := activity.Operations(source.Events(ctx, p.where))
	ops = p.chosen(ops)
	if p.sample > 0 {
		ops = sampled(ops, p.sample, p.seed)
	}
	return ops
}

// play replays and compares.
func (p *player) play(ctx context.Context, source Source) error {
	skip := p.report.Operations() // those of a replay that is gone on with
	type stages struct{ candidate, baseline *troupe }
	all := make([]stages, p.workers)
	for i := range all {
		all[i] = stages{newTroupe(p.candidate, p.observe), newTroupe(p.baseline, nil)}
	}
	one := func(worker int, op *activity.Operation) (Diff, error) {
		s := &all[worker]
		now, err := s.candidate.run(ctx, op)
		if err != nil {
			return Diff{}, err
		}
		if now.aborted != nil {
			return Diff{}, now.aborted
		}
		then := &take{}
		if p.baseline == nil {
			then.ofRecord(op)
		} else if then, err = s.baseline.run(ctx, op); err != nil {
			return Diff{}, err
		}
		d := compare(op, then, now, p.noise)
		d.stratum, d.tally = stratumOf(op), now.tally
		return d, nil
	}
	done := 0
	err := perform(ctx, from(p.operations(ctx, source), skip), p.workers, one, func(d Diff) error {
		p.report.add(&d)
		if p.noise != nil {
			p.noise.excluded(d.noisy)
		}
		if p.each != nil {
			p.each(d)
		}
		if done++; p.checkpoint != nil && done%p.every == 0 {
			p.report.Noise = p.noise.list()
			return p.checkpoint(p.report)
		}
		return nil
	})
	for i := range all {
		err = errors.Join(err, all[i].candidate.close(ctx), all[i].baseline.close(ctx))
	}
	return err
}

// learn runs the old plan twice over everything.
func (p *player) learn(ctx context.Context, source Source, old *casting) error {
	p.noise = &noise{fields: map[noiseKey]*Noise{}}
	troupes := make([]*troupe, p.workers)
	for i := range troupes {
		troupes[i] = newTroupe(old, nil)
	}
	err := perform(ctx, p.operations(ctx, source), p.workers, func(worker int, op *activity.Operation) ([]noiseKey, error) {
		first, err := troupes[worker].run(ctx, op)
		if err != nil {
			return nil, err
		}
		second, err := troupes[worker].run(ctx, op)
		if err != nil {
			return nil, err
		}
		return differences(op, first, second), nil
	}, func(keys []noiseKey) error {
		p.noise.learn(keys)
		return nil
	})
	for _, t := range troupes {
		err = errors.Join(err, t.close(ctx))
	}
	return err
}

// perform does something with each operation, by so many workers, and takes
// what comes of it in the order of the operations. A bounded number is under way.
func perform[T any](ctx context.Context, ops iter.Seq2[*activity.Operation, error], workers int,
	do func(worker int, op *activity.Operation) (T, error), take func(T) error,
) error {
	type job struct {
		op   *activity.Operation
		out  T
		err  error
		done chan struct{}
	}
	given := ctx // which is that of do: where it has ended, calls may know before ours does
	ctx, cancel := context.WithCancelCause(given)
	defer cancel(nil)
	// With room in between, nobody is woken for one operation.
	work, queue := make(chan *job, 16*workers), make(chan *job, 32*workers)
	var working, taking sync.WaitGroup
	for i := range workers {
		working.Go(func() {
			for j := range work {
				if j.err = context.Cause(ctx); j.err == nil {
					if j.out, j.err = do(i, j.op); j.err != nil {
						cancel(j.err) // nothing more is begun
					}
				}
				if err := context.Cause(given); err != nil {
					j.err = err // what it met is the end of ctx, and not what its bindings say
				}
				close(j.done)
			}
		})
	}
	var failed error
	taking.Go(func() {
		ended := false
		defer func() {
			if ended {
				return
			}
			failed = errLeft // by [runtime.Goexit], as t.FailNow does
			cancel(failed)
			for range queue { // so that nobody waits for it
			}
		}()
		for j := range queue {
			<-j.done
			if failed != nil {
				continue
			}
			if failed = j.err; failed == nil {
				failed = take(j.out)
			} else {
				failed = fmt.Errorf("replay operation %s: %w", j.op.UID, failed)
			}
			if failed != nil {
				cancel(failed)
			}
		}
		ended = true
	})
	var read error
	for op, err := range ops {
		if err != nil {
			read = fmt.Errorf("read history: %w", err)
			break
		}
		j := &job{op: op, done: make(chan struct{})}
		select {
		case work <- j:
			queue <- j
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	close(work)
	working.Wait()
	close(queue)
	taking.Wait()
	switch {
	case failed != nil:
		return failed
	case read != nil:
		return read
	case ctx.Err() != nil:
		return fmt.Errorf("replay: %w", context.Cause(ctx))
	}
	return nil
}
