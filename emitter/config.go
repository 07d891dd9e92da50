// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// TrimBy says what must be known of an event before its WAL file may go.
type TrimBy string

// The rules of trimming.
const (
	TrimByStores TrimBy = "stores" // a watermark of every store covers it
	TrimByStream TrimBy = "stream" // JetStream acknowledged it
)

// WALFull says what happens when the WAL is nearly full.
type WALFull string

// What happens above three quarters of WALMaxBytes.
const (
	// WALFullCustody gives up files that JetStream acknowledged, oldest first,
	// each with an event that says so (custody = stream).
	WALFullCustody WALFull = "custody"
	// WALFullDeny keeps every file until its rule of trimming is met. When the
	// WAL is full, events wait in the queue and are refused when that is full.
	WALFullDeny WALFull = "deny"
)

// Config says how an emitter works. Dir and Name are required; every other
// field has a default that works.
type Config struct {
	// Dir holds the WAL. One emitter at a time uses it.
	Dir string
	// Name is the emitter's name: metadata.loggers[0].name and the last token of
	// every subject, to which NATS permissions bind the emitter's credential.
	// Change it only when the WAL is empty: what waits there keeps its subjects,
	// and a credential of another name may not publish them.
	Name string
	// Prefix is what subjects begin with; "" means docket.activity.
	Prefix string
	// Conn leads to JetStream. It may be down for long; the emitter waits, so
	// the connection should reconnect for ever. The emitter never closes it.
	// With nil, events stay in the WAL.
	Conn *nats.Conn
	// Stream is the stream that the emitter is assigned to; "" means DOCKET. Change
	// it only when the WAL is empty: what waits there would go to the other one.
	Stream string
	// Replicas is how many copies the stream must have; one with fewer is
	// refused. 0 means 1.
	Replicas int
	// Product is written to metadata.product where an event names none, and is
	// the application of a lifecycle event that names none.
	Product *ocsf.Product
	// Version is the OCSF version of the emitter's own events, and of those that
	// name none: 1.8.0 or 1.9.0. "" means 1.8.0.
	Version string

	// QueueBytes bounds the memory of the events that are not yet on stable storage.
	// A quarter of it is for outcomes alone, whose operations are past refusing. Of
	// the rest, one principal of a tenant gets at most half, less when others wait
	// too, and an eighth is for those who hold little: what a noisy one is refused
	// by that is stated with the reason fair_share. 0 means 64 MiB, with which a
	// process takes some 200 MiB at most: garbage is collected when there is as much
	// of it as of what is in use.
	QueueBytes int64
	// MaxEventBytes is the longest event. Of one that is longer, the payloads are
	// replaced by their digests; where that does not help it is unfit. A server
	// that takes less, by its max_payload, lowers it while it is the one that the
	// emitter was last connected to. 0 means the most, 8 MiB less 64 KiB.
	MaxEventBytes int
	// WALFileBytes is the length at which a new WAL file is begun. 0 means 16 MiB.
	WALFileBytes int64
	// WALMaxBytes bounds all WAL files together. Beyond it go only what states that
	// files are given up, and what [Emitter.Close] finds taken, with the end of each
	// epoch. 0 means 1 GiB.
	WALMaxBytes int64
	// ReserveBytes is room on the disk of the WAL that is kept free of others by a
	// file, and given up when the disk is full, so that what was taken before can
	// still be written. Nothing but outcomes is taken until there is room for it
	// again. 0 means room for two of the largest groups, 24 MiB, but no more than
	// a quarter of WALMaxBytes; less than 0 means none.
	ReserveBytes int64
	// WALFull is custody when empty, TrimBy stores.
	WALFull WALFull
	TrimBy  TrimBy
	// Stores are the stores whose watermarks count. When empty, they are all
	// that ever wrote one.
	Stores []string

	// Canaries are what no event may hold; see [Canary]. None costs nothing.
	Canaries []Canary

	// Key signs the head of each hash chain: at a clean stop, and every
	// HeadEvery events or HeadInterval. 0 means 10,000 and a minute. Without a
	// key there are no head events, and a stop states its head unsigned. Another
	// key than that of the last start is fine: an epoch names its key in its start
	// event, and whoever verifies keeps the public keys of all.
	Key          ed25519.PrivateKey
	HeadEvery    int64
	HeadInterval time.Duration

	// Now and NewUID are time.Now and UUIDv7 when nil.
	Now    func() time.Time
	NewUID func() string
	// Logger discards when nil; MeterProvider measures nothing when nil.
	Logger        *slog.Logger
	MeterProvider metric.MeterProvider
	// FS is the file system that the WAL is written to; the real one when nil.
	FS FS

	// reached is told the named places of the code as they are passed: tests
	// kill the process there.
	reached func(place string)
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("configure emitter: no directory")
	case c.Name == "":
		return errors.New("configure emitter: no name")
	case len(c.Name) > 128:
		return errors.New("configure emitter: the name is longer than 128 bytes")
	case strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("configure emitter: the name has control characters")
	case c.TrimBy != TrimByStores && c.TrimBy != TrimByStream:
		return fmt.Errorf("configure emitter: trim_by is %q, not stores or stream", c.TrimBy)
	case c.WALFull != WALFullCustody && c.WALFull != WALFullDeny:
		return fmt.Errorf("configure emitter: wal_full is %q, not custody or deny", c.WALFull)
	case c.QueueBytes < 0 || c.WALMaxBytes < 0 || c.MaxEventBytes < 0 || c.HeadEvery < 0 || c.HeadInterval < 0:
		return errors.New("configure emitter: a limit is negative")
	case c.WALFileBytes < minFileBytes || c.WALFileBytes > maxFileBytes:
		return fmt.Errorf("configure emitter: WAL files of %d bytes, not between %d and %d", c.WALFileBytes, minFileBytes, maxFileBytes)
	case c.MaxEventBytes > maxEventBytes:
		return fmt.Errorf("configure emitter: events of up to %d bytes do not fit into a batch; the most is %d", c.MaxEventBytes, maxEventBytes)
	case len(c.Key) != 0 && len(c.Key) != ed25519.PrivateKeySize:
		return fmt.Errorf("configure emitter: a key of %d bytes is no Ed25519 private key", len(c.Key))
	}
	if err := stream.CheckName(c.Stream); err != nil {
		return fmt.Errorf("configure emitter: %w", err)
	}
	if err := profile.CheckVersion(c.Version); err != nil {
		return fmt.Errorf("configure emitter: %w", err)
	}
	return checkCanaries(c.Canaries)
}

const (
	minFileBytes  = 4 << 10
	maxFileBytes  = 1 << 30
	maxEventBytes = 8<<20 - 64<<10 // a message of the declared stream takes 8 MiB
)

// withDefaults returns c with every zero field filled.
func (c Config) withDefaults() Config {
	set(&c.Prefix, profile.Prefix)
	set(&c.Version, ocsf.DefaultVersion)
	set(&c.QueueBytes, 64<<20)
	set(&c.MaxEventBytes, maxEventBytes)
	set(&c.WALFileBytes, 16<<20)
	set(&c.WALMaxBytes, 1<<30)
	// Two: a group whose write failed half-way takes its room until its file goes.
	set(&c.ReserveBytes, min(2*(bundleBytes+int64(c.MaxEventBytes)), c.WALMaxBytes/4))
	set(&c.WALFull, WALFullCustody)
	set(&c.TrimBy, TrimByStores)
	set(&c.HeadEvery, 10_000)
	set(&c.HeadInterval, time.Minute)
	if c.Product == nil {
		c.Product = &ocsf.Product{Name: "docket", VendorName: "docket"}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewUID == nil {
		c.NewUID = newUID
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("component", "emitter", "emitter", c.Name)
	if c.MeterProvider == nil {
		c.MeterProvider = noop.NewMeterProvider()
	}
	if c.FS == nil {
		c.FS = osFS{}
	}
	if c.reached == nil {
		c.reached = func(string) {}
	}
	c.Dir = filepath.Clean(c.Dir)
	return c
}

func set[T comparable](to *T, def T) {
	var zero T
	if *to == zero {
		*to = def
	}
}

func newUID() string {
	return uuid.Must(uuid.NewV7()).String() // fails only without a random source, which Go does not survive
}
