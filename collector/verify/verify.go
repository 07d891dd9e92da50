// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/docket-audit/docket/collector/evidence"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/internal/regular"
)

// Where things lie in a data directory.
const (
	lakeDir      = "lake"
	ledgerDir    = "ledger"
	ledgerVKey   = "keys/ledger.vkey"
	ledgerKey    = "keys/ledger.key"
	emitterKey   = "keys/emitter.key"
	keptPath     = "keys/ledger.checkpoint"
	warrantPath  = "keys/ledger.warrant"
	plansDir     = "plans"
	formatFile   = "FORMAT"
	emitterVKey  = "keys/emitter.vkey"
	emitterVKeys = "keys/emitters" // of emitters elsewhere, *.vkey
	walDir       = "wal"
	ownerLock    = "lock"
	runFile      = "run.json"
	uncleanFile  = "unclean"
	storeFile    = "store" // where the events are, if not here
	maxKeyLength = 4096
	maxProblems  = 10_000 // listed; one segment of a stranger's could have as many as rows
)

// Options of a run; the zero value works.
type Options struct {
	Deep bool
	// Key is the ledger's verifier key, in the encoding of package note; "" takes
	// the one in the directory.
	Key string
	// Against is a checkpoint that was kept; nil is none.
	Against []byte
	// Since judges in depth only what was stored from then on, Tenant only what is
	// of one tenant; zero is everything. See [Scope].
	Since  time.Time
	Tenant string
	// Progress is told how many bytes of how many have been read, from one
	// goroutine at a time.
	Progress func(done, total int64)
	Workers  int // files at a time; 0 is one per processor

	// Tables is the store where that is in tables, and not in files of the directory,
	// which has ledger and keys. Then the run is deep, and of everything.
	Tables evidence.Tables
	// Retention is how long events were to be kept, as the caller knows it; nil takes
	// the word of the tables. Of files, statements say it.
	Retention *retention.Policy

	patience time.Duration                                 // instead of signingTime
	window   int64                                         // instead of windowRows
	open     func(path string, flag int) (*os.File, error) // instead of regular.Open
}

// What keeps a directory from being verified.
var (
	ErrNoData  = errors.New("not a data directory")
	ErrNoStore = errors.New("no store here")
	// ErrNoCheckpoint says that [Options.Against] is none, which is not the
	// directory's fault.
	ErrNoCheckpoint = errors.New("this is no checkpoint of a ledger")
	// ErrWhole says that [Options.Since] and [Options.Tenant] are not for a store in
	// tables.
	ErrWhole = errors.New("a store in tables is judged whole")
)

// An Error is [ErrNoData] and the like, with what to do.
type Error struct {
	Path string
	Err  error
	hint string
}

func (e *Error) Error() string { return fmt.Sprintf("verify %s: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *Error) Hint() string { return e.hint }

// Run judges the data directory dir. What is wrong with it is in the report;
// the error is for what kept it from being judged at all.
func Run(ctx context.Context, dir string, opts Options) (*Report, error) {
	if opts.open == nil {
		opts.open = regular.Open
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, &Error{dir, err, "name the directory that docket up writes to with --data"}
	}
	if err := judgeable(dir, opts); err != nil {
		return nil, err
	}
	if opts.Tables != nil && (!opts.Since.IsZero() || opts.Tenant != "") {
		return nil, &Error{dir, ErrWhole, "leave out --since and --tenant"}
	}
	if opts.Against != nil && !bytes.Contains(opts.Against, []byte("\n\n\u2014 ")) { // C2SP signed-note
		return nil, &Error{dir, fmt.Errorf("%w: %.40q", ErrNoCheckpoint, opts.Against), "keep a copy of DIR/ledger/checkpoint, as it lies there, and name that with --against"}
	}
	v := &verifier{
		dir: dir, opts: opts,
		report: &Report{Dir: dir, Deep: opts.Deep, Epochs: []Epoch{}, Notes: []string{}, Problems: []Problem{}},
	}
	v.source = &files{verifier: v}
	if opts.Tables != nil {
		v.opts.Deep, v.report.Deep, v.report.Store = true, true, opts.Tables.Addr()
		v.source = newTables(v, opts.Tables)
	}
	v.state, v.announced = ownerState(dir)
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	v.report.sort()
	v.report.Exit = v.report.Code()
	return v.report, nil
}

// judgeable says whether there is something to judge. A directory whose store is
// gone is not whole, and it is not one that never had any either: only a kept
// checkpoint can tell what is missing.
func judgeable(dir string, opts Options) error {
	has := func(path string) bool {
		_, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(path)))
		return err == nil
	}
	switch {
	case has(lakeDir) || has(ledgerDir) || has(ledgerVKey) || has(keptPath) || has(formatFile) && opts.Against != nil:
		return nil // where there is a key of a ledger, there was one
	case !has(formatFile):
		return &Error{dir, ErrNoData, "name the directory that docket up writes to with --data"}
	case has(walDir):
		return &Error{dir, ErrNoStore, "docket-gateway sends its events on; name the directory of the docket up that collects them with --data"}
	}
	return &Error{dir, ErrNoStore, "name the directory that docket up writes to with --data"}
}

// A verifier is one run.
type verifier struct {
	dir  string
	opts Options

	mu     sync.Mutex
	report *Report // problems and notes guarded by mu while files are read

	source     source
	state      owner
	announced  run
	statements []statement // by number, from 1, as far as they are there
	gaps       uint64      // of them, those that are not there
	signed     int         // of them, from the first on, the ledger's owner has signed for so many
	vkey       string      // of the ledger; "" when there is none to be had
	warrant    []byte      // as it lay there before the ledger was read; nil without one
	fold       *lake.Manifest
	broken     bool  // the statements are no chain, so that what follows from them is moot
	foreign    bool  // the statements are of another store, and so is all else
	hashed     int64 // bytes; guarded by mu
	total      int64
	keys       map[string]ed25519.PublicKey // see emitterKeys
	scope      *scope                       // nil is everything
}

func (v *verifier) run(ctx context.Context) error {
	// The order matters beside a living owner, who writes in the opposite one:
	// statement, manifest, ledger, and then the next warrant. So each is read before
	// what follows from it can have overtaken it.
	release, err := v.source.begin(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := v.checkLedger(ctx); err != nil {
		return err
	}
	if v.foreign {
		return ctx.Err()
	}
	v.checkChain()
	v.source.fold()
	if err := v.narrow(); err != nil {
		return err
	}
	rows, err := v.source.rows(ctx)
	if err != nil {
		return err
	}
	if err := v.checkPlans(ctx, rows); err != nil {
		return err
	}
	v.checkEpochs(ctx, rows)
	v.checkFormat()
	v.source.notes()
	v.noteEmitters()
	v.noteKeys()
	return ctx.Err()
}

func (v *verifier) problem(kind string, where Place, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.report.Problems) >= maxProblems {
		v.report.Omitted++
		return
	}
	v.report.Problems = append(v.report.Problems, Problem{Kind: kind, Where: where, What: fmt.Sprintf(format, args...)})
}

func (v *verifier) note(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Notes = append(v.report.Notes, fmt.Sprintf(format, args...))
}

// unread makes the problem of an error of the file system.
func (v *verifier) unread(where Place, err error) { _ = v.whyNot(where, err) }

// whyNot does that, and says whether it is the file or only the reading of it.
func (v *verifier) whyNot(where Place, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.problem(Missing, where, "the file is missing")
		return errChanged
	case errors.Is(err, regular.ErrNot), errors.Is(err, syscall.ENOTDIR):
		v.problem(Damage, where, "%v", regular.ErrNot)
		return errChanged
	}
	v.problem(Unreadable, where, "%v", err)
	return errUnread
}

// An owner is what is known of the process that writes to the directory.
type owner int

const (
	ownerGone    owner = iota // it stopped cleanly, or never was
	ownerCrashed              // it left without a word
	ownerLives
)

// A run is what a living owner says of itself, as far as it matters here.
type run struct {
	Started time.Time `json:"started"`
	Emitter string    `json:"emitter"`
}

// ownerState finds out by the locks, which end with the process that holds them.
func ownerState(dir string) (owner, run) {
	var r run
	b, err := regular.ReadAtMost(filepath.Join(dir, runFile), 1<<20)
	if err == nil && json.Unmarshal(b, &r) != nil {
		r = run{}
	}
	switch {
	case locked(filepath.Join(dir, ownerLock)) || locked(filepath.Join(dir, lakeDir, lake.LockPath)):
		return ownerLives, r
	case !errors.Is(err, fs.ErrNotExist):
		return ownerCrashed, r
	}
	if _, err := os.Lstat(filepath.Join(dir, uncleanFile)); err == nil {
		return ownerCrashed, r
	}
	return ownerGone, r
}

func locked(path string) bool {
	f, err := regular.Open(path, os.O_RDONLY)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // gives our own lock back
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	return errors.Is(err, syscall.EWOULDBLOCK)
}

// noteKeys warns where one theft takes both keys.
func (v *verifier) noteKeys() {
	_, lerr := os.Lstat(filepath.Join(v.dir, filepath.FromSlash(ledgerKey)))
	_, eerr := os.Lstat(filepath.Join(v.dir, filepath.FromSlash(emitterKey)))
	if lerr == nil && eerr == nil {
		v.note("the private keys of emitter and ledger lie in one directory: who steals it can forge both; [ledger] key puts one elsewhere")
	}
}
