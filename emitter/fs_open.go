// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"io"
	"os"
	"syscall"

	"github.com/docket-audit/docket/internal/regular"
)

// openFile opens a file of ours. What merely has the name of one is not followed
// elsewhere, or waited for: a link, a pipe, a device.
func openFile(path string, flag int) (*os.File, error) {
	return regular.Open(path, flag|syscall.O_NOFOLLOW)
}

// readFile reads a file of ours.
func readFile(path string) ([]byte, error) {
	f, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // was only read
	return io.ReadAll(f)
}
