// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/regular"
)

// Options of a lake; the zero value works.
type Options struct {
	Logger *slog.Logger // nil discards
	Now    func() time.Time
	// NewUID names files; UUIDv7 by default.
	NewUID func() string

	// Region is that of the public files; "" means [DefaultRegion].
	Region string
	// CompactBytes is how many bytes of hot segments make a compaction due, and
	// about how many one takes; 0 means 128 MiB. CompactAfter is how long a hot
	// segment waits for one at most; 0 means 5 minutes.
	CompactBytes int64
	CompactAfter time.Duration
	// SplitBytes is how long a public file gets before the next one is begun;
	// 0 means 128 MiB.
	SplitBytes int64
	// Upgrade is called before the first statement of a sort that older
	// programs do not know, and each one after it; nil does nothing.
	Upgrade func() error

	// Warrant is called with a statement that takes events away before it is put,
	// and an error keeps it from being put: it is to make durable that the owner of
	// this lake wrote it. nil does nothing.
	Warrant func(statement []byte) error

	// Fault is asked at each point of a commit or a compaction at which a crash
	// would leave something else behind: "segment begin", "segment written",
	// "segment renamed", the same of quarantine, public, stubs, statement and
	// manifest, "warrant begin" and "warrant written", "aside begin" and "aside renamed"
	// of [TakeBack], and "remove begin" before each file that is deleted. An error
	// ends what is done there and then, as a crash does. For tests.
	Fault func(point string) error
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewUID == nil {
		o.NewUID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if o.Region == "" {
		o.Region = DefaultRegion
	}
	if o.CompactBytes == 0 {
		o.CompactBytes = 128 << 20
	}
	if o.CompactAfter == 0 {
		o.CompactAfter = 5 * time.Minute
	}
	if o.SplitBytes == 0 {
		o.SplitBytes = 128 << 20
	}
	if o.Fault == nil {
		o.Fault = func(string) error { return nil }
	}
	return o
}

// A Lake is the one writer of a directory, and a reader of it. Its methods may
// be called concurrently, Commit by one goroutine at a time and beside it Compact
// by another.
type Lake struct {
	dir  string
	opts Options
	log  *slog.Logger
	lock *os.File

	indexes *indexes

	// commit is held for the whole of a commit, and by Close.
	commit sync.Mutex
	closed bool // guarded by commit
	// dirty says that a commit failed and left who knows what. The next one
	// begins like a start. It changes under commit.
	dirty atomic.Bool
	room  room // that segments are written with; guarded by commit
	// written is the number of the manifest in the file. Guarded by commit.
	written uint64
	damaged error // of the manifest file at Open

	// compacting is held for the whole of a compaction, and by Close. It is
	// taken before commit.
	compacting sync.Mutex
	public     room     // that public files are written with; guarded by compacting
	oldest     struct { // the last answer of committed; guarded by compacting
		number uint64
		time   time.Time
	}
	leftovers atomic.Bool     // a compaction failed and left files
	heldFiles map[string]bool // all of whose rows are held; see heldKey; guarded by compacting

	pins pins

	mu        sync.RWMutex
	manifest  *Manifest       // guarded by mu; replaced, never changed
	streamSeq uint64          // guarded by mu
	writing   map[string]bool // files of a compaction under way; guarded by mu
	removed   []gone          // files to be deleted when nobody reads them; guarded by mu
}

var (
	_ store.Writer    = (*Lake)(nil)
	_ store.Reader    = (*Lake)(nil)
	_ store.Compactor = (*Lake)(nil)
	_ store.Sizer     = (*Lake)(nil)
)

// Open opens the lake in dir for writing, and makes it if there is none. It
// removes what an interrupted commit left behind. It fails with [ErrLocked]
// while another Lake has the directory.
//
// A manifest that is damaged is made again from the statements; a statement
// that is damaged or missing is an error, as a commit on top would hide it.
func Open(dir string, opts Options) (*Lake, error) {
	opts = opts.withDefaults()
	for _, sub := range []string{HotDir, CommitsDir, QuarantineDir, PinsDir, StubsDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, failed("open lake", dir, err)
		}
	}
	lock, err := acquire(dir)
	if err != nil {
		return nil, failed("open lake", dir, err)
	}
	l := &Lake{
		dir: dir, opts: opts, log: opts.Logger.With("component", "lake"), lock: lock,
		manifest: new(Manifest), writing: make(map[string]bool), heldFiles: make(map[string]bool),
	}
	l.indexes = newIndexes(dir, l.log)
	if err := l.start(); err != nil {
		return nil, failed("open lake", dir, errors.Join(err, lock.Close()))
	}
	if err := l.reap(); err != nil {
		l.log.Warn("files that are no longer part of the lake stay for now", "error", err)
	}
	return l, nil
}

// start reads the directory and puts it in order.
func (l *Lake) start() error {
	m, damaged, err := load(l.dir)
	if err != nil {
		return err
	}
	if err := l.continuous(m, damaged); err != nil {
		return err
	}
	if damaged != nil {
		l.damaged = damaged
		l.log.Warn("the manifest is damaged; made again from the statements", "error", damaged)
	}
	l.written = 0
	if b, err := regular.ReadFile(filepath.Join(l.dir, ManifestPath)); err == nil {
		if onDisk, err := ParseManifest(b); err == nil {
			l.written = onDisk.Number
		}
	}
	if err := l.sweep(m); err != nil {
		return err
	}
	l.indexes.sweep(m.Files)
	l.mu.Lock()
	l.manifest, l.streamSeq = m, m.StreamSeq
	l.mu.Unlock()
	if damaged != nil || m.Number > l.written {
		return l.writeManifest(m)
	}
	return nil
}

// continuous refuses to go on where a statement is missing: the next commit
// would take the number of one that the ledger knows.
func (l *Lake) continuous(m *Manifest, damaged error) error {
	if damaged != nil {
		var claimed *Manifest
		if b, err := regular.ReadFile(filepath.Join(l.dir, ManifestPath)); err == nil {
			claimed, _ = ParseManifest(b)
		}
		if claimed != nil {
			return damaged // whole in itself, but not of these statements
		}
	}
	list, err := os.ReadDir(filepath.Join(l.dir, CommitsDir))
	if err != nil {
		return err
	}
	for _, d := range list {
		var number uint64
		if _, err := fmt.Sscanf(d.Name(), "%d.json", &number); err == nil && filepath.Ext(d.Name()) == ".json" && number > m.Number {
			return fmt.Errorf("%s: %w: the statement is missing, number %d is there", StatementPath(m.Number+1), ErrCorrupt, number)
		}
	}
	return nil
}

// writeManifest replaces the manifest file.
func (l *Lake) writeManifest(m *Manifest) error {
	whole := *m
	b, err := whole.Encode()
	if err != nil {
		return err
	}
	err = put(l.dir, ManifestPath, "manifest", l.opts.Fault, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	l.written = m.Number
	return nil
}

// Close writes the manifest if it is behind, and gives the lock back. It waits
// for a compaction that is under way.
func (l *Lake) Close() error {
	l.compacting.Lock()
	defer l.compacting.Unlock()
	l.commit.Lock()
	defer l.commit.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.indexes.close()
	var err error
	if m := l.Manifest(); !l.dirty.Load() && m.Number > l.written {
		err = l.writeManifest(m)
	}
	if !l.dirty.Load() && l.leftovers.Swap(false) {
		err = errors.Join(err, l.sweep(l.Manifest()))
	}
	if !l.dirty.Load() {
		err = errors.Join(err, l.reap())
		l.indexes.sweep(l.Manifest().Files) // one may have been made of a segment that was removed
	}
	return errors.Join(err, l.lock.Close())
}

// Damaged tells what was wrong with the manifest file when the lake was opened;
// nil when nothing was. Open has replaced it.
func (l *Lake) Damaged() error { return l.damaged }

// Dir returns the lake's directory.
func (l *Lake) Dir() string { return l.dir }

// Manifest returns what the lake consists of. It is shared: it MUST NOT be
// changed.
func (l *Lake) Manifest() *Manifest {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.manifest
}

// Sizes implements [store.Sizer]: hot are the segments that a compaction takes
// next, public the files for everybody, stubs what is left of what left.
func (l *Lake) Sizes() []store.Size {
	m := l.Manifest()
	hot, public, stubs := store.Size{Part: "hot"}, store.Size{Part: "public"}, store.Size{Part: "stubs"}
	for i := range m.Files {
		part := &hot
		if Public(m.Files[i].Path) {
			part = &public
		}
		part.Files++
		part.Bytes += m.Files[i].Bytes
	}
	for i := range m.Stubs {
		stubs.Files++
		stubs.Bytes += m.Stubs[i].Bytes
	}
	return []store.Size{hot, public, stubs}
}

// Files returns the segments of the manifest. A compaction may delete them when
// nobody has called Pin.
func (l *Lake) Files() []File { return l.Manifest().Files }

// Pin returns the manifest, and keeps its files where they are until release is
// called: for those who read Parquet by themselves. The manifest MUST NOT be
// changed; the paths in it are relative to Dir.
func (l *Lake) Pin() (m *Manifest, release func()) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.manifest, l.pins.hold(l.manifest.Number)
}

// Epoch implements [store.Writer].
func (l *Lake) Epoch(uid string) *store.Epoch {
	e, ok := l.Manifest().Epochs[uid]
	if !ok {
		return nil
	}
	return e.state()
}

// Epochs implements [store.Writer].
func (l *Lake) Epochs() []string { return slices.Sorted(maps.Keys(l.Manifest().Epochs)) }

// Sequences implements [store.Writer].
func (l *Lake) Sequences() map[string]store.Intervals {
	m := l.Manifest()
	all := make(map[string]store.Intervals, len(m.Epochs))
	for uid, e := range m.Epochs {
		all[uid] = store.Union(e.Stored, e.Quarantined)
	}
	return all
}

// StreamSeq implements [store.Writer].
func (l *Lake) StreamSeq() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.streamSeq
}

// Statements implements [store.Writer]. What lies behind the last statement that
// this lake put, or found when it began, is somebody else's; where it cannot know,
// after an error, all are there.
func (l *Lake) Statements(number uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		last, unknown := l.Manifest().Number, l.dirty.Load()
		next := number
		for b, err := range Statements(l.dir, number) {
			if next > last && !unknown || !yield(b, err) {
				return
			}
			next++
		}
	}
}

// Scan implements [store.Reader].
func (l *Lake) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		m, release := l.Pin()
		defer release()
		search(ctx, l.dir, m.Files, q, l.indexes)(yield)
	}
}
