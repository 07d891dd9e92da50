// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

// A publisher follows the WAL and sends what is durable to the stream, in the
// order of the WAL.
//
// At most two batches are open. While the first one's commit is under way, the
// second one's messages are sent, but its commit only once the first is
// acknowledged. So an event is never on the stream before one of the same epoch
// with a lower sequence; repetitions aside, for on any doubt the publisher goes
// back to the first batch that is not acknowledged and sends again from there.
// What a store asks for is sent beside it, by the answerer.
type publisher struct {
	e      *Emitter
	nc     *nats.Conn
	reader walReader
	out    *batcher
	limit  int // of messages in a batch; lower where the server says so
	// second is the right to have a batch open beside another one, which the
	// publisher shares with the answerer.
	second slot

	// lost is closed when the connection goes down; replaced when it is up.
	lostMu sync.Mutex
	lost   chan struct{} // guarded by lostMu
	status broadcast     // the connection's status changed

	checked bool // the stream was checked on this connection
	doubt   bool // something went wrong: the next batch begins with care
}

// publish publishes and follows the watermarks until ctx is done.
func (e *Emitter) publish(ctx context.Context) {
	if e.js == nil {
		<-ctx.Done()
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &publisher{e: e, nc: e.cfg.Conn, reader: walReader{w: e.wal}, limit: batchMessages, second: newSlot(), lost: make(chan struct{}), doubt: true}
	defer p.reader.close()
	wg.Go(func() { e.watchWatermarks(ctx, e.js) })
	wg.Go(func() { p.watchStatus(ctx) })
	wg.Go(func() { p.answer(ctx) })
	wait := backoff{first: 50 * time.Millisecond, most: 2 * time.Second}
	for ctx.Err() == nil {
		err := p.ready(ctx)
		if err == nil {
			err = p.pump(ctx, wait.reset)
		}
		if ctx.Err() != nil || err == nil {
			continue
		}
		p.checked, p.doubt = false, true
		p.learn(err)
		var weaker *stream.WeakerError
		var missing *stream.MissingError
		if errors.As(err, &weaker) || errors.As(err, &missing) {
			e.trouble(troubleStream, err)
		} else {
			e.trouble(troublePublish, err)
		}
		select {
		case <-time.After(wait.next()):
		case <-ctx.Done():
		}
	}
	if p.out != nil {
		p.out.answers.close()
	}
}

// watchStatus tells when the connection goes and comes.
func (p *publisher) watchStatus(ctx context.Context) {
	changes := p.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer p.nc.RemoveStatusListener(changes)
	for {
		select {
		case <-ctx.Done():
			return
		case status, ok := <-changes:
			if !ok {
				return
			}
			p.lostMu.Lock()
			select {
			case <-p.lost:
			default:
				close(p.lost) // a reconnect seen late is a loss too
			}
			if status == nats.CONNECTED {
				p.lost = make(chan struct{})
			}
			p.lostMu.Unlock()
			p.status.notify()
		}
	}
}

func (p *publisher) lostSoon() <-chan struct{} {
	p.lostMu.Lock()
	defer p.lostMu.Unlock()
	return p.lost
}

// ready waits until there is a connection and checks that what it leads to is
// strong enough.
func (p *publisher) ready(ctx context.Context) error {
	for !p.nc.IsConnected() {
		changed := p.status.changed()
		p.e.trouble(troubleConnection, &unconnectedError{closed: p.nc.IsClosed(), last: p.nc.LastError()})
		select {
		case <-changed:
		case <-time.After(time.Second): // a change may have come before anybody listened
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.e.trouble(troubleConnection, nil)
	if p.out == nil {
		out, err := newBatcher(p.nc)
		if err != nil {
			return err
		}
		p.out = out
	}
	if p.checked {
		return nil
	}
	checking, cancel := context.WithTimeout(ctx, p.out.wait.of(answerTimeout))
	defer cancel()
	if err := p.e.checkStream(checking); err != nil {
		if checking.Err() != nil {
			p.out.wait.unanswered()
		}
		return err
	}
	p.e.trouble(troubleStream, nil)
	p.e.serverTakes.Store(p.nc.MaxPayload())
	if err := p.sendAside(ctx); err != nil {
		return err
	}
	p.checked = true
	return ctx.Err()
}

// checkStream compares the emitter's stream with what it needs: as strong as
// declared, and with the emitter's own subjects, whoever else's it has.
func (e *Emitter) checkStream(ctx context.Context) error {
	return stream.Check(ctx, e.js, stream.Name(e.cfg.Stream), stream.Replicas(e.cfg.Replicas), stream.Emitters(profile.Token(e.cfg.Name)))
}

// An unconnectedError says that there is no connection to NATS.
type unconnectedError struct {
	closed bool  // for good
	last   error // what the client met last, if anything
}

func (e *unconnectedError) Error() string {
	what := "not connected to NATS, which is tried again and again"
	if e.closed {
		what = "the connection to NATS is closed for good"
	}
	if e.last != nil {
		what += ": " + e.last.Error()
	}
	return what
}

// Hint tells what to do about it.
func (e *unconnectedError) Hint() string {
	if e.closed {
		return "events stay in the WAL and are sent after a restart; with nats.MaxReconnects(-1) and nats.IgnoreAuthErrorAbort() the client never gives up"
	}
	return "events stay in the WAL until then: is the server there, and does it take these credentials?"
}

// learn takes from a refusal what to do differently.
func (p *publisher) learn(err error) {
	p.e.count.retries.Add(1)
	var refused *batchError
	if errors.As(err, &refused) && refused.ErrCode == errCodeBatchTooLarge {
		p.limit = refused.limit(p.limit)
	}
}

// pump publishes from the first record that is not acknowledged on, until
// something goes wrong or ctx is done. worked is called on each success.
func (p *publisher) pump(ctx context.Context, worked func()) error {
	lost := p.lostSoon()
	at := p.e.streamed.position()
	var open *batch // committed, not acknowledged
	second := false // whether another one may be staged beside it
	defer func() {
		p.out.abandon(open)
		if second {
			p.second.give()
		}
	}()
	for ctx.Err() == nil {
		more := p.e.spooled.changed.changed()
		var next *batch
		if second = open != nil && p.second.try(); second || open == nil {
			var err error
			if next, err = p.read(&at, open == nil); err != nil {
				return err
			}
		}
		if next != nil {
			p.e.cfg.reached("before-publish")
			if err := p.out.stage(ctx, next, p.doubt); err != nil {
				p.out.abandon(next)
				return err
			}
		}
		if open != nil {
			if err := p.acknowledge(ctx, open, lost); err != nil {
				p.out.abandon(next)
				return err
			}
			open = nil
			worked()
		}
		if second {
			second = false
			p.second.give()
		}
		switch {
		case next != nil:
			if err := p.out.commit(next); err != nil {
				p.out.abandon(next)
				return err
			}
			p.e.cfg.reached("after-publish")
			open = next
		case at.compare(p.e.wal.settle(p.e.spooled.position())) >= 0:
			select {
			case <-more:
			case <-lost:
				return errDisconnected
			case <-ctx.Done():
			}
		}
	}
	return ctx.Err()
}

// read returns the next batch from at on and moves at behind it; nil when there
// is none. Without few, a few records are not worth a batch of their own: while
// another is under way, more gather.
func (p *publisher) read(at *position, few bool) (*batch, error) {
	for {
		*at = p.e.wal.settle(*at)
		if few {
			// Nothing is under way: all before is acknowledged, or damaged.
			p.e.streamed.advance(*at)
		}
		if !few && p.e.wal.distance(*at) < worthwhile {
			return nil, nil
		}
		c, err := p.reader.read(*at, p.limit, batchBytes)
		if err != nil {
			return nil, err
		}
		for _, d := range c.damage {
			p.e.damaged(d)
		}
		stood := *at
		*at = c.next
		// What an earlier start sent is sent again, whoever says to have it: what
		// was acknowledged then is not known, and a store takes no event twice.
		records, err := p.fit(c.records)
		if err != nil {
			*at = stood
			return nil, err
		}
		if len(records) > 0 {
			p.e.marks.sending(records)
			b := p.out.begin(records, c.next)
			b.memory = c.memory
			return b, nil
		}
		if c.next == stood {
			return nil, nil
		}
	}
}

// worthwhile is how many bytes of the WAL make a batch while another is open.
const worthwhile = 256 << 10

// acknowledge waits for the acknowledgement of b and notes it.
func (p *publisher) acknowledge(ctx context.Context, b *batch, lost <-chan struct{}) error {
	if err := p.out.settle(ctx, b, lost); err != nil {
		return err
	}
	p.e.cfg.reached("before-ack")
	p.doubt = false
	p.e.trouble(troublePublish, nil)
	size := 0
	for i := range b.records {
		size += len(b.records[i].raw)
	}
	p.e.count.streamed.Add(int64(len(b.records)))
	p.e.count.streamedBytes.Add(int64(size))
	p.e.durations.streamed(b.next)
	p.e.streamed.advance(b.next)
	p.reader.again(b.memory) // the client has copied it, and the server has it
	p.e.cfg.reached("after-ack")
	p.e.trim()
	return nil
}
