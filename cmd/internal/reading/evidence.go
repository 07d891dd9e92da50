// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/docket-audit/docket/collector/prove"
	"github.com/docket-audit/docket/collector/serve"
)

// Plans returns what finds plans by their digests in a data directory.
func Plans(dir string) func(context.Context, string) ([]byte, error) {
	return func(_ context.Context, digest string) ([]byte, error) {
		plan, err := os.ReadFile(filepath.Join(dir, "plans", digest+".json"))
		if err != nil {
			return nil, fmt.Errorf("read plan: %w", err)
		}
		return plan, nil
	}
}

// Ledger returns what shows the ledger of a data directory.
func Ledger(dir string) serve.Ledger { return evidence(dir) }

type evidence string // a data directory

// Checkpoint implements [serve.Ledger].
func (e evidence) Checkpoint(context.Context) ([]byte, error) {
	c, err := os.ReadFile(filepath.Join(string(e), "ledger", "checkpoint"))
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	return c, nil
}

// Prove implements [serve.Ledger].
func (e evidence) Prove(ctx context.Context, uid string) (proof []byte, fingerprint string, err error) {
	made, err := prove.Make(ctx, string(e), uid, prove.Options{})
	if err != nil {
		return nil, "", err
	}
	return made.Proof, made.Header.Fingerprint, nil
}
