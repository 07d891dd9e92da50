// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"context"

	"github.com/docket-audit/docket/collector/store"
)

// Commit commits a batch to the lake, under the last fence, and gives the statement
// to the ledger. Killed in between, the next opening does that.
func (s *Stores) Commit(ctx context.Context, b store.Batch) (done store.Committed, err error) {
	err = s.commit(ctx)(func(fence uint64) error {
		b.Fence = fence
		done, err = s.Lake.Commit(ctx, b)
		return err
	})
	return done, err
}
