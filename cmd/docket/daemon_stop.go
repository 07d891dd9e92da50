// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	reachable := d.conn.IsConnected() && d.collecting != nil
	if reachable {
		step("collector", d.record.Collector.Drain(ctx))
	}
	if d.strangers != nil {
		d.strangers.close()
	}
	step("emitter", requestpath.CloseEmitter(ctx, d.emitter, d.conn, d.o.stderr))
	step("emitter", d.emitting.Stop())
	if reachable {
		step("collector", d.record.Collector.Drain(ctx))
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
