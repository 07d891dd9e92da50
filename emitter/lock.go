// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockFile is the file in the directory that is locked. It stays when the
// emitter goes: the lock is the kernel's and ends with the process.
const lockFile = "lock"

// lock takes the directory, or fails with a [*LockedError].
func lock(dir string) (*os.File, error) {
	f, err := openFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, &DirError{Dir: dir, Err: err}
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a descriptor fits an int
		defer func() { _ = f.Close() }()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			pid, _ := io.ReadAll(io.LimitReader(f, 20)) // without it the message says less
			return nil, &LockedError{Dir: dir, PID: strings.TrimSpace(string(pid))}
		}
		return nil, &DirError{Dir: dir, Err: err}
	}
	pid := fmt.Sprintf("%d\n", os.Getpid())
	if err := errors.Join(f.Truncate(0), writeAt(f, pid)); err != nil {
		return nil, errors.Join(&DirError{Dir: dir, Err: err}, f.Close())
	}
	return f, nil
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}
