// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/docket-audit/docket/collector/ledger/proof"
)

// ErrGone says that there is no log where there was one. A new one in its place
// would sign for whatever statements were left.
var ErrGone = errors.New("the ledger is gone")

// ErrContradicted says that the log is not that of the statements, or not a
// continuation of the checkpoint that was kept: something was changed or taken
// away, and the next signature would hide it.
var ErrContradicted = errors.New("the ledger contradicts what was stored")

// maxInFlight is how many statements a crash can keep from the log: each is
// added, and signed for, before the next is made.
const maxInFlight = 1

// An Adoption is what became of a log that was begun anew.
type Adoption struct {
	Reason     error // why Open would have refused
	Statements int   // over which the new log was begun
	// Aside are the files and directories that were renamed: the former log and
	// the former checkpoint, as far as they were there.
	Aside []string
}

// admit decides whether the log may be gone on with, before anything is signed.
// leaves is how many the log has, signed for or not.
func admit(ctx context.Context, dir string, key *Key, opts Options, all *listed) (leaves uint64, _ *Adoption, _ error) {
	leaves, err := examine(ctx, dir, key, opts, all)
	if err == nil || !opts.Adopt || !adoptable(err) {
		return leaves, nil, err
	}
	a := &Adoption{Reason: err, Statements: len(all.digests)}
	suffix := ".before-" + strconv.FormatInt(time.Now().UnixNano(), 10)
	for _, path := range []string{dir, opts.Kept} {
		if path == "" {
			continue
		}
		switch err := os.Rename(path, path+suffix); {
		case err == nil:
			a.Aside = append(a.Aside, path+suffix)
		case !errors.Is(err, fs.ErrNotExist):
			return 0, nil, &Error{"set ledger aside", path, err, ""}
		}
	}
	return 0, a, nil
}

// adoptable tells what a new log is an answer to from what it is not: a disk
// that cannot be read is to be mended.
func adoptable(err error) bool {
	for _, target := range []error{ErrGone, ErrContradicted, ErrNoWarrant, ErrKeyLost, ErrOtherKey} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// examine looks for what speaks against going on with the log, or against
// beginning one.
func examine(ctx context.Context, dir string, key *Key, opts Options, all *listed) (leaves uint64, _ error) {
	checkpoint := filepath.Join(dir, layout.CheckpointPath)
	begun, err := exists(checkpoint)
	if err != nil {
		return 0, &Error{"open ledger", checkpoint, err, ""}
	}
	var last []byte
	if opts.Kept != "" {
		if last, err = os.ReadFile(opts.Kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, &Error{"read kept checkpoint", opts.Kept, err, ""}
		}
	}
	// Without a trace of a key it is rather that the statements came from elsewhere, such
	// as those of a database that another docket has filled.
	if key.unwritten != nil && (begun || last != nil) {
		return 0, &Error{
			"open ledger key", key.path, ErrKeyLost,
			"restore " + key.path + "; or, to begin a new ledger with a new key, start once with --adopt-ledger",
		}
	}
	if !begun {
		return 0, isNew(dir, key, opts.Kept, last != nil, len(all.digests))
	}
	if err := checkSignedBy(dir, key); err != nil {
		return 0, err
	}
	log, err := readWhole(ctx, dir, key)
	if err != nil {
		return 0, err
	}
	if last != nil {
		if err := continuesKept(log, last, key); err != nil {
			return 0, contradicted(opts.Kept, err)
		}
	}
	if opts.Statements != nil {
		if _, err := all.compare(log, dir, &opts); err != nil {
			return 0, err
		}
	}
	return uint64(len(log.Hashes)), nil
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// isNew looks for traces of a log that has no checkpoint. The order in which
// they come to be leaves none behind when the very first start is killed.
func isNew(dir string, key *Key, kept string, haveKept bool, statements int) error {
	const hint = "put the ledger directory back from a backup; or, to begin a new ledger over the statements that are there, and have that recorded, start once with --adopt-ledger"
	tiles, err := exists(filepath.Join(dir, "tile"))
	if err != nil {
		return &Error{"open ledger", dir, err, ""}
	}
	var trace string
	switch {
	case statements > 0:
		trace = fmt.Sprintf("there are %d statements that it was of", statements)
	case haveKept:
		trace = "its last checkpoint is in " + kept
	case key.known:
		trace = "its public key is in " + key.vkeyPath
	case tiles:
		trace = "its tiles are there, and no checkpoint"
	default:
		return nil
	}
	return &Error{"open ledger", dir, fmt.Errorf("%w: %s", ErrGone, trace), hint}
}

// howOn is what to do where the ledger and the statements are at odds.
const howOn = "docket verify tells what is wrong; put it back from a backup; or, to begin a new ledger over the statements that are there, and have that recorded, start once with --adopt-ledger"

func contradicted(path string, err error) error {
	return &Error{"open ledger", path, fmt.Errorf("%w: %w", ErrContradicted, err), howOn}
}

// checkSignedBy looks at the newest checkpoint, which tessera takes unseen.
func checkSignedBy(dir string, key *Key) error {
	path := filepath.Join(dir, layout.CheckpointPath)
	raw, err := os.ReadFile(path)
	if err != nil {
		return &Error{"open ledger", path, err, ""}
	}
	switch _, err := proof.OpenCheckpoint(raw, key.vkey); {
	case errors.Is(err, proof.ErrUnknownKey):
		return &Error{"open ledger", path, fmt.Errorf("%w: %w", ErrOtherKey, err), "start docket with the key that the ledger began with (ledger_key)"}
	case err != nil:
		return contradicted(path, err)
	}
	return nil
}

// readWhole reads the log in dir, and fails when anything is wrong with it.
func readWhole(ctx context.Context, dir string, key *Key) (*Log, error) {
	log, problems, err := Read(ctx, dir, key.vkey)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		p := problems[0]
		path := filepath.Join(dir, filepath.FromSlash(p.Path))
		if p.Kind == Unreadable {
			return nil, &Error{"open ledger", path, errors.New(p.What), "docket verify tells what else is wrong with it"}
		}
		return nil, contradicted(path, errors.New(p.What))
	}
	return log, nil
}

func continuesKept(log *Log, kept []byte, key *Key) error {
	cp, err := proof.OpenCheckpoint(kept, key.vkey)
	if err != nil {
		return fmt.Errorf("the kept checkpoint: %w", err)
	}
	return log.Continues(cp)
}

// listed are the statements that a log is to be of.
type listed struct {
	digests   [][32]byte
	last      []byte // the newest of them
	warranted [32]byte
}

// listStatements reads all statements.
func listStatements(statements iter.Seq2[[]byte, error]) (*listed, error) {
	all := new(listed)
	if statements == nil {
		return all, nil
	}
	for s, err := range statements {
		if err != nil {
			return nil, fmt.Errorf("read statements: %w", err)
		}
		all.digests, all.last = append(all.digests, sha256.Sum256(s)), s
	}
	return all, nil
}

// compare returns what the log lacks, and fails where it is not of the statements,
// or must not become of the last.
func (a *listed) compare(log *Log, dir string, opts *Options) (missing [][32]byte, _ error) {
	missing, unsigned, err := reconcile(log, a.digests)
	if err != nil {
		return nil, contradicted(dir, err)
	}
	if !unsigned {
		return nil, nil
	}
	err = opts.mayAdd(a.last, a.warranted)
	switch {
	case errors.Is(err, ErrNoWarrant) && len(missing) == 0:
		// Whoever wrote it has written its leaf as well; the next signature is for that.
		return nil, contradicted(dir, fmt.Errorf("statement %d has a leaf: %w", len(a.digests), err))
	case errors.Is(err, ErrNoWarrant):
		return nil, &Error{"open ledger", dir, fmt.Errorf("statement %d: %w", len(a.digests), err), howOn}
	case err != nil:
		return nil, &Error{"open ledger", dir, fmt.Errorf("statement %d: %w", len(a.digests), err), "docket verify tells what is wrong with it"}
	}
	return missing, nil
}

// reconcile compares the log with the statements: leaf by leaf the same, but
// that the last statement may have none, or one that is not signed for. It
// returns what the log lacks, and whether the last is not signed for.
func reconcile(log *Log, statements [][32]byte) (missing [][32]byte, unsigned bool, err error) {
	seen := make(map[[32]byte]bool, len(log.Hashes)) // a leaf may come again
	signed := 0
	for i, leaf := range log.Hashes {
		if seen[leaf] {
			continue
		}
		n := len(seen)
		seen[leaf] = true
		switch {
		case n >= len(statements):
			return nil, false, fmt.Errorf("statement %d is gone: the ledger has a leaf for it, the last statement is %d", n+1, len(statements))
		case LeafHash(statements[n]) != leaf:
			return nil, false, fmt.Errorf("statement %d is not the one that the ledger has a leaf for", n+1)
		}
		if uint64(i) < log.Checkpoint.Size {
			signed++
		}
	}
	lacking := len(statements) - signed
	if lacking > maxInFlight {
		return nil, false, fmt.Errorf("statements %d to %d were never signed for, a crash leaves at most %d such", signed+1, len(statements), maxInFlight)
	}
	return statements[len(seen):], lacking > 0, nil
}

// keep copies the newest checkpoint to where it is kept.
func (l *Ledger) keep(ctx context.Context) error {
	if l.keptPath == "" {
		return nil
	}
	l.keeping.Lock()
	defer l.keeping.Unlock()
	raw, err := l.Checkpoint(ctx)
	if err != nil {
		return err
	}
	cp, err := proof.ParseCheckpoint(raw)
	if err != nil {
		return fmt.Errorf("keep checkpoint: %w", err)
	}
	if l.kept != 0 && cp.Size <= l.kept {
		return nil
	}
	if err := writeAside(l.keptPath, raw, 0o644, os.Rename); err != nil {
		return &Error{"keep checkpoint", l.keptPath, err, ""}
	}
	l.kept = cp.Size
	return nil
}
