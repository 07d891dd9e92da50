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

// most is how large a file is that is read whole: the manifest of a history of many
// years is some hundred megabytes.
const most = 1 << 30

// ReadFile is [ReadAtMost] for a GiB.
func ReadFile(path string) ([]byte, error) { return ReadAtMost(path, most) }

// ReadAtMost reads a file that no more than so many bytes can be in. It fails with
// [ErrNot] when there are more, which are not read, and else as [Open] does.
func ReadAtMost(path string, most int64) ([]byte, error) {
	f, err := Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var b []byte
	if info.Size() <= most {
		b, err = io.ReadAll(io.LimitReader(f, most+1))
	}
	if err == nil && max(info.Size(), int64(len(b))) > most {
		err = &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w of at most %d bytes", ErrNot, most)}
	}
	return b, err
}
