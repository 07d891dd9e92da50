// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

func open(t *testing.T, dir string) *lake.Lake {
	t.Helper()
	l, err := lake.Open(dir, lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func commit(t *testing.T, l *lake.Lake, b store.Batch) store.Committed {
	t.Helper()
	c, err := l.Commit(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func all(t *testing.T, r store.Reader, q store.Query) []store.Entry {
	t.Helper()
	var out []store.Entry
	for e, err := range r.Scan(context.Background(), q) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func TestCommitAndScan(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	batch := append([]store.Entry{e.Start()}, e.Operation()...)
	c := commit(t, l, store.Batch{Entries: batch, StreamSeq: 4})
	if c.Number != 1 || len(c.Added) != 4 {
		t.Fatalf("commit %d added %d", c.Number, len(c.Added))
	}
	if d := cmp.Diff(c.Added, all(t, l, store.Query{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("scan differs from what was added:\n%s", d)
	}
	if d := cmp.Diff(c.Added, columns(t, l), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("columns differ from the headers:\n%s", d)
	}
	r, err := lake.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c.Added, all(t, r, store.Query{})); d != "" {
		t.Errorf("the reader differs:\n%s", d)
	}
}

// columns returns the rows as the typed columns tell them.
func columns(t *testing.T, l *lake.Lake) []store.Entry {
	t.Helper()
	var out []store.Entry
	for _, f := range l.Files() {
		for e, err := range lake.ReadSegment(t.Context(), l.Dir(), f.Path) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, e)
		}
	}
	return out
}
