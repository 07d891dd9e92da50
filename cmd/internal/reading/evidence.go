// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/ledger/proof"
	"github.com/docket-audit/docket/collector/prove"
	"github.com/docket-audit/docket/collector/serve"
)

// StoreID names the store of a data directory for ever: by its ledger's key, which
// is public.
func StoreID(dir string) string {
	key, err := os.ReadFile(filepath.Join(dir, "keys", "ledger.vkey"))
	if err != nil {
		return "" // there is no ledger yet, and nothing to resume
	}
	return strings.TrimSpace(string(key))
}

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

// PlanDigests returns what lists the digests of the plans in a data directory.
func PlanDigests(dir string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) {
		files, err := os.ReadDir(filepath.Join(dir, "plans"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil // there is none yet
		}
		if err != nil {
			return nil, fmt.Errorf("list plans: %w", err)
		}
		var digests []string
		for _, f := range files {
			name, ok := strings.CutSuffix(f.Name(), ".json")
			if sum, err := hex.DecodeString(name); ok && err == nil && len(sum) == sha256.Size { // else it was left by an interrupted write
				digests = append(digests, name)
			}
		}
		return digests, nil
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
func (e evidence) Prove(ctx context.Context, uid string) (*serve.Proof, error) {
	if err := datadir.Within(string(e), "prove an event", "docs/clickhouse.md says by what a store on ClickHouse can be judged"); err != nil {
		return nil, fmt.Errorf("%w: %w", serve.ErrUnsupported, err)
	}
	made, err := prove.Make(ctx, string(e), uid, prove.Options{})
	if errors.Is(err, ledger.ErrNotYet) {
		return nil, fmt.Errorf("%w: %w", serve.ErrBusy, err)
	}
	if err != nil {
		return nil, err
	}
	tenants, err := spokenOf(made.Proof)
	if err != nil {
		return nil, err
	}
	return &serve.Proof{Text: made.Proof, Fingerprint: made.Header.Fingerprint, Tenants: tenants}, nil
}

// spokenOf returns the tenants that the statement in a proof speaks of. What is
// in quarantine may be of anybody.
func spokenOf(made []byte) ([]string, error) {
	p, err := proof.ParseEventProof(made)
	if err != nil {
		return nil, err
	}
	s, err := lake.ParseStatement(p.Statement)
	if err != nil {
		return nil, err
	}
	var tenants []string
	for _, c := range s.Counts {
		tenants = append(tenants, c.Tenant)
	}
	for _, e := range s.Epochs {
		tenants = append(tenants, e.Tenant)
	}
	if len(s.Quarantined) > 0 {
		tenants = append(tenants, authz.Everywhere)
	}
	slices.Sort(tenants)
	return slices.Compact(tenants), nil
}
