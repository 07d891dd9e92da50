// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
)

// Options say how a store works; the zero value does, on one server.
type Options struct {
	// Cluster is the name of a cluster of the server's configuration; the tables are
	// then replicated, and events shared out over its shards. "": one server.
	Cluster string
	// Retention says how long events are kept; the server lets go of them by itself.
	// The zero value is that of package retention. Classes in rules must be known. It is
	// put in force by who becomes the writer, see [Store.Changed].
	Retention retention.Policy
	// Shorten lets Retention be one by which events leave earlier than by the one that
	// is in force. Without it that one stays.
	Shorten bool
	// KeepRetention leaves how long events are kept as it is, where there is a store
	// already: Retention is for a new one.
	KeepRetention bool
	// SnapshotEvery is how many commits an opening reads at most, about; 0 means 1000.
	SnapshotEvery uint64

	Logger *slog.Logger // nil discards
	Now    func() time.Time
	// NewUID names the process among the writers; UUIDv7 by default.
	NewUID func() string
	// Fault is asked at each point of a commit at which a crash would leave something
	// else behind: "quarantine begin", "quarantine written", the same of stubs,
	// statement, events and commit. An error ends the commit there and then, as a
	// crash does. For tests.
	Fault func(point string) error
}

func (o Options) withDefaults() Options {
	if o.SnapshotEvery == 0 {
		o.SnapshotEvery = 1000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewUID == nil {
		o.NewUID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if o.Fault == nil {
		o.Fault = func(string) error { return nil }
	}
	return o
}

// A Store is the one writer of a store, and a reader of it. Its methods may be
// called concurrently, Commit by one goroutine at a time.
type Store struct {
	*server

	opts Options
	log  *slog.Logger
	db   tables // server, but for a test of the protocol
	uid  string // of the process among the writers

	// commit is held for the whole of a commit, and by Close. It guards what follows.
	commit     sync.Mutex
	closed     bool
	dirty      bool  // a commit failed and left who knows what: the next one begins like a start
	fenced     error // why s may write no more; nil while it may
	generation int64
	snapshot   uint64 // number of the last one

	mu        sync.RWMutex
	skew      skew              // guarded by mu
	change    *Change           // guarded by mu
	kept      *retention.Policy // in force when s became the writer; nil unless that is known; guarded by mu
	state     *state            // guarded by mu; replaced, never changed
	streamSeq uint64            // guarded by mu
}

var (
	_ store.Writer     = (*Store)(nil)
	_ store.Reader     = (*Store)(nil)
	_ store.Quarantine = (*Store)(nil)
	_ store.Reader     = (*Reader)(nil)
	_ store.Quarantine = (*Reader)(nil)
)

// Open opens the store in the database that dsn names for writing, and makes the
// tables if there are none. The writer before, if it still is one, ends: its next
// Commit fails with [store.ErrFenced]. So open a store when its lease is held, not
// before.
//
// It makes the commit that the writer before had not come to the end of, if the
// events of it are there.
func Open(ctx context.Context, dsn string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	srv, err := connect(dsn, opts.Cluster)
	if err != nil {
		return nil, err
	}
	s := &Store{server: srv, db: srv, opts: opts, log: opts.Logger.With("component", "clickhouse"), uid: opts.NewUID(), state: new(state)}
	if err := s.open(ctx); err != nil {
		return nil, srv.failed("open ClickHouse", errors.Join(err, srv.close()))
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := s.migrate(ctx, s.opts); err != nil {
		return err
	}
	return s.takeOver(ctx)
}

// takeOver makes s the writer, and what it is configured to keep what is kept.
func (s *Store) takeOver(ctx context.Context) error {
	if _, err := ttl(s.opts.Retention); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	return s.keep(ctx)
}

// begin takes the store over.
func (s *Store) begin(ctx context.Context) (err error) {
	for range mostTakes {
		if err = s.start(ctx, true); !errors.Is(err, errTaken) {
			return err
		}
	}
	return err
}

// Close closes the connections. There is nothing to put in order.
func (s *Store) Close() error {
	s.commit.Lock()
	defer s.commit.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.close()
}

// last returns the state behind the last commit. It is shared: it MUST NOT be
// changed.
func (s *Store) last() *state {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state
}

// become puts another state in the place of the last.
func (s *Store) become(next *state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.streamSeq = next, next.StreamSeq
	if s.server != nil {
		s.memory.come(next.Number, next.Writer)
	}
}

// Epoch implements [store.Writer].
func (s *Store) Epoch(uid string) *store.Epoch {
	e, ok := s.last().Epochs[uid]
	if !ok {
		return nil
	}
	return e.public()
}

// Epochs implements [store.Writer].
func (s *Store) Epochs() []string { return slices.Sorted(maps.Keys(s.last().Epochs)) }

// Sequences implements [store.Writer].
func (s *Store) Sequences() map[string]store.Intervals {
	epochs := s.last().Epochs
	all := make(map[string]store.Intervals, len(epochs))
	for uid, e := range epochs {
		all[uid] = store.Union(e.Stored, e.Quarantined)
	}
	return all
}

// StreamSeq implements [store.Writer].
func (s *Store) StreamSeq() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.streamSeq
}

// LastFence returns the fence of the last commit, below which the store takes none;
// 0 when none had one.
func (s *Store) LastFence() uint64 { return s.last().Fence }

// Statements implements [store.Writer].
func (s *Store) Statements(number uint64) iter.Seq2[[]byte, error] {
	return statements(s.server, number)
}

func statements(s *server, number uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for r, err := range s.commits(context.Background(), number) {
			if err != nil {
				yield(nil, s.failed("read statements of ClickHouse", err))
				return
			}
			if !yield(r.statement, nil) {
				return
			}
		}
	}
}

// Scan implements [store.Reader].
func (s *Store) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return s.scan(ctx, q)
}

// Quarantined implements [store.Quarantine].
func (s *Store) Quarantined(ctx context.Context) iter.Seq2[store.Held, error] {
	return s.quarantined(ctx)
}

// A Reader reads a store beside its writer, as of when each call is made. It needs
// no right but SELECT. Its methods may be called concurrently.
type Reader struct{ s *server }

// OpenReader opens the store in the database that dsn names for reading. It fails
// with [ErrNoStore] if there is none, with [ErrNewer] if it cannot be read, and with
// [ErrSettings] if the user has settings by which answers may be cut off.
func OpenReader(ctx context.Context, dsn string, opts Options) (*Reader, error) {
	srv, err := connect(dsn, opts.Cluster)
	if err != nil {
		return nil, err
	}
	var version int64
	if err = srv.safe(ctx, false); err == nil {
		version, err = srv.version(ctx)
	}
	switch {
	case err != nil:
	case version == 0:
		err = ErrNoStore
	case version > newest():
		err = tooNew(version)
	}
	if err != nil {
		return nil, srv.failed("open ClickHouse", errors.Join(err, srv.close()))
	}
	return &Reader{srv}, nil
}

// Close closes the connections.
func (r *Reader) Close() error { return r.s.close() }

// Scan implements [store.Reader].
func (r *Reader) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return r.s.scan(ctx, q)
}

// Quarantined implements [store.Quarantine].
func (r *Reader) Quarantined(ctx context.Context) iter.Seq2[store.Held, error] {
	return r.s.quarantined(ctx)
}

// Statements returns the canonical statements of the commits from number on.
func (r *Reader) Statements(number uint64) iter.Seq2[[]byte, error] { return statements(r.s, number) }
