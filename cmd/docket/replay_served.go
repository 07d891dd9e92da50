// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

// replayServed is how the API replays: through plans that were in force here
// once, with interceptors where those say that they are. A candidate that a caller
// sends would have this process dial wherever the caller likes; that is for
// `docket replay --chain`, which dials with the rights of the one who asks.
func (d *daemon) replayServed(ctx context.Context, plan string, events iter.Seq2[[]byte, error]) (_ []byte, err error) {
	run := d.replays.Begin()
	defer func() { run.End(err) }()
	dir := d.dir.Path
	on := newCast(dir)
	defer on.close()
	find := func(digest string) (*interceptor.Plan, error) {
		p, err := recordedPlan(dir, digest, on.link())
		if err == nil {
			on.dial(ctx, p)
		}
		return p, err
	}
	var candidate *interceptor.Plan
	opts := []replay.Option{replay.Each(run.Compared)}
	if plan == "" {
		opts = append(opts, replay.Recorded(find))
	} else {
		if candidate, err = find(plan); err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
	}
	r, err := replay.Run(ctx, given(events), candidate, opts...)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	return json.Marshal(r)
}

// given is a [replay.Source] of events that were selected already.
type given iter.Seq2[[]byte, error]

// Events implements [replay.Source].
func (g given) Events(context.Context, string) iter.Seq2[[]byte, error] {
	return iter.Seq2[[]byte, error](g)
}
