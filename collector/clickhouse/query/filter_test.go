// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package query

import (
	"context"
	"strings"
	"testing"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	rowsof "github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/filter/filtertest"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/chdbtest"
	"github.com/docket-audit/docket/internal/profile"
)

// filled opens a store with some entries in it, a commit for each list.
func filled(t *testing.T, commits ...[]store.Entry) *clickhouse.Store {
	t.Helper()
	s, err := clickhouse.Open(t.Context(), chdbtest.Database(t), clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	seq := uint64(0)
	for _, entries := range commits {
		seq += uint64(len(entries))
		if _, err := s.Commit(t.Context(), store.Batch{Entries: entries, StreamSeq: seq}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Each operator and any expression, each row: what CEL says, SQL says, and where CEL
// fails, NULL; with the settings of confined queries, and with those that a user has who
// asks the server without docket.
func TestFilterOracle(t *testing.T) {
	entries, headers := filtertest.Rows()
	s := filled(t, entries)
	o := &oracle{e: New(s, sql.Limits{}), headers: headers}
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

type oracle struct {
	e               *Engine
	headers         map[string]*profile.Header
	checked, failed int
}

func (o *oracle) check(t rapid.TB, expression string) {
	f, err := filter.Parse(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	where, err := f.SQL(filter.ClickHouse)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	for _, settings := range []driver.Settings{o.e.settings(), nil} {
		o.compare(t, expression, f, &where, settings)
	}
}

func (o *oracle) compare(t rapid.TB, expression string, f *filter.Filter, where *filter.Condition, settings driver.Settings) {
	n := 0
	err := o.e.store.Select(context.Background(), settings, "SELECT metadata_uid, CAST("+where.Text+" AS Nullable(Bool)) FROM events", func(rows rowsof.Rows) error {
		for ; rows.Next(); n++ {
			var uid string
			var got *bool
			if err := rows.Scan(&uid, &got); err != nil {
				return err
			}
			h := o.headers[uid]
			want, err := f.Matches(h)
			if err != nil {
				if o.failed++; strings.Contains(err.Error(), "cost limit") {
					t.Fatalf("%s: too long for the test: %v", expression, err)
				}
				if !where.Partial {
					t.Fatalf("%s\n%s\nis said never to fail", expression, where.Text)
				}
			}
			if (err != nil) != (got == nil) || got != nil && *got != want {
				t.Fatalf("%s\n%s\nof %+v\nSQL says %v, CEL %v %v", expression, where.Text, *h, got, want, err)
			}
			o.checked++
		}
		return rows.Err()
	})
	if err != nil || n != len(o.headers) {
		t.Fatalf("%s\n%s: %d rows, %v", expression, where.Text, n, err)
	}
}
