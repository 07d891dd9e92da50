// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// A store is taken over while its writer is at a step of a commit; the one that took
// it commits at once, or later. The first one is fenced there and then, or its commit
// stands and it is fenced with the next; in any case each event is there once.
func TestTakenOver(t *testing.T) {
	t.Parallel() // they wait for the engine, mostly
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	for _, step := range []string{"quarantine", "stubs", "statement", "events", "commit"} {
		for _, at := range []string{step + " begin", step + " written"} {
			for _, atOnce := range []bool{true, false} {
				name := strings.ReplaceAll(at, " ", "_")
				if atOnce {
					name += "/commits_at_once"
				}
				t.Run(name, func(t *testing.T) { takenOver(t, h.database(t, t.Name()), at, atOnce) })
			}
		}
	}
}

func takenOver(t *testing.T, dsn, at string, atOnce bool) {
	e, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "other", "gateway-0")
	theirs := store.Batch{Entries: other.Operation()}
	var second *clickhouse.Store
	first, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{Fault: func(point string) error {
		if point != at || second != nil {
			return nil
		}
		var err error
		if second, err = clickhouse.Open(t.Context(), dsn, clickhouse.Options{}); err == nil && atOnce {
			_, err = second.Commit(t.Context(), theirs)
		}
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	b := store.Batch{Entries: e.Operation(), Quarantined: []store.Quarantined{{Data: []byte("x"), StreamSeq: 4}}, StreamSeq: 4}
	c, err := first.Commit(t.Context(), b)
	if second == nil {
		t.Fatalf("nobody took over: %v", err)
	}
	defer second.Close()
	switch {
	case err == nil:
		if c.Number == 0 || len(c.Added) != 3 {
			t.Errorf("commit %d with %d events", c.Number, len(c.Added))
		}
	case !errors.Is(err, store.ErrFenced):
		t.Errorf("the first one: %v", err)
	}
	if taken := err == nil; atOnce && taken != slices.Contains([]string{"events written", "commit begin", "commit written"}, at) {
		t.Errorf("the first one, whose number was taken: %v", err)
	}
	for range 2 {
		if _, err := first.Commit(t.Context(), store.Batch{Entries: e.Operation()}); !errors.Is(err, store.ErrFenced) {
			t.Errorf("the first one, later: %v", err)
		}
	}
	for _, b := range []store.Batch{b, theirs} {
		if _, err := second.Commit(t.Context(), b); err != nil {
			t.Errorf("the second one: %v", err)
		}
	}
	n := 0
	for _, err := range second.Scan(t.Context(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 6 {
		t.Errorf("%d events, not 6", n)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{}) // which sweeps
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	derive(t, dsn)
}

// A reader beside the writer needs nothing of it.
func TestReader(t *testing.T) {
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	dsn := h.database(t, t.Name())
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	b := store.Batch{Entries: e.Operation(), Quarantined: []store.Quarantined{{Data: []byte("x"), StreamSeq: 4}}, StreamSeq: 4}
	if _, err := st.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	r, err := clickhouse.OpenReader(t.Context(), dsn+"?readonly=1", clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	events, held, statements := 0, 0, 0
	for _, err := range r.Scan(t.Context(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		events++
	}
	for _, err := range r.Quarantined(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		held++
	}
	for _, err := range r.Statements(1) {
		if err != nil {
			t.Fatal(err)
		}
		statements++
	}
	if events != 3 || held != 1 || statements != 1 {
		t.Errorf("%d events, %d messages, %d statements", events, held, statements)
	}
	// The views are those of the lake.
	var n uint64
	for sql, want := range map[string]uint64{
		"SELECT count() FROM operations WHERE principal LIKE 'user-%' AND reason = ''":                                             1,
		"SELECT count() FROM evaluations WHERE answer = 'result' AND answer_sequence = sequence + 1":                               1,
		"SELECT count() FROM api_activity WHERE time_dt > '2026-01-01'":                                                            3,
		"SELECT count() FROM application_lifecycle":                                                                                0,
		"SELECT count() FROM quarantine WHERE id = '1.1'":                                                                          1,
		"SELECT count() FROM stubs JOIN events USING (fingerprint)":                                                                3,
		"SELECT count() FROM commits WHERE number = 1 AND events = 3 AND quarantined = 1 AND bytes > 1000":                         1,
		"SELECT count() FROM events WHERE metadata_uid = '" + b.Entries[0].Header.MetadataUID + "'":                                1,
		"SELECT count() FROM evaluations WHERE answer IS NULL":                                                                     0,
		"SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'docket_events' AND active AND rows != 3": 0,
	} {
		if query(t, dsn, sql, &n); n != want {
			t.Errorf("%s: %d, not %d", sql, n, want)
		}
	}
}
