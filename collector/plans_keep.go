// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"log/slog"

	"github.com/docket-audit/docket/collector/store"
)

// KeepPlans writes the plans that entries carry to a data directory, as a collector
// does that stores them.
func KeepPlans(dataDir string, entries []store.Entry, log *slog.Logger) error {
	c := &Collector{cfg: Config{DataDir: dataDir}, log: log}
	return c.keepPlans(entries)
}
