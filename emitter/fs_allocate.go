// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"math/rand/v2"
)

// allocate makes a file of n bytes at path whose blocks are its own.
func allocate(fs FS, path string, n int64) error {
	if a, ok := fs.(interface {
		Allocate(path string, n int64) error
	}); ok {
		return a.Allocate(path, n)
	}
	f, err := fs.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(fillFile(f, n), f.Close())
}

// fillFile writes n bytes that no file system can store in less, and syncs: some
// choose blocks only then.
func fillFile(f File, n int64) error {
	random := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 64<<10)
	for n > 0 {
		part := buf[:min(n, int64(len(buf)))]
		_, _ = random.Read(part) // never fails
		if _, err := f.Write(part); err != nil {
			return err
		}
		n -= int64(len(part))
	}
	return f.Sync()
}
