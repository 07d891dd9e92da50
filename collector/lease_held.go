// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/stream"
)

// A Held lease is one time of holding it. Its goroutine ends with Release.
type Held struct {
	Fence uint64 // goes with every commit

	lease    *Lease
	kv       jetstream.KeyValue
	ctx      context.Context //nolint:containedctx // the lease's own life, which is what Context is for
	end      context.CancelCauseFunc
	ends     atomic.Pointer[time.Time] // by our clock, unless it is renewed before
	renewing sync.WaitGroup
	stop     chan struct{} // closed by Release
	once     sync.Once

	now stream.Lease // as it stands on NATS; owned by renew, and then by Release
}

// Context ends when the lease is lost, with [ErrLeaseLost] as its cause, or with
// the context that it was acquired with.
func (h *Held) Context() context.Context { return h.ctx }

// Lost says whether somebody else may have the lease by now. It asks nobody.
func (h *Held) Lost() bool {
	return h.ctx.Err() != nil || !h.lease.cfg.Now().Before(*h.ends.Load())
}

// renew renews the lease each third of its time, until it is lost or released.
func (h *Held) renew(last time.Time) {
	cfg := &h.lease.cfg
	tick := time.NewTicker(cfg.poll)
	defer tick.Stop()
	var failed error
	for {
		select {
		case <-h.stop:
			return
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		now := cfg.Now()
		switch {
		case !now.Before(last.Add(cfg.TTL)):
			if failed == nil {
				failed = errors.New("the process, or the machine, was stopped")
			}
			h.lose(fmt.Errorf("%w: it was not renewed in time: %w", ErrLeaseLost, failed))
			return
		case now.Sub(last) < cfg.TTL/3:
			continue
		}
		// Counted from before the renewal is under way: nobody sees it earlier.
		if failed = h.put(min(cfg.TTL/3, last.Add(cfg.TTL).Sub(now))); failed == nil {
			last = now
			h.ends.Store(new(last.Add(cfg.TTL)))
			h.lease.tell(LeaseActive, &h.now, nil)
			continue
		}
		if errors.Is(failed, ErrLeaseLost) {
			h.lose(failed)
			return
		}
		h.lease.tell(LeaseActive, &h.now, failed)
	}
}

// put renews once. It looks before: an answer that did not come may have been a
// yes, which gave the lease another revision; and in a bucket that was deleted and
// made anew another's lease may have ours. What cannot be told from an old answer
// is asked for again until the lease ends.
func (h *Held) put(within time.Duration) error {
	ctx, cancel := context.WithTimeout(h.ctx, within)
	defer cancel()
	found, err := stream.GetLease(ctx, h.kv, h.lease.cfg.Store)
	switch {
	case err != nil:
		return err
	case found.Term != h.now.Term && found.Revision > h.now.Revision:
		return fmt.Errorf("%w: %s has it", ErrLeaseLost, cmp.Or(found.Holder, "somebody"))
	case found.Term != h.now.Term:
		return errors.New("renew lease: it is not in its bucket")
	}
	revision, err := stream.PutLease(ctx, h.kv, h.lease.cfg.Store, h.now, found.Revision)
	if err != nil {
		return err
	}
	h.now.Revision = revision
	return nil
}

func (h *Held) lose(err error) {
	h.lease.log.Warn("stands by", "store", h.lease.cfg.Store, "error", err)
	h.lease.tell(LeaseStandby, &stream.Lease{}, nil)
	h.end(err)
}

// releaseLimit is how long giving the lease back may take. If it is not given
// back, others wait for its end.
const releaseLimit = 2 * time.Second

// Release gives the lease back, if it still is held, for another to take at
// once. The caller MUST have ended what it did under it. It waits for the
// goroutine that renews, and may be called again.
func (h *Held) Release() {
	h.once.Do(func() {
		close(h.stop)
		h.renewing.Wait()
		lost := errors.Is(context.Cause(h.ctx), ErrLeaseLost)
		h.end(context.Canceled)
		h.lease.tell(LeaseStandby, &stream.Lease{}, nil)
		if lost {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(h.ctx), releaseLimit)
		defer cancel()
		free := stream.Lease{Fence: h.now.Fence, TTL: h.now.TTL}
		if _, err := stream.PutLease(ctx, h.kv, h.lease.cfg.Store, free, h.now.Revision); err != nil {
			h.lease.log.Warn("the lease was not given back; it ends by itself", "error", err)
		}
	})
}
