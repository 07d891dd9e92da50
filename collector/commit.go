// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// commit stores a batch. What the store can never take goes to quarantine, lest
// it keep out all that comes behind it.
func (c *Collector) commit(ctx context.Context, b *batch) (store.Committed, error) {
	stored, done, err := c.commitParts(ctx, b.Batch)
	if err == nil {
		b.Batch = stored
	}
	return done, err
}

// commitParts commits b, or the halves of what is unfit, down to the messages
// that are to blame. It returns what was stored, as it was stored. After an
// error some of it may be.
func (c *Collector) commitParts(ctx context.Context, b store.Batch) (store.Batch, store.Committed, error) {
	// The store looks at the fence; to look at the clock before costs nothing.
	if c.held != nil && c.held.Lost() {
		return b, store.Committed{}, ErrLeaseLost
	}
	b.Fence = c.fence
	done, err := c.cfg.Store.Commit(ctx, b)
	if !errors.Is(err, store.ErrUnfit) {
		return b, done, err
	}
	if len(b.Entries)+len(b.Quarantined) <= 1 {
		aside, ok := c.putAside(b, err)
		if !ok {
			return b, done, err
		}
		return c.commitParts(ctx, aside)
	}
	first, second := halve(b)
	// Only with the second the store has come to where the batch ends.
	first.StreamSeq = c.cfg.Store.StreamSeq()
	first, done, err = c.commitParts(ctx, first)
	if err != nil {
		return b, done, err
	}
	second, more, err := c.commitParts(ctx, second)
	if err != nil {
		return b, done, err
	}
	second.Entries = slices.Concat(first.Entries, second.Entries)
	second.Quarantined = slices.Concat(first.Quarantined, second.Quarantined)
	return second, store.Committed{
		Number: max(done.Number, more.Number), Added: slices.Concat(done.Added, more.Added),
		Duplicates: done.Duplicates + more.Duplicates, Conflicts: slices.Concat(done.Conflicts, more.Conflicts),
	}, nil
}

// halve splits a batch of more than one message.
func halve(b store.Batch) (first, second store.Batch) {
	first, second = b, b
	e, q := len(b.Entries), len(b.Quarantined)
	switch {
	case e > 0 && q > 0:
		first.Quarantined, second.Entries = nil, nil
	case e > 0:
		first.Entries, second.Entries = b.Entries[:e/2], b.Entries[e/2:]
	default:
		first.Quarantined, second.Quarantined = b.Quarantined[:q/2], b.Quarantined[q/2:]
	}
	return first, second
}

// putAside makes the one message of b one for the quarantine, or, if it is one
// already, takes its claim from it. It reports whether there was that to do.
func (c *Collector) putAside(b store.Batch, why error) (store.Batch, bool) {
	if len(b.Entries) == 1 {
		e := &b.Entries[0]
		h := e.Header
		c.log.Error("an event cannot be stored; it is put aside", "event", h.MetadataUID, "error", why)
		q := store.Quarantined{
			Subject: profile.Subject(c.cfg.Prefix, h), Data: e.Raw, StreamSeq: e.StreamSeq,
			Headers: map[string][]string{ // judge compared them
				profile.HeaderEventUID: {h.MetadataUID}, profile.HeaderEpoch: {h.Epoch},
				profile.HeaderSequence: {strconv.FormatInt(h.Sequence, 10)},
			},
			Reason: fmt.Sprint(why), Epoch: h.Epoch, Sequence: h.Sequence,
		}
		return store.Batch{Quarantined: []store.Quarantined{q}, StreamSeq: b.StreamSeq}, true
	}
	if len(b.Quarantined) == 1 && b.Quarantined[0].Epoch != "" {
		q := b.Quarantined[0]
		q.Reason = fmt.Sprintf("%s; what it claims, sequence %d of epoch %q, is disregarded: %v", q.Reason, q.Sequence, q.Epoch, why)
		q.Epoch, q.Sequence = "", 0
		return store.Batch{Quarantined: []store.Quarantined{q}, StreamSeq: b.StreamSeq}, true
	}
	return b, false
}
