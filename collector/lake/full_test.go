// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// On a full disk a commit fails with the hint to make room, whichever of its
// files does not fit, and once there is room the same batch is stored, once.
func TestFullDisk(t *testing.T) {
	const hot, aside, manifest = "11111111-1111-7111-8111-111111111111", "22222222-2222-7222-8222-222222222222", "_manifest.json.tmp"
	for _, full := range []string{
		"_hot/" + hot + ".parquet.tmp", "_quarantine/" + aside + ".ndjson.tmp", "_commits/000000000001.json.tmp", manifest,
	} {
		dir := t.TempDir()
		uids := []string{hot, aside}
		l, err := lake.Open(dir, lake.Options{NewUID: func() string {
			if len(uids) == 0 {
				return storetest.NewUID()
			}
			uid := uids[0]
			uids = uids[1:]
			return uid
		}})
		if err != nil {
			t.Fatal(err)
		}
		// What is written to /dev/full meets a full disk.
		if err := os.Symlink("/dev/full", filepath.Join(dir, full)); err != nil {
			t.Fatal(err)
		}
		e := storetest.NewEpoch(t, "acme", "gateway-0")
		b := store.Batch{
			Entries:     append([]store.Entry{e.Start()}, e.Operation()...),
			Quarantined: []store.Quarantined{{Subject: "x", Data: []byte("garbage"), StreamSeq: 5, Reason: "garbage"}}, StreamSeq: 5,
		}
		_, err = l.Commit(t.Context(), b)
		var hint interface{ Hint() string }
		if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, store.ErrUnfit) || !errors.As(err, &hint) || hint.Hint() == "" {
			t.Errorf("%s: %v", full, err)
		}
		if err := os.Remove(filepath.Join(dir, full)); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Commit(t.Context(), b); err != nil {
			t.Fatalf("%s: with room again: %v", full, err)
		}
		if n := l.Manifest().Rows(); n != 4 || len(l.Manifest().Quarantined) != 1 || l.StreamSeq() != 5 {
			t.Errorf("%s: %d rows, %d quarantine files", full, n, len(l.Manifest().Quarantined))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		derive(t, dir)
	}
}

// What can never be stored is told from what a disk is in the way of, and
// leaves nothing behind.
func TestUnfit(t *testing.T) {
	l, err := lake.Open(t.TempDir(), lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	start, bad := e.Start(), e.API("outcome", storetest.NewUID(), "")
	bad.Header.Fingerprint = "no fingerprint"
	for name, b := range map[string]store.Batch{
		"row":   {Entries: []store.Entry{bad}},
		"claim": {Quarantined: []store.Quarantined{{Data: []byte("x"), Epoch: e.UID, Sequence: 1<<63 - 1}}},
	} {
		if _, err := l.Commit(t.Context(), b); !errors.Is(err, store.ErrUnfit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.Commit(t.Context(), store.Batch{Entries: []store.Entry{start}}); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
