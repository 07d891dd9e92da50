// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
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
	rows := make(map[uint64][]store.Entry) // by commit
	for i := range m.Files {
		named = append(named, m.Files[i].Path)
		deriveSegment(t, dir, &m.Files[i], rows)
	}
	for b, err := range lake.Statements(dir, 1) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		s, err := lake.ParseStatement(b)
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		named = append(named, lake.StatementPath(s.Number))
		deriveCounts(t, s, rows[s.Number])
		for _, q := range s.Quarantined {
			named = append(named, q.Path)
			if messages, err := lake.ReadQuarantine(dir, q.Path); err != nil || int64(len(messages)) != q.Count || digest(t, dir, q.Path) != q.SHA256 {
				t.Errorf("%s has %d messages, not %d, or another digest (%v)", q.Path, len(messages), q.Count, err)
			}
		}
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		switch {
		case err != nil || d.IsDir() || slices.Contains(named, filepath.ToSlash(rel)):
		case filepath.Dir(rel) == lake.IndexDir:
			deriveIndex(t, dir, rel, m)
		default:
			t.Errorf("%s is named by nothing", rel)
		}
		return err
	})
	if err != nil {
		t.Errorf("walk: %v", err)
	}
}

// deriveCounts compares what a statement counts with the rows of its commit,
// wherever they are now.
func deriveCounts(t storetest.TB, s *lake.Statement, rows []store.Entry) {
	t.Helper()
	slices.SortFunc(rows, func(a, b store.Entry) int { return cmp.Compare(a.Pos, b.Pos) })
	var tally lake.Tally
	for i := range rows {
		if rows[i].Pos != uint32(i) {
			t.Errorf("commit %d has no row %d, or two", s.Number, i)
		}
		if err := tally.Add(rows[i].Header); err != nil {
			t.Errorf("%v", err)
		}
	}
	counts, err := tally.Counts()
	if d := gocmp.Diff(counts, s.Counts, cmpopts.EquateEmpty()); d != "" || err != nil {
		t.Errorf("statement %d counts otherwise (%v):\n%s", s.Number, err, d)
	}
}

// deriveSegment adds the rows of a file to rows.
func deriveSegment(t storetest.TB, dir string, f *lake.File, rows map[uint64][]store.Entry) {
	t.Helper()
	var own []store.Entry
	for e, err := range lake.ReadSegment(context.Background(), dir, f.Path) {
		if err != nil {
			t.Fatalf("read segment: %v", err)
		}
		h, err := profile.Check(e.Raw)
		if err != nil || h != e.Header {
			t.Errorf("the columns are not what the bytes say (%v):\n%s", err, gocmp.Diff(h, e.Header))
		}
		if lake.Public(f.Path) {
			if !(lake.Partition{ClassUID: h.ClassUID, Tenant: h.Tenant, Day: lake.Day(h.Time)}).Holds(f.Path) {
				t.Errorf("an event of %s, class %d, lies in %s", h.Tenant, h.ClassUID, f.Path)
			}
			if n := len(own); n > 0 && own[n-1].Header.Time > h.Time {
				t.Errorf("%s is not sorted by time", f.Path)
			}
		}
		own = append(own, e)
		rows[e.Commit] = append(rows[e.Commit], e)
	}
	want := lake.Describe(own)
	want.Path, want.SHA256, want.Bytes = f.Path, digest(t, dir, f.Path), f.Bytes
	if d := gocmp.Diff(want, *f); d != "" {
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
