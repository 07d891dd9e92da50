// SPDX-License-Identifier: Apache-2.0

package strictoml

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxFile is the size of a file that nobody writes by hand.
const maxFile = 16 << 20

// ErrNoFile says that what is to be read is no regular file, or too large for one
// that says how something is configured. A pipe that nobody writes to would hold up
// whoever reads it, and who stops them.
var ErrNoFile = errors.New("not a regular file of at most 16 MiB")

// ReadFile reads a configuration. It fails with [ErrNoFile], or as [os.ReadFile].
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("read %s: %w", path, ErrNoFile)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("read %s: %w", path, ErrNoFile)
	}
	return b, err
}
