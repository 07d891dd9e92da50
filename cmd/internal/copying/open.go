// SPDX-License-Identifier: Apache-2.0

package copying

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/recordpath"
	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

// What keeps a copy from being made.
var (
	// ErrNothing says that there is no store where the source is to be.
	ErrNothing = errors.New("there is no store")
	// ErrElsewhere says that the ledger of a store in tables is not in the directory
	// that was named, or that of another store is.
	ErrElsewhere = errors.New("the ledger in the directory is not that of the store")
)

// An Error is one that a human must act on.
type Error struct {
	Op, Name string
	Err      error
	hint     string
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Name, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *Error) Hint() string { return e.hint }

// InTables reports whether a name is that of a store in ClickHouse, and not of a
// directory. It need not be a good one: a URL with a slash too few is no directory
// either, and would be made as one.
func InTables(name string) bool {
	scheme, _, ok := strings.Cut(name, ":")
	return strings.Contains(name, "://") || ok && slices.Contains([]string{"clickhouse", "http", "https"}, scheme)
}

// A Source is what is copied, as it was when it was opened.
type Source struct {
	Name string // for people, without who asks
	// Last is its last commit, Rows how many events and messages it has, about, and
	// Left how many events left it, as far as that is known.
	Last       uint64
	Rows, Left int64
	Keys       map[string][]byte // public keys of emitters, by the name of the file

	read      reader
	statement func(number uint64) ([]byte, error)
	close     func() error
}

type reader interface {
	store.Reader
	store.Quarantine
}

// Close ends the reading.
func (s *Source) Close() error { return s.close() }

// OpenSource opens a data directory, or the tables that a DSN names.
func OpenSource(ctx context.Context, name string) (*Source, error) {
	if InTables(name) {
		r, err := clickhouse.OpenReader(ctx, name, clickhouse.Options{})
		if err != nil {
			return nil, err
		}
		s := &Source{Name: r.Addr(), read: r, close: r.Close, statement: func(n uint64) ([]byte, error) { return first(r.Statements(n)) }}
		if s.Last, s.Rows, err = r.Last(ctx); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		return s, nil
	}
	if err := datadir.Check(name); err != nil {
		return nil, named("--from", err)
	}
	if err := datadir.Within(name, "copy from it", "name the tables in its place: --from clickhouse://user@host:9000/database"); err != nil {
		return nil, err
	}
	dir := filepath.Join(name, "lake")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{"copy from", name, ErrNothing, "name the data directory of the docket that collects"}
	}
	r, err := lake.OpenReader(dir)
	if err != nil {
		return nil, err
	}
	m := r.Manifest()
	expired, erased := m.Left()
	s := &Source{
		Name: name, Last: m.Number, Left: expired + erased, Keys: publicKeys(name), read: r, close: func() error { r.Close(); return nil },
		statement: func(n uint64) ([]byte, error) { return lake.ReadStatement(dir, n) },
	}
	for i := range m.Files {
		s.Rows += m.Files[i].Rows
	}
	for i := range m.Quarantined {
		s.Rows += m.Quarantined[i].Count
	}
	return s, nil
}

// named has the advice in an error of a directory say the flag that names it here: other
// verbs are told theirs by --data.
func named(flag string, err error) error {
	var known *datadir.Error
	if !errors.As(err, &known) {
		return err
	}
	here := *known
	here.Advice = strings.NewReplacer("--data or DOCKET_DATA", flag, "--data", flag).Replace(known.Advice)
	return &here
}

// publicKeys reads those by which the heads of a directory's emitters are checked.
func publicKeys(dir string) map[string][]byte {
	keys := map[string][]byte{}
	list, _ := filepath.Glob(filepath.Join(dir, "keys", "emitters", "*.vkey")) // fails on a bad pattern only
	for _, path := range append(list, filepath.Join(dir, "keys", "emitter.vkey")) {
		if b, err := os.ReadFile(path); err == nil {
			sum := sha256.Sum256(b)
			keys[hex.EncodeToString(sum[:8])+".vkey"] = b
		}
	}
	return keys
}

// first returns the first of statements.
func first(statements iter.Seq2[[]byte, error]) ([]byte, error) {
	for b, err := range statements {
		return b, err
	}
	return nil, fs.ErrNotExist
}

// A Destination is what is copied into. It is nobody else's meanwhile.
type Destination struct {
	Name string
	Dir  *datadir.Dir // where its ledger is

	read      reader
	writer    store.Writer
	commit    func(ctx context.Context, b store.Batch) (store.Committed, error)
	statement func(number uint64) ([]byte, error)
	last      func() (number uint64, digest string)
	close     []func(context.Context) error
	log       *slog.Logger
}

// OpenDestination opens a data directory, or the tables that a DSN names, for
// writing. Of tables the ledger is in data, which is made if it is not there, and as
// long as it is owned, no docket collects into them that keeps their ledger.
func OpenDestination(ctx context.Context, name, data string, cfg *config.Config, log *slog.Logger) (_ *Destination, err error) {
	d := &Destination{Name: name, log: log}
	if !InTables(name) {
		data = name
	} else if d.Name, err = clickhouse.Addr(name); err != nil {
		return nil, err
	} else if err = noLake(data, d.Name); err != nil {
		return nil, err // whoever answers
	} else if err = clickhouse.Reach(ctx, name); err != nil {
		return nil, err // and nothing is begun in data
	}
	if d.Dir, err = datadir.Own(data); err != nil {
		if !InTables(name) {
			err = named("--to", err)
		}
		return nil, err
	}
	d.close = append(d.close, func(context.Context) error { return d.Dir.Close() })
	if InTables(name) {
		err = d.openTables(ctx, name, cfg, log)
	} else {
		err = d.openLake(ctx, cfg, log)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close(context.WithoutCancel(ctx)))
	}
	return d, nil
}

func (d *Destination) openLake(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	s, err := recordpath.OpenStores(ctx, cfg, d.Dir, log)
	if err != nil {
		return err
	}
	d.close = append(d.close, s.Close)
	d.read, d.writer, d.commit = s.Lake, s.Lake, s.Commit
	d.statement = func(n uint64) ([]byte, error) { return first(s.Lake.Statements(n)) }
	d.last = func() (uint64, string) { m := s.Lake.Manifest(); return m.Number, m.Statement }
	return nil
}

// noLake fails where a directory that is to have the ledger of tables has a lake.
func noLake(dir, name string) error {
	if _, err := lake.ReadStatement(filepath.Join(dir, "lake"), 1); err == nil {
		return &Error{"copy to", name, fmt.Errorf("%w: %s has a lake", ErrElsewhere, dir), "name a directory for the ledger of the tables with --data; it is made if it is not there"}
	}
	return nil
}

func (d *Destination) openTables(ctx context.Context, dsn string, cfg *config.Config, log *slog.Logger) error {
	if err := noLake(d.Dir.Path, d.Name); err != nil { // nobody begins one any more
		return err
	}
	policy, err := retention.ParsePolicy(string(cfg.Lake.Retention), cfg.Lake.RetentionRules.List...)
	if err != nil {
		return fmt.Errorf("configure retention: %w", err)
	}
	// What a writer is told ends, so this comes before that.
	if err := d.ledgerIs(ctx, dsn); err != nil {
		return err
	}
	s, err := clickhouse.OpenBehind(ctx, dsn, clickhouse.Options{Logger: log, Retention: policy, KeepRetention: true})
	if err != nil {
		return err
	}
	d.close = append(d.close, func(context.Context) error { return s.Close() })
	key, err := ledger.OpenKey(recordpath.LedgerKey(cfg, d.Dir), d.Dir.Join("keys", "ledger.vkey"))
	if err != nil {
		return err
	}
	l, err := ledger.Open(ctx, d.Dir.Join("ledger"), key, ledger.Options{
		Logger: log, Statements: s.Statements(1), Kept: d.Dir.Join("keys", "ledger.checkpoint"), Warrants: d.Dir.Join("keys", "ledger.warrant"),
	})
	if err != nil {
		return err
	}
	d.close = append(d.close, l.Close)
	if _, err := l.Ensure(ctx, s.Statements(1)); err != nil {
		return err
	}
	// The ledger is that of the store: now whoever writes there ends, and what they had
	// not come to the end of is a commit.
	if err := s.TakeOver(ctx); err != nil {
		return err
	}
	if _, err := l.Ensure(ctx, s.Statements(1)); err != nil {
		return err
	}
	d.Dir.Settle()
	// From now on nobody begins a lake beside this ledger, or takes it for one of a lake.
	if err := d.Dir.KeepElsewhere(s.Addr()); err != nil {
		return err
	}
	d.read, d.writer, d.last = s, s, s.Last
	d.statement = func(n uint64) ([]byte, error) { return first(s.Statements(n)) }
	d.commit = func(ctx context.Context, b store.Batch) (store.Committed, error) {
		b.Fence = s.LastFence()
		done, err := s.Commit(ctx, b)
		if err != nil || done.Number == 0 {
			return done, err
		}
		raw, err := d.statement(done.Number)
		if err == nil {
			err = l.Add(ctx, raw)
		}
		return done, err
	}
	return nil
}

// ledgerIs refuses tables with a history that the directory has no ledger of: it is
// elsewhere, and so may be who fills them.
func (d *Destination) ledgerIs(ctx context.Context, dsn string) error {
	r, err := clickhouse.OpenReader(ctx, dsn, clickhouse.Options{})
	if errors.Is(err, clickhouse.ErrNoStore) {
		return nil
	}
	if err != nil {
		return err
	}
	number, _, err := r.Last(ctx)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if _, err := os.Stat(d.Dir.Join("ledger", "checkpoint")); number > 0 && err != nil {
		return &Error{"copy to", d.Name, fmt.Errorf("%w: the store has %d commits, and %s no ledger", ErrElsewhere, number, d.Dir.Path), "name the data directory of the docket that fills the store with --data"}
	}
	return nil
}

// Close closes all of it.
func (d *Destination) Close(ctx context.Context) error {
	var errs []error
	for i := len(d.close) - 1; i >= 0; i-- {
		errs = append(errs, d.close[i](ctx))
	}
	return errors.Join(errs...)
}

// stated is what a copy needs of a statement, of whichever store.
type stated struct {
	Time int64 `json:"time"`
}

func digestOf(statement []byte) string {
	sum := sha256.Sum256(statement)
	return hex.EncodeToString(sum[:])
}

func timeOf(statement []byte) (int64, error) {
	var s stated
	if err := json.Unmarshal(statement, &s); err != nil {
		return 0, fmt.Errorf("read statement: %w", err)
	}
	return s.Time, nil
}
