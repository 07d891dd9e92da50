// SPDX-License-Identifier: Apache-2.0

package datadir

import (
	"fmt"
	"syscall"
)

// A Disk is the room of a file system.
type Disk struct {
	Free  int64 `json:"free_bytes"` // for this user
	Total int64 `json:"total_bytes"`
}

// DiskOf returns the room of the file system that path is on.
func DiskOf(path string) (Disk, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return Disk{}, fmt.Errorf("look at the disk of %s: %w", path, err)
	}
	block := int64(s.Bsize) //nolint:unconvert // of another type on other systems
	return Disk{Free: int64(s.Bavail) * block, Total: int64(s.Blocks) * block}, nil
}
