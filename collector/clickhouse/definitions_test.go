// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is written in a definition is read by its place, not by what it looks like.
func TestParseDefinition(t *testing.T) {
	for _, c := range []struct {
		name, engine, text string
		want               definition
	}{
		{
			"t", "ReplicatedMergeTree", "CREATE TABLE d.t (`a` String DEFAULT 'x, INDEX ) AS ' COMMENT 'it\\'s ENGINE = Null', `b` Map(String, Array(String)) CODEC(Delta(8), ZSTD(1)) TTL c + toIntervalDay(1), " +
				"INDEX i a TYPE minmax GRANULARITY 1, CONSTRAINT c CHECK a != '(', PROJECTION p (SELECT a ORDER BY a)) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{database}', '{replica}') " +
				"PARTITION BY (a, b) ORDER BY a TTL c + toIntervalDay(1) DELETE WHERE a IN ('x', 'y'), c + toIntervalDay(2) TO VOLUME 'cold' SETTINGS index_granularity = 8192 COMMENT 'TTL'",
			definition{
				name: "t", engine: "MergeTree", columns: []string{"`a` String DEFAULT 'x, INDEX ) AS '", "`b` Map(String, Array(String)) TTL c + toIntervalDay(1)"},
				rules: []string{"CONSTRAINT c CHECK a != '('"}, ttl: []string{"c + toIntervalDay(1) DELETE WHERE a IN ('x', 'y')"},
				moves: []string{"c + toIntervalDay(2) TO VOLUME 'cold'"},
			},
		},
		{
			"v", "View", "CREATE VIEW d.v (`a` String, `b` Int64) DEFINER = default SQL SECURITY DEFINER AS WITH (SELECT 1) AS r SELECT a AS b FROM d.t WHERE b = ') AS ' COMMENT 'mine'",
			definition{name: "v", engine: "View", columns: []string{"`a` String", "`b` Int64"}, query: "WITH (SELECT 1) AS r SELECT a AS b FROM d.t WHERE b = ') AS '"},
		},
		{"v", "View", "CREATE OR REPLACE VIEW v AS SELECT (1 AS a)", definition{name: "v", engine: "View", query: "SELECT (1 AS a)"}},
		{"x", "SharedMergeTree", "CREATE TABLE d.x (`a` String) ENGINE = SharedMergeTree ORDER BY a", definition{name: "x", engine: "MergeTree", columns: []string{"`a` String"}}},
		{"x", "Memory", "", definition{name: "x", engine: "Memory"}},
		{"x", "View", "CREATE VIEW d.x (`a` String, 'b", definition{name: "x", engine: "View", columns: []string{"`a` String"}, rules: []string{"'b"}}},
	} {
		if d := cmp.Diff(c.want, parseDefinition(c.name, c.engine, c.text), cmp.AllowUnexported(definition{})); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.text, d)
		}
	}
	for full, want := range map[string]string{
		"Distributed('audit', 'docket', 'docket_events_local', _commit)": "docket_events_local",
		"Distributed(audit, docket, `docket_events_local`)":              "docket_events_local",
		"Distributed('audit', 'evil', 'docket_events_local', _commit)":   "evil.docket_events_local",
		"Distributed('audit')": "Distributed('audit')",
	} {
		if got := leadsTo(full, "docket"); got != want {
			t.Errorf("%s leads to %s", full, got)
		}
	}
}

// All that the files make is known by name, so that a new kind of statement there is
// not passed over.
func TestCreations(t *testing.T) {
	made, err := creations(newServer)
	if err != nil {
		t.Fatal(err)
	}
	views := 0
	for _, c := range made {
		if strings.Contains(c.text, "VIEW") {
			views++
			if !strings.HasPrefix(c.query, "SELECT") && !strings.HasPrefix(c.query, "WITH") {
				t.Errorf("%s selects %.40q", c.name, c.query)
			}
		}
	}
	if len(made)-views != 9 || views < 90 {
		t.Errorf("%d tables, %d views", len(made)-views, views)
	}
}

func FuzzParseDefinition(f *testing.F) {
	for _, s := range []string{"CREATE VIEW d.v (`a` String) AS SELECT 1", "CREATE TABLE t (`a` String CODEC(ZSTD(1)) COMMENT '\\'') ENGINE = MergeTree ORDER BY a TTL a + 1 SETTINGS b = 1", "((", "'", "`\\", " AS )("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parseDefinition("x", "View", s)
		leadsTo(s, "d")
		// Nothing is passed over that a view selects, but for a comment at its end.
		const view = "CREATE VIEW d.v (`a` String) AS "
		if got := parseDefinition("v", "View", view+s); got.query != s && !strings.HasPrefix(s, got.query+" COMMENT ") {
			t.Errorf("%q is read as %q", s, got.query)
		}
	})
}
