// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
)

// openPatience is how long a server may take to answer at a start.
const openPatience = time.Minute

// Reach fails where the store of a configuration is in ClickHouse and nobody answers
// there. It is asked before a directory is touched: one that was begun in vain would
// look like one of something else.
func Reach(ctx context.Context, cfg *config.Config) error {
	if cfg.Store.URL == "" {
		return nil
	}
	dsn, err := cfg.Store.URL.WithPasswordOf(cfg.Store.PasswordFile)
	if err != nil {
		return err
	}
	ctx, cancel := patiently(ctx)
	defer cancel()
	return unreachable(clickhouse.Reach(ctx, string(dsn)))
}

func patiently(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, openPatience, fmt.Errorf("no answer within %s", openPatience))
}

// CheckPlace says whether the events of a directory are where they shall be: what
// was begun in one place does not go on in another.
func CheckPlace(cfg *config.Config, dir *datadir.Dir) error {
	if cfg.Store.URL == "" {
		return datadir.Within(dir.Path, "open the lake", "say where: --store, or url in [store]; or begin a lake in another directory, with --data")
	}
	_, err := os.Stat(dir.Join("lake"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		err = errors.New("it has a lake, and its events would go elsewhere from now on")
	}
	return &datadir.Error{Path: dir.Path, Err: err, Advice: "begin with ClickHouse in another directory, with --data; or go on with the lake, without --store and [store] url"}
}

// openClickHouse opens store and ledger. Behind is for who has to wait for a lease.
func openClickHouse(ctx context.Context, cfg *config.Config, dir *datadir.Dir, may Allowed, behind bool, log *slog.Logger) (_ *clickhouse.Store, _ *ledger.Ledger, err error) {
	full, err := cfg.Store.URL.WithPasswordOf(cfg.Store.PasswordFile)
	if err != nil {
		return nil, nil, err
	}
	dsn := string(full)
	policy, err := retention.ParsePolicy(string(cfg.Lake.Retention), cfg.Lake.RetentionRules.List...)
	if err != nil {
		return nil, nil, fmt.Errorf("configure retention: %w", err)
	}
	key, err := ledger.OpenKey(LedgerKey(cfg, dir), dir.Join("keys", "ledger.vkey"))
	if err != nil {
		return nil, nil, err
	}
	opts := clickhouse.Options{Cluster: cfg.Store.Cluster, Retention: policy, Shorten: may.ShortenRetention, Logger: log}
	opening, cancel := patiently(ctx)
	defer cancel()
	// The ledger is opened before anything is written: what it would not sign for
	// must not grow.
	reader, err := clickhouse.OpenReader(opening, dsn, opts)
	var statements func(func([]byte, error) bool)
	switch {
	case err == nil:
		statements = reader.Statements(1)
	case !errors.Is(err, clickhouse.ErrNoStore):
		return nil, nil, unreachable(err)
	default:
		statements = func(func([]byte, error) bool) {}
	}
	lopts := ledger.Options{Logger: log, Statements: statements, Kept: dir.Join("keys", "ledger.checkpoint")}
	l, err := ledger.Open(ctx, dir.Join("ledger"), key, lopts)
	if err != nil && may.AdoptLedger {
		lopts.Adopt = true
		l, err = ledger.Open(ctx, dir.Join("ledger"), key, lopts)
	}
	if reader != nil {
		err = errors.Join(err, reader.Close())
	}
	if err != nil {
		return nil, l, elsewhere(err, cfg, dir)
	}
	open := clickhouse.Open
	if behind {
		open = clickhouse.OpenBehind
	}
	s, err := open(opening, dsn, opts)
	if err != nil {
		return nil, l, unreachable(err)
	}
	return s, l, dir.KeepElsewhere(s.Addr())
}

// elsewhere says in an error of a ledger that its statements were in another database
// so far, which may be the same one under another name. A new ledger is no help there.
func elsewhere(err error, cfg *config.Config, dir *datadir.Dir) error {
	was, e := datadir.Elsewhere(dir.Path)
	if now := cfg.Store.URL.String(); e == nil && was != "" && !strings.HasSuffix(now, was) {
		return fmt.Errorf("%w; its events were in %s so far, and %s is named now", err, was, now)
	}
	return err
}

// unreachable says in an error of a start what may be done in place of it, and what
// there is no need to fear.
func unreachable(err error) error {
	var known *clickhouse.Error
	switch {
	case errors.As(err, &known) && known.Hint() != "" && known.Passes():
		return waiting{err, known.Hint() + "; nothing is lost: events wait on the stream until they are stored"}
	case errors.As(err, &known) && known.Hint() != "":
		return err
	}
	return cli.Hint(err, "is the server up, and is the URL the right one? docs/clickhouse.md says what docket needs of it")
}

// waiting is an error of a store for which the stream keeps what it cannot take.
type waiting struct {
	error
	hint string
}

func (w waiting) Hint() string  { return w.hint }
func (w waiting) Unwrap() error { return w.error }

// refreshEvery is how often one who stands by looks at what another has stored.
const refreshEvery = time.Second

// A turn is a store that several fill in turn, each with a ledger of its own: one that
// has not seen the statements as they came would refuse to sign for them.
type turn struct {
	*clickhouse.Store

	ledger *ledger.Ledger
	tell   func(*clickhouse.Change) // what a takeover has changed
	log    *slog.Logger

	mu       sync.Mutex
	ledgered uint64 // statements that the ledger has; guarded by mu
}

// newTurn returns the store of one who stands by.
func newTurn(ctx context.Context, s *clickhouse.Store, l *ledger.Ledger, tell func(*clickhouse.Change), log *slog.Logger) (*turn, error) {
	last := s.Number()
	_, err := l.Ensure(ctx, s.Statements(1))
	return &turn{Store: s, ledger: l, tell: tell, log: log, ledgered: last}, err
}

// TakeOver is called when it has the lease.
func (t *turn) TakeOver(ctx context.Context) error {
	if err := t.Store.TakeOver(ctx); err != nil {
		return err
	}
	t.tell(t.Changed())
	return t.sign(ctx)
}

// sign adds to the ledger what another has committed.
func (t *turn) sign(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for statement, err := range t.Statements(t.ledgered + 1) {
		if err == nil {
			err = t.ledger.Add(ctx, statement)
		}
		if err != nil {
			return fmt.Errorf("complete the ledger: %w", err)
		}
		t.ledgered++
	}
	return nil
}

// look reads what another has committed meanwhile.
func (t *turn) look(ctx context.Context) error {
	if !t.Behind() {
		// The collector adds what it commits, one after the other. Should it be
		// overtaken, the last may be missing; a leaf that is there twice does no harm.
		t.mu.Lock()
		t.ledgered = max(t.ledgered, t.Number()-min(t.Number(), 1))
		t.mu.Unlock()
		return nil
	}
	if err := t.Refresh(ctx); err != nil {
		return err
	}
	if !t.Behind() {
		return nil // it is for the collector from now on
	}
	return t.sign(ctx)
}

// run keeps store and ledger up to date while another fills it.
func (t *turn) run(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := t.look(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("the store cannot be read, or not signed for", "error", err)
		}
	}
}
