// SPDX-License-Identifier: Apache-2.0

// Package recordpath is what becomes of events behind the stream, composed: the
// collector, the store that it fills, a lake or a database of ClickHouse, and the
// ledger of the store's commits.
//
//	JetStream -> collector -> store -> ledger -> watermark -> acknowledgement
package recordpath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/follow"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// A Path stores what is on the stream.
type Path struct {
	// Store is Lake or ClickHouse, of which the other is nil.
	Store      collector.Store
	Lake       *lake.Lake
	ClickHouse *clickhouse.Store

	Collector *collector.Collector
	Retention *retention.Book

	turn     *turn // nil where no lease has to be waited for
	ledger   *ledger.Ledger
	js       jetstream.JetStream
	stream   string // its name
	replicas int
	log      *slog.Logger
}

// LedgerKey returns the path of the ledger's private key.
func LedgerKey(cfg *config.Config, dir *datadir.Dir) string {
	if cfg.Ledger.Key != "" {
		return cfg.Ledger.Key
	}
	return dir.Join("keys", "ledger.key")
}

// Allowed is what is done only if somebody says so with the start.
type Allowed struct {
	// AdoptLedger begins the ledger anew where it would be refused, which is a finding.
	AdoptLedger bool
	// ShortenRetention lets a store that deletes by itself delete earlier than it did.
	ShortenRetention bool
}

// Open opens the stores of a data directory. What the collector finds goes to
// em.
func Open(ctx context.Context, cfg *config.Config, dir *datadir.Dir, conn *nats.Conn, may Allowed, em *emitter.Emitter, log *slog.Logger, meter metric.MeterProvider) (_ *Path, err error) {
	p := &Path{log: log.With("component", "recordpath"), stream: cfg.NATS.Stream, replicas: cfg.NATS.Replicas}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close(ctx))
		}
	}()
	if p.js, err = jetstream.New(conn); err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	lease, err := newLease(cfg, dir, p.js, em.State().Name, log)
	if err != nil {
		return nil, err
	}
	if err := p.openStore(ctx, cfg, dir, may, lease != nil, em, log); err != nil {
		return nil, err
	}
	if p.Collector, err = collector.New(collector.Config{
		JetStream: p.js, Stream: p.stream, Replicas: p.replicas, Store: p.Store, Ledger: p.ledger, Lease: lease,
		Findings: func(ctx context.Context, e ocsf.Event) { em.Emit(ctx, e) }, Emitter: em.State().Name,
		Retention: p.Retention, Tell: func(ctx context.Context, e ocsf.Event) error { return em.Emit(ctx, e).Spooled(ctx) },
		DataDir: dir.Path, FlushEvery: time.Duration(cfg.Collector.Flush), Logger: log, MeterProvider: meter,
	}); err != nil {
		return nil, err
	}
	return p, nil
}

// openStore opens the store and its ledger, and tells em what was found in their
// place. Of ClickHouse there is no book: it lets go of events by itself.
func (p *Path) openStore(ctx context.Context, cfg *config.Config, dir *datadir.Dir, may Allowed, leased bool, em *emitter.Emitter, log *slog.Logger) (err error) {
	if err := CheckPlace(cfg, dir); err != nil {
		return err
	}
	var back *takenBack
	if cfg.Store.URL != "" {
		p.ClickHouse, p.ledger, err = openClickHouse(ctx, cfg, dir, may, leased, log)
	} else {
		p.ledger, back, err = openLedger(ctx, cfg, dir, may.AdoptLedger, log)
	}
	if err != nil {
		return err
	}
	if back != nil {
		em.Emit(ctx, refused(back, time.Now()))
	}
	if a := p.ledger.Adopted(); a != nil {
		em.Emit(ctx, adopted(a, time.Now()))
	}
	if p.ClickHouse != nil {
		p.Store = p.ClickHouse
		tell := func(c *clickhouse.Change) {
			if c != nil {
				em.Emit(ctx, kept(c, time.Now()))
			}
		}
		if leased {
			p.turn, err = newTurn(ctx, p.ClickHouse, p.ledger, tell, p.log)
			p.Store = p.turn
		} else {
			tell(p.ClickHouse.Changed())
		}
		return err
	}
	if p.Lake, err = openLake(cfg, dir, p.ledger, log); err != nil {
		return err
	}
	p.Store = p.Lake
	p.Retention, err = openBook(cfg, dir, p.Lake)
	return err
}

// Commits returns the number of the last commit.
func (p *Path) Commits() uint64 {
	if p.ClickHouse != nil {
		return p.ClickHouse.Number()
	}
	return p.Lake.Manifest().Number
}

// Hub returns what follows the stream and the store for those who subscribe. id
// names the store.
func (p *Path) Hub(id string, meter metric.MeterProvider) (*follow.Hub, error) {
	return follow.New(follow.Config{
		ID: id, Store: p.Store, Commits: p.Commits, JetStream: p.js, Stream: p.stream, Logger: p.log, MeterProvider: meter,
	})
}

// Run waits for the stream and collects until ctx ends. A stream that is not
// there is created as declared; one that promises less is refused, because what
// it would lose nobody else keeps.
func (p *Path) Run(ctx context.Context) error {
	if p.turn != nil {
		var reading sync.WaitGroup
		ctx, stop := context.WithCancel(ctx)
		reading.Go(func() { p.turn.run(ctx) })
		defer reading.Wait()
		defer stop()
	}
	for {
		err := p.ensureStream(ctx)
		if err == nil {
			return p.Collector.Run(ctx)
		}
		var weaker *stream.WeakerError
		if errors.As(err, &weaker) {
			return err
		}
		p.log.Warn("the stream is not there yet", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *Path) ensureStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := stream.Check(ctx, p.js, stream.Name(p.stream), stream.Replicas(p.replicas), stream.AnyEmitters())
	var missing *stream.MissingError
	if errors.As(err, &missing) {
		return stream.Apply(ctx, p.js, stream.Name(p.stream), stream.Replicas(p.replicas), stream.AnyEmitters())
	}
	return err
}

// Close closes store and ledger, after [Path.Run] returned.
func (p *Path) Close(ctx context.Context) error {
	var errs []error
	if p.ClickHouse != nil {
		errs = append(errs, p.ClickHouse.Close())
	}
	if p.Lake != nil {
		errs = append(errs, p.Lake.Close())
	}
	if p.ledger != nil {
		errs = append(errs, p.ledger.Close(ctx))
	}
	return errors.Join(errs...)
}
