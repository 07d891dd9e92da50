// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// Cut writes a cassette of the operations of a source, such as an export of a
// store, in the order in which they ended, and returns how many they are. They are
// redacted by the rules of [Events] on top of those by which they were recorded,
// and minimal as those of a [Cassette], but keep their uids and when they began.
// So the same source gives the same bytes.
//
// It holds in memory what [activity.Operations] does, not the whole source.
func Cut(ctx context.Context, source Source, w io.Writer, opts ...CassetteOption) (operations int, err error) {
	o := newCassetteOptions(opts)
	r := &rendering{config: o.config}
	margins := map[interceptor.UID]map[marginKey]margin{}
	var broken error
	noted := func(yield func([]byte, error) bool) {
		for raw, err := range source.Events(ctx, o.where) {
			if err == nil && raw == nil {
				continue // nothing has come for a while
			}
			if err == nil {
				err = note(margins, raw)
			}
			if err != nil {
				broken = err
				return
			}
			if !yield(raw, nil) {
				return
			}
		}
	}
	out := bufio.NewWriter(w)
	var t *tape
	for op, err := range activity.Operations(noted) {
		if err = errors.Join(err, broken, ctx.Err()); err != nil {
			return 0, fmt.Errorf("cut cassette: %w", err)
		}
		c := cue{op, margins[op.UID]}
		delete(margins, op.UID)
		events, err := r.events(c, 0)
		if err != nil {
			return 0, err
		}
		if t == nil {
			content, err := r.content(c)
			if err != nil {
				return 0, err
			}
			if t, err = newTape(out, r.config.Schema, sha256.Sum256(content), timeOf(events)); err != nil {
				return 0, err
			}
		}
		if err := t.put(events); err != nil {
			return 0, err
		}
	}
	switch {
	case broken != nil:
		return 0, fmt.Errorf("cut cassette: %w", broken)
	case t == nil:
		return 0, fmt.Errorf("cut cassette: %w", errNothing)
	}
	if err := t.end(); err != nil {
		return 0, err
	}
	return int(t.operations), out.Flush()
}

func note(margins map[interceptor.UID]map[marginKey]margin, raw []byte) error {
	uid, key, m, ok, err := marginOf(raw)
	if err != nil || !ok {
		return err
	}
	if margins[uid] == nil {
		margins[uid] = map[marginKey]margin{}
	}
	if _, twice := margins[uid][key]; !twice { // the first counts, as in [activity.Operations]
		margins[uid][key] = m
	}
	return nil
}
