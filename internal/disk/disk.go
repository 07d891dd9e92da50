// SPDX-License-Identifier: Apache-2.0

// Package disk says how much room there is where something is kept.
package disk

import (
	"fmt"
	"syscall"
)

// A Room is that of a file system.
type Room struct {
	Free  int64 `json:"free_bytes"` // for this user
	Total int64 `json:"total_bytes"`
}

// Of returns the room of the file system that path is on.
func Of(path string) (Room, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return Room{}, fmt.Errorf("look at the disk of %s: %w", path, err)
	}
	block := int64(s.Bsize) //nolint:unconvert // of another type on other systems
	return Room{Free: int64(s.Bavail) * block, Total: int64(s.Blocks) * block}, nil
}
