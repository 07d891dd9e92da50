// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// A Store is what a collector fills.
type Store interface {
	store.Writer
	store.Reader
}

// defaultName is the name of a store that has none.
const defaultName = "lake"

// A Ledger takes the statements of commits. A statement that was added twice
// is harmless, one that was not added is not.
type Ledger interface {
	// Add returns when the statement is under a published checkpoint.
	Add(ctx context.Context, statement []byte) error
	// Ensure adds those of all statements, oldest first, that are not there yet,
	// and says how many.
	Ensure(ctx context.Context, statements iter.Seq2[[]byte, error]) (int, error)
}

// Config says how a collector works. JetStream and Store are required; every
// other field has a default that works.
type Config struct {
	// JetStream leads to the stream. It may be down for long, so its connection
	// should reconnect for ever. The collector never closes it.
	JetStream jetstream.JetStream
	// Stream is the stream's name; "" means DOCKET. A store is filled from one.
	Stream string
	// Replicas is how many copies the stream must have; one with fewer is
	// refused. 0 means 1.
	Replicas int
	// Prefix is what subjects begin with; "" means docket.activity.
	Prefix string

	Store Store
	// Name is the store's name in watermarks; one subject token. "" means lake.
	Name   string
	Ledger Ledger // nil: there is none
	// Lease decides when this collector fills the store and when it stands by for
	// another; nil: it always does, and there MUST be no other.
	Lease *Lease
	// Fence is the token of a lease that the caller holds while Run runs, as where
	// the store can be opened under the lease only. 0 without one, or with Lease.
	Fence uint64

	// Findings takes what the collector finds, an event each, and sees to it
	// that it comes back on the stream. What an emitter fills in is left open:
	// the product, the version of OCSF. Any goroutine may call it, one at a time
	// for each sort of finding. nil: findings are logged.
	Findings func(context.Context, ocsf.Event)
	// Emitter is the name of the emitter that Findings hands them to; required
	// with it. A finding that comes back under another name is not believed to be
	// the collector's own. After a change of the name, what is found in epochs
	// that are still looked at is told once more.
	Emitter string
	// Retention says what expires, and remembers what is under a legal hold; nil:
	// nothing leaves the store.
	Retention *retention.Book
	// Tell takes an event about what left and what is held, and returns when it is
	// durable with an emitter. nil: nobody is told.
	Tell func(context.Context, ocsf.Event) error

	// DataDir is where plans are kept, in plans/, the snapshot of what is open,
	// followers.json, what emitters are asked for, holes.json, and which stream the
	// store is filled from, stream.json. "": nowhere.
	DataDir string

	// A flush takes what came in FlushEvery, or FlushMessages or FlushBytes if
	// that is less. 0 means a second, 20,000 and 16 MiB.
	FlushEvery    time.Duration
	FlushMessages int
	FlushBytes    int

	// Horizon is how far the time of an epoch's events must have gone beyond
	// the last event of an operation before its silence is a finding. 0 means
	// 15 minutes.
	Horizon time.Duration
	// Keep is how long a message stays on the stream after every store has it,
	// while there is room. 0 means 24 hours.
	Keep time.Duration

	// Now and NewUID are time.Now and UUIDv7 when nil.
	Now    func() time.Time
	NewUID func() string
	// Logger discards when nil; MeterProvider measures nothing when nil.
	Logger        *slog.Logger
	MeterProvider metric.MeterProvider

	pollHoles      time.Duration // how often holes are looked at; a second when 0
	pollRetention  time.Duration // how often it is looked what expires; an hour when 0
	pollCompaction time.Duration // how often a compaction may be due; 5 seconds when 0
	pollStream     time.Duration // how often the stream is looked at; 5 seconds when 0

	// reached is told the named places of the code as they are passed, and may
	// return an error, with which Run ends as a killed process does: tests.
	reached func(place string) error
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	switch {
	case c.JetStream == nil:
		return errors.New("configure collector: no JetStream")
	case c.Store == nil:
		return errors.New("configure collector: no store")
	case stream.CheckName(c.Stream) != nil:
		return fmt.Errorf("configure collector: %w", stream.CheckName(c.Stream))
	case c.Lease != nil && c.Lease.cfg.Stream != cmp.Or(c.Stream, stream.DefaultName):
		return errors.New("configure collector: the lease is about another stream")
	case c.Lease != nil && c.Fence != 0:
		return errors.New("configure collector: a lease, and the fence of another")
	case c.Lease != nil && c.Lease.cfg.Store != cmp.Or(c.Name, defaultName):
		return errors.New("configure collector: the lease is about another store")
	case c.Findings != nil && c.Emitter == "":
		return errors.New("configure collector: findings go to an emitter without a name")
	case c.Name != "" && profile.Token(c.Name) != c.Name:
		return errors.New("configure collector: the store's name must be one subject token")
	case c.FlushEvery < 0 || c.FlushMessages < 0 || c.FlushBytes < 0 || c.Horizon < 0 || c.Keep < 0:
		return errors.New("configure collector: negative limit")
	}
	return nil
}

// withDefaults returns c with every default in its place.
func (c Config) withDefaults() Config {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&c.FlushEvery, time.Second)
	or(&c.Horizon, 15*time.Minute)
	or(&c.Keep, 24*time.Hour)
	or(&c.pollHoles, pollHoles)
	or(&c.pollCompaction, pollCompaction)
	or(&c.pollRetention, pollRetention)
	or(&c.pollStream, pollStream)
	if c.Prefix == "" {
		c.Prefix = profile.Prefix
	}
	if c.Stream == "" {
		c.Stream = stream.DefaultName
	}
	if c.Name == "" {
		c.Name = defaultName
	}
	if c.FlushMessages == 0 {
		c.FlushMessages = 20_000
	}
	if c.FlushBytes == 0 {
		c.FlushBytes = 16 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewUID == nil {
		c.NewUID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MeterProvider == nil {
		c.MeterProvider = noop.NewMeterProvider()
	}
	if c.reached == nil {
		c.reached = func(string) error { return nil }
	}
	return c
}
