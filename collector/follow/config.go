// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/docket-audit/docket/collector/judge"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// A Knower is a store that knows which events it has, and how far it has come on
// the stream: see [store.Writer]. What is shown before it is stored needs one.
type Knower interface {
	judge.Epochs
	StreamSeq() uint64
}

// Config says how a hub works. ID, Store and Commits are required; every other
// field has a default that works.
type Config struct {
	// ID names the store for ever: a resume token of a store with another ID is
	// refused.
	ID string
	// Store gives what is stored. With JetStream it MUST be a [Knower].
	Store store.Reader
	// Commits returns the number of the newest commit. It is called often, and MUST
	// NOT read from disk.
	Commits func() uint64

	// JetStream leads to the stream. It may be down for long, so its connection
	// should reconnect for ever; the hub never closes it. nil: events are shown when
	// they are stored.
	JetStream jetstream.JetStream
	// Stream is the stream's name, the one that the store is filled from; "" means
	// DOCKET.
	Stream string
	// Prefix is what subjects begin with; "" means docket.activity.
	Prefix string

	// Poll is how often Commits is asked, beside [Hub.Committed]; 0 means 100 ms.
	Poll time.Duration
	// HoleAfter is how long sequences must be missing in an epoch that has gone on
	// behind them until subscribers are told; 0 means 5 seconds.
	HoleAfter time.Duration

	// Events and Bytes bound what the hub keeps in memory, for all subscribers
	// together: the newest events, and which of them are not stored yet. Where more
	// than that is not stored, nothing is shown before it is. 0 means 131,072 and
	// 64 MiB.
	Events int
	Bytes  int
	// Epochs bounds of how many epochs events are shown before they are stored, and
	// so how long a token gets; events of others are shown when they are stored. 0
	// means 1024.
	Epochs int

	// Now is time.Now when nil.
	Now func() time.Time
	// Logger discards when nil; MeterProvider measures nothing when nil.
	Logger        *slog.Logger
	MeterProvider metric.MeterProvider
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	_, knows := c.Store.(Knower)
	switch {
	case c.ID == "":
		return errors.New("configure hub: no ID of the store")
	case c.Store == nil:
		return errors.New("configure hub: no store")
	case c.Commits == nil:
		return errors.New("configure hub: nothing tells the number of commits")
	case c.JetStream != nil && !knows:
		return errors.New("configure hub: a stream, and a store that does not know which events it has")
	case c.Poll < 0 || c.HoleAfter < 0 || c.Events < 0 || c.Bytes < 0 || c.Epochs < 0:
		return errors.New("configure hub: negative limit")
	}
	return nil
}

// withDefaults returns c with every default in its place.
func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = profile.Prefix
	}
	if c.Poll == 0 {
		c.Poll = 100 * time.Millisecond
	}
	if c.HoleAfter == 0 {
		c.HoleAfter = 5 * time.Second
	}
	if c.Events == 0 {
		c.Events = 128 << 10
	}
	if c.Bytes == 0 {
		c.Bytes = 64 << 20
	}
	if c.Epochs == 0 {
		c.Epochs = 1024
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MeterProvider == nil {
		c.MeterProvider = noop.NewMeterProvider()
	}
	return c
}
