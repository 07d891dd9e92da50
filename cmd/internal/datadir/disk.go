// SPDX-License-Identifier: Apache-2.0

package datadir

import "github.com/docket-audit/docket/internal/disk"

// A Disk is the room of a file system.
type Disk = disk.Room

// DiskOf returns the room of the file system that path is on.
func DiskOf(path string) (Disk, error) { return disk.Of(path) }
