// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
)

// stop ends what has started. Each step needs those after it: a call under way
// needs the service and the chain, its facts need the emitter, its events need
// broker and collector, and whoever follows them needs the server.
func (d *daemon) stop(ctx context.Context) error {
	var errs []error
	step := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", what, err))
		}
	}
	step("demo", d.watching.Stop())
	if d.demo != nil {
		step("demo client", d.demo.StopClient())
	}
	step("proxy", d.proxying.Stop()) // sees the calls under way to their end
	if d.request != nil {
		step("chain", d.request.Close(ctx))
	}
	d.drain(ctx, step)
	step("collector", d.collecting.Stop())
	d.closeDoors(ctx, step)
	step("follow", d.following.Stop())
	if d.record != nil {
		step("store and ledger", d.record.Close(ctx))
	}
	if d.conn != nil {
		d.conn.Close()
	}
	if d.broker != nil {
		d.broker.Close()
	}
	if d.demo != nil {
		step("demo", d.demo.Stop())
	}
	step("traces", d.traces.Close(ctx))
	if d.metrics != nil {
		step("metrics", d.metrics.Close(ctx))
	}
	if d.dir != nil {
		step("data directory", d.dir.Close())
	}
	return errors.Join(errs...)
}

// drain stores all that was recorded. What the collector finds on the way is
// recorded too, so the emitter is closed between two rounds: after the second
// its last events are stored, and they find nothing new.
func (d *daemon) drain(ctx context.Context, step func(string, error)) {
	if d.emitter == nil {
		return
	}
	storing := d.conn.IsConnected() && d.collecting != nil
	if storing {
		var err error
		storing, err = d.store(ctx)
		step("collector", err)
	}
	if d.strangers != nil {
		d.strangers.close()
	}
	step("emitter", requestpath.CloseEmitter(ctx, d.emitter, d.conn, d.o.stderr))
	step("emitter", d.emitting.Stop())
	if storing {
		_, err := d.store(ctx)
		step("collector", err)
	}
}

// storeLimit is how long a store may fail while a stop waits for it.
const storeLimit = time.Second

// store waits until what is on the stream is stored, and reports whether it is. For a
// store that fails all the while it does not wait, nor for a collector that has ended:
// the next start stores what is on the stream, and waiting for a server to come back
// would only look like a hang.
func (d *daemon) store(ctx context.Context) (bool, error) {
	draining, giveUp := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := d.storeFails(draining); err != nil {
			giveUp(err)
		}
	})
	err := d.record.Collector.Drain(draining)
	var fails *failsError
	known := errors.As(context.Cause(draining), &fails)
	giveUp(nil)
	watching.Wait()
	if err == nil || !known {
		return err == nil, err
	}
	fmt.Fprintf(d.o.stderr, "docket: what is not stored yet is on the stream, and stored by the next start: %s\n", cli.EscapeText(fails.what))
	return false, nil
}

// failsError is what a store says that fails.
type failsError struct{ what string }

func (e *failsError) Error() string { return e.what }

// storeFails returns when the collector has ended, or has had an error for all of
// storeLimit, with that; or when ctx ends.
func (d *daemon) storeFails(ctx context.Context) error {
	tick := time.NewTicker(storeLimit / 20)
	defer tick.Stop()
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.collecting.Ended():
			return &failsError{"the collector has ended"}
		case now := <-tick.C:
			switch said := d.record.Collector.Status().Error; {
			case said == "":
				since = time.Time{}
			case since.IsZero():
				since = now
			case now.Sub(since) >= storeLimit:
				return &failsError{said}
			}
		}
	}
}

// doorLimit is how long the doors wait for whoever reads slowly. It is longer than
// the server's own grace, behind which it tells them why it ends.
const doorLimit = 2 * time.Second

// closeDoors lets whoever follows see the last events, then closes.
func (d *daemon) closeDoors(ctx context.Context, step func(string, error)) {
	if d.server != nil {
		d.server.Drain()
	}
	// Somebody who has stopped reading must not use up the time that lake and
	// ledger need.
	ctx, cancel := context.WithTimeout(ctx, doorLimit)
	defer cancel()
	for _, l := range d.listeners {
		// Shutdown waits for answers under way, and closes what is left.
		if err := l.srv.Shutdown(ctx); err != nil && ctx.Err() == nil {
			step(l.name, err)
		}
		step(l.name, l.part.Stop())
	}
	if d.server != nil {
		d.server.Close()
	}
	if d.ops != nil {
		step("ops", d.ops.Close(ctx))
	}
}
