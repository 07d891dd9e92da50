// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

const (
	// pollCompaction is how often it is asked whether a compaction is due.
	pollCompaction = 5 * time.Second
	// After one that failed, the next waits longer each time, up to this.
	lastCompactionDelay = 5 * time.Minute
)

// compact has the store put into its lasting form what is due, beside the
// flushes, until ctx ends. It stops nothing: what fails is told and tried again.
// The error is that Run is to end.
func (c *Collector) compact(ctx context.Context) error {
	s, ok := c.cfg.Store.(store.Compactor)
	if !ok {
		return nil
	}
	for wait := c.cfg.pollCompaction; ; {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		begun := time.Now()
		done, err := s.Compact(ctx, false, func(put func(uint64) error) error { return c.replace(ctx, "compaction", put) })
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, new(errEnd)), overtaken(err):
			return err
		case err != nil:
			c.log.Error("compaction failed; will be tried again", "error", err)
			c.metrics.failed("compaction")
			wait = min(max(2*wait, c.cfg.pollCompaction), lastCompactionDelay)
		case done.Number > 0:
			c.metrics.compacted(&done, time.Since(begun))
			wait = 0 // there may be more
		default:
			wait = c.cfg.pollCompaction
		}
		c.set(func(l *live) { l.compaction = err })
	}
}

// replace puts the statement of a compaction or a removal, and into the ledger,
// between two flushes.
func (c *Collector) replace(ctx context.Context, what string, put func(fence uint64) error) error {
	if err := c.holdStatements(ctx); err != nil {
		return err
	}
	defer c.releaseStatements()
	if c.held != nil && c.held.Lost() {
		return ErrLeaseLost
	}
	if err := c.reached("before " + what); err != nil {
		return err
	}
	// One that failed may be in force, and is not to be one of two without a leaf.
	if err := c.addStatements(ctx); err != nil {
		return err
	}
	if err := put(c.fence); err != nil {
		return err
	}
	if err := c.reached("after " + what); err != nil {
		return err
	}
	return c.insist(ctx, "ledger", func() error { return c.addStatements(ctx) })
}

// holdStatements waits until nobody is between a statement and its leaf in the
// ledger: of all statements at most one has none.
func (c *Collector) holdStatements(ctx context.Context) error {
	select {
	case c.statements <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Collector) releaseStatements() { <-c.statements }
