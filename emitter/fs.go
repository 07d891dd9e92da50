// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// FS is what the WAL asks of a file system when it writes: the seam by which
// tests make a disk fail. Reading goes to the operating system directly.
//
// One with a method Allocate(path string, n int64) error makes the reserve by
// it: a new file of n bytes whose blocks are its own. Else they are written.
type FS interface {
	// Create makes a new file for appending; it fails if the path exists.
	Create(path string) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes what was created, renamed and removed in dir durable.
	SyncDir(dir string) error
}

// File is a file being appended to.
type File interface {
	io.Writer
	// Sync returns when everything written is on stable storage. After an error
	// nobody knows which of it is.
	Sync() error
	Close() error
}

// osFS is the file system of the operating system.
type osFS struct{}

var _ FS = osFS{}

func (osFS) Create(path string) (File, error) {
	// 0600: events tell who did what.
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(path string) error     { return os.Remove(path) }

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes dir, and those that it lies in, so that they outlast the power.
func makeDir(fs FS, dir string) error {
	_, err := os.Stat(dir)
	made := err != nil
	top := filepath.Dir(dir) // the first of them that is there
	for {
		if _, err := os.Stat(top); err == nil || top == filepath.Dir(top) {
			break
		}
		top = filepath.Dir(top)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for at := filepath.Dir(dir); ; at = filepath.Dir(at) {
		// Also when dir was there: whoever made it may have had no time for this.
		// Then it is no fault that others' directories cannot be read.
		if err := fs.SyncDir(at); err != nil && (made || !errors.Is(err, os.ErrPermission)) {
			return err
		}
		if at == top {
			return nil
		}
	}
}

// writeFile makes the file at path hold exactly the concatenation of parts, or
// not exist: it is written beside, synced and renamed. The open file is
// returned for appending, positioned at its end.
func writeFile(fs FS, path string, parts ...[]byte) (File, error) {
	tmp := path + tmpSuffix
	// A left-over of an attempt that failed; that there is none is the rule.
	_ = fs.Remove(tmp)
	f, err := fs.Create(tmp)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (File, error) {
		_ = f.Close() // the first error counts
		_ = fs.Remove(tmp)
		return nil, err
	}
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			return fail(err)
		}
	}
	if err := f.Sync(); err != nil {
		return fail(err)
	}
	if err := fs.Rename(tmp, path); err != nil {
		return fail(err)
	}
	if err := fs.SyncDir(filepath.Dir(path)); err != nil {
		// The name may or may not last. Take it away again; where even that
		// fails, the file is void by its number (see wal.go).
		_ = f.Close()
		_ = fs.Remove(path)
		return nil, fmt.Errorf("sync directory: %w", err)
	}
	return f, nil
}

const tmpSuffix = ".tmp"
