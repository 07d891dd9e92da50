// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/ledger/proof"
)

// Proofs beside a living writer, over partial tiles, full ones and leaves that
// are there twice, are those of the tree that the leaves make.
func TestProve(t *testing.T) {
	dir := t.TempDir()
	k := newKey(t, dir)
	dir = filepath.Join(dir, "ledger")
	if _, err := Prove(t.Context(), dir, k.Verifier(), [32]byte{}, 0); !errors.Is(err, ErrNotYet) {
		t.Errorf("a proof by no ledger: %v", err)
	}
	l := open(t, dir, k)
	all := digests(600)
	twice := slices.Concat(all[:5], all[3:5], all[5:])
	for _, part := range [][][32]byte{twice[:1], twice[1:7], twice[7:300], twice[300:]} {
		if err := l.add(context.Background(), part); err != nil {
			t.Fatal(err)
		}
		log, _, err := Read(t.Context(), dir, k.Verifier())
		if err != nil {
			t.Fatal(err)
		}
		hashes := log.Hashes[:log.Checkpoint.Size]
		for number, digest := range all {
			if number > 10 && number%13 != 0 {
				continue
			}
			p, err := Prove(t.Context(), dir, k.Verifier(), digest, uint64(number))
			at := slices.Index(hashes, proof.LeafHash(digest[:]))
			if at < 0 {
				if !errors.Is(err, ErrNotYet) {
					t.Fatalf("statement %d beyond %d leaves: %v", number, len(hashes), err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("statement %d: %v", number, err)
			}
			want, err := proof.Inclusion(hashes, p.Index)
			if err != nil || !slices.Equal(want, p.Path) || hashes[p.Index] != proof.LeafHash(digest[:]) {
				t.Fatalf("statement %d of %d leaves: index %d, path %x, want %x, %v", number, len(hashes), p.Index, p.Path, want, err)
			}
		}
	}
	checkLog(t, dir, k)
	other := newKey(t, t.TempDir())
	if _, err := Prove(t.Context(), dir, other.Verifier(), all[0], 0); !errors.Is(err, proof.ErrUnknownKey) {
		t.Errorf("by another key: %v", err)
	}
	if _, err := Prove(t.Context(), dir, k.Verifier(), sha256.Sum256([]byte("x")), 0); !errors.Is(err, ErrNotYet) {
		t.Errorf("of no statement: %v", err)
	}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "checkpoint"), []byte(strings.Replace(string(signed), "\n60", "\n61", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Prove(t.Context(), dir, k.Verifier(), all[0], 0); !errors.Is(err, proof.ErrBadSignature) {
		t.Errorf("under a changed checkpoint: %v", err)
	}
}
