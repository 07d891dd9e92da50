// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"context"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/filter/filtertest"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// filterRows are a lake with a few hundred rows.
func filterRows(t *testing.T) (Scope, map[string]*profile.Header) {
	t.Helper()
	dir := t.TempDir()
	l, err := lake.Open(dir, lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	entries, headers := filtertest.Rows()
	if _, err := l.Commit(t.Context(), store.Batch{Entries: entries, StreamSeq: uint64(len(entries))}); err != nil {
		t.Fatal(err)
	}
	s := Scope{Dir: dir}
	for _, f := range l.Files() {
		s.Files = append(s.Files, f.Path)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return s, headers
}

// TestFilterOracle holds the translation of filters against CEL's own
// evaluation: each operator and any expression, each row. Where CEL fails, SQL
// says NULL.
func TestFilterOracle(t *testing.T) {
	scope, headers := filterRows(t)
	o := &oracle{db: open(t, scope), headers: headers}
	for _, expression := range filtertest.Each {
		o.check(t, expression)
	}
	if o.failed == 0 || o.failed == o.checked {
		t.Errorf("CEL failed for %d of %d", o.failed, o.checked)
	}
	rapid.Check(t, func(r *rapid.T) {
		o.check(r, filtertest.Condition(r, rapid.IntRange(0, 4).Draw(r, "depth")))
	})
	t.Logf("%d verdicts, of which %d that CEL has none", o.checked, o.failed)
}

// An oracle compares, and counts verdicts.
type oracle struct {
	db              *DB
	headers         map[string]*profile.Header
	checked, failed int
}

func (o *oracle) check(t rapid.TB, expression string) {
	f, err := filter.Parse(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	where, err := f.SQL(filter.DuckDB)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	rows, err := o.db.Query(context.Background(), "SELECT metadata_uid, "+where.Text+" FROM events")
	if err != nil {
		t.Fatalf("%s\n%s: %v", expression, where.Text, err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		h := o.headers[rows.Values()[0].(string)]
		var want any
		if ok, err := f.Matches(h); err == nil {
			want = ok
		} else if o.failed++; strings.Contains(err.Error(), "cost limit") {
			t.Fatalf("%s: too long for the test: %v", expression, err)
		}
		if want == nil && !where.Partial {
			t.Fatalf("%s\n%s\nis said never to fail", expression, where.Text)
		}
		if got := rows.Values()[1]; got != want {
			t.Fatalf("%s\n%s\nof %+v\nSQL says %v, CEL %v", expression, where.Text, *h, got, want)
		}
		o.checked++
	}
	if err := rows.Err(); err != nil || n != len(o.headers) {
		t.Fatalf("%s\n%s: %d rows, %v", expression, where.Text, n, err)
	}
}
