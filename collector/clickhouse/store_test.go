// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"testing"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
	"github.com/docket-audit/docket/internal/profile"
)

// A house is an engine with a database for each directory of a test.
type house struct {
	base string // a DSN
	made map[string]bool
}

// userView is a materialised view such as a user makes.
const userView = "CREATE MATERIALIZED VIEW per_tenant ENGINE = SummingMergeTree ORDER BY tenant SETTINGS non_replicated_deduplication_window = 1000" +
	" AS SELECT tenant, count() AS events FROM docket_events GROUP BY tenant"

// database returns the DSN of the database that stands for dir. It has the tables,
// and a view of a user's.
func (h *house) database(t storetest.TB, dir string) string {
	u, err := url.Parse(h.base)
	if err != nil {
		t.Fatalf("parse DSN: %v", err)
	}
	sum := sha256.Sum256([]byte(dir))
	u.Path = "/d" + hex.EncodeToString(sum[:8])
	if dsn := u.String(); !h.made[dsn] {
		query(t, h.base, "CREATE DATABASE "+u.Path[1:])
		st, err := clickhouse.Open(context.Background(), dsn, clickhouse.Options{})
		if err == nil {
			err = st.Close()
		}
		if err != nil {
			t.Fatalf("make tables: %v", err)
		}
		query(t, dsn, userView)
		h.made[dsn] = true
	}
	return u.String()
}

// query asks an engine by other means than the store.
func query(t storetest.TB, dsn, sql string, to ...any) {
	t.Helper()
	conn := open(t, dsn)
	defer conn.Close()
	var err error
	if len(to) == 0 {
		err = conn.Exec(context.Background(), sql)
	} else {
		err = conn.QueryRow(context.Background(), sql).Scan(to...)
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func open(t storetest.TB, dsn string) driver.Conn {
	t.Helper()
	opts, err := driver.ParseDSN(dsn)
	if err != nil {
		t.Fatalf("parse DSN: %v", err)
	}
	conn, err := driver.Open(opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return conn
}

// derive compares what plain SQL tells with what the statements say of it.
func derive(t storetest.TB, dsn string) {
	t.Helper()
	ctx := context.Background()
	conn := open(t, dsn)
	defer conn.Close()
	rows, err := conn.Query(ctx, "SELECT _raw, _commit, _pos, metadata_uid, tenant, time, operation_uid, sequence, fingerprint FROM events ORDER BY _commit, _pos")
	if err != nil {
		t.Fatalf("read events: %v", err)
	}
	defer rows.Close()
	tallies := make(map[int64]*clickhouse.Tally)
	next := make(map[int64]int32)
	var events uint64
	for rows.Next() {
		var raw []byte
		var commit int64
		var pos int32
		var h profile.Header
		if err := rows.Scan(&raw, &commit, &pos, &h.MetadataUID, &h.Tenant, &h.Time, &h.OperationUID, &h.Sequence, &h.Fingerprint); err != nil {
			t.Fatalf("read event: %v", err)
		}
		is, err := profile.Check(raw)
		if err != nil || is.MetadataUID != h.MetadataUID || is.Tenant != h.Tenant || is.Time != h.Time || is.OperationUID != h.OperationUID || is.Sequence != h.Sequence || is.Fingerprint != h.Fingerprint {
			t.Errorf("the columns are not what the bytes say: %v", err)
		}
		if tallies[commit] == nil {
			tallies[commit] = new(clickhouse.Tally)
		}
		if err := tallies[commit].Add(is); err != nil {
			t.Errorf("%v", err)
		}
		if pos != next[commit] {
			t.Errorf("commit %d has row %d in the place of row %d", commit, pos, next[commit])
		}
		next[commit]++
		events++
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("read events: %v", err)
	}
	deriveStatements(t, conn, tallies)
	// Of a number that is still to be decided there may be stubs.
	const decided = " WHERE _commit <= (SELECT max(number) FROM docket_commits)"
	for _, of := range []string{
		"toUInt64(sum(events)) FROM per_tenant", "count() FROM stubs", "toUInt64(sum(events)) FROM commits",
		"count() FROM docket_events" + decided, "count() FROM docket_stubs" + decided,
	} {
		var n uint64
		query(t, dsn, "SELECT "+of, &n)
		if n != events {
			t.Errorf("%s: %d, not %d", of, n, events)
		}
	}
}

func deriveStatements(t storetest.TB, conn driver.Conn, tallies map[int64]*clickhouse.Tally) {
	t.Helper()
	rows, err := conn.Query(context.Background(), "SELECT number, statement FROM commits ORDER BY number")
	if err != nil {
		t.Fatalf("read commits: %v", err)
	}
	defer rows.Close()
	for rows.Next() {
		var number int64
		var raw []byte
		if err := rows.Scan(&number, &raw); err != nil {
			t.Fatalf("read commit: %v", err)
		}
		st, err := clickhouse.ParseStatement(raw)
		if err != nil {
			t.Fatalf("commit %d: %v", number, err)
		}
		var counts []clickhouse.Count
		if tally := tallies[number]; tally != nil {
			if counts, err = tally.Counts(); err != nil {
				t.Errorf("%v", err)
			}
		}
		if d := cmp.Diff(st.Counts, counts, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("commit %d (-statement +rows):\n%s", number, d)
		}
		delete(tallies, number)
		deriveQuarantine(t, conn, number, st)
	}
	if err := rows.Err(); err != nil || len(tallies) > 0 {
		t.Errorf("rows of %d commits that there are not (%v)", len(tallies), err)
	}
}

func deriveQuarantine(t storetest.TB, conn driver.Conn, number int64, st *clickhouse.Statement) {
	t.Helper()
	rows, err := conn.Query(context.Background(), "SELECT subject, headers, data, reason, epoch, sequence, _stream_seq FROM quarantine WHERE _commit = $1 ORDER BY _index", number)
	if err != nil {
		t.Fatalf("read quarantine: %v", err)
	}
	defer rows.Close()
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for rows.Next() {
		var q store.Quarantined
		var streamSeq int64
		if err := rows.Scan(&q.Subject, &q.Headers, &q.Data, &q.Reason, &q.Epoch, &q.Sequence, &streamSeq); err != nil {
			t.Fatalf("read quarantine: %v", err)
		}
		q.StreamSeq = uint64(streamSeq)
		leaf, err := clickhouse.HeldLeaf(&q)
		if err == nil {
			err = tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil)
		}
		if err != nil {
			t.Errorf("%v", err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("read quarantine: %v", err)
	}
	root, err := tree.GetRootHash(nil)
	if err != nil || int64(tree.End()) != st.Quarantined || st.Quarantined > 0 && hex.EncodeToString(root) != st.QuarantinedRoot {
		t.Errorf("commit %d: %d messages in quarantine, the statement says %d, or another root (%v)", number, tree.End(), st.Quarantined, err)
	}
}

func TestStore(t *testing.T) {
	t.Parallel() // they wait for the engine, mostly
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	storetest.Run(t, storetest.Subject{
		Open: func(dir string, fault func(string) error) (storetest.Store, error) {
			return clickhouse.Open(context.Background(), h.database(t, dir), clickhouse.Options{Fault: fault, SnapshotEvery: 2})
		},
		Check: func(t storetest.TB, dir string) { derive(t, h.database(t, dir)) },
	})
}
