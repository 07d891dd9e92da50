// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/stream"
)

// ErrLeaseLost says that somebody else may fill the store by now.
var ErrLeaseLost = errors.New("the lease was lost")

// DefaultLeaseTTL is how long a lease holds without being renewed.
const DefaultLeaseTTL = 15 * time.Second

// LeaseConfig says whose a lease is. JetStream is required; every other field
// has a default that works.
type LeaseConfig struct {
	JetStream jetstream.JetStream
	Stream    string // the stream that the store is filled from; "" means DOCKET
	Replicas  int    // of the bucket, where it has to be made; 0 means 1
	Store     string // the name of the store that it is about; "" means lake
	Holder    string // who, for people; "" means collector
	// ID is that of the holder, over its restarts: what it held when it was
	// killed it takes back at once, for it cannot be running any more. Two that
	// may run at the same time MUST NOT have one ID. "" is one of its own.
	ID  string
	TTL time.Duration // 0 means DefaultLeaseTTL

	Now    func() time.Time // of a clock that only runs forward; nil means time.Now
	Logger *slog.Logger     // nil discards

	poll time.Duration // how often the lease is looked at; a twentieth of TTL when 0
}

// A Lease decides which of several collectors fills a store. It lies in a bucket
// on NATS, and is changed by compare-and-set alone. Each collector measures by
// its own clock, and none compares times with another: the holder gives up TTL
// after it last began to renew, others take over TTL after they last saw it
// renewed, which is later.
//
// No clock can tell a holder that it was stopped for a while between a look and
// a commit. So each time of holding has a token, the fence, that is higher than
// all before it and goes with every commit; the store refuses a lower one than it
// has seen.
type Lease struct {
	cfg LeaseConfig
	log *slog.Logger

	mu     sync.Mutex
	status LeaseStatus // guarded by mu

	// seen is the lease as it stands, and since when it has stood unchanged by
	// our clock. Owned by Acquire.
	seen  stream.Lease
	since time.Time
	begun bool // this process has held it once; owned by Acquire
}

// The states of a [LeaseStatus].
const (
	LeaseActive  = "active"
	LeaseStandby = "standby"
)

// A LeaseStatus says who fills the store.
type LeaseStatus struct {
	State  string `json:"state"`           // active, standby
	Holder string `json:"holder"`          // "" when nobody is known to
	Fence  uint64 `json:"fence"`           // of the holder
	Since  int64  `json:"since"`           // ms since 1970 by the holder's clock
	Error  string `json:"error,omitempty"` // why the lease cannot be looked at
}

// NewLease returns a lease that nobody asks for yet.
func NewLease(cfg LeaseConfig) (*Lease, error) {
	if cfg.JetStream == nil {
		return nil, errors.New("configure lease: no JetStream")
	}
	if cfg.TTL < 0 || cfg.TTL > 0 && cfg.TTL < time.Second {
		return nil, errors.New("configure lease: it must hold for a second at least")
	}
	if cfg.TTL == 0 {
		cfg.TTL = DefaultLeaseTTL
	}
	if err := stream.CheckName(cfg.Stream); err != nil {
		return nil, fmt.Errorf("configure lease: %w", err)
	}
	if cfg.Stream == "" {
		cfg.Stream = stream.DefaultName
	}
	if cfg.Store == "" {
		cfg.Store = defaultName
	}
	if cfg.Holder == "" {
		cfg.Holder = "collector"
	}
	if cfg.ID == "" {
		cfg.ID = rand.Text()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.poll == 0 {
		cfg.poll = cfg.TTL / 20
	}
	return &Lease{cfg: cfg, log: cfg.Logger.With("component", "lease"), status: LeaseStatus{State: LeaseStandby}}, nil
}

// Status tells who has the lease. It may be called at any time.
func (l *Lease) Status() LeaseStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

func (l *Lease) tell(state string, seen *stream.Lease, err error) {
	s := LeaseStatus{State: state, Holder: seen.Holder, Fence: seen.Fence, Since: seen.Since}
	if err != nil {
		s.Error = err.Error()
	}
	l.mu.Lock()
	was := l.status
	l.status = s
	l.mu.Unlock()
	switch {
	case err != nil && was.Error != s.Error:
		l.log.Warn("the lease cannot be looked at; will be tried again", "error", err)
	case s.State != was.State, s.Holder != was.Holder, s.Fence != was.Fence:
		l.log.Info("lease", "store", l.cfg.Store, "state", s.State, "holder", s.Holder, "fence", s.Fence)
	}
}

// Acquire stands by until the lease is free or its holder has fallen silent, and
// takes it, with a fence above all that were given and above: the caller's
// highest so far, which counts where the bucket was made anew. One goroutine at
// a time may call it. The error is ctx's.
func (l *Lease) Acquire(ctx context.Context, above uint64) (*Held, error) {
	l.seen, l.since = stream.Lease{}, l.cfg.Now()
	tick := time.NewTicker(l.cfg.poll)
	defer tick.Stop()
	var term string // of the last try, which may have succeeded without an answer
	var begun time.Time
	for {
		kv, err := l.look(ctx)
		switch {
		case err != nil:
			l.tell(LeaseStandby, &l.seen, err)
		case term != "" && l.seen.Term == term && l.cfg.Now().Before(begun.Add(l.cfg.TTL)):
			return l.hold(ctx, kv, begun), nil
		default:
			l.tell(LeaseStandby, &l.seen, nil)
			if !l.due() {
				break
			}
			term, begun = rand.Text(), l.cfg.Now()
			if l.take(ctx, kv, term, above) {
				return l.hold(ctx, kv, begun), nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("acquire lease: %w", ctx.Err())
		}
	}
}

// look reads the lease, in a bucket that is made if it is not there.
func (l *Lease) look(ctx context.Context) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.TTL/3)
	defer cancel()
	kv, err := stream.LeaseBucket(ctx, l.cfg.JetStream, stream.Name(l.cfg.Stream))
	var missing *stream.MissingError
	if errors.As(err, &missing) {
		if stream.ApplyLeases(ctx, l.cfg.JetStream, stream.Name(l.cfg.Stream), stream.Replicas(l.cfg.Replicas)) != nil {
			return nil, err // it is the operator's to make
		}
		kv, err = stream.LeaseBucket(ctx, l.cfg.JetStream, stream.Name(l.cfg.Stream))
	}
	if err != nil {
		return nil, err
	}
	now, err := stream.GetLease(ctx, kv, l.cfg.Store)
	if err != nil {
		return nil, err
	}
	if now.Revision != l.seen.Revision || now.Term != l.seen.Term {
		l.seen, l.since = now, l.cfg.Now()
	}
	return kv, nil
}

// due says whether the lease may be taken.
func (l *Lease) due() bool {
	life := l.seen.Life()
	if life <= 0 {
		life = l.cfg.TTL // it cannot be read, and somebody may have it
	}
	switch {
	case l.seen.Revision == 0, l.seen.Free() && l.seen.TTL > 0:
		return true
	case l.seen.ID == l.cfg.ID && !l.begun:
		return true // ours, before we were killed
	}
	return l.cfg.Now().Sub(l.since) >= life
}

// take tries to replace the lease as it was seen.
func (l *Lease) take(ctx context.Context, kv jetstream.KeyValue, term string, above uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.TTL/3)
	defer cancel()
	next := stream.Lease{
		Holder: l.cfg.Holder, ID: l.cfg.ID, Term: term, Fence: max(l.seen.Fence, above) + 1,
		TTL: l.cfg.TTL.Milliseconds(), Since: l.cfg.Now().UnixMilli(),
	}
	revision, err := stream.PutLease(ctx, kv, l.cfg.Store, next, l.seen.Revision)
	if err != nil {
		if !errors.Is(err, stream.ErrLeaseChanged) {
			l.tell(LeaseStandby, &l.seen, err)
		}
		return false
	}
	next.Revision = revision
	l.seen = next
	return true
}

// hold begins to renew a lease that was taken at a time.
func (l *Lease) hold(ctx context.Context, kv jetstream.KeyValue, begun time.Time) *Held {
	l.begun = true
	h := &Held{Fence: l.seen.Fence, lease: l, kv: kv, now: l.seen, stop: make(chan struct{})}
	h.ends.Store(new(begun.Add(l.cfg.TTL)))
	h.ctx, h.end = context.WithCancelCause(ctx)
	l.tell(LeaseActive, &l.seen, nil)
	h.renewing.Go(func() { h.renew(begun) })
	return h
}
