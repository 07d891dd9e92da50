// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Subject{
		Open: func(dir string, fault func(string) error) (storetest.Store, error) {
			return lake.Open(dir, lake.Options{Fault: fault})
		},
		Check: derive,
	})
}

// derive makes everything again that a lake says of itself, from the rows up,
// and compares; and it looks for files that nothing names.
func derive(t storetest.TB, dir string) {
	t.Helper()
	m, err := lake.Fold(lake.Statements(dir, 1))
	if err != nil {
		t.Fatalf("fold: %v", err)
	}
	want, err := m.Encode()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	got, err := os.ReadFile(filepath.Join(dir, lake.ManifestPath))
	if m.Number > 0 && (err != nil || !bytes.Equal(want, got)) {
		t.Errorf("the manifest is not the fold of the statements (%v)", err)
	}
	named := []string{lake.LockPath, lake.ManifestPath}
	for b, err := range lake.Statements(dir, 1) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		s, err := lake.ParseStatement(b)
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		named = append(named, lake.StatementPath(s.Number))
		var tally lake.Tally
		for i := range s.Added {
			named = append(named, s.Added[i].Path)
			deriveSegment(t, dir, &s.Added[i], &tally)
		}
		counts, err := tally.Counts()
		if d := cmp.Diff(counts, s.Counts, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Errorf("statement %d counts otherwise (%v):\n%s", s.Number, err, d)
		}
		for _, q := range s.Quarantined {
			named = append(named, q.Path)
			if messages, err := lake.ReadQuarantine(dir, q.Path); err != nil || int64(len(messages)) != q.Count || digest(t, dir, q.Path) != q.SHA256 {
				t.Errorf("%s has %d messages, not %d, or another digest (%v)", q.Path, len(messages), q.Count, err)
			}
		}
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); err == nil && !d.IsDir() && !slices.Contains(named, filepath.ToSlash(rel)) {
			t.Errorf("%s is named by nothing", rel)
		}
		return err
	})
	if err != nil {
		t.Errorf("walk: %v", err)
	}
}

func deriveSegment(t storetest.TB, dir string, f *lake.File, tally *lake.Tally) {
	t.Helper()
	var rows []store.Entry
	for e, err := range lake.ReadSegment(context.Background(), dir, f.Path) {
		if err != nil {
			t.Fatalf("read segment: %v", err)
		}
		h, err := profile.Check(e.Raw)
		if err != nil || h != e.Header {
			t.Errorf("the columns are not what the bytes say (%v):\n%s", err, cmp.Diff(h, e.Header))
		}
		if err := tally.Add(h); err != nil {
			t.Errorf("%v", err)
		}
		rows = append(rows, e)
	}
	want := lake.Describe(rows)
	want.Path, want.SHA256, want.Bytes = f.Path, digest(t, dir, f.Path), f.Bytes
	if d := cmp.Diff(want, *f); d != "" {
		t.Errorf("the statement describes %s otherwise:\n%s", f.Path, d)
	}
}

func digest(t storetest.TB, dir, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatalf("%v", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
