// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package sql

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// limitSelf limits what this process may take. A system that enforces no limit
// on memory that is mapped gets the next best: the process looks at itself, and
// may be well beyond the limit when it sees that.
func limitSelf(memory int64, cpu time.Duration) error {
	unit := int64(1 << 10)
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			var u syscall.Rusage
			if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil && int64(u.Maxrss)*unit > memory {
				fmt.Fprintln(os.Stderr, "out of memory")
				os.Exit(1)
			}
		}
	}()
	return limitTime(cpu)
}
