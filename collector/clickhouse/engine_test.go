// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// hostile are texts that mean something to somebody on the way.
var hostile = []string{
	"", "'", `\`, `\'; DROP TABLE docket_events; --`, "\x00", "a\x00b", "{x:String}", "? ?? $1 @name", "%s%n", "/* */ #", "\u202egnol", "ü\U0001F600", "\r\n\t", "`\"", "NULL", `\N`,
	strings.Repeat("x", 100_000), strings.Repeat("\U0001F600", 50_000), "FORMAT Native", ";",
}

// What events and messages say is stored and found as it is.
func TestHostile(t *testing.T) {
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	dsn := h.database(t, t.Name())
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	var b store.Batch
	for i, s := range hostile {
		e.Tenant, e.Emitter = "tenant "+s, "emitter "+s
		b.Entries = append(b.Entries, e.Seal(&ocsf.APIActivity{
			ActivityID: ocsf.APIActivityCreate,
			Base: ocsf.Base{
				Message: s, Metadata: ocsf.Metadata{EventCode: profile.KindOutcome, CorrelationUID: "operation " + s},
				Actor: &ocsf.Actor{User: &ocsf.User{UID: "user " + s}}, API: &ocsf.API{Operation: s, Service: &ocsf.Service{Name: s}},
			},
			SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.7"},
		}))
		b.Quarantined = append(b.Quarantined, store.Quarantined{
			Subject: s + "\xff", Data: []byte(s + "\xfe\x00"), Reason: s + "\xfd", StreamSeq: uint64(i), Epoch: s, Sequence: 7,
			Headers: map[string][]string{s + "\xff": {s, "\xfc"}, "empty": {}},
		})
	}
	// What no event of ours has: columns that are no UTF-8, and the farthest numbers.
	odd := b.Entries[1]
	odd.Header.Message, odd.Header.Principal, odd.Header.Fingerprint = "\xff\xfe", "\xc3\x28", strings.Repeat("ab", 32)
	odd.Header.Time, odd.Header.TypeUID, odd.Header.Sequence, odd.Header.DurationMS = -1<<63, 1<<63-1, profile.MaxSequence, -1
	b.Entries = append(b.Entries, odd)
	odd.Header.Time, odd.Header.Fingerprint = 1<<63-1, strings.Repeat("cd", 32)
	b.Entries = append(b.Entries, odd)
	c, err := st.Commit(t.Context(), b)
	if err != nil || len(c.Added) != len(b.Entries) {
		t.Fatalf("%d added: %v", len(c.Added), err)
	}
	if c, err := st.Commit(t.Context(), b); err != nil || c.Number != 0 || c.Duplicates != len(b.Entries)+len(b.Quarantined) {
		t.Errorf("again: commit %d, %d duplicates: %v", c.Number, c.Duplicates, err)
	}
	collect := func(q store.Query) (out []store.Entry) {
		t.Helper()
		for e, err := range st.Scan(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, e)
		}
		return out
	}
	without := slices.Clone(c.Added)
	for i := range without {
		without[i].Raw = nil
	}
	if d := cmp.Diff(without, collect(store.Query{WithoutRaw: true}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("headers (-want +got):\n%.2000s", d)
	}
	for i, s := range hostile {
		for what, q := range map[string]store.Query{
			"tenant": {Tenant: "tenant " + s}, "operation": {Operation: "operation " + s},
			"texts": {Texts: map[string][]string{"principal": {"user " + s, "nobody"}, "method": {s}}},
		} {
			got := collect(q)
			want := []store.Entry{c.Added[i]}
			if i == 1 { // the odd ones are copies, but for the principal
				want = append(want, c.Added[len(hostile):]...)
				if what == "texts" {
					want = want[:1]
				}
			}
			if len(got) != len(want) || !bytes.Equal(got[0].Raw, want[0].Raw) || got[0].Header != want[0].Header {
				t.Errorf("%s %.30q: %d events, not %d", what, s, len(got), len(want))
			}
		}
	}
	// More than are read at a time.
	for i := range 70 {
		b.Quarantined = append(b.Quarantined, store.Quarantined{Data: []byte{byte(i)}, StreamSeq: uint64(100 + i)})
	}
	if _, err := st.Commit(t.Context(), store.Batch{Quarantined: b.Quarantined}); err != nil {
		t.Fatal(err)
	}
	i := 0
	for q, err := range st.Quarantined(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b.Quarantined[i], q.Quarantined, cmpopts.EquateEmpty()); d != "" || q.ID != heldID(i) {
			t.Errorf("message %s (-want +got):\n%.2000s", q.ID, d)
		}
		i++
	}
	if i != len(b.Quarantined) {
		t.Errorf("%d messages, not %d", i, len(b.Quarantined))
	}
	var n uint64
	if query(t, dsn, "SELECT count() FROM events WHERE time_dt < '1901-01-01' OR time_dt > '2299-01-01'", &n); n != 2 {
		t.Errorf("%d events at the ends of time", n)
	}
}

// heldID is the name of the message that TestHostile made i-th.
func heldID(i int) string {
	if i < len(hostile) {
		return fmt.Sprintf("1.%d", i+1)
	}
	return fmt.Sprintf("2.%d", i-len(hostile)+1)
}

// What is inserted is of the types of the tables, which the native protocol wants.
func TestTypes(t *testing.T) {
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	dsn := h.database(t, t.Name())
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{SnapshotEvery: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	st.AskTypes()
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	b := store.Batch{Entries: append(e.Operation(), e.Start()), Quarantined: []store.Quarantined{{Data: []byte("x"), Headers: map[string][]string{"a": {"b", ""}}}}}
	for range 2 {
		if _, err := st.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	derive(t, dsn)
	var snapshots uint64
	if query(t, dsn, "SELECT count() FROM docket_snapshots", &snapshots); snapshots == 0 {
		t.Error("no snapshot")
	}
}

// Events as large as they may be, many at once, and read piece by piece.
func TestLarge(t *testing.T) {
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	dsn := h.database(t, t.Name())
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	var want []store.Entry
	for commit := range 3 {
		var b store.Batch
		for i := range 3 {
			b.Entries = append(b.Entries, e.Seal(&ocsf.APIActivity{
				ActivityID: ocsf.APIActivityCreate,
				Base: ocsf.Base{
					Message:  strings.Repeat(fmt.Sprint(commit, i, " "), 8<<20/4),
					Metadata: ocsf.Metadata{EventCode: profile.KindOutcome}, API: &ocsf.API{Operation: "Create"}, Actor: &ocsf.Actor{User: &ocsf.User{UID: "user"}},
				},
				SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.7"},
			}))
		}
		c, err := st.Commit(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, c.Added...)
	}
	for _, descending := range []bool{false, true} {
		i := 0
		for e, err := range st.Scan(t.Context(), store.Query{Descending: descending}) {
			if err != nil {
				t.Fatal(err)
			}
			w := &want[i]
			if descending {
				w = &want[len(want)-1-i]
			}
			if !bytes.Equal(e.Raw, w.Raw) || len(e.Raw) < 6<<20 || e.Commit != w.Commit || e.Pos != w.Pos {
				t.Fatalf("event %d is not what was stored", i)
			}
			i++
		}
		if i != len(want) {
			t.Errorf("%d events, not %d", i, len(want))
		}
	}
}

// Many commits, read in pieces, by every sort of query; a reader that stops, and one
// whose context ends.
func TestPieces(t *testing.T) {
	t.Parallel() // they wait for the engine, mostly
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	dsn := h.database(t, t.Name())
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{SnapshotEvery: 5})
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range st.Scan(t.Context(), store.Query{Event: "anything"}) {
		t.Fatalf("of an empty store: %v, %v", e, err)
	}
	acme, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "other", "gateway-0")
	acme.Trace = strings.Repeat("ab", 16) // of more events than are read at a time
	var all []store.Entry
	for n := range 12 {
		var b store.Batch
		for i := range 120 + 350*(n%3) {
			e := acme
			if i%97 == n {
				e = other
			}
			b.Entries = append(b.Entries, e.Operation()...)
		}
		c, err := st.Commit(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c.Added...)
	}
	// It is opened by a snapshot, to the same; and without, when that is damaged.
	sequences, head := st.Sequences(), st.StreamSeq()
	for _, damaged := range []bool{false, true} {
		if damaged {
			query(t, dsn, "INSERT INTO docket_snapshots SELECT number, digest, '{}' FROM docket_commits WHERE number = 12")
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if st, err = clickhouse.Open(t.Context(), dsn, clickhouse.Options{}); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(sequences, st.Sequences()); d != "" || st.StreamSeq() != head {
			t.Errorf("opened again, snapshot damaged %v (-before +after):\n%s", damaged, d)
		}
	}
	defer st.Close()
	for _, q := range []store.Query{
		{},
		{WithoutRaw: true, Descending: true},
		{Tenant: "other"},
		{Tenant: "other", Descending: true, Limit: 40},
		{Tenant: "nobody"},
		{Limit: 3000, WithoutRaw: true},
		{After: store.Cursor{Commit: 5, Pos: 17}, Kinds: []string{profile.KindOutcome}},
		{After: store.Cursor{Commit: 9}, Descending: true, WithoutRaw: true},
		{After: store.Cursor{Commit: 99}},
		{After: store.Cursor{Commit: 99}, Descending: true, Limit: 5},
		{AsOf: 3, WithoutRaw: true},
		{Epoch: other.UID, Since: storetest.Start + 30},
		{Operation: all[777].Header.OperationUID},
		{Event: all[7777].Header.MetadataUID, Descending: true},
		{Trace: acme.Trace, WithoutRaw: true},
		{Trace: acme.Trace, WithoutRaw: true, Descending: true, AsOf: 99},
	} {
		want := slices.Clone(all)
		if q.Descending {
			slices.Reverse(want)
		}
		want = slices.DeleteFunc(want, func(e store.Entry) bool {
			h, c := &e.Header, store.Cursor{Commit: e.Commit, Pos: e.Pos}.Compare(q.After)
			return q.Tenant != "" && h.Tenant != q.Tenant || q.Epoch != "" && h.Epoch != q.Epoch || h.Time < q.Since ||
				q.Operation != "" && h.OperationUID != q.Operation || q.Event != "" && h.MetadataUID != q.Event || q.Trace != "" && h.TraceUID != q.Trace ||
				q.AsOf != 0 && e.Commit > q.AsOf || len(q.Kinds) > 0 && !slices.Contains(q.Kinds, h.Kind) ||
				q.After != (store.Cursor{}) && (q.Descending && c >= 0 || !q.Descending && c <= 0)
		})
		if q.Limit > 0 {
			want = want[:min(q.Limit, len(want))]
		}
		i := 0
		for e, err := range st.Scan(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			if i >= len(want) || e.Header != want[i].Header || e.Commit != want[i].Commit || e.Pos != want[i].Pos || (len(e.Raw) == 0) != q.WithoutRaw {
				t.Fatalf("%+v: event %d is another", q, i)
			}
			i++
		}
		if i != len(want) || q.Trace != "" && i <= 16<<10 {
			t.Errorf("%+v: %d events, not %d", q, i, len(want))
		}
	}
	// A storm that leaves every third out, so that thousands of intervals are asked for.
	var storm store.Batch
	for i := range all {
		if i%3 > 0 {
			storm.Entries = append(storm.Entries, all[i])
		}
	}
	if c, err := st.Commit(t.Context(), storm); err != nil || c.Number != 0 || c.Duplicates != len(storm.Entries) {
		t.Errorf("a storm: commit %d, %d duplicates of %d: %v", c.Number, c.Duplicates, len(storm.Entries), err)
	}
	for _, page := range []int{5, 6, 11, 500} {
		st.SetPage(page)
		n := 0
		for raw, err := range st.Statements(2) {
			s, err2 := clickhouse.ParseStatement(raw)
			if n++; err != nil || err2 != nil || s.Number != uint64(n+1) {
				t.Fatalf("statement %d by pages of %d: %v, %v", n, page, err, err2)
			}
		}
		if n != 11 {
			t.Errorf("%d statements by pages of %d, not 11", n, page)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range st.Scan(ctx, store.Query{}) {
		if n++; err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("canceled: %v", err)
			}
			break
		}
		cancel()
	}
	if n == len(all) {
		t.Error("a scan whose context ended went on to its end")
	}
	for range st.Scan(t.Context(), store.Query{}) {
		break
	}
}

// The server lets go of what is too old, the stubs of it stay, and what left does not
// come back.
func TestRetention(t *testing.T) {
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	dsn := h.database(t, t.Name())
	policy, err := retention.ParsePolicy("400d", "tenant=brief 2d", "tenant=kept forever")
	if err != nil {
		t.Fatal(err)
	}
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{Retention: policy, Shorten: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var b store.Batch
	for _, tenant := range []string{"acme", "brief", "kept"} {
		e := storetest.NewEpoch(t, tenant, "gateway-0")
		e.Time = 1 // long ago; but the clock runs from when it is stored
		b.Entries = append(b.Entries, e.Operation()...)
	}
	if _, err := st.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	left := func() (n uint64) {
		query(t, dsn, "OPTIMIZE TABLE docket_events FINAL")
		query(t, dsn, "SELECT count() FROM events", &n)
		return n
	}
	if n := left(); n != 9 {
		t.Errorf("%d events right away, not 9", n)
	}
	for days, want := range map[int]uint64{1: 9, 3: 6, 500: 3} {
		query(t, dsn, "CREATE TABLE older AS docket_events")
		query(t, dsn, fmt.Sprintf("INSERT INTO older SELECT * REPLACE (_stored_time - %d * 86400000 AS _stored_time) FROM docket_events", days))
		query(t, dsn, "OPTIMIZE TABLE older FINAL")
		var n uint64
		if query(t, dsn, "SELECT count() FROM older", &n); n != want {
			t.Errorf("after %d days %d events, not %d", days, n, want)
		}
		query(t, dsn, "DROP TABLE older SYNC")
	}
	// The policy changes.
	query(t, dsn, "ALTER TABLE docket_events DELETE WHERE tenant = 'brief' SETTINGS mutations_sync = 1")
	if c, err := st.Commit(t.Context(), b); err != nil || c.Number != 0 || c.Duplicates != 9 {
		t.Errorf("what left comes again: commit %d, %d duplicates: %v", c.Number, c.Duplicates, err)
	}
	for _, want := range []struct {
		policy retention.Policy
		ttl    bool
	}{{retention.Policy{Default: retention.Forever}, false}, {policy, true}} {
		again, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{Retention: want.policy, Shorten: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		var made string
		if query(t, dsn, "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'docket_events'", &made); strings.Contains(made, "TTL") != want.ttl {
			t.Errorf("the table of events, TTL %v: %s", want.ttl, made)
		}
	}
}

// Tables are made once; those of a newer program are left alone.
func TestVersions(t *testing.T) {
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	_, err := clickhouse.OpenReader(t.Context(), h.base, clickhouse.Options{})
	if !errors.Is(err, clickhouse.ErrNoStore) || hint(t, err) == "" {
		t.Errorf("a database without a store: %v", err)
	}
	dsn := h.database(t, t.Name())
	_, err = clickhouse.Open(t.Context(), dsn+"?readonly=1", clickhouse.Options{})
	if got := hint(t, err); !strings.Contains(got, "may only read") {
		t.Errorf("a user that may only read: %q of %v", got, err)
	}
	_, err = clickhouse.Open(t.Context(), dsn+"nosuch", clickhouse.Options{})
	if got := hint(t, err); !strings.Contains(got, "CREATE DATABASE") {
		t.Errorf("no database: %q of %v", got, err)
	}
	// A migration that was interrupted is made again.
	query(t, dsn, "DROP VIEW evaluations")
	query(t, dsn, "TRUNCATE TABLE docket_schema")
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	var n uint64
	query(t, dsn, "SELECT count() FROM evaluations", &n)
	query(t, dsn, "INSERT INTO docket_schema (version, name) VALUES (99, 'of tomorrow')")
	_, err = clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
	_, err2 := clickhouse.OpenReader(t.Context(), dsn, clickhouse.Options{})
	for _, err := range []error{err, err2} {
		if !errors.Is(err, clickhouse.ErrNewer) || !strings.Contains(hint(t, err), "newer docket") {
			t.Errorf("tables of a newer program: %v", err)
		}
	}
}

// Settings that might cut an insert and do not: what is committed is one part.
func TestOneBlock(t *testing.T) {
	dsn := chdbtest.Database(t) + "?max_insert_block_size=10&min_insert_block_size_rows=1&min_insert_block_size_bytes=1&max_block_size=7&input_format_parallel_parsing=1&async_insert=1&wait_for_async_insert=0"
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	var all []store.Entry
	for i := range 500 {
		all = append(all, e.API("outcome", fmt.Sprint("op-", i), ""))
	}
	if _, err := st.Commit(t.Context(), store.Batch{Entries: all, StreamSeq: 500}); err != nil {
		t.Fatal(err)
	}
	var parts, rows uint64
	if err := st.Select(t.Context(), nil, "SELECT count(), max(rows) FROM system.parts WHERE database = currentDatabase() AND table = 'docket_events'", func(r driver.Rows) error {
		for r.Next() {
			if err := r.Scan(&parts, &rows); err != nil {
				return err
			}
		}
		return r.Err()
	}); err != nil || parts != 1 || rows != 500 {
		t.Errorf("%d parts, the largest of %d rows: %v", parts, rows, err)
	}
}
