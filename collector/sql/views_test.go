// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"strings"
	"testing"
)

// A filter selects evaluations by the event of them and by that of their answer, and
// leaves neither without the other.
func TestFilteredEvaluations(t *testing.T) {
	scope := story(t)
	answered := `{"binding":"b1","answer":"result","decision":"deny"}` + "\n"
	unanswered := `{"binding":"b2","answer":null,"decision":null}` + "\n"
	for filter, want := range map[string]string{
		`decision == "deny"`:              answered,
		`kind == "result"`:                answered,
		`kind == "evaluation"`:            answered + unanswered,
		`binding == "b2"`:                 unanswered,
		`binding == "b1"`:                 answered,
		`status_detail == "no root"`:      answered,
		`kind == "outcome"`:               "",
		`operation_uid == "another's"`:    "",
		`evaluation_uid.startsWith("ev")`: answered + unanswered,
	} {
		s := scope
		s.Filter = filter
		db := open(t, s)
		got, err := ask(t.Context(), db, "SELECT binding, answer, decision FROM evaluations ORDER BY binding")
		if err != nil || got != want {
			t.Errorf("%s\n got %q, %v\nwant %q", filter, got, err, want)
		}
	}
	scope.Filter = `kind == "outcome"`
	if got, err := ask(t.Context(), open(t, scope), "SELECT count(*) AS n FROM operations"); err != nil || got != `{"n":1}`+"\n" {
		t.Errorf("operations: %q, %v", got, err)
	}
}

// Where the query is known, the views are there that it speaks of, in whatever case,
// and all of them for one that asks which there are.
func TestAskedViews(t *testing.T) {
	scope := story(t)
	for query, want := range map[string]string{
		"SELECT count(*) AS n FROM DETECTION_Finding":                                        `{"n":1}`,
		`SELECT count(*) AS n FROM "detection_finding"`:                                      `{"n":1}`,
		"SELECT (SELECT count(*) FROM api_activity) AS n":                                    `{"n":4}`,
		"SELECT count(*) > 80 AS n FROM (SHOW TABLES)":                                       `{"n":true}`,
		"SELECT count(*) > 80 AS n FROM information_schema.tables":                           `{"n":true}`,
		"SELECT count(*) > 80 AS n FROM duckdb_views() WHERE NOT internal":                   `{"n":true}`,
		"SELECT count(*) AS n FROM events JOIN application_lifecycle USING (metadata_uid)":   `{"n":1}`,
		"SELECT n FROM (WITH x AS (SELECT count(*) AS n FROM entity_management) FROM x)":     `{"n":0}`,
		"SELECT max(column_count) IS NOT NULL AS n FROM duckdb_views() WHERE view_name = ''": `{"n":false}`,
	} {
		scope.Asked = query
		got, err := ask(t.Context(), open(t, scope), query)
		if err != nil || strings.TrimSpace(got) != want {
			t.Errorf("%s\n got %q, %v\nwant %q", query, got, err, want)
		}
	}
}
