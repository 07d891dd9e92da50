// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
	files "github.com/docket-audit/docket/schemas/clickhouse"
)

type scanner interface {
	Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error]
}

// found counts what a look-up gives, each way: by the event, and by the operation.
func found(t *testing.T, r scanner, e store.Entry) (event, operation int) {
	t.Helper()
	count := func(q store.Query) (n int) {
		for _, err := range r.Scan(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	for _, q := range []store.Query{
		{Event: e.Header.MetadataUID, Descending: true},
		{Event: e.Header.MetadataUID, Limit: 1},
		{Event: e.Header.MetadataUID, WithoutRaw: true},
	} {
		if n := count(q); n != count(store.Query{Event: e.Header.MetadataUID}) {
			t.Errorf("%d events by %+v", n, q)
		}
	}
	return count(store.Query{Event: e.Header.MetadataUID}), count(store.Query{Operation: e.Header.OperationUID})
}

// Who looks events up goes by what they know of commits. They find what was committed
// since, at once, and never what is of no commit, wherever a commit was left.
func TestLookUp(t *testing.T) {
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	for _, step := range []string{"stubs written", "statement written", "events written", "commit begin", "commit written"} {
		t.Run(strings.ReplaceAll(step, " ", "_"), func(t *testing.T) {
			dsn := h.database(t, t.Name())
			var fail bool
			fault := func(point string) error {
				if fail && point == step {
					return errors.New("died")
				}
				return nil
			}
			st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{Fault: fault})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			r, err := clickhouse.OpenReader(t.Context(), dsn, clickhouse.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			behind, err := clickhouse.OpenBehind(t.Context(), dsn, clickhouse.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer behind.Close()
			readers := []scanner{r, st, behind}
			look := func(what string, e store.Entry, event, operation int) {
				t.Helper()
				for i, r := range readers {
					if ev, op := found(t, r, e); ev != event || op != operation {
						t.Errorf("%s: reader %d has %d events by uid and %d by operation, not %d and %d", what, i, ev, op, event, operation)
					}
				}
			}
			e := storetest.NewEpoch(t, "acme", "gateway-0")
			first, second, third := e.Operation(), e.Operation(), e.Operation()
			look("nothing", first[1], 0, 0)
			for _, batch := range [][]store.Entry{first, second} {
				if _, err := st.Commit(t.Context(), store.Batch{Entries: batch}); err != nil {
					t.Fatal(err)
				}
				look("a commit", batch[1], 1, 3)
			}
			fail = true
			if _, err := st.Commit(t.Context(), store.Batch{Entries: third}); err == nil {
				t.Fatal("it did not die")
			}
			fail = false
			there := 0
			if step == "commit written" {
				there = 1
			}
			look("left at "+step, third[1], there, 3*there)
			look("before it", second[1], 1, 3)
			if _, err := st.Commit(t.Context(), store.Batch{Entries: third}); err != nil {
				t.Fatal(err)
			}
			look("in the end", third[1], 1, 3)

			// Rows of no commit, of every writer that there ever was and behind the last commit,
			// with the uids of an event that there is.
			query(t, dsn, "INSERT INTO docket_events SELECT e.* REPLACE (n AS _commit, w AS _writer) FROM (SELECT * FROM docket_events WHERE metadata_uid = '"+third[1].Header.MetadataUID+"' LIMIT 1) AS e"+
				" CROSS JOIN (SELECT arrayJoin(range(1, 8)) AS n) AS a CROSS JOIN (SELECT arrayJoin(range(0, 6)) AS w) AS b"+
				" WHERE (n, w) NOT IN (SELECT number, writer FROM docket_commits)")
			look("beside rows of no commit", third[1], 1, 3)
			var n uint64
			query(t, dsn, "SELECT count() FROM events WHERE metadata_uid = '"+third[1].Header.MetadataUID+"'", &n)
			if n != 1 {
				t.Errorf("the view has %d", n)
			}
			last, err := st.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			query(t, dsn, "SELECT count() FROM docket_events WHERE metadata_uid = '"+third[1].Header.MetadataUID+"' AND "+last.Committed, &n)
			if n != 1 {
				t.Errorf("the condition of a snapshot has %d", n)
			}
		})
	}
}

// A database of before is found in as one of now is: what it lacks is made when it is
// opened, and who only reads it before that needs nothing of it.
func TestMigrated(t *testing.T) {
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	dsn := h.database(t, t.Name())
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	var all []store.Entry
	for range 3 {
		c, err := st.Commit(t.Context(), store.Batch{Entries: e.Operation()})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c.Added...)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	// It becomes one of version 2.
	for _, sql := range []string{
		"ALTER TABLE docket_events DROP INDEX by_event_range, DROP INDEX by_operation_range SETTINGS mutations_sync = 2",
		"ALTER TABLE docket_commits DROP PROJECTION spans SETTINGS mutations_sync = 2",
		"ALTER TABLE docket_commits ADD PROJECTION ranges (SELECT writer, min(number), max(number) GROUP BY writer)",
		"ALTER TABLE docket_commits MATERIALIZE PROJECTION ranges SETTINGS mutations_sync = 2",
		"ALTER TABLE docket_schema DELETE WHERE version > 2 SETTINGS mutations_sync = 2",
	} {
		query(t, dsn, sql)
	}
	views, err := files.Files.ReadFile("002_views.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, view := range regexp.MustCompile(`(?s)CREATE OR REPLACE VIEW .*?;\n`).FindAllString(strings.ReplaceAll(string(views), "{{.OnCluster}}", ""), 5) {
		query(t, dsn, strings.TrimSuffix(view, ";\n"))
	}
	look := func() {
		t.Helper()
		r, err := clickhouse.OpenReader(t.Context(), dsn+"?readonly=1", clickhouse.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, e := range all {
			if ev, op := found(t, r, e); ev != 1 || op != 3 {
				t.Errorf("%d events by uid and %d by operation", ev, op)
			}
			var n uint64
			query(t, dsn+"?readonly=1", fmt.Sprintf("SELECT count() FROM events WHERE metadata_uid = '%s'", e.Header.MetadataUID), &n) // as a dashboard
			if n != 1 {
				t.Errorf("%d rows of the view", n)
			}
		}
	}
	look()
	if st, err = clickhouse.Open(t.Context(), dsn, clickhouse.Options{}); err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var indexes, projections string
	query(t, dsn, "SELECT arrayStringConcat(arraySort(groupArray(name)), ' ') FROM system.data_skipping_indices WHERE database = currentDatabase() AND table = 'docket_events'", &indexes)
	query(t, dsn, "SELECT arrayStringConcat(arraySort(groupArray(name)), ' ') FROM system.projections WHERE database = currentDatabase() AND table = 'docket_commits'", &projections)
	if indexes != "by_commit by_event by_event_range by_operation by_operation_range by_trace" || projections != "spans" {
		t.Errorf("indexes %s, projections %s", indexes, projections)
	}
	look()
}
