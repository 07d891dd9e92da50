// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"github.com/docket-audit/docket/collector/ledger/proof"
)

// ErrNotYet says that no published checkpoint covers a statement, as it is for
// a moment after each commit.
var ErrNotYet = errors.New("the ledger has not signed for it yet")

// Prove returns the proof that the statement with a digest is in the log in dir,
// which may be in use, under the newest checkpoint, with the signature by vkey
// as the only one. Its extra data is empty. first is the index before which the
// statement cannot be: a log has at least a leaf for each statement before it.
//
// It reads a handful of files, however long the log is, and does not judge them:
// what it returns is for [proof.Verify] to judge. It fails with [ErrNotYet]
// where the log ends before the statement.
func Prove(ctx context.Context, dir, vkey string, digest [32]byte, first uint64) (*proof.TLogProof, error) {
	fetch := client.FileFetcher{Root: dir}
	raw, err := fetch.ReadCheckpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{"prove a statement by ledger", dir, ErrNotYet, ""}
	}
	if err != nil {
		return nil, &Error{"read checkpoint of ledger", dir, err, ""}
	}
	cp, err := proof.OpenCheckpoint(raw, vkey)
	if err == nil {
		raw, err = proof.Alone(raw, vkey)
	}
	if err != nil {
		return nil, &Error{"read checkpoint of ledger", dir, err, "docket verify tells what is wrong with it"}
	}
	index, err := find(ctx, fetch, digest, first, cp.Size)
	if err != nil {
		return nil, &Error{"prove a statement by ledger", dir, err, ""}
	}
	builder, err := client.NewProofBuilder(ctx, cp.Size, fetch.ReadTile)
	if err != nil {
		return nil, &Error{"read ledger", dir, err, "docket verify tells what is wrong with it"}
	}
	path, err := builder.InclusionProof(ctx, index)
	if err != nil {
		return nil, &Error{"read ledger", dir, err, "docket verify tells what is wrong with it"}
	}
	p := &proof.TLogProof{Index: index, Checkpoint: raw}
	for _, hash := range path {
		if len(hash) != 32 {
			return nil, &Error{"read ledger", dir, errors.New("a hash of a tile has not 32 bytes"), ""}
		}
		p.Path = append(p.Path, [32]byte(hash))
	}
	return p, nil
}

// find returns the index of a leaf, which is at first or, where leaves before it
// are there twice, a little behind.
func find(ctx context.Context, fetch client.FileFetcher, digest [32]byte, first, size uint64) (uint64, error) {
	for bundle := first / layout.EntryBundleWidth; bundle*layout.EntryBundleWidth < size; bundle++ {
		raw, err := fetch.ReadEntryBundle(ctx, bundle, layout.PartialTileSize(0, bundle, size))
		if err != nil {
			return 0, fmt.Errorf("read leaves: %w", err)
		}
		var entries api.EntryBundle
		if err := entries.UnmarshalText(raw); err != nil {
			return 0, fmt.Errorf("read leaves: %w", err)
		}
		for i, leaf := range entries.Entries {
			index := bundle*layout.EntryBundleWidth + uint64(i)
			if index >= first && index < size && string(leaf) == string(digest[:]) {
				return index, nil
			}
		}
	}
	return 0, ErrNotYet
}
