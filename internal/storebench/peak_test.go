// SPDX-License-Identifier: Apache-2.0

package storebench

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A peak is the most memory that this process has from here on, as Linux counts
// it: broker, emitter and all, and the pages of files that DuckDB maps.
type peak struct{ counted bool }

func newPeak() peak {
	debug.FreeOSMemory()
	return peak{os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600) == nil}
}

// report does so where it can be known.
func (p peak) report(b *testing.B) {
	b.Helper()
	if mib := p.mib(); mib > 0 {
		b.ReportMetric(mib, "peak-MiB")
	}
}

// mib is the peak so far, in MiB; 0 where it cannot be known.
func (p peak) mib() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if !p.counted || err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "VmHWM:" {
			if kib, err := strconv.ParseFloat(string(fields[1]), 64); err == nil {
				return kib / 1024
			}
		}
	}
	return 0
}

// processor returns the processor time that this process has used so far.
func processor() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
