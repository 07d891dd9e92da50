// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package verify

import (
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/retention"
)

// What shows others something else than it shows the judgement is known by how it is
// defined, whatever it shows.
func TestTablesDefinitions(t *testing.T) {
	h, r, options := newTablesHouse(t)
	var err error
	if options.Retention, err = retention.ParsePolicy("400d", "tenant=it's\\ 30d", "class=api_activity forever"); err != nil {
		t.Fatal(err)
	}
	options.Shorten = true
	h.close()
	h.open()
	h.furnish()
	h.close()
	h.fine(r)
	var all []string
	h.ask("SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND engine = 'View'", &all)
	if len(all) < 90 {
		t.Fatalf("%d views", len(all))
	}
	create := func(name string) (text string) {
		h.ask("SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = '"+name+"'", &text)
		return text
	}
	// A view that has another query, whichever it is.
	for _, name := range all {
		was := create(name)
		if !strings.HasPrefix(was, "CREATE VIEW ") {
			t.Fatal(was)
		}
		other := strings.Replace(was, "CREATE VIEW ", "CREATE OR REPLACE VIEW ", 1)
		if i := strings.LastIndex(other, " SETTINGS "); i > 0 {
			other = other[:i]
		} else if strings.Contains(other, " WHERE ") && !strings.Contains(other, " GROUP BY ") {
			other += " AND currentUser() != 'bob'"
		} else {
			other += " LIMIT 1000000"
		}
		h.ask(other)
	}
	report := h.run(Options{Tables: r})
	for _, name := range all {
		if !slices.ContainsFunc(report.Problems, func(p Problem) bool {
			return p.Kind == Damage && p.Where.File == name && strings.Contains(p.What, "its query is")
		}) {
			t.Errorf("%s: another query is not found: %v", name, report.Problems)
		}
	}
	if len(report.Problems) != len(all) {
		t.Errorf("%d problems of %d views", len(report.Problems), len(all))
	}
	h.ask("DROP VIEW api_activity")
	h.found(r, "api_activity", "", 0, "missing")
	h.ask("TRUNCATE TABLE docket_schema") // and so all of it is made again
	h.open()
	h.close()
	h.fine(r)

	for _, c := range []struct{ name, change, back, words string }{
		{"evaluations", "CREATE OR REPLACE VIEW evaluations AS SELECT * FROM events WHERE kind = 'evaluation'", "", "in another place"},
		{"api_activity", "CREATE OR REPLACE VIEW api_activity AS SELECT *, 1 AS one FROM events WHERE class_uid = 6003", "", "columns"},
		{"api_activity", "CREATE OR REPLACE TABLE api_activity ENGINE = Memory AS SELECT * FROM events WHERE class_uid = 6003", "DROP TABLE api_activity SYNC", "Memory"},
		{"operations", "CREATE OR REPLACE VIEW operations AS SELECT * REPLACE ('allow' AS decision), status_detail AS reason FROM events WHERE kind = 'outcome'", "", ""},
		{"docket_events", "ALTER TABLE docket_events MODIFY COLUMN time_dt DateTime64(3, 'UTC') ALIAS toDateTime64(0, 3, 'UTC')", "ALTER TABLE docket_events MODIFY COLUMN time_dt DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(least(greatest(time, -2208988800000), 10413791999999), 'UTC')", "time_dt"},
		{"docket_events", "ALTER TABLE docket_events ADD CONSTRAINT c ASSUME tenant = 'acme'", "ALTER TABLE docket_events DROP CONSTRAINT c", "ASSUME"},
		{"docket_events", "ALTER TABLE docket_events ADD CONSTRAINT c CHECK tenant != 'evil'", "ALTER TABLE docket_events DROP CONSTRAINT c", "CHECK"},
		{"docket_events", "ALTER TABLE docket_events MODIFY COLUMN message String DEFAULT 'all is well'", "ALTER TABLE docket_events MODIFY COLUMN message REMOVE DEFAULT", "all is well"},
		{"docket_events", "ALTER TABLE docket_events MODIFY COLUMN message String TTL toDateTime(intDiv(_stored_time, 1000)) + INTERVAL 90 DAY", "ALTER TABLE docket_events MODIFY COLUMN message REMOVE TTL", "toIntervalDay(90)"},
		{"docket_events", "ALTER TABLE docket_events MODIFY TTL toDateTime(intDiv(_stored_time, 1000)) + INTERVAL 90 DAY SETTINGS materialize_ttl_after_modify = 0", "TRUNCATE TABLE docket_retention", "its TTL"},
		{"docket_retention", "RENAME TABLE docket_retention TO away", "RENAME TABLE away TO docket_retention", ""},
		{"docket_writers", "RENAME TABLE docket_writers TO away", "RENAME TABLE away TO docket_writers", "missing"},
		{"docket_snapshots", "CREATE OR REPLACE TABLE docket_snapshots (number Int64, digest String, state String) ENGINE = Null", "DROP TABLE docket_snapshots SYNC", "Null"},
	} {
		t.Run(c.change, func(t *testing.T) {
			h := *h
			h.t = t
			h.ask(c.change)
			h.found(r, c.name, "", 0, c.words)
			if c.back != "" {
				h.ask(c.back)
			}
			if !strings.HasPrefix(c.back, "ALTER") && !strings.HasPrefix(c.back, "RENAME") {
				h.ask("TRUNCATE TABLE docket_schema")
				h.open()
				h.close()
			}
			h.fine(r)
		})
	}
	// All of it is told, also where the table is gone that says how long events are kept.
	h.ask("RENAME TABLE docket_retention TO away")
	h.ask("DROP VIEW operations")
	h.found(r, "operations", "", 0, "missing")
	h.ask("RENAME TABLE away TO docket_retention")
	// Of what is gone it is not told that what reads it was altered.
	h.ask("RENAME TABLE docket_stubs TO away")
	for _, p := range h.run(Options{Tables: r}).Problems {
		if p.Kind == Damage {
			t.Errorf("without stubs: %s", p)
		}
	}
	h.ask("RENAME TABLE away TO docket_stubs")
	h.ask("TRUNCATE TABLE docket_schema")
	h.open()
	h.close()
	h.fine(r)
	// What an operator may well do.
	for _, change := range []string{
		"ALTER TABLE docket_events ADD INDEX by_principal principal TYPE set(100) GRANULARITY 4",
		"ALTER TABLE docket_events ADD PROJECTION of_tenants (SELECT tenant, count() GROUP BY tenant)",
		"ALTER TABLE docket_events MODIFY SETTING merge_with_ttl_timeout = 7200",
		"ALTER TABLE docket_events MODIFY COLUMN _raw CODEC(ZSTD(9))",
		"ALTER TABLE docket_events COMMENT COLUMN _raw 'the bytes, ENGINE = Null TTL now()'",
		"ALTER TABLE docket_events ADD COLUMN hour DateTime ALIAS toStartOfHour(time_dt)",
		"CREATE VIEW of_mine AS SELECT tenant, count() FROM docket_events GROUP BY tenant",
	} {
		h.ask(change)
	}
	h.fine(r)
}
