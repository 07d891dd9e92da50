// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

const (
	// pollRetention is how often it is looked whether events expire: their time is
	// counted in days.
	pollRetention = time.Hour
	// firstRetention is how long after a start that is done first.
	firstRetention = time.Minute
	// taskPatience is how long an order waits for a collector that takes it.
	taskPatience = 30 * time.Second
)

// A Leaver is a store that events leave, and stubs stay of them.
type Leaver interface {
	store.Compactor
	// Expire lets events leave whose time is over, by one statement; it has done
	// nothing when that has no number.
	Expire(ctx context.Context, t retention.Terms, commit func(put func(fence uint64) error) error) (retention.Left, error)
	// Erase lets the selected events leave, and tells each of the statements.
	Erase(ctx context.Context, e retention.Erasure, holds []retention.Hold, commit func(put func(fence uint64) error) error, each func(retention.Left)) (retention.Left, error)
	// Newest returns the time of the newest commit.
	Newest() time.Time
	// LeftSince returns what left by the statements behind one, and the number of
	// the last that it looked at.
	LeftSince(statement uint64) ([]retention.Leaving, uint64, error)
}

// ErrNoRetention says that nothing leaves this store.
var ErrNoRetention = errors.New("nothing leaves this store by order: no retention is configured")

// ErrNotCollecting says that the collector does not fill the store right now.
var ErrNotCollecting = errors.New("the collector does not fill the store right now")

// A task is what is done between two looks at what expires, so that an erasure,
// a change of the holds and retention never overlap.
type task struct {
	do   func(context.Context, Leaver) error
	done chan error
}

// retain lets expire what is due, and does what it is asked for, beside the
// flushes and until ctx ends. It stops nothing: what fails is told and tried
// again. The error is that Run is to end.
func (c *Collector) retain(ctx context.Context) error {
	s, ok := c.cfg.Store.(Leaver)
	if !ok || c.cfg.Retention == nil {
		return nil
	}
	if err := c.tellLeft(ctx); err != nil && ctx.Err() == nil {
		c.log.Error("what left the store is not told yet", "error", err)
	}
	for wait := min(c.cfg.pollRetention, firstRetention); ; {
		timer := time.NewTimer(wait)
		var err error
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case t := <-c.tasks:
			timer.Stop()
			err = t.do(ctx, s)
			t.done <- err
			if !errors.As(err, new(errEnd)) && !overtaken(err) {
				err = nil // it is the asker's
			}
		case <-timer.C:
			wait = c.cfg.pollRetention
			_, err = c.expire(ctx, s, false, nil)
			c.set(func(l *live) { l.retention = err })
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, new(errEnd)), overtaken(err):
			return err
		case err != nil:
			c.log.Error("retention failed; will be tried again", "error", err)
			c.metrics.failed("retention")
		}
	}
}

// expire lets expire all that is due. Forced takes the clock for right.
func (c *Collector) expire(ctx context.Context, s Leaver, forced bool, each func(retention.Left)) (all retention.Left, err error) {
	for {
		terms, err := c.cfg.Retention.Terms(c.cfg.Now(), s.Newest(), forced)
		if err != nil {
			return all, err
		}
		done, err := s.Expire(ctx, terms, c.putLeft(ctx))
		if err != nil {
			return all, err
		}
		all.Held = done.Held
		c.metrics.held.Record(ctx, done.Held)
		if done.Number == 0 {
			return all, c.tellLeft(ctx)
		}
		c.metrics.left(&done, false)
		all.Number, all.Rows, all.Removed, all.Rewritten = done.Number, all.Rows+done.Rows, all.Removed+done.Removed, all.Rewritten+done.Rewritten
		if each != nil {
			each(done)
		}
	}
}

// putLeft puts the statements by which events leave.
func (c *Collector) putLeft(ctx context.Context) func(func(uint64) error) error {
	return func(put func(uint64) error) error { return c.replace(ctx, "removal", put) }
}

// order has do done by the goroutine that lets events leave.
func (c *Collector) order(ctx context.Context, do func(context.Context, Leaver) error) error {
	if _, ok := c.cfg.Store.(Leaver); !ok || c.cfg.Retention == nil {
		return ErrNoRetention
	}
	if c.standing.Load() {
		return fmt.Errorf("%w: it stands by for another", ErrNotCollecting)
	}
	t := task{do: do, done: make(chan error, 1)}
	timer := time.NewTimer(taskPatience)
	defer timer.Stop()
	select {
	case c.tasks <- t:
	case <-timer.C:
		return ErrNotCollecting
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-t.done:
		return err
	case <-ctx.Done():
		return ctx.Err() // it is done all the same
	}
}

// Expire lets expire what is due now, and not when it is looked for next. Forced
// takes the clock for right; without, one that has leapt is [retention.ErrClock].
func (c *Collector) Expire(ctx context.Context, forced bool, each func(retention.Left)) (all retention.Left, err error) {
	err = c.order(ctx, func(ctx context.Context, s Leaver) error {
		all, err = c.expire(ctx, s, forced, each)
		return err
	})
	return all, err
}

// Erase erases what is selected of all that is stored when it begins, as far as
// no hold keeps it, and tells each statement. After an error part of it may be
// done; it can be given again.
func (c *Collector) Erase(ctx context.Context, e retention.Erasure, each func(retention.Left)) (all retention.Left, err error) {
	if err := e.Validate(); err != nil {
		return all, err
	}
	err = c.order(ctx, func(ctx context.Context, s Leaver) error {
		all, err = Erase(ctx, s, c.cfg.Retention, e, func(put func(uint64) error) error { return c.replace(ctx, "removal", put) }, func(l retention.Left) {
			c.metrics.left(&l, true)
			each(l)
		})
		return errors.Join(err, c.tellLeft(ctx))
	})
	return all, err
}

// Erase does so to a store that nobody fills: what is hot is compacted first, so
// that everything that is stored is looked at.
func Erase(ctx context.Context, s Leaver, book *retention.Book, e retention.Erasure, commit func(func(uint64) error) error, each func(retention.Left)) (retention.Left, error) {
	for !e.DryRun {
		done, err := s.Compact(ctx, true, commit)
		if err != nil {
			return retention.Left{}, err
		}
		if done.Number == 0 {
			break
		}
	}
	return s.Erase(ctx, e, book.Holds(), commit, each)
}

// Hold changes the list of holds by change, while nothing leaves the store, and
// tells it. The change is durable even if it cannot be told at once.
func (c *Collector) Hold(ctx context.Context, change func(*retention.Book, time.Time) error) error {
	return c.order(ctx, func(ctx context.Context, _ Leaver) error {
		if err := change(c.cfg.Retention, c.cfg.Now()); err != nil {
			return err
		}
		return c.tellLeft(ctx)
	})
}
