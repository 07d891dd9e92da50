// SPDX-License-Identifier: Apache-2.0

package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Format is the number that this binary writes. It reads every older one: 1 has
// hot segments only; since 2 the lake has public files, and statements that put
// files in the place of others; since 3 rows leave it, and stubs stay.
const Format = 3

// Default is the directory of a command that is told none.
const Default = "docket-data"

// What a caller can decide on.
var (
	ErrOwned    = errors.New("data directory is in use")
	ErrTooNew   = errors.New("data directory is of a newer format")
	ErrNotADir  = errors.New("not a data directory")
	ErrNotOwned = errors.New("nobody owns the data directory")
)

// An Error is what is wrong with a directory and what to do about it.
type Error struct {
	Path   string
	Err    error
	Advice string
}

func (e *Error) Error() string { return fmt.Sprintf("data directory %s: %v", e.Path, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the advice, for the command line to print.
func (e *Error) Hint() string { return e.Advice }

// A Run is what run.json says of the owner.
type Run struct {
	PID       int               `json:"pid"`
	Command   string            `json:"command"`
	Version   string            `json:"version"`
	Started   time.Time         `json:"started"`          // before anything was recorded
	Emitter   string            `json:"emitter,omitzero"` // name
	Addresses map[string]string `json:"addresses"`        // URLs by listener: nats, proxy, api, ops
	// Taken are the ports that listeners were to have and others had.
	Taken map[string]string `json:"taken,omitempty"`
}

// Moved says that a listener is not where it was to be, or "".
func (r Run) Moved(listener string) string {
	if port := r.Taken[listener]; port != "" {
		return "moved from " + port + ", which is taken"
	}
	return ""
}

// Note says that a listener found its port taken, or, with "", that it did not.
func (r *Run) Note(listener, takenPort string) {
	if takenPort == "" {
		return
	}
	if r.Taken == nil {
		r.Taken = map[string]string{}
	}
	r.Taken[listener] = takenPort
}

// A Dir is a data directory that this process owns.
type Dir struct {
	Path string // absolute

	lock *os.File
	// unsettled says that whoever had it before did not end cleanly, and that what it
	// left has not been put right yet.
	unsettled bool
}

// Own makes path this process's data directory, creating it when it is not
// there. It fails with [ErrOwned] when another process has it.
func Own(path string) (*Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("own data directory %s: %w", path, err)
	}
	if err := checkEmpty(abs); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(abs, "keys"), 0o700); err != nil {
		return nil, &Error{abs, err, notWritable}
	}
	if err := checkFormat(abs, true); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(abs, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &Error{abs, err, notWritable}
	}
	if err := flock(lock); err != nil {
		lock.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &Error{abs, fmt.Errorf("lock: %w", err), "is the file system able to lock files?"}
		}
		who, advice := "another process", "stop it, or give another directory with --data"
		if run, err := readRun(abs); err == nil {
			who = fmt.Sprintf("%s, pid %d", run.Command, run.PID)
			advice = fmt.Sprintf("stop it with `kill %d`, or give another directory with --data", run.PID)
		}
		return nil, &Error{abs, fmt.Errorf("%w by %s", ErrOwned, who), advice}
	}
	d := &Dir{Path: abs, lock: lock}
	// Whoever held them before is gone: the lock says so.
	d.unsettled = Crashed(abs)
	err = errors.Join(writeFormat(abs), ReplaceFile(d.Join(uncleanFile), []byte("until a clean stop\n"), 0o600))
	if d.forget(); err != nil {
		d.Close()
		return nil, &Error{abs, err, notWritable}
	}
	return d, nil
}

// Claimable says whether keys may be put into path: it is a data directory, or can
// become one.
func Claimable(path string) error { return checkEmpty(path) }

// checkEmpty refuses a directory that holds something and is not Docket's: who
// names a home directory by mistake should not find it filled. What a start
// that was cut short leaves before FORMAT, and what is in a new file system, is
// nothing.
func checkEmpty(path string) error {
	if _, err := os.Lstat(filepath.Join(path, "FORMAT")); err == nil {
		return nil
	}
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &Error{path, err, notWritable}
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == "keys", name == "tls", name == "lock", name == "lost+found", strings.HasPrefix(name, ".FORMAT-"):
		default:
			return &Error{path, fmt.Errorf("%w: it has no FORMAT, and it is not empty: there is %s in it", ErrNotADir, name), "give a new or an empty directory with --data or DOCKET_DATA"}
		}
	}
	return nil
}

const notWritable = "the directory must be writable by this user; give another with --data or DOCKET_DATA"

// flock takes the lock. A reader that asks whether an owner lives holds it for
// an instant, so that a refusal is believed only when it lasts.
func flock(f *os.File) error {
	var err error
	for range 20 {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil || !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// Format returns the number of the directory's format.
func (d *Dir) Format() (int, error) {
	b, err := os.ReadFile(d.Join("FORMAT"))
	if err != nil {
		return 0, &Error{d.Path, err, "the directory must be readable by this user"}
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, &Error{d.Path, fmt.Errorf("FORMAT: %w", err), "restore FORMAT from a backup"}
	}
	return n, nil
}

// Upgrade marks the directory as one of this binary's format: from now on older
// ones refuse it. It is called before anything is written that they would not
// understand.
func (d *Dir) Upgrade() error {
	b := []byte(strconv.Itoa(Format) + "\n")
	if now, err := os.ReadFile(d.Join("FORMAT")); err == nil && string(now) == string(b) {
		return nil
	}
	if err := ReplaceFile(d.Join("FORMAT"), b, 0o644); err != nil {
		return &Error{d.Path, fmt.Errorf("upgrade: %w", err), notWritable}
	}
	return nil
}

// Settle says that what an earlier owner left has been put right: a clean end is one
// again.
func (d *Dir) Settle() { d.unsettled = false }

// Announce says in run.json who owns the directory and where it listens.
func (d *Dir) Announce(r Run) error {
	d.Settle()
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write run.json: %w", err)
	}
	return ReplaceFile(filepath.Join(d.Path, "run.json"), append(b, '\n'), 0o600)
}

// Join returns a path inside the directory.
func (d *Dir) Join(elem ...string) string {
	return filepath.Join(append([]string{d.Path}, elem...)...)
}

// Close removes run.json and the socket and gives the directory up, cleanly: but for
// that which an owner left that was killed, if [Dir.Settle] was not called.
func (d *Dir) Close() error {
	d.forget()
	if !d.unsettled {
		os.Remove(d.Join(uncleanFile))
	}
	return d.lock.Close()
}

// uncleanFile is there from when a directory is owned until it is given up cleanly:
// a kill at any time leaves it.
const uncleanFile = "unclean"

// Crashed reports whether the last owner of a directory that nobody owns left
// without a word.
func Crashed(path string) bool {
	for _, name := range []string{uncleanFile, "run.json"} {
		if _, err := os.Lstat(filepath.Join(path, name)); err == nil {
			return true
		}
	}
	return false
}

func (d *Dir) forget() {
	sock := filepath.Join(d.Path, "docket.sock")
	if target, err := os.Readlink(sock); err == nil {
		os.RemoveAll(filepath.Dir(target))
	}
	os.Remove(sock)
	os.Remove(filepath.Join(d.Path, "run.json"))
	// What a kill left of replaceFile.
	for _, name := range []string{"run.json", "FORMAT", uncleanFile} {
		left, _ := filepath.Glob(filepath.Join(d.Path, "."+name+"-*")) // fails on a bad pattern only
		for _, l := range left {
			os.Remove(l)
		}
	}
}

// Check says whether path can be read as a data directory by this binary.
func Check(path string) error {
	if _, err := os.Stat(filepath.Join(path, "FORMAT")); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return &Error{path, ErrNotADir, "start one with `docket up --demo`, or name yours with --data or DOCKET_DATA"}
		}
		if errors.Is(err, syscall.ENOTDIR) {
			return &Error{path, fmt.Errorf("%w but a file", ErrNotADir), "name the directory with --data; `docket tail --input-file FILE` reads events of a file"}
		}
		return &Error{path, err, "the directory must be readable by this user"}
	}
	return checkFormat(path, false)
}

// Owner returns what the living owner of path says of itself. Without one the
// error is [ErrNotOwned].
func Owner(path string) (Run, error) {
	f, err := os.Open(filepath.Join(path, "lock"))
	if err != nil {
		return Run{}, ErrNotOwned
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return Run{}, ErrNotOwned
	}
	run, err := readRun(path)
	if err != nil {
		return Run{}, &Error{path, fmt.Errorf("its owner has not said yet where it listens: %w", err), "try again in a moment"}
	}
	return run, nil
}

func readRun(path string) (Run, error) {
	var r Run
	b, err := os.ReadFile(filepath.Join(path, "run.json"))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(b, &r)
}

func checkFormat(path string, missingOK bool) error {
	b, err := os.ReadFile(filepath.Join(path, "FORMAT"))
	if errors.Is(err, fs.ErrNotExist) && missingOK {
		return nil
	}
	if err != nil {
		return &Error{path, err, "the directory must be readable by this user"}
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 1 {
		return &Error{path, fmt.Errorf("%w: FORMAT holds %q", ErrNotADir, strings.TrimSpace(string(b))), "restore FORMAT from a backup; this binary writes " + strconv.Itoa(Format)}
	}
	if n > Format {
		return &Error{path, fmt.Errorf("%w: %d, this binary knows up to %d", ErrTooNew, n, Format), "use the newer docket that wrote it"}
	}
	return nil
}

// writeFormat marks a new directory. An older directory keeps its number until
// something in it changes form.
func writeFormat(path string) error {
	name := filepath.Join(path, "FORMAT")
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	return ReplaceFile(name, []byte(strconv.Itoa(Format)+"\n"), 0o644)
}

// ReplaceFile writes a file whole or not at all, durably.
func ReplaceFile(name string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
