// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"time"

	"github.com/google/uuid"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// Config says how events are written. The zero Config is ready for use.
type Config struct {
	// Gateway names the gateway in src_endpoint.svc_name; default "docket".
	Gateway string
	// Version is that of the product, metadata.product.version.
	Version string
	// Schema is the version of OCSF that events are written in, 1.8.0 or 1.9.0;
	// default 1.8.0. [CheckSchema] tells whether a version is one of the two: of
	// any other no event can be sealed, and what has to be durable is denied.
	Schema string
	// CaptureMax bounds what is captured of a payload, a state, or a result, in
	// bytes of JSON; of anything larger only the digest is kept. Default 256 KiB.
	CaptureMax int

	// Redactor says what is written of an operation, and what is not; nil: all that
	// bindings see.
	Redactor *Redactor

	// Now and NewUID are the clock and the source of event uids (UUIDv7).
	Now    func() time.Time
	NewUID func() string

	product *ocsf.Product // that all events share
}

const (
	defaultGateway    = "docket"
	defaultCaptureMax = 256 << 10
)

// An Option sets a part of the [Config].
type Option func(*Config)

// WithGateway names the gateway.
func WithGateway(name string) Option { return func(c *Config) { c.Gateway = name } }

// WithVersion sets the product's version.
func WithVersion(v string) Option { return func(c *Config) { c.Version = v } }

// WithSchema sets the version of OCSF that events are written in.
func WithSchema(version string) Option { return func(c *Config) { c.Schema = version } }

// WithCaptureMax bounds what is captured, in bytes.
func WithCaptureMax(n int) Option { return func(c *Config) { c.CaptureMax = n } }

// WithRedactor sets what is not written. Nil is none.
func WithRedactor(r *Redactor) Option { return func(c *Config) { c.Redactor = r } }

// WithClock sets the clock.
func WithClock(now func() time.Time) Option { return func(c *Config) { c.Now = now } }

// WithUIDs sets the source of event uids.
func WithUIDs(next func() string) Option { return func(c *Config) { c.NewUID = next } }

func newConfig(opts []Option) Config {
	c := Config{Gateway: defaultGateway, CaptureMax: defaultCaptureMax, Now: time.Now, NewUID: newUID}
	for _, o := range opts {
		o(&c)
	}
	c.Schema = or(c.Schema, ocsf.DefaultVersion)
	c.product = &ocsf.Product{Name: "docket", VendorName: "docket", Version: text(c.Version)}
	return c
}

// A SchemaError says that no events are written in a version of OCSF.
type SchemaError = profile.VersionError

// CheckSchema fails with a [*SchemaError] unless events can be written in the
// version of OCSF; the empty one stands for the default.
func CheckSchema(version string) error { return profile.CheckVersion(version) }

// newer says whether events are of an OCSF that has attributes for what the
// default version has none for.
func (c *Config) newer() bool { return c.Schema != ocsf.DefaultVersion }

func newUID() string {
	// NewV7 fails only when the system has no randomness left to give.
	return uuid.Must(uuid.NewV7()).String()
}
