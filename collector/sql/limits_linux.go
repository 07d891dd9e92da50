// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// limitSelf limits what this process may take. Its memory is that which it can
// write to (RLIMIT_DATA): the whole of its addresses would count what a runtime
// and an allocator reserve and never touch.
func limitSelf(memory int64, cpu time.Duration) error {
	// Should the machine run short before, then this is whom to end, and not
	// the one who records. A container may forbid it.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	if err := setLimit(syscall.RLIMIT_DATA, uint64(memory), 0); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	return limitTime(cpu)
}
