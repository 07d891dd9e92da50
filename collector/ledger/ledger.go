// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"

	"github.com/docket-audit/docket/collector/ledger/proof"
)

// ErrClosed says that the ledger was closed.
var ErrClosed = errors.New("ledger is closed")

// Statements come about once a second, one after the other, and the collector
// waits for each. So a batch is not worth waiting for, except where a recovery
// adds many; and checkpoints follow as fast as tessera allows.
const (
	batchSize          = 256 // one entry bundle
	batchAge           = time.Millisecond
	checkpointInterval = 100 * time.Millisecond
	pollInterval       = 5 * time.Millisecond
)

// Options of a ledger; the zero value works.
type Options struct {
	Logger *slog.Logger // nil discards
	// Statements are those that were committed, oldest first: what the log must
	// be of. nil: that is not looked at.
	Statements iter.Seq2[[]byte, error]
	// Kept is a file outside of the log's directory that holds its newest
	// checkpoint, so that one who takes the log away has taken only half. "":
	// none.
	Kept string
	// Removes says of a statement whether it takes events away. Such a one is signed
	// for only after a [Ledger.Warrant] of it. nil: none does.
	Removes func(statement []byte) (bool, error)
	// Warrants is a file that holds the last warrant, outside of the log's directory.
	// "": warrants do not outlast the ledger.
	Warrants string
	// Adopt begins the log anew over the statements that are there, where Open
	// would refuse. What there was is set aside. It is for a human to decide.
	Adopt bool
}

// A Ledger is the one writer of a log. Its methods may be called concurrently.
type Ledger struct {
	dir    string
	key    *Key
	log    *tessera.Appender
	reader tessera.LogReader

	shutdown func(context.Context) error
	stop     context.CancelFunc // ends tessera's goroutines
	logger   *slog.Logger
	adopted  *Adoption
	opts     Options

	keptPath    string // "": none
	warrantPath string // "": none
	keeping     sync.Mutex
	kept        uint64 // size of the checkpoint in keptPath; guarded by keeping

	mu        sync.Mutex
	closed    chan struct{} // closed by Close, under mu
	warranted [32]byte      // the digest of the statement of the last warrant; guarded by mu
	// adding counts the additions whose futures are not resolved. It grows
	// under mu and only before closed is closed, so that Close can wait for it.
	adding sync.WaitGroup
}

// Open opens the log in dir, or begins one where there are no signs that there
// was one. The caller sees to it that there is one writer. Goroutines run until
// Close.
//
// What it opens it will sign for, so it looks first: it fails with [ErrOtherKey]
// when the log was signed by another key than key, with [ErrKeyLost] when the
// key is new and the log is not, with [ErrGone] or [ErrContradicted] when
// the log is not that of the statements, and with [ErrNoWarrant] when the last of
// them takes events away and is none of this key's. See [Options].Adopt.
func Open(ctx context.Context, dir string, key *Key, opts Options) (*Ledger, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	all, err := listStatements(opts.Statements)
	if err != nil {
		return nil, err
	}
	if all.warranted, err = readWarrant(opts.Warrants, key); err != nil {
		return nil, err
	}
	leaves, adopted, err := admit(ctx, dir, key, opts, all)
	if err != nil {
		return nil, err
	}
	if err := key.write(); err != nil {
		return nil, err
	}
	l, err := start(ctx, dir, key, opts)
	if err != nil {
		return nil, err
	}
	l.warranted = all.warranted
	if l.adopted = adopted; adopted != nil {
		err = l.add(ctx, all.digests)
	}
	if err == nil {
		// A kill may have kept the first checkpoint back, or that of the last
		// leaf; it comes now.
		err = l.published(ctx, leaves)
	}
	if err == nil {
		err = l.keep(ctx)
	}
	if err == nil {
		err = key.publish()
	}
	if err != nil {
		return nil, errors.Join(&Error{"open ledger", dir, err, ""}, l.Close(ctx))
	}
	return l, nil
}

// start is Open without looking.
func start(ctx context.Context, dir string, key *Key, opts Options) (*Ledger, error) {
	quietTessera(opts.Logger)
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return nil, &Error{"open ledger", dir, err, ""}
	}
	// The log outlives the call, so it must not end with the call's context.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	appender, shutdown, reader, err := tessera.NewAppender(life, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(key.signer).
		WithBatching(batchSize, batchAge).
		WithCheckpointInterval(checkpointInterval).
		// A checkpoint says nothing new while the log does not grow.
		WithCheckpointRepublishInterval(0))
	if err != nil {
		stop()
		return nil, &Error{"open ledger", dir, err, "docket verify tells what is wrong with it"}
	}
	return &Ledger{
		dir: dir, key: key, log: appender, reader: reader, shutdown: shutdown, stop: stop,
		logger: opts.Logger, opts: opts, keptPath: opts.Kept, warrantPath: opts.Warrants, closed: make(chan struct{}),
	}, nil
}

// Adopted says what Open set aside to begin the log anew; nil when it did not.
func (l *Ledger) Adopted() *Adoption { return l.adopted }

// Add puts a statement into the log. When it returns without an error, the leaf
// is integrated and a published checkpoint covers it. After an error the leaf
// may be there or not; adding again is harmless. It fails with [ErrNoWarrant], and
// has done nothing, for one that takes events away without a warrant.
func (l *Ledger) Add(ctx context.Context, statement []byte) error {
	l.mu.Lock()
	warranted := l.warranted
	l.mu.Unlock()
	if err := l.opts.mayAdd(statement, warranted); err != nil {
		return fmt.Errorf("add to ledger: %w", err)
	}
	digest := sha256.Sum256(statement)
	return l.add(ctx, [][32]byte{digest})
}

// Ensure adds the statement that a crash kept from the log, and says how many
// that are: one at most, as each is added before the next is made. It is given
// all statements, oldest first. It fails with [ErrContradicted] or [ErrNoWarrant]
// where [Open] would, rather than to sign for them.
func (l *Ledger) Ensure(ctx context.Context, statements iter.Seq2[[]byte, error]) (int, error) {
	all, err := listStatements(statements)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	all.warranted = l.warranted
	l.mu.Unlock()
	log, err := readWhole(ctx, l.dir, l.key)
	if err != nil {
		return 0, err
	}
	missing, err := all.compare(log, l.dir, &l.opts)
	if err != nil {
		return 0, err
	}
	return len(missing), l.add(ctx, missing)
}

func (l *Ledger) add(ctx context.Context, leaves [][32]byte) error {
	if len(leaves) == 0 {
		return nil
	}
	answered, err := l.submit(ctx, leaves)
	if err != nil {
		return err
	}
	select {
	case a := <-answered:
		if a.err != nil {
			return fmt.Errorf("add to ledger: %w", a.err)
		}
		if err := l.published(ctx, a.last+1); err != nil {
			return err
		}
		if err := l.keep(ctx); err != nil {
			// The leaf is there, and an older checkpoint is true as well. To fail
			// would add the leaf again.
			l.logger.Error("the ledger's checkpoint could not be kept", "error", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("add to ledger: %w", ctx.Err())
	}
}

type answer struct {
	last uint64 // the highest index given
	err  error
}

// submit hands leaves to tessera. A future knows no context, so a goroutine
// waits for them aside; it ends with the last future, and Close waits for it.
func (l *Ledger) submit(ctx context.Context, leaves [][32]byte) (<-chan answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return nil, fmt.Errorf("add to ledger: %w", ErrClosed)
	default:
	}
	futures := make([]tessera.IndexFuture, len(leaves))
	for i, leaf := range leaves {
		futures[i] = l.log.Add(ctx, tessera.NewEntry(leaf[:]))
	}
	answered := make(chan answer, 1)
	l.adding.Add(1)
	go func() {
		defer l.adding.Done()
		var a answer
		for _, f := range futures {
			index, err := f()
			a.last, a.err = max(a.last, index.Index), errors.Join(a.err, err)
		}
		answered <- a
	}()
	return answered, nil
}

// published waits until a checkpoint covers size leaves.
func (l *Ledger) published(ctx context.Context, size uint64) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		raw, err := l.reader.ReadCheckpoint(ctx)
		if err == nil {
			var cp proof.Checkpoint
			if cp, err = proof.ParseCheckpoint(raw); err == nil && cp.Size >= size {
				return nil
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read ledger checkpoint: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("await ledger checkpoint: %w", ctx.Err())
		}
	}
}

// Checkpoint returns the newest published checkpoint as it was signed.
func (l *Ledger) Checkpoint(ctx context.Context) ([]byte, error) {
	raw, err := l.reader.ReadCheckpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("read ledger checkpoint: %w", err)
	}
	return raw, nil
}

// Close waits until what was added is under a published checkpoint, or until
// ctx ends, and stops. It may be called again.
func (l *Ledger) Close(ctx context.Context) error {
	l.mu.Lock()
	select {
	case <-l.closed:
		l.mu.Unlock()
		return nil
	default:
	}
	close(l.closed)
	l.mu.Unlock()

	defer l.stop()
	resolved := make(chan struct{})
	go func() {
		l.adding.Wait()
		close(resolved)
	}()
	select {
	case <-resolved:
	case <-ctx.Done():
		return fmt.Errorf("close ledger: %w", ctx.Err())
	}
	if err := l.shutdown(ctx); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}
