// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/ocsf"
)

// An Emitter makes events durable and sends them to the stream. See the package
// comment. Its methods may be called by any goroutine.
type Emitter struct {
	cfg     Config
	lock    *os.File
	wal     *wal
	reserve reserve
	aside   aside
	queue   *queue
	js      jetstream.JetStream // nil without a connection

	serverTakes atomic.Int64 // max_payload of the server, 0 before the first connection

	count     counters
	durations durations
	troubles  troubles
	recovered int

	spooled  progress // what is on stable storage
	epochs   reach    // the same, by epoch
	streamed progress // what JetStream acknowledged
	marks    watermarks
	trimming sync.Mutex // held while files are chosen and removed
	trimmed  broadcast

	notices notices
	noticed chan struct{} // has an element when there are notices

	stopping  chan struct{} // closed when Close begins
	giveUp    chan struct{} // closed when Close's time is up
	sequenced chan struct{} // closed when the sequencer is done
	stopped   chan struct{} // closed when Close has nothing to publish any more
	done      chan struct{} // closed when Close is done

	mu      sync.Mutex
	running chan struct{} // closed when Run or Close stops publishing; guarded by mu
	closed  bool          // guarded by mu
	end     error         // what Close returned; for who waits for done

	unmeasure func() error
}

// New opens the directory of cfg, recovers what an earlier start left there and
// returns an emitter that takes events. [Emitter.Run] publishes them. The
// caller MUST call [Emitter.Close].
//
// New starts the goroutine that writes the WAL, so that an event is durable
// whether or not anybody publishes; Close stops it. It fails with a
// [*LockedError] when another emitter uses the directory, with a [*DirError]
// when it cannot be used.
func New(cfg Config) (*Emitter, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := makeDir(cfg.FS, cfg.Dir); err != nil {
		return nil, &DirError{Dir: cfg.Dir, Err: err}
	}
	held, err := lock(cfg.Dir)
	if err != nil {
		return nil, err
	}
	e := &Emitter{
		cfg: cfg, lock: held,
		noticed:  make(chan struct{}, 1),
		stopping: make(chan struct{}), giveUp: make(chan struct{}),
		sequenced: make(chan struct{}), stopped: make(chan struct{}), done: make(chan struct{}),
	}
	e.queue = newQueue(e, cfg.QueueBytes)
	e.troubles.by = map[string]string{}
	e.marks.init(cfg.Stores)
	if err := e.open(); err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return e, nil
}

func (e *Emitter) open() error {
	e.cfg.reached("before-recovery")
	rec, err := recoverWAL(e.cfg.Dir)
	if err != nil {
		return &DirError{Dir: e.cfg.Dir, Err: fmt.Errorf("recover WAL: %w", err)}
	}
	e.cfg.reached("after-recovery")
	if err := e.openAside(); err != nil {
		return &DirError{Dir: e.cfg.Dir, Err: err}
	}
	if e.cfg.Conn != nil {
		if e.cfg.Conn.IsConnected() {
			e.serverTakes.Store(e.cfg.Conn.MaxPayload())
		}
		if e.js, err = jetstream.New(e.cfg.Conn); err != nil {
			return fmt.Errorf("open emitter: %w", err)
		}
	}
	for _, d := range rec.damage {
		e.damaged(d) // before openWAL removes anything
	}
	e.recovered = rec.records
	e.marks.recovered(rec.files)
	e.reserve.init(&e.cfg)
	e.wal, err = openWAL(&e.cfg, rec)
	if diskFull(err) && e.reserve.giveUp() {
		e.wal, err = openWAL(&e.cfg, rec)
	}
	if err != nil {
		return &DirError{Dir: e.cfg.Dir, Err: err}
	}
	e.streamed.advance(e.wal.begin())
	e.spooled.advance(e.wal.end())
	if err := e.measure(); err != nil {
		return errors.Join(err, e.wal.close())
	}
	if rec.records > 0 || rec.cut > 0 || len(rec.epochs) > 0 {
		e.cfg.Logger.Info("recovered the WAL", "events", rec.records, "files", len(rec.files),
			"crashed_epochs", len(rec.epochs), "torn_bytes", rec.cut, "damaged", len(rec.damage))
	}
	s := newSequencer(e, rec.epochs)
	e.cfg.reached("before-reserve")
	switch err := e.reserve.make(); {
	case diskFull(err):
		s.spend(err)
	case err != nil:
		e.trouble(troubleReserve, err) // it does without: what it is for may never happen
	}
	e.cfg.reached("after-reserve")
	go func() {
		defer close(e.sequenced)
		s.run()
	}()
	return nil
}

// Emit takes ev and returns at once. The caller MUST NOT touch ev or anything
// that it points to afterwards: it is completed and encoded later, by another
// goroutine.
//
// What ev leaves open is filled in: metadata.uid (else it must be a UUID in
// lower case), metadata.tenant_uid ("default"), metadata.product,
// metadata.version, and the application of a lifecycle event. Sequence, loggers
// and attestation are the emitter's always.
//
// An event with a method Release() lends its memory: it is called once, when the
// event is encoded, and not at all when the event is refused.
//
// ctx is not waited for and its end takes nothing back; it is there for what
// wraps an emitter.
func (e *Emitter) Emit(_ context.Context, ev ocsf.Event) Receipt {
	if v := reflect.ValueOf(ev); ev == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return e.queue.refuseNone()
	}
	return e.queue.offer(ev)
}

// Run publishes until ctx is done or the emitter is closed, and returns nil
// then. One call at a time may run.
//
// A server that is not there, a stream that is missing, full, or weaker than
// declared does not end it: events stay in the WAL, [Emitter.State] tells why,
// and Run tries again.
func (e *Emitter) Run(ctx context.Context) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	if e.running != nil {
		e.mu.Unlock()
		return errors.New("run emitter: it runs already")
	}
	running := make(chan struct{})
	e.running = running
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.running = nil
		e.mu.Unlock()
		close(running)
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.publish(ctx)
	}()
	select {
	case <-ctx.Done():
	case <-e.stopped:
	}
	cancel()
	<-done
	return nil
}

// Close takes no more events, states open gaps, ends every epoch with a stop
// event, and waits until all that is on stable storage and, if there is a
// connection, acknowledged by JetStream; it publishes itself if Run does not.
//
// When ctx ends first, Close returns its error. What is in the WAL then is
// published by the next start; only if the WAL itself could not be written, the
// receipts concerned say so. A write or sync that hangs in the kernel is waited
// for. A second call waits for the first one, and returns what that does.
func (e *Emitter) Close(ctx context.Context) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		<-e.done
		return e.end
	}
	e.closed = true
	e.mu.Unlock()
	defer close(e.done)
	e.end = e.close(ctx)
	return e.end
}

func (e *Emitter) close(ctx context.Context) error {
	close(e.stopping)
	e.queue.close()

	var err error
	select {
	case <-e.sequenced:
	case <-ctx.Done():
		close(e.giveUp)
		<-e.sequenced
	}
	if e.js != nil {
		err = e.drain(ctx)
	}
	close(e.stopped)
	e.mu.Lock()
	running := e.running
	e.mu.Unlock()
	if running != nil {
		<-running
	}
	return errors.Join(err, e.wal.close(), e.unmeasure(), e.lock.Close())
}

// drain waits until everything spooled is streamed, publishing when nobody else
// does.
func (e *Emitter) drain(ctx context.Context) error {
	e.mu.Lock()
	running := e.running
	e.mu.Unlock()
	caught := make(chan error, 1)
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		end := e.spooled.position()
		caught <- e.streamed.changed.wait(waiting, func() bool { return e.wal.settle(e.streamed.position()).compare(end) >= 0 })
	}()
	var err error
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	select {
	case err = <-caught:
		close(done)
	case <-orNow(running):
		go func() {
			defer close(done)
			e.publish(publishing)
		}()
		err = <-caught
	}
	stop()
	<-done
	if events, _ := e.aside.count(); err == nil && events > 0 {
		return fmt.Errorf("close emitter: %d events wait for a server that takes them: %s", events, e.State().Troubles[troubleAside])
	}
	if err != nil {
		return fmt.Errorf("close emitter: %d bytes wait in the WAL and are published by the next start: %w%s",
			e.wal.distance(e.streamed.position()), err, e.standing(troubleConnection, troubleStream, troublePublish))
	}
	return nil
}

// orNow returns ch, or a channel that is closed.
func orNow(ch chan struct{}) <-chan struct{} {
	if ch == nil {
		ch = make(chan struct{})
		close(ch)
	}
	return ch
}

// closing reports whether Close has begun.
func (e *Emitter) closing() bool {
	select {
	case <-e.stopping:
		return true
	default:
		return false
	}
}

func publicKey(key ed25519.PrivateKey) ed25519.PublicKey {
	pub, _ := key.Public().(ed25519.PublicKey) // always is
	return pub
}
