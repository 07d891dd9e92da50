// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package dashboards

import (
	"fmt"
	"reflect"
	"testing"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"

	chstore "github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// What the panels ask is answered by ClickHouse, over the tables and views of a
// store, and is what a lake answers.
func TestPanelsOnClickHouse(t *testing.T) {
	dsn := chdbtest.Database(t)
	fill(t, dsn)
	opts, err := clickhousego.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db, err := clickhousego.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	everyPanel(t, func(t *testing.T, text string) (columns []string, rows [][]string) {
		t.Helper()
		r, err := db.Query(t.Context(), text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		defer r.Close()
		columns = r.Columns()
		for r.Next() {
			values := make([]any, len(columns))
			for i, c := range r.ColumnTypes() {
				values[i] = reflect.New(c.ScanType()).Interface()
			}
			if err := r.Scan(values...); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			row := make([]string, 0, len(columns))
			for _, v := range values {
				to := reflect.ValueOf(v).Elem()
				if to.Kind() == reflect.Pointer && !to.IsNil() {
					to = to.Elem() // a column that may be NULL
				}
				row = append(row, fmt.Sprint(to.Interface()))
			}
			rows = append(rows, row)
		}
		if err := r.Err(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return columns, rows
	})
}

// fill makes a store with the world in it.
func fill(t *testing.T, dsn string) {
	t.Helper()
	st, err := chstore.Open(t.Context(), dsn, chstore.Options{Retention: retention.Policy{Default: retention.Forever}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commit(t.Context(), worldBatch(t)); err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}
