// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"

	"github.com/docket-audit/docket/collector/store"
)

// Failed is failed, for tests of its hints.
var Failed = failed

// ScanOnly is scan, which uses no index.
var ScanOnly = scan

// LookUp returns how many rows a look-up finds, of the writer l or of a reader;
// it fails where there is none.
func LookUp(ctx context.Context, dir string, files []File, q store.Query, l *Lake) (int, error) {
	var x *indexes
	if l != nil {
		x = l.indexes
	}
	found, err := lookUp(ctx, dir, files, q, x)
	if err != nil {
		return 0, err
	}
	return len(found.rows), nil
}
