// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/docket-audit/docket/internal/regular"
)

// Why an event was not taken. A receipt's error wraps one of them.
var (
	// ErrBackpressure says that the queue is full, or that the event's principal
	// holds its share of it. The event is counted, and a finding on the stream
	// will state that it is missing. A caller that can refuse its own work should.
	ErrBackpressure = errors.New("emitter queue is full")
	// ErrUnfit says that the event cannot be an event: it has no canonical form,
	// lacks what every event has, or is too long. It is counted and stated too.
	ErrUnfit = errors.New("event is unfit")
	// ErrCanary says that the event holds what must not be recorded. An event that
	// says so is in its place, and durable.
	ErrCanary = errors.New("event holds a canary")
	// ErrClosed says that the emitter was closed before the event was durable.
	ErrClosed = errors.New("emitter is closed")
)

// A LockedError says that another emitter uses the directory.
type LockedError struct {
	Dir string
	PID string // of the process that does, "" when unknown
}

func (e *LockedError) Error() string {
	if e.PID == "" {
		return fmt.Sprintf("open emitter: %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("open emitter: %s is in use by process %s", e.Dir, e.PID)
}

// Hint tells what to do about it.
func (e *LockedError) Hint() string {
	return "stop that process, or give this one a directory of its own: two emitters never share a WAL"
}

// A DirError says that the directory cannot be used.
type DirError struct {
	Dir string
	Err error
}

func (e *DirError) Error() string { return fmt.Sprintf("open emitter: %s: %v", e.Dir, e.Err) }

// Unwrap returns what the file system said.
func (e *DirError) Unwrap() error { return e.Err }

// Hint tells what to do about it.
func (e *DirError) Hint() string {
	if errors.Is(e.Err, regular.ErrNot) || errors.Is(e.Err, syscall.ENOTDIR) {
		return "something else has the name of a file of the WAL: move it away"
	}
	return "the WAL needs a directory that this process may write to, on a disk with room"
}
