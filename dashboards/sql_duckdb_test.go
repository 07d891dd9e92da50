// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package dashboards

import (
	"fmt"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/sql"
)

// What the panels ask is answered over a lake, by the engine that is built in.
func TestPanelsOnDuckDB(t *testing.T) {
	dir := t.TempDir()
	l, err := lake.Open(dir, lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Commit(t.Context(), worldBatch(t)); err != nil {
		t.Fatal(err)
	}
	scope := sql.Scope{Dir: dir}
	for _, f := range l.Files() {
		scope.Files = append(scope.Files, f.Path)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(t.Context(), scope)
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
		for _, c := range r.Columns() {
			columns = append(columns, c.Name)
		}
		for r.Next() {
			row := make([]string, 0, len(columns))
			for _, v := range r.Values() {
				row = append(row, fmt.Sprint(v))
			}
			rows = append(rows, row)
		}
		if err := r.Close(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return columns, rows
	})
}
