// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package verify

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/evidence"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/internal/chdbtest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// ask runs SQL as an administrator of the database would.
func (h *house) ask(sql string, to ...any) {
	h.t.Helper()
	if err := h.sql(sql, to...); err != nil {
		h.t.Fatalf("%s: %v", sql, err)
	}
}

// inTables has the house open a store in the database that dsn names, with options
// that may be changed between.
func (h *house) inTables(dsn string) *clickhouse.Options {
	h.t.Helper()
	o, err := driver.ParseDSN(dsn)
	if err != nil {
		h.t.Fatal(err)
	}
	o.Settings = driver.Settings{"insert_deduplicate": 0, "mutations_sync": 1}
	conn, err := driver.Open(o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	h.sql = func(sql string, to ...any) error {
		if len(to) == 0 {
			return conn.Exec(context.Background(), sql)
		}
		return conn.QueryRow(context.Background(), sql).Scan(to...)
	}
	options := &clickhouse.Options{Now: func() time.Time { return time.UnixMilli(h.now) }}
	h.openTables = func() (tableStore, error) { return clickhouse.Open(h.t.Context(), dsn, *options) }
	return options
}

// newTablesHouse is a house whose store is in tables.
func newTablesHouse(t *testing.T) (h *house, r evidence.Tables, options *clickhouse.Options) {
	t.Helper()
	h = newEmpty(t, filepath.Join(t.TempDir(), "data"))
	dsn := chdbtest.Database(t)
	options = h.inTables(dsn)
	h.now = time.Now().Add(-20*24*time.Hour).UnixMilli() / 1000 * 1000
	h.open()
	return h, judgedOf(t, dsn), options
}

// judgedOf opens what there is to be judged.
func judgedOf(t *testing.T, dsn string) evidence.Tables {
	t.Helper()
	r, err := clickhouse.OpenReader(t.Context(), dsn, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r.Evidence()
}

// tablesOf are all tables that the judgement is about.
var tablesOf = []string{
	evidence.TableEvents, evidence.TableStubs, evidence.TableQuarantine, evidence.TableCommits, evidence.TableSnapshots, evidence.TableRetention,
}

// keep remembers what is in the tables; the function that it returns puts it back.
func (h *house) keep() (restore func()) {
	h.t.Helper()
	for _, table := range tablesOf {
		h.ask(fmt.Sprintf("CREATE TABLE kept_%s ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM %s", table, table))
	}
	return func() {
		h.t.Helper()
		for _, table := range tablesOf {
			var same bool
			h.ask(fmt.Sprintf("SELECT (SELECT (count(), sum(cityHash64(*))) FROM %s) = (SELECT (count(), sum(cityHash64(*))) FROM kept_%s)", table, table), &same)
			if same {
				continue
			}
			h.ask("TRUNCATE TABLE " + table)
			h.ask(fmt.Sprintf("INSERT INTO %s SELECT * FROM kept_%s", table, table))
		}
	}
}

// replace changes a cell of the rows that are where, of any column: of a key, a
// server refuses an UPDATE.
func (h *house) replace(table, column, expression, where string) {
	h.t.Helper()
	h.ask(fmt.Sprintf("CREATE OR REPLACE TABLE changed ENGINE = MergeTree ORDER BY tuple() AS SELECT * REPLACE (%s AS %s) FROM (SELECT * FROM %s WHERE %s)", expression, column, table, where))
	h.ask(fmt.Sprintf("ALTER TABLE %s DELETE WHERE %s", table, where))
	h.ask(fmt.Sprintf("INSERT INTO %s SELECT * FROM changed", table))
}

// found runs the judgement, and fails unless it finds a problem in a file and of a
// statement, whose text has the words.
func (h *house) found(r evidence.Tables, file, column string, commit uint64, words string) {
	h.t.Helper()
	report := h.run(Options{Tables: r})
	if report.Code() != CodeFound {
		h.t.Errorf("code %d", report.Code())
	}
	if !slices.ContainsFunc(report.Problems, func(p Problem) bool {
		return p.Where.File == file && (column == "" || p.Where.Column == column) && (commit == 0 || p.Where.Statement == commit) && strings.Contains(p.What, words)
	}) {
		h.t.Errorf("no problem of %s, column %q, statement %d: %q, but %v", file, column, commit, words, report.Problems)
	}
}

func (h *house) fine(r evidence.Tables) *Report {
	h.t.Helper()
	report := h.run(Options{Tables: r})
	if len(report.Problems) > 0 || report.Code() != CodeFine {
		h.t.Fatalf("problems of what is whole: %v", report.Problems)
	}
	return report
}

// Nobody can write to the tables but it is found, and where.
func TestTables(t *testing.T) {
	h, r, options := newTablesHouse(t)
	h.close()
	options.SnapshotEvery = 3
	h.open()
	h.furnish()
	h.close()
	report := h.fine(r)
	if report.Events == 0 || report.Held != 1 || report.Statements != 5 || len(report.Epochs) != 4 || report.Bytes == 0 {
		t.Errorf("judged %+v", report)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil || !strings.Contains(text.String(), "checked tables of ") {
		t.Errorf("%v, %s", err, text.String())
	}
	// However much is asked for at a time, it comes to the same.
	for _, rows := range []int64{1, 12, 17} {
		again := h.run(Options{Tables: r, window: rows})
		if d := cmp.Diff(report, again); d != "" {
			t.Errorf("%d at a time (-want +got)\n%s", rows, d)
		}
	}
	restore := h.keep()
	each := func(name string, change func(), file, column string, commit uint64, words string) {
		t.Run(name, func(t *testing.T) {
			h := *h
			h.t = t
			defer restore()
			change()
			h.found(r, file, column, commit, words)
		})
	}
	const row = "_commit = 2 AND _pos = 3"
	// Every cell of an event, by its type.
	for _, f := range reflect.VisibleFields(reflect.TypeFor[profile.Header]()) {
		column, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		value := map[reflect.Kind]string{
			reflect.String: "concat(" + column + ", 'x')", reflect.Int64: column + " + 1", reflect.Int32: "toInt32(" + column + " + 1)", reflect.Bool: "NOT " + column,
		}[f.Type.Kind()]
		each("events "+column, func() { h.replace(evidence.TableEvents, column, value, row) }, evidence.TableEvents, column, 2, "the event's bytes say")
	}
	for column, value := range map[string]string{lake.ColumnStoredTime: "_stored_time + 1", lake.ColumnStreamSeq: "_stream_seq - 1"} {
		each("events "+column, func() { h.replace(evidence.TableEvents, column, value, row) }, evidence.TableEvents, column, 2, "")
	}
	each("events by ALTER UPDATE", func() { h.ask("ALTER TABLE docket_events UPDATE message = 'all is well' WHERE " + row) }, evidence.TableEvents, "message", 2, "all is well")
	each("events _commit", func() { h.replace(evidence.TableEvents, "_commit", "toInt64(4)", row) }, evidence.TableEvents, "", 2, "the event is gone")
	each("events _commit, that it has too many", func() { h.replace(evidence.TableEvents, "_commit", "toInt64(4)", row) }, evidence.TableEvents, "", 4, "another row has this place")
	each("events _pos", func() { h.replace(evidence.TableEvents, "_pos", "toInt32(77)", row) }, evidence.TableEvents, lake.ColumnPos, 2, "the statement counts")
	each("events _pos of a negative", func() { h.replace(evidence.TableEvents, "_pos", "toInt32(-1)", row) }, evidence.TableEvents, lake.ColumnPos, 2, "the statement counts")
	each("events _writer", func() { h.replace(evidence.TableEvents, "_writer", "_writer + 7", row) }, evidence.TableEvents, "", 2, "the event is gone")
	each("two events change places", func() {
		h.replace(evidence.TableEvents, "_pos", "if(_pos = 3, toInt32(2), toInt32(3))", "_commit = 2 AND _pos IN (2, 3)")
	}, evidence.TableStubs, "sequence", 2, "the event's bytes say")
	each("a byte of _raw", func() {
		h.ask("ALTER TABLE docket_events UPDATE _raw = replaceOne(_raw, 'alice', 'mallo') WHERE " + row)
	}, evidence.TableEvents, lake.ColumnRaw, 2, "not those that were sealed")
	each("_raw that is no event", func() { h.ask("ALTER TABLE docket_events UPDATE _raw = 'garbage' WHERE " + row) }, evidence.TableEvents, lake.ColumnRaw, 2, "no event")
	each("an event sealed anew, with all that follows", func() { h.forge(row) }, evidence.TableCommits, "", 2, "Merkle root")
	each("an event is deleted", func() { h.ask("ALTER TABLE docket_events DELETE WHERE " + row) }, evidence.TableEvents, "", 2, "the event is gone")
	each("an event and its stub are deleted", func() {
		h.ask("ALTER TABLE docket_events DELETE WHERE " + row)
		h.ask("ALTER TABLE docket_stubs DELETE WHERE " + row)
	}, evidence.TableCommits, "", 2, "are there")
	each("all events of a commit are deleted", func() {
		h.ask("ALTER TABLE docket_events DELETE WHERE _commit = 3")
		h.ask("ALTER TABLE docket_stubs DELETE WHERE _commit = 3")
	}, evidence.TableCommits, "", 3, "0 are there")
	each("an event is there twice", func() { h.ask("INSERT INTO docket_events SELECT * FROM docket_events WHERE " + row) }, evidence.TableEvents, "", 2, "another row has this place")
	each("an event is added behind", func() {
		h.ask("INSERT INTO docket_events SELECT * REPLACE (toInt32(99) AS _pos) FROM (SELECT * FROM docket_events WHERE " + row + ")")
	}, evidence.TableEvents, lake.ColumnPos, 2, "the statement counts")

	for column, value := range map[string]string{
		"epoch": "concat(epoch, 'x')", "sequence": "sequence + 1", "fingerprint": "reverse(fingerprint)::FixedString(32)", "kind": "'action'", "tenant": "'globex2'", "class_uid": "toInt32(2004)", "day": "'20200101'",
	} {
		each("stubs "+column, func() { h.replace(evidence.TableStubs, column, value, row) }, evidence.TableStubs, column, 2, "the event's bytes say")
	}
	for column, value := range map[string]string{"_commit": "toInt64(4)", "_pos": "toInt32(77)", "_writer": "_writer + 7"} {
		each("stubs "+column, func() { h.replace(evidence.TableStubs, column, value, row) }, evidence.TableStubs, "", 2, "the event has no stub")
	}
	each("a stub is deleted", func() { h.ask("ALTER TABLE docket_stubs DELETE WHERE " + row) }, evidence.TableStubs, "", 2, "the event has no stub")
	each("a stub is there twice", func() { h.ask("INSERT INTO docket_stubs SELECT * FROM docket_stubs WHERE " + row) }, evidence.TableStubs, "", 2, "another stub")

	const commit = "number = 2"
	for column, value := range map[string]string{
		"time": "time + 1", "events": "toInt64(0)", "bytes": "bytes + 1", "quarantined": "quarantined + 1", "fence": "fence + 1", "stream_seq": "stream_seq + 1", "digest": "reverse(digest)",
	} {
		each("commits "+column, func() { h.replace(evidence.TableCommits, column, value, commit) }, evidence.TableCommits, column, 2, "the cell says")
	}
	each("commits number", func() { h.replace(evidence.TableCommits, "number", "toInt64(9)", commit) }, evidence.TableCommits, "", 2, "the statement is missing")
	each("commits number of a negative", func() { h.replace(evidence.TableCommits, "number", "toInt64(-2)", commit) }, evidence.TableCommits, "", 2, "the statement is missing")
	each("commits writer", func() { h.replace(evidence.TableCommits, "writer", "writer + 7", commit) }, evidence.TableCommits, "", 0, "")
	each("a statement is changed", func() {
		h.ask("ALTER TABLE docket_commits UPDATE statement = replaceOne(statement, 'acme', 'bcme') WHERE number = 2")
	}, evidence.TableCommits, "", 2, "")
	each("a statement and its digest are changed", func() {
		h.replace(evidence.TableCommits, "statement", "replaceOne(statement, 'acme', 'acmd')", commit)
		h.replace(evidence.TableCommits, "digest", "lower(hex(SHA256(statement)))", commit)
	}, evidence.TableCommits, "", 2, "the ledger has another leaf")
	each("a statement is no statement", func() { h.replace(evidence.TableCommits, "statement", "'{}'", commit) }, evidence.TableCommits, "", 2, "")
	each("two statements change places", func() {
		h.replace(evidence.TableCommits, "number", "if(number = 2, toInt64(3), toInt64(2))", "number IN (2, 3)")
	}, evidence.TableCommits, "", 2, "it says that it is statement 3")
	each("a statement is deleted", func() { h.ask("ALTER TABLE docket_commits DELETE WHERE number = 2") }, evidence.TableCommits, "", 2, "the statement is missing")
	each("the last commit is deleted", func() {
		h.ask("ALTER TABLE docket_commits DELETE WHERE number = 5")
		h.ask("ALTER TABLE docket_events DELETE WHERE _commit = 5")
		h.ask("ALTER TABLE docket_stubs DELETE WHERE _commit = 5")
	}, "", "", 5, "the ledger has a leaf for a statement that is not here")
	each("all is deleted", func() {
		for _, table := range tablesOf {
			h.ask("TRUNCATE TABLE " + table)
		}
	}, evidence.TableCommits, "", 0, "all that was stored is gone")
	each("a commit is added", func() {
		h.ask("INSERT INTO docket_commits SELECT * REPLACE (toInt64(6) AS number) FROM (SELECT * FROM docket_commits WHERE number = 5)")
	}, evidence.TableCommits, "", 6, "it says that it is statement 5")

	const held = "_commit = 3"
	for column, value := range map[string]string{
		"subject": "concat(subject, 'x')", "headers": "map('a', ['b'])", "data": "'other'", "reason": "'other'", "epoch": "'x'", "sequence": "toInt64(4)", "_stream_seq": "_stream_seq - 1",
	} {
		each("quarantine "+column, func() { h.replace(evidence.TableQuarantine, column, value, held) }, evidence.TableQuarantine, "", 3, "not those that were stored")
	}
	each("quarantine digest", func() { h.replace(evidence.TableQuarantine, "digest", "reverse(digest)::FixedString(32)", held) }, evidence.TableQuarantine, "digest", 3, "not the SHA-256")
	each("quarantine _stored_time", func() { h.replace(evidence.TableQuarantine, "_stored_time", "_stored_time + 1", held) }, evidence.TableQuarantine, "_stored_time", 3, "")
	each("quarantine _index", func() { h.replace(evidence.TableQuarantine, "_index", "toInt32(2)", held) }, evidence.TableQuarantine, "_index", 3, "")
	for column, value := range map[string]string{"_commit": "toInt64(2)", "_writer": "_writer + 7"} {
		each("quarantine "+column, func() { h.replace(evidence.TableQuarantine, column, value, held) }, evidence.TableQuarantine, "", 3, "0 are there")
	}
	each("a message is deleted", func() { h.ask("TRUNCATE TABLE docket_quarantine") }, evidence.TableQuarantine, "", 3, "0 are there")
	each("a message is there twice", func() { h.ask("INSERT INTO docket_quarantine SELECT * FROM docket_quarantine") }, evidence.TableQuarantine, "", 3, "")
	each("a message is added", func() {
		h.ask("INSERT INTO docket_quarantine SELECT * REPLACE (toInt64(4) AS _commit) FROM docket_quarantine")
	}, evidence.TableQuarantine, "", 4, "")
	each("a snapshot is changed", func() {
		h.replace(evidence.TableSnapshots, "state", "replaceAll(state, '\"last\":', '\"last\":1')", "true")
	}, evidence.TableSnapshots, "", 3, "")
	each("retention is what nobody set", func() { h.ask("INSERT INTO docket_retention SELECT now64(6), 'now()'") }, evidence.TableRetention, "", 0, "not how long")
	t.Run("a table is gone", func(t *testing.T) {
		h := *h
		h.t = t
		h.ask("RENAME TABLE docket_stubs TO away")
		defer h.ask("RENAME TABLE away TO docket_stubs")
		h.found(r, evidence.TableStubs, "", 1, "")
	})
	h.fine(r)
}

// forge seals an event of a commit anew, and puts it there with its cells and its
// stub, as who has no key but may write all tables can.
func (h *house) forge(where string) {
	h.t.Helper()
	var raw string
	h.ask("SELECT _raw FROM docket_events WHERE "+where, &raw)
	forged := strings.Replace(raw, `"alice"`, `"carol"`, 1)
	if forged == raw {
		h.t.Fatal("there is no alice to replace")
	}
	header, err := profile.Parse([]byte(forged))
	if err != nil {
		h.t.Fatal(err)
	}
	e, err := ocsf.Decode([]byte(forged))
	if err != nil {
		h.t.Fatal(err)
	}
	var before string
	h.ask(fmt.Sprintf("SELECT metadata_uid FROM docket_events WHERE fingerprint = '%s'", header.PrevFingerprint), &before)
	event, fingerprint, err := profile.Seal(e, profile.Link{
		Emitter: header.Emitter, Epoch: header.Epoch, Sequence: header.Sequence, PrevUID: before, PrevFingerprint: header.PrevFingerprint,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(event) != len(forged) {
		h.t.Fatalf("more than the fingerprint is another:\n%s\n%s", event, forged)
	}
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
	h.ask(fmt.Sprintf("ALTER TABLE docket_events UPDATE _raw = %s, fingerprint = %s, principal = %s, message = %s WHERE %s",
		quote(string(event)), quote(fingerprint), quote(header.Principal), quote(header.Message), where))
	h.ask(fmt.Sprintf("ALTER TABLE docket_stubs UPDATE fingerprint = unhex(%s)::FixedString(32) WHERE %s", quote(fingerprint), where))
}

// What left by retention is no damage, as long as its stub stands and its time is
// over.
func TestTablesExpire(t *testing.T) {
	h, r, options := newTablesHouse(t)
	h.furnish()
	h.close()
	before := h.fine(r).Events

	// The server lets go by itself, once the period is a shorter one.
	var err error
	if options.Retention, err = retention.ParsePolicy("400d", "tenant=acme 10d"); err != nil {
		t.Fatal(err)
	}
	options.Shorten = true
	h.open()
	h.close()
	h.ask("OPTIMIZE TABLE docket_events FINAL")
	report := h.fine(r)
	if len(report.Expired) != 1 || report.Expired[0].Rule != "tenant=acme 10d" || report.Expired[0].Events != 11 || report.Events != before-11 {
		t.Errorf("expired %+v, events %d of %d", report.Expired, report.Events, before)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil || !strings.Contains(text.String(), "11 expired by retention (tenant=acme 10d); their stubs are here") ||
		!strings.Contains(text.String(), "11 of 11 (11 expired by retention), closed") || !strings.Contains(text.String(), `which nobody signs: "400d" since `) || !strings.Contains(text.String(), `, "400d; tenant=acme 10d" since `) {
		t.Errorf("%v, %s", err, text.String())
	}

	// Who knows better is believed.
	policy, err := retention.ParsePolicy("400d")
	if err != nil {
		t.Fatal(err)
	}
	if report := h.run(Options{Tables: r, Retention: &policy}); report.Code() != CodeFound {
		t.Errorf("what was to be kept 400 days is gone, and the code is %d", report.Code())
	}
	policy.Rules = options.Retention.Rules
	if report := h.run(Options{Tables: r, Retention: &policy}); report.Code() != CodeFine || len(report.Notes) > 0 {
		t.Errorf("code %d, notes %v, problems %v", report.Code(), report.Notes, report.Problems)
	}

	restore := h.keep()
	for name, change := range map[string]string{
		"a stub of one that expired is gone":          "ALTER TABLE docket_stubs DELETE WHERE tenant = 'acme' AND sequence = 4",
		"a stub of one that expired has another name": "ALTER TABLE docket_stubs UPDATE fingerprint = reverse(fingerprint)::FixedString(32) WHERE tenant = 'acme' AND sequence = 4",
		"an event leaves whose time is not over":      "ALTER TABLE docket_events DELETE WHERE tenant = 'globex' AND _commit = 2",
		"what is said of retention is gone":           "TRUNCATE TABLE docket_retention",
	} {
		t.Run(name, func(t *testing.T) {
			defer restore()
			h.ask(change)
			if report := h.run(Options{Tables: r}); report.Code() != CodeFound {
				t.Errorf("code %d, problems %v", report.Code(), report.Problems)
			}
		})
	}
}

// Who reads by a view is to find what is in the tables.
func TestTablesViews(t *testing.T) {
	h, r, _ := newTablesHouse(t)
	h.furnish()
	h.close()
	h.fine(r)
	for _, c := range []struct{ view, as, file string }{
		{"events", "SELECT * REPLACE ('bob' AS principal) FROM docket_events", "events"},
		{"stubs", "SELECT * REPLACE (lower(hex(fingerprint)) AS fingerprint) FROM docket_stubs WHERE sequence != 3", "stubs"},
		{"commits", "SELECT * FROM docket_commits WHERE number > 1", "commits"},
		{"operations", "SELECT * REPLACE ('allow' AS decision), status_detail AS reason FROM events WHERE kind = 'outcome'", "operations"},
		{"quarantine", "SELECT * FROM docket_quarantine WHERE false", "quarantine"},
	} {
		t.Run(c.view, func(t *testing.T) {
			h := *h
			h.t = t
			var was string
			h.ask("SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = '"+c.view+"'", &was)
			defer h.ask("CREATE OR REPLACE VIEW " + c.view + " AS " + was)
			h.ask("CREATE OR REPLACE VIEW " + c.view + " AS " + c.as)
			h.found(r, c.file, "", 1, "the view shows")
		})
	}
	h.fine(r)
}

// Tables of another store are told as that, and not as the loss of all that there was.
func TestTablesOfAnother(t *testing.T) {
	one, mine, _ := newTablesHouse(t)
	one.furnish()
	one.close()
	other, theirs, _ := newTablesHouse(t)
	other.furnish()
	other.close()
	one.fine(mine)
	other.fine(theirs)
	empty, nothing, _ := newTablesHouse(t)
	empty.close()
	one.write("store", []byte("127.0.0.1:9000/mine\n"))
	for name, r := range map[string]evidence.Tables{"another": theirs, "empty": nothing} {
		report := one.run(Options{Tables: r})
		if len(report.Problems) != 1 || report.Code() != CodeFound {
			t.Fatalf("%s: %v", name, report.Problems)
		}
		p := report.Problems[0]
		for _, words := range []string{"not the store of " + one.dir, "whose events are in 127.0.0.1:9000/mine", "--data", "--store"} {
			if p.Kind != Missing || !strings.Contains(p.What, words) {
				t.Errorf("%s: %v has no %q", name, p, words)
			}
		}
	}
	// So it is with the directory of a docket that has stored nothing.
	report := empty.run(Options{Tables: theirs})
	if len(report.Problems) != 1 || !strings.Contains(report.Problems[0].What, "not the store of "+empty.dir+": ") {
		t.Errorf("%v", report.Problems)
	}
	// One statement in common, and it is the store, in which something is wrong.
	one.ask("ALTER TABLE docket_commits DELETE WHERE number > 1")
	if report := one.run(Options{Tables: mine}); len(report.Problems) < 2 || slices.ContainsFunc(report.Problems, func(p Problem) bool { return strings.Contains(p.What, "not the store") }) {
		t.Errorf("%v", report.Problems)
	}
}

// Who comes to tables that another has filled lacks its plans, and is told what to do.
func TestTablesPlans(t *testing.T) {
	h, r, _ := newTablesHouse(t)
	c := h.begin("acme", "gw-0")
	const plan = `{"bindings":[],"unmatched":"allow"}`
	file := h.plan(c, plan)
	h.commit()
	h.close()
	h.found(r, file, "", 0, "if another docket stored it, copy plans from its directory into this one")
	h.write(file, []byte(plan))
	h.fine(r)
}

// A server that does not answer is no damage.
func TestTablesAway(t *testing.T) {
	engine := chdbtest.Start(t, "")
	h := newEmpty(t, filepath.Join(t.TempDir(), "data"))
	h.inTables(engine.DSN())
	h.now = time.Now().UnixMilli()
	h.open()
	h.furnish()
	h.close()
	r := judgedOf(t, engine.DSN())
	h.fine(r)
	engine.Kill()
	_, err := Run(t.Context(), h.dir, Options{Tables: r})
	var hinted interface{ Hint() string }
	if !errors.As(err, &hinted) || hinted.Hint() == "" {
		t.Errorf("error %v", err)
	}
	if _, err := Run(t.Context(), h.dir, Options{Tables: r, Tenant: "acme"}); !errors.Is(err, ErrWhole) {
		t.Errorf("error %v", err)
	}
}

// A part that cannot be read is no damage, whichever it is.
func TestTablesUnreadable(t *testing.T) {
	h, r, _ := newTablesHouse(t)
	h.furnish()
	h.close()
	for _, part := range []string{"events", "stubs", "quarantine", "views", "definitions"} {
		report := h.run(Options{Tables: &broken{r, part}})
		if report.Code() != CodePartial || len(report.Problems) == 0 {
			t.Errorf("%s: code %d, %v", part, report.Code(), report.Problems)
		}
	}
}

var errBroken = errors.New("connection reset")

// broken does not give a part of what there is, or not all of it.
type broken struct {
	evidence.Tables

	part string
}

func (b *broken) Events(ctx context.Context, first, last uint64) iter.Seq2[evidence.EventRow, error] {
	return cutOff(b.part == "events", b.Tables.Events(ctx, first, last))
}

func (b *broken) Stubs(ctx context.Context, first, last uint64) iter.Seq2[evidence.StubRow, error] {
	return cutOff(b.part == "stubs", b.Tables.Stubs(ctx, first, last))
}

func (b *broken) Held(ctx context.Context) iter.Seq2[evidence.HeldRow, error] {
	return cutOff(b.part == "quarantine", b.Tables.Held(ctx))
}

func (b *broken) Seen(ctx context.Context, v string, first, last uint64) (evidence.Sum, error) {
	if b.part == "views" {
		return evidence.Sum{}, errBroken
	}
	return b.Tables.Seen(ctx, v, first, last)
}

func (b *broken) Altered(ctx context.Context) ([]evidence.Altered, error) {
	if b.part == "definitions" {
		return nil, errBroken
	}
	return b.Tables.Altered(ctx)
}

// cutOff ends rows with an error behind the first.
func cutOff[T any](off bool, rows iter.Seq2[T, error]) iter.Seq2[T, error] {
	if !off {
		return rows
	}
	return func(yield func(T, error) bool) {
		for row := range rows {
			if !yield(row, nil) {
				return
			}
			break
		}
		var none T
		yield(none, errBroken)
	}
}

// Beside a docket that stores there is nothing wrong.
func TestTablesBeside(t *testing.T) {
	h, r, _ := newTablesHouse(t)
	h.now = time.Now().UnixMilli()
	h.furnish()
	h.lives()
	c := h.begin("acme", "gw-0")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 {
			h.outcomes(c, 5)
			h.commit()
		}
	}()
	runs := 0
	for running := true; running; runs++ {
		select {
		case <-done:
			running = false
		default:
		}
		if report := h.run(Options{Tables: r}); report.Code() != CodeFine || slices.ContainsFunc(report.Notes, func(n string) bool { return strings.Contains(n, "of no commit") }) {
			t.Fatalf("run %d: %v, %v", runs, report.Problems, report.Notes)
		}
	}
	if report := h.run(Options{Tables: r}); report.Statements != 15 {
		t.Errorf("in the end %d statements", report.Statements)
	}
	t.Logf("%d runs", runs)
}
