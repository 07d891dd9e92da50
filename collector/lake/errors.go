// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/docket-audit/docket/collector/store"
)

var (
	// ErrLocked says that another writer has the lake.
	ErrLocked = errors.New("another process writes to this lake")
	// ErrClosed says that the lake was closed.
	ErrClosed = errors.New("lake is closed")
)

// An Error is one that a human must act on.
type Error struct {
	Op, Path string
	Err      error
	hint     string
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint tells what to do about it; "" when there is nothing to say.
func (e *Error) Hint() string { return e.hint }

// failed makes an [Error] of err with the hint that fits the cause.
func failed(op, path string, err error) error {
	return &Error{Op: op, Path: path, Err: err, hint: hintFor(err)}
}

func hintFor(err error) string {
	switch {
	case errors.Is(err, ErrLocked):
		return "stop the other docket first; reading needs no stop: the reading commands ask the running one"
	case errors.Is(err, ErrCorrupt):
		return "docket verify tells what is wrong with it; put the named file back from a copy"
	case errors.Is(err, store.ErrFenced):
		return "another collector holds the lease on this stream; this one must not write any more"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "the directory must be writable to store events; a directory that is not can still be read by query, show, replay and verify"
	case errors.Is(err, syscall.ENOSPC):
		return "make room on the disk; nothing is lost: events wait on the stream until they are stored"
	case errors.Is(err, fs.ErrNotExist):
		return "name a directory that docket up has written to"
	default:
		return ""
	}
}
