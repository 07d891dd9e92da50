// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/collector/judge"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/stream"
)

// A Collector moves events from the stream into a store. Make one with [New];
// Run may be called once.
type Collector struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics

	// The rest up to mu is owned by Run.

	ledgered uint64           // number of the last statement that the ledger has; by who holds statements
	marks    map[string]int64 // watermarks as they were put, by epoch
	judge    *judge.Judge
	epochs   *followers // what is open
	holes    *holes     // has a lock of its own
	kv       jetstream.KeyValue
	accepted bool      // the stream passed its check once
	purged   time.Time // when old messages were last looked for
	seen     seenStream
	fence    uint64 // goes with every commit
	held     *Held  // the lease; nil without one, or while standing by
	stream   jetstream.Stream
	consumer jetstream.Consumer
	read     uint64         // stream sequence of the last message that came, in this session
	gathered int            // entries of the last batch
	removed  []streamChange // what was missing between messages, not yet told
	ends     error          // why the session ends when what came before is stored

	// hurry is closed by the first Drain: from then on a flush waits for
	// nothing.
	hurry     chan struct{}
	hurryOnce sync.Once

	tasks  chan task // what is done by the goroutine that lets events leave
	toldTo uint64    // the last statement that tellLeft has read; its goroutine's

	statements chan struct{} // has one while somebody is between a statement and its leaf

	accounted atomic.Uint64 // stream sequence up to which every step is done
	led       ledgered
	room      atomic.Pointer[streamRoom] // nil: nobody knows
	standing  atomic.Bool                // another collector fills the store

	mu     sync.Mutex
	status live // guarded by mu
}

// live is what Status tells beside what the store knows.
type live struct {
	connected bool
	caughtUp  bool
	pending   uint64
	err       error
	// compaction is why the last one failed.
	compaction error
	// retention is why nothing expired when that was looked at last.
	retention error
	open      map[string]int // open operations by epoch
}

// New returns a collector that does nothing yet.
func New(cfg Config) (*Collector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.MeterProvider)
	if err != nil {
		return nil, fmt.Errorf("make collector metrics: %w", err)
	}
	c := &Collector{
		cfg: cfg, log: cfg.Logger.With("component", "collector"), metrics: m,
		marks: make(map[string]int64), judge: judge.New(cfg.Prefix, cfg.Store), hurry: make(chan struct{}),
		tasks: make(chan task), statements: make(chan struct{}, 1),
	}
	c.holes = newHoles(c)
	return c, nil
}

// errEnd is what Run returns for [Config.reached]: as if the process were gone.
type errEnd struct{ error }

func (e errEnd) Unwrap() error { return e.error }

func (c *Collector) reached(place string) error {
	if err := c.cfg.reached(place); err != nil {
		return errEnd{err}
	}
	return nil
}

// collect collects until ctx ends, and then returns nil.
func (c *Collector) collect(ctx context.Context) (err error) {
	if err := c.recover(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	unwatch, err := c.watchBalance()
	if err != nil {
		return err
	}
	defer unwatch()
	untold, err := c.watchVitals()
	if err != nil {
		return err
	}
	defer untold()
	defer func() {
		if !errors.As(err, new(errEnd)) {
			c.epochs.save()
			c.holes.saveNow(true)
		}
	}()
	for wait := backoff(); ; {
		err := c.session(ctx, wait.reset)
		if ctx.Err() != nil {
			return nil
		}
		if c.final(err) {
			return err
		}
		if !errors.Is(err, errReconnected) {
			c.failed("session", err)
			wait.sleep(ctx)
		}
	}
}

// final reports whether trying again is of no use. A stream that was accepted
// once and is now missing may be on its way back.
func (c *Collector) final(err error) bool {
	var end errEnd
	var missing *stream.MissingError
	var weaker *stream.WeakerError
	switch {
	case errors.As(err, &end), errors.Is(err, nats.ErrConnectionClosed), overtaken(err):
		return true
	case errors.As(err, &missing), errors.As(err, &weaker):
		return !c.accepted
	}
	return false
}

// errReconnected ends a session so that the next one looks at the stream anew.
var errReconnected = errors.New("reconnected")

// session collects from one connection to the stream.
func (c *Collector) session(ctx context.Context, working func()) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stop := c.watch(ctx, end)
	defer stop()

	messages, begin, err := c.subscribe(ctx)
	if err != nil {
		return err
	}
	defer messages.Stop()
	// A session before this one may have been cut off between two steps.
	if err := c.addStatements(ctx); err != nil {
		return err
	}
	c.epochs.refresh()
	// What was found before the start can be told before anything comes.
	if err := c.follow(ctx, store.Committed{}, nil); err != nil {
		return err
	}
	c.accounted.Store(begin)
	var beside sync.WaitGroup
	for _, run := range []func(context.Context) error{c.holes.run, c.compact, c.retain, c.watchStream} {
		beside.Go(func() {
			if err := run(ctx); err != nil {
				end(err)
			}
		})
	}
	defer beside.Wait()
	defer end(nil)
	for {
		b, err := c.gather(ctx, messages)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("gather: %w", err)
		}
		if err := c.flush(ctx, b); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		working()
		c.purge(ctx)
	}
}

// watch ends a session when the connection comes back after it was lost. The
// caller MUST call the function that it returns.
func (c *Collector) watch(ctx context.Context, end context.CancelCauseFunc) (stop func()) {
	conn := c.cfg.JetStream.Conn()
	changes := conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s, ok := <-changes:
				if !ok {
					return
				}
				c.set(func(l *live) { l.connected = s == nats.CONNECTED })
				switch s {
				case nats.CONNECTED:
					end(errReconnected)
				case nats.CLOSED:
					end(nats.ErrConnectionClosed)
				}
			}
		}
	})
	return func() {
		conn.RemoveStatusListener(changes)
		running.Wait()
	}
}

// consumerName is that of the durable consumer.
func (c *Collector) consumerName() string { return "collector-" + c.cfg.Name }

// ackWait is how long the server waits before it sends again what a collector
// holds. A collector that starts does not wait for it; see subscribe.
const ackWait = 5 * time.Minute

// prefetch is how many messages wait here while a flush is under way; what is asked
// for at a time is as many bytes as a flush takes, at most.
const prefetch = 10_000

// subscribe checks the stream and begins behind what the store has. It makes
// the consumer anew: where to begin, the store knows better than the server,
// who would keep back for ackWait what a killed collector held.
//
// begin is the stream sequence behind which messages come.
func (c *Collector) subscribe(ctx context.Context) (messages *stream.Messages, begin uint64, err error) {
	js := c.cfg.JetStream
	if c.held != nil && c.held.Lost() {
		return nil, 0, ErrLeaseLost // it would take the consumer from the one who has it now
	}
	if err := stream.Check(ctx, js, stream.Name(c.cfg.Stream), stream.Replicas(c.cfg.Replicas), stream.AnyEmitters()); err != nil {
		return nil, 0, err
	}
	if c.kv, err = stream.Bucket(ctx, js, stream.Name(c.cfg.Stream)); err != nil {
		return nil, 0, err
	}
	c.accepted = true
	if err := c.restoreMarks(ctx); err != nil {
		return nil, 0, err
	}
	name := c.cfg.Stream
	s, err := js.Stream(ctx, name)
	if err != nil {
		return nil, 0, fmt.Errorf("open stream %s: %w", name, err)
	}
	c.stream = s
	// What was stored before is a duplicate by its epoch and sequence.
	begin, changes, err := c.begin(s.CachedInfo())
	if err != nil {
		return nil, 0, err
	}
	c.tellStream(ctx, changes)
	c.ends = nil
	c.read, c.removed = max(begin, max(s.CachedInfo().State.FirstSeq, 1)-1), nil
	if err := s.DeleteConsumer(ctx, c.consumerName()); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, 0, fmt.Errorf("remove consumer %s: %w", c.consumerName(), err)
	}
	cons, err := s.CreateConsumer(ctx, stream.Distant(jetstream.ConsumerConfig{
		Durable: c.consumerName(), Description: "events into the store " + c.cfg.Name,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: begin + 1,
		AckPolicy: jetstream.AckAllPolicy, AckWait: ackWait, MaxAckPending: -1,
	}))
	if err != nil {
		return nil, 0, fmt.Errorf("make consumer %s: %w", c.consumerName(), err)
	}
	c.consumer = cons
	pending := cons.CachedInfo().NumPending
	c.set(func(l *live) { l.connected, l.err, l.pending, l.caughtUp = true, nil, pending, pending == 0 })
	return stream.ReadAhead(js, cons, min(prefetch, c.cfg.FlushMessages), c.cfg.FlushBytes, nil), begin, nil
}

// caughtUp reports whether everything on the stream was stored at least once.
func (c *Collector) caughtUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status.caughtUp
}

func (c *Collector) set(change func(*live)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.status)
}

// failed notes what will be tried again.
func (c *Collector) failed(step string, err error) {
	c.log.Error("collecting failed; will be tried again", "step", step, "error", err)
	c.metrics.failed(step)
	c.set(func(l *live) { l.err = fmt.Errorf("%s: %w", step, err) })
}

// Drain returns when all that is on the stream now is stored, with everything
// that follows from it. From the first call on, nothing waits for more. A
// collector that stands by has nothing to store.
func (c *Collector) Drain(ctx context.Context) error {
	c.hurryOnce.Do(func() { close(c.hurry) })
	name := c.cfg.Stream
	s, err := c.cfg.JetStream.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("drain stream %s: %w", name, err)
	}
	last := s.CachedInfo().State.LastSeq
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for c.accounted.Load() < last && !c.standing.Load() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("drain stream %s: at %d of %d: %w", name, c.accounted.Load(), last, ctx.Err())
		}
	}
	return nil
}

// delay grows from try to try.
type delay struct{ next time.Duration }

const firstDelay, lastDelay = 50 * time.Millisecond, 5 * time.Second

func backoff() *delay { return &delay{firstDelay} }

func (d *delay) reset() { d.next = firstDelay }

func (d *delay) sleep(ctx context.Context) {
	t := time.NewTimer(d.next)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	d.next = min(2*d.next, lastDelay)
}
