// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"fmt"
	"syscall"
	"time"
)

// limitTime limits the processor time of this process, should the one that
// started it be unable to end it, and leaves no image of its memory behind.
func limitTime(cpu time.Duration) error {
	if err := setLimit(syscall.RLIMIT_CORE, 0, 0); err != nil {
		return fmt.Errorf("limit core: %w", err)
	}
	if cpu <= 0 {
		return nil
	}
	// At the first limit the process is told, at the second it is ended.
	if err := setLimit(syscall.RLIMIT_CPU, uint64((cpu+time.Second-1)/time.Second), 5); err != nil {
		return fmt.Errorf("limit processor time: %w", err)
	}
	return nil
}

// setLimit lowers a limit, and lets nothing raise it by more than spare again.
func setLimit(resource int, value, spare uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(resource, &l); err != nil {
		return err
	}
	l.Max = min(l.Max, value+spare)
	l.Cur = min(l.Cur, value, l.Max)
	return syscall.Setrlimit(resource, &l)
}
