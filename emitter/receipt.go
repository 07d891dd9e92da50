// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"fmt"
)

// A Receipt is the emitter's promise for one event. Its methods wait until the
// promise is kept, or fail: with an error of this package when it never will
// be, with the context's when that ends first. They may be called by anybody,
// in any order, any number of times, or not at all.
type Receipt struct {
	group *group
	index int
	err   error // why there is no group
}

// Spooled waits until the event is on stable storage here.
func (r Receipt) Spooled(ctx context.Context) error {
	if r.group == nil {
		if r.err == nil {
			return errors.New("spooled: the zero receipt is of no event")
		}
		return r.err
	}
	select {
	case <-r.group.settled:
		return r.group.outcome(r.index)
	default:
	}
	select {
	case <-r.group.settled:
		return r.group.outcome(r.index)
	case <-ctx.Done():
		return fmt.Errorf("wait until spooled: %w%s", ctx.Err(), r.group.emitter.standing(troubleWAL, troubleFull))
	}
}

// Streamed waits until JetStream acknowledged the event.
func (r Receipt) Streamed(ctx context.Context) error {
	if err := r.Spooled(ctx); err != nil {
		return err
	}
	e, end := r.group.emitter, r.group.end
	err := e.streamed.changed.wait(ctx, func() bool { return e.streamed.position().compare(end) >= 0 })
	if at := r.group.places[r.index]; err == nil && e.aside.has(at) {
		err = e.aside.changed.wait(ctx, func() bool { return !e.aside.has(at) })
	}
	if err != nil {
		return fmt.Errorf("wait until streamed: %w%s", err, e.standing(troubleConnection, troubleStream, troublePublish, troubleAside))
	}
	return nil
}

// Stored waits until JetStream acknowledged the event and the watermark of every
// store covers it.
func (r Receipt) Stored(ctx context.Context) error {
	if err := r.Streamed(ctx); err != nil {
		return err
	}
	at, marks := r.group.places[r.index], &r.group.emitter.marks
	err := marks.changed.wait(ctx, func() bool { return marks.floor(at.epoch) >= at.sequence })
	if err != nil {
		return fmt.Errorf("wait until stored: %w%s", err, r.group.emitter.standing(troubleConnection, troubleWatermarks))
	}
	return nil
}
