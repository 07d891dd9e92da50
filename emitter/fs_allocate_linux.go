// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"os"
	"syscall"
)

// Allocate makes a file of n bytes whose blocks are its own, without writing
// them where the file system can do that.
func (osFS) Allocate(path string, n int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = syscall.Fallocate(int(f.Fd()), 0, 0, n) //nolint:gosec // a descriptor fits an int
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		err = fillFile(f, n)
	}
	return errors.Join(err, f.Close())
}
