// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/knadh/koanf/v2"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/natsaccess"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// A Config is what the file says, apart from what is enforced. Fields that
// zero means "default" for in the package that takes them have none here.
type Config struct {
	Gateway   Gateway   `koanf:"gateway"`
	Audit     Audit     `koanf:"audit"`
	Tenant    Tenant    `koanf:"tenant"`
	Principal Principal `koanf:"principal"`
	NATS      NATS      `koanf:"nats"`
	OCSF      OCSF      `koanf:"ocsf"`
	Emitter   Emitter   `koanf:"emitter"`
	Collector Collector `koanf:"collector"`
	Store     Store     `koanf:"store"`
	Lake      Lake      `koanf:"lake"`
	API       API       `koanf:"api"`
	Auth      Auth      `koanf:"auth"`
	Flight    Flight    `koanf:"flight"`
	Ops       Ops       `koanf:"ops"`
	Ledger    Ledger    `koanf:"ledger"`
	Telemetry Telemetry `koanf:"telemetry"`

	// File is where it was read from; "" when there was no file.
	File string `koanf:"-"`
	// HasGateway says that the file has a [gateway], or interceptors to run.
	HasGateway bool `koanf:"-"`
	// overrides are the keys of [gateway] and [audit] that the environment or
	// a flag gave: chainfile has read the file's.
	overrides map[string]bool

	environ, set []string       // what it was loaded with beside File
	values       map[string]any // of all keys, "table.key", as they were given
}

// Gateway is [gateway]; chainfile checks it in the file.
type Gateway struct {
	Listen      string `koanf:"listen"`
	Upstream    string `koanf:"upstream"`
	Descriptors string `koanf:"descriptors"`
	Unmatched   string `koanf:"unmatched"`
}

// Audit is [audit]; chainfile checks it in the file.
type Audit struct {
	Mode     string   `koanf:"mode"`
	Deadline Duration `koanf:"deadline"`
	Answer   string   `koanf:"answer"`
}

// Tenant says whose an operation is. Fixed wins; else the value of the
// metadata key that the operator trusts; else "default".
type Tenant struct {
	Fixed       string `koanf:"fixed"`
	MetadataKey string `koanf:"metadata_key"`
}

// Principal says who asks: the value of the metadata key that the operator
// trusts, else nobody in particular.
type Principal struct {
	MetadataKey string `koanf:"metadata_key"`
}

// NATS is the broker: an own one that listens on Listen, or, with URL, another.
type NATS struct {
	Listen   string `koanf:"listen"`
	URL      string `koanf:"url"`
	Creds    string `koanf:"creds"`
	Replicas int    `koanf:"replicas"`
	Stream   string `koanf:"stream"`

	CA           string `koanf:"ca"`
	User         string `koanf:"user"`
	PasswordFile string `koanf:"password_file"`
}

// Access is by what the other broker is known, and what it knows this one by.
func (n *NATS) Access() natsaccess.Access {
	return natsaccess.Access{Creds: n.Creds, CA: n.CA, User: n.User, PasswordFile: n.PasswordFile}
}

func (n *NATS) check() error {
	access := n.Access()
	if err := access.Check(); err != nil {
		return cli.Hint(fmt.Errorf("[nats]: %w", err), "write user and password_file, or creds")
	}
	return nil
}

// OCSF is the form of what is recorded.
type OCSF struct {
	Version string `koanf:"version"` // of the schema
}

// Emitter is what sends events on. What is zero has the default of package
// emitter.
type Emitter struct {
	Name         string   `koanf:"name"` // default the host's name, of docket-gateway with "-gateway" behind it
	QueueMax     Bytes    `koanf:"queue_max"`
	WALMax       Bytes    `koanf:"wal_max"`
	WALFull      string   `koanf:"wal_full"`
	TrimBy       string   `koanf:"trim_by"`
	HeadEvery    int64    `koanf:"head_every"`
	HeadInterval Duration `koanf:"head_interval"`
	Key          string   `koanf:"key"` // default DIR/keys/emitter.key
	Canaries     Canaries `koanf:"canaries"`
}

// Collector is what stores events.
type Collector struct {
	Flush Duration `koanf:"flush"`
	Lease Duration `koanf:"lease"` // 0: none; without [nats] url there is none either
}

// Store is where events are kept: in the data directory's lake, or, with URL, in a
// database of ClickHouse.
type Store struct {
	URL          DSN    `koanf:"url"`
	PasswordFile string `koanf:"password_file"` // for the user in URL
	Cluster      string `koanf:"cluster"`       // of the server's configuration; "" is one server
}

// Lake is how events are kept.
type Lake struct {
	Region       string   `koanf:"region"` // in the paths of public files; "" is lake.DefaultRegion
	CompactAfter Duration `koanf:"compact_after"`
	// How long events are kept, by default and by class and tenant; "" is what
	// package retention does.
	Retention      Keep  `koanf:"retention"`
	RetentionRules Rules `koanf:"retention_rules"`
}

// API is the listener that answers questions. Beyond this machine it needs TLS.
type API struct {
	Listen      string `koanf:"listen"`
	TLSCert     string `koanf:"tls_cert"`
	TLSKey      string `koanf:"tls_key"`
	ClientCA    string `koanf:"client_ca"`
	Hostname    string `koanf:"hostname"` // that the certificate must be for
	CORSOrigins List   `koanf:"cors_origins"`
	// Insecure lets it listen beyond this machine without TLS, where something in
	// front speaks it.
	Insecure bool `koanf:"insecure"`
}

// Auth is by what those who ask are known, beside the token in the data directory.
// What is zero has the default of package authz, which a gateway does not have.
type Auth struct {
	HS256Keys    List          `koanf:"hs256_keys"` // files
	JWKS         string        `koanf:"jwks"`       // file or https URL
	Issuer       string        `koanf:"issuer"`
	Audience     string        `koanf:"audience"`
	Leeway       Duration      `koanf:"leeway"`
	Certificates []Certificate `koanf:"certificates"` // in the file alone
}

// Flight is the listener that answers SQL by Arrow Flight; "" is none.
type Flight struct {
	Listen string `koanf:"listen"`
}

// Ops is the listener of health and metrics.
type Ops struct {
	Listen string `koanf:"listen"`
}

// Telemetry is how the process is watched, beside [ops]. Where traces go, and
// which, is for the standard OTEL_ variables to say.
type Telemetry struct {
	Traces string `koanf:"traces"` // telemetry.TracesOTLP or telemetry.TracesNone
}

// Ledger is the log of commit statements.
type Ledger struct {
	Key string `koanf:"key"` // default DIR/keys/ledger.key
}

// Defaults are the values of keys that nothing gives.
func Defaults() Config {
	return Config{
		Gateway: Gateway{Listen: "127.0.0.1:7070"},
		OCSF:    OCSF{Version: ocsf.DefaultVersion},
		NATS:    NATS{Listen: "127.0.0.1:4222", Replicas: 1, Stream: stream.DefaultName},
		API:     API{Listen: "127.0.0.1:8080"},
		Flight:  Flight{Listen: "127.0.0.1:8081"},
		Ops:     Ops{Listen: "127.0.0.1:9090"},

		Collector: Collector{Lease: Duration(15 * time.Second)},

		Telemetry: Telemetry{Traces: "otlp"},
	}
}

// An Error is a mistake in the configuration and where it is.
type Error struct {
	File   string
	Line   int
	Err    error
	Advice string
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.File, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Hint returns the advice, for the command line to print.
func (e *Error) Hint() string { return e.Advice }

// Load reads file ("" is none), the environment as os.Environ gives it, and
// the values of --set.
func Load(file string, environ, set []string) (*Config, error) {
	ko := koanf.New(".")
	defaults, err := flatten(Defaults())
	if err != nil {
		return nil, err
	}
	layers := []layer{{values: defaults}}
	governs := false
	if file != "" {
		var values map[string]any
		values, governs, err = readFile(file)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer{values: values})
	}
	env, envKeys, err := fromEnvironment(environ)
	if err != nil {
		return nil, err
	}
	flags, flagKeys, err := fromFlags(set)
	if err != nil {
		return nil, err
	}
	for _, l := range append(layers, layer{values: env}, layer{values: flags}) {
		if err := ko.Load(l, nil); err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	c := Config{File: file, HasGateway: governs, overrides: map[string]bool{}, environ: environ, set: set, values: ko.All()}
	if err := ko.Unmarshal("", &c); err != nil {
		// Each layer has checked its values, but for those that chainfile checks.
		if file != "" {
			if _, said := chainfile.Explain(file); said != nil {
				return nil, said
			}
		}
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	for _, key := range append(envKeys, flagKeys...) {
		c.overrides[key] = true
	}
	if file != "" {
		c.resolve(filepath.Dir(file))
	}
	return &c, c.check(file)
}

// check says what does not go together, wherever it was given.
func (c *Config) check(file string) error {
	if err := stream.CheckName(c.NATS.Stream); err != nil {
		return &Error{File: cmp.Or(file, "configuration"), Err: fmt.Errorf("[nats] stream: %w", err), Advice: "it is the name that docket stream apply was given with --stream"}
	}
	c.NATS.Stream = cmp.Or(c.NATS.Stream, stream.DefaultName)
	if err := c.NATS.check(); err != nil {
		return err
	}
	return errors.Join(c.checkDoors(), c.checkStore())
}

// Overridden reports whether the environment or a flag gave key ("gateway.listen").
func (c *Config) Overridden(key string) bool { return c.overrides[key] }

// Again reads the file anew, with the same environment and flags.
func (c *Config) Again() (*Config, error) { return Load(c.File, c.environ, c.set) }

// Changed returns the keys that have another value in now, as "table.key",
// sorted. Of the tables of package chainfile it knows [gateway] and [audit].
func (c *Config) Changed(now *Config) []string {
	keys := map[string]bool{}
	for _, values := range []map[string]any{c.values, now.values} {
		for key := range values {
			if !reflect.DeepEqual(c.values[key], now.values[key]) {
				keys[key] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// resolve makes paths in the file relative to the file's directory, so that
// the command does the same from wherever it is started.
func (c *Config) resolve(dir string) {
	beside := func(key string, path *string) {
		if *path != "" && !filepath.IsAbs(*path) && !c.overrides[key] {
			*path = filepath.Join(dir, *path)
		}
	}
	for key, path := range map[string]*string{
		"nats.creds": &c.NATS.Creds, "nats.ca": &c.NATS.CA, "nats.password_file": &c.NATS.PasswordFile, "emitter.key": &c.Emitter.Key, "ledger.key": &c.Ledger.Key,
		"api.tls_cert": &c.API.TLSCert, "api.tls_key": &c.API.TLSKey, "api.client_ca": &c.API.ClientCA,
		"store.password_file": &c.Store.PasswordFile,
	} {
		beside(key, path)
	}
	for i := range c.Auth.HS256Keys {
		beside("auth.hs256_keys", &c.Auth.HS256Keys[i])
	}
	if !isURL(c.Auth.JWKS) {
		beside("auth.jwks", &c.Auth.JWKS)
	}
}
