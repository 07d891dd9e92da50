// SPDX-License-Identifier: Apache-2.0

// Package regular reads files that lie where others can put something else in
// their place. A pipe that nobody writes to, or a device that never ends, must not
// hold up whoever reads it, and who stops them.
package regular

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ErrNot says that something else has the name of the file, or that the file is
// larger than one of its sort can be.
var ErrNot = errors.New("not a regular file")

// Open opens a file, or fails with [ErrNot] or as [os.OpenFile]. What is created has
// mode 0600.
func Open(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0o600)
	switch {
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENXIO):
		return nil, not(path)
	case err != nil:
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = not(path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func not(path string) error { return &os.PathError{Op: "open", Path: path, Err: ErrNot} }

// ReadFile reads a file, or fails as [Open] does.
func ReadFile(path string) ([]byte, error) { return read(path, -1) }

// ReadAtMost is [ReadFile] for one that no more than so many bytes can be in: it
// fails with [ErrNot] when there are more.
func ReadAtMost(path string, most int64) ([]byte, error) { return read(path, most) }

func read(path string, most int64) ([]byte, error) {
	f, err := Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // was only read
	if most < 0 {
		return io.ReadAll(f)
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w of at most %d bytes", ErrNot, most)}
	}
	return b, err
}
