// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/stream"
)

// flush stores a batch and does what follows from it, in the order that makes a
// crash between any two steps harmless: each step says no more than what the
// steps before it made durable.
//
//  1. plans, whose names are their digests, so that a plan without its event is
//     no lie
//  2. the commit of the store
//  3. the ledger, which recovery completes; but of what takes events away, by other
//     ways than this, it signs a warrant first
//  4. the watermarks, by which emitters trim their WALs; restored at each start
//  5. the acknowledgement; what is not acknowledged comes again as duplicates
//  6. what the events show: dangling intents, broken hash chains, conflicts, and
//     findings that came back; judged again at each start
//
// A step that fails is tried until it succeeds or ctx ends. Where ctx ends it,
// the next session makes up for the steps that are missing.
func (c *Collector) flush(ctx context.Context, b *batch) (err error) {
	begun := time.Now()
	defer func() {
		if err != nil {
			c.epochs.doubt(epochsOf(&b.Batch))
		}
	}()
	if err := c.insist(ctx, "plans", func() error { return c.keepPlans(b.Entries) }); err != nil {
		return err
	}
	var done store.Committed
	tries := 0
	if err := c.holdStatements(ctx); err != nil {
		return err
	}
	err = c.insist(ctx, "commit", func() (err error) {
		// One that failed may be in force, and is not to be one of two without a leaf.
		if err := c.addStatements(ctx); err != nil {
			return err
		}
		tries++
		done, err = c.commit(ctx, b)
		return err
	})
	if err == nil {
		err = c.insist(ctx, "ledger", func() error { return c.addStatements(ctx) })
	}
	c.releaseStatements()
	if err != nil {
		return err
	}
	if err := c.insist(ctx, "watermarks", func() error { return c.putMarks(ctx, epochsOf(&b.Batch)) }); err != nil {
		return err
	}
	if err := c.insist(ctx, "ack", b.ack); err != nil {
		return err
	}
	if tries > 1 {
		// A commit that failed may have been one: then what it added counts as
		// duplicates now, and nothing tells it to the followers.
		c.epochs.doubt(epochsOf(&b.Batch))
	}
	c.metrics.flushed(b, &done, time.Since(begun))
	c.set(func(l *live) { l.err, l.pending, l.caughtUp = nil, b.pending, l.caughtUp || b.pending == 0 })
	if err := c.insist(ctx, "follow", func() error { return c.follow(ctx, done, epochsOf(&b.Batch)) }); err != nil {
		return err
	}
	c.tellStream(ctx, c.removed)
	c.removed = nil
	c.accounted.Store(b.StreamSeq)
	c.judge.Settled()
	return nil
}

// insist runs a step until it succeeds. Its errors are those of ctx, and what
// ends Run.
func (c *Collector) insist(ctx context.Context, step string, do func() error) error {
	for wait := backoff(); ; {
		if err := c.reached("before " + step); err != nil {
			return err
		}
		err := do()
		if err == nil {
			return c.reached("after " + step)
		}
		if ctx.Err() != nil || overtaken(err) {
			return fmt.Errorf("%s: %w", step, err)
		}
		c.failed(step, err)
		if wait.sleep(ctx); ctx.Err() != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
}

// addStatements gives the ledger the statements that it has not got yet.
func (c *Collector) addStatements(ctx context.Context) error {
	if c.cfg.Ledger == nil {
		return nil
	}
	for s, err := range c.cfg.Store.Statements(c.ledgered + 1) {
		if err != nil {
			return err
		}
		c.led.since.CompareAndSwap(0, c.cfg.Now().UnixMilli())
		if err := c.cfg.Ledger.Add(ctx, s); err != nil {
			return err
		}
		c.ledgered++
	}
	c.covered()
	return nil
}

// covered notes that the ledger covers every commit.
func (c *Collector) covered() {
	c.led.statements.Store(c.ledgered)
	c.led.since.Store(0)
	c.led.covered.Store(c.cfg.Now().UnixMilli())
}

// recover makes up for what a crash kept from the ledger, and finds out what is
// open in the epochs that are not over.
func (c *Collector) recover(ctx context.Context) error {
	if c.cfg.Ledger != nil {
		n, err := c.cfg.Ledger.Ensure(ctx, counted(c.cfg.Store.Statements(1), &c.ledgered))
		if err != nil {
			return fmt.Errorf("complete the ledger: %w", err)
		}
		c.covered()
		if n > 0 {
			c.log.Info("the ledger lacked statements", "added", n)
		}
	}
	c.epochs = newFollowers(c)
	c.judge.Reset()
	c.holes.reset()
	if err := c.holes.restore(ctx); err != nil {
		return err
	}
	return c.epochs.restore(ctx)
}

// counted counts statements while they are read.
func counted(statements iter.Seq2[[]byte, error], count *uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		*count = 0
		for s, err := range statements {
			if err == nil {
				*count++
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// epochsOf returns the epochs that a batch touches.
func epochsOf(b *store.Batch) map[string]bool {
	touched := make(map[string]bool)
	for i := range b.Entries {
		touched[b.Entries[i].Header.Epoch] = true
	}
	for i := range b.Quarantined {
		if e := b.Quarantined[i].Epoch; e != "" {
			touched[e] = true
		}
	}
	return touched
}

// putMarks publishes the watermarks of epochs where they grew.
func (c *Collector) putMarks(ctx context.Context, epochs map[string]bool) error {
	for epoch := range epochs {
		e := c.cfg.Store.Epoch(epoch)
		if e == nil {
			continue
		}
		mark := c.holes.watermark(epoch, e)
		if mark <= c.marks[epoch] {
			continue
		}
		err := stream.PutWatermark(ctx, c.kv, stream.Watermark{Store: c.cfg.Name, Epoch: epoch, Sequence: mark})
		if errors.Is(err, stream.ErrName) {
			// No emitter of ours has such an epoch, so none waits for its mark.
			c.log.Warn("an epoch has no watermark for its name", "error", err)
		} else if err != nil {
			return err
		}
		c.marks[epoch] = mark
	}
	return nil
}

// restoreMarks reads the watermarks that stand, and puts right those that a
// crash, or a bucket made anew, left behind what the store has.
func (c *Collector) restoreMarks(ctx context.Context) error {
	clear(c.marks)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	err := stream.WatchWatermarks(watching, c.kv, func(w stream.Watermark) {
		if w.Store == c.cfg.Name {
			c.marks[w.Epoch] = w.Sequence
		}
	}, stop)
	if watching.Err() == nil || ctx.Err() != nil {
		return fmt.Errorf("read watermarks: %w", err)
	}
	epochs := make(map[string]bool)
	for _, uid := range c.cfg.Store.Epochs() {
		epochs[uid] = true
	}
	return c.putMarks(ctx, epochs)
}

// purgeEvery is how often messages that may go are looked for.
const purgeEvery = time.Minute

// purge removes from the stream what every store has had for a while. The
// stream refuses when it is full, so at three quarters everything goes that the
// stores have: the stores are the archive, the stream is not.
func (c *Collector) purge(ctx context.Context) {
	now := c.cfg.Now()
	if now.Sub(c.purged) < purgeEvery {
		return
	}
	c.purged = now
	if err := c.purgeBefore(ctx, now.Add(-c.cfg.Keep)); err != nil && ctx.Err() == nil {
		c.failed("purge", err)
	}
}

func (c *Collector) purgeBefore(ctx context.Context, limit time.Time) error {
	s, err := c.cfg.JetStream.Stream(ctx, c.cfg.Stream)
	if err != nil {
		return err
	}
	info := s.CachedInfo()
	stored, err := c.storedByAll(ctx, s)
	if err != nil || stored < info.State.FirstSeq || info.State.Msgs == 0 {
		return err
	}
	upTo := stored
	if most := info.Config.MaxBytes; most <= 0 || info.State.Bytes < uint64(most)/4*3 {
		if upTo, err = lastBefore(ctx, c.cfg.JetStream, s, info.State.FirstSeq, stored, limit); err != nil || upTo == 0 {
			return err
		}
	}
	return s.Purge(ctx, jetstream.WithPurgeSequence(upTo+1))
}

// storedByAll returns the stream sequence up to which every store that has a
// consumer has acknowledged.
func (c *Collector) storedByAll(ctx context.Context, s jetstream.Stream) (uint64, error) {
	least := c.accounted.Load()
	list := s.ListConsumers(ctx)
	for info := range list.Info() {
		if len(info.Name) > len("collector-") && info.Name[:len("collector-")] == "collector-" && info.Name != c.consumerName() {
			least = min(least, info.AckFloor.Stream)
		}
	}
	return least, list.Err()
}

// lastBefore returns the last sequence from first to last whose message came
// before limit; 0 when there is none. Times on a stream only grow.
func lastBefore(ctx context.Context, js jetstream.JetStream, s jetstream.Stream, first, last uint64, limit time.Time) (uint64, error) {
	low, high := first, last+1 // everything below low is before limit
	for low < high {
		mid := low + (high-low)/2
		msg, err := stream.At(ctx, js, s, mid)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return 0, err
		}
		// One that is gone already may go.
		if err != nil || msg.Time.Before(limit) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == first {
		return 0, nil
	}
	return low - 1, nil
}
