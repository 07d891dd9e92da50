// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/metric"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/version"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// Product is what events say wrote them.
func Product() *ocsf.Product {
	return &ocsf.Product{Name: "docket", VendorName: "docket", Version: version.Number}
}

// OpenEmitter opens the emitter of a data directory. The connection may be
// down: events then stay in the WAL.
func OpenEmitter(cfg *config.Config, dir *datadir.Dir, conn *nats.Conn, log *slog.Logger, meter metric.MeterProvider) (*emitter.Emitter, error) {
	path := cfg.Emitter.Key
	if path == "" {
		path = dir.Join("keys", "emitter.key")
	}
	key, err := datadir.EmitterKey(path)
	if err != nil {
		return nil, err
	}
	// Under its id too, so that what it signed can still be verified when another
	// key has taken its place.
	id, vkey, err := datadir.EmitterVKey(key)
	if err != nil {
		return nil, err
	}
	if err := dir.Keep(vkey, "keys", "emitters", id+".vkey"); err != nil {
		return nil, err
	}
	name := cfg.Emitter.Name
	if name == "" {
		if name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("name the emitter: %w", err)
		}
	}
	var canaries []emitter.Canary
	for _, c := range cfg.Emitter.Canaries.List {
		canaries = append(canaries, emitter.Canary(c))
	}
	return emitter.New(emitter.Config{
		Dir:           dir.Join("wal"),
		Name:          name,
		Conn:          conn,
		Replicas:      cfg.NATS.Replicas,
		Stream:        cfg.NATS.Stream,
		Product:       Product(),
		Version:       cfg.OCSF.Version,
		QueueBytes:    int64(cfg.Emitter.QueueMax),
		WALMaxBytes:   int64(cfg.Emitter.WALMax),
		WALFull:       emitter.WALFull(cfg.Emitter.WALFull),
		TrimBy:        emitter.TrimBy(cfg.Emitter.TrimBy),
		Key:           key,
		Canaries:      canaries,
		HeadEvery:     cfg.Emitter.HeadEvery,
		HeadInterval:  time.Duration(cfg.Emitter.HeadInterval),
		Logger:        log,
		MeterProvider: meter,
	})
}

// Redacted returns NATS URLs as they may be shown and written down: with the
// user, without the password.
func Redacted(urls string) string {
	shown := strings.Split(urls, ",")
	for i, s := range shown {
		if u, err := url.Parse(strings.TrimSpace(s)); err == nil {
			shown[i] = u.Redacted()
		}
	}
	return strings.Join(shown, ",")
}

// Connect connects to a broker elsewhere, for ever: it may be down now and
// come back later.
func Connect(cfg *config.Config, name string, log *slog.Logger) (*nats.Conn, error) {
	log = log.With("component", "nats")
	opts := []nats.Option{
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // credentials that are refused now may be taken again
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectBufSize(-1), // what is not sent now is in the WAL, not in a buffer
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // else it was closed
				log.Warn("disconnected from NATS", "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { log.Info("connected to NATS", "url", c.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("NATS", "error", err) }),
	}
	if cfg.Emitter.Name != "" {
		// An inbox of its own, so that permissions can grant it and no other: who
		// may listen to _INBOX.> hears what others are answered.
		opts = append(opts, nats.CustomInboxPrefix("_INBOX."+profile.Token(cfg.Emitter.Name)))
	}
	access := cfg.NATS.Access()
	known, err := access.Options()
	if err != nil {
		return nil, &config.Error{File: "nats", Err: err, Advice: "look at [nats] user, password_file and ca"}
	}
	conn, err := nats.Connect(cfg.NATS.URL, append(opts, known...)...)
	if err != nil {
		return nil, &config.Error{File: "nats.url", Err: err, Advice: "write [nats] url = \"nats://HOST:4222\"; credentials go to [nats] creds, or user and password_file, and authorities to ca"}
	}
	return conn, nil
}

// CloseEmitter ends the epochs and waits until all is on the stream. When NATS
// is not there it does not wait: what was recorded is safe in the WAL, and
// waiting for the broker to come back would only look like a hang.
func CloseEmitter(ctx context.Context, em *emitter.Emitter, conn *nats.Conn, stderr io.Writer) error {
	if conn.IsConnected() {
		return em.Close(ctx)
	}
	brief, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := em.Close(brief); err != nil {
		fmt.Fprintf(stderr, "docket: NATS is not reachable: %v\n", err)
	}
	return nil
}
