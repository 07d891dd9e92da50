// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"fmt"

	"github.com/docket-audit/docket/collector/store"
)

// Run collects until ctx ends, and then returns nil. What it gathered and did
// not store comes again at the next start. With a lease it stands by while
// another has it.
//
// It returns an error when an operator must act: the stream is missing or
// weaker than declared, or the ledger is not the one of this store; and, without
// a lease of its own, [store.ErrFenced] when somebody else fills the store.
// Everything else it tries again.
func (c *Collector) Run(ctx context.Context) error {
	defer c.metrics.fills(false)
	if c.cfg.Lease == nil {
		// Without any lease it goes on where those with one have ended.
		if c.fence = c.cfg.Fence; c.fence == 0 {
			c.fence = c.lastFence()
		}
		c.metrics.fills(true)
		return c.collect(ctx)
	}
	c.standing.Store(true)
	for {
		held, err := c.cfg.Lease.Acquire(ctx, c.lastFence())
		if err != nil {
			return nil // ctx ended
		}
		lost := held.Context()
		err = c.fill(held)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !overtaken(err) {
			return err
		}
		if err == nil {
			err = context.Cause(lost)
		}
		c.log.Warn("stands by: another may fill the store", "error", err)
	}
}

// fill collects while the lease is held, and gives it back.
func (c *Collector) fill(held *Held) error {
	defer held.Release()
	if err := c.takeOver(held); err != nil {
		return err
	}
	c.held, c.fence = held, held.Fence
	c.standing.Store(false)
	c.metrics.fills(true)
	defer func() {
		c.standing.Store(true)
		c.metrics.fills(false)
		c.held = nil
	}()
	return c.collect(held.Context())
}

// A taker is a store that several fill in turn: one whose turn it is takes it over.
type taker interface {
	TakeOver(ctx context.Context) error
}

// takeOver takes the store over, if it is such a one. It tries until the lease is
// lost.
func (c *Collector) takeOver(held *Held) error {
	s, ok := c.cfg.Store.(taker)
	if !ok {
		return nil
	}
	for wait := backoff(); ; {
		err := s.TakeOver(held.Context())
		if err == nil || overtaken(err) {
			return err
		}
		if held.Context().Err() != nil {
			return fmt.Errorf("%w: %w", ErrLeaseLost, err)
		}
		c.failed("take the store over", err)
		wait.sleep(held.Context())
	}
}

// overtaken says whether err is that somebody else fills the store.
func overtaken(err error) bool {
	return errors.Is(err, store.ErrFenced) || errors.Is(err, ErrLeaseLost)
}

// fenced is a store that says which fence its last commit had.
type fenced interface{ LastFence() uint64 }

// lastFence returns the highest fence that the store has seen, as far as it says.
func (c *Collector) lastFence() uint64 {
	if f, ok := c.cfg.Store.(fenced); ok {
		return f.LastFence()
	}
	return 0
}
