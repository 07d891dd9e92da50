// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/docket-audit/docket/internal/profile"
)

// columns are those of a segment: the header's, then what storing adds.
var columns = func() []Column {
	var c []Column
	for _, f := range reflect.VisibleFields(reflect.TypeFor[profile.Header]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		c = append(c, Column{name, map[reflect.Kind]string{
			reflect.String: "VARCHAR", reflect.Int64: "BIGINT", reflect.Int32: "INTEGER", reflect.Bool: "BOOLEAN",
		}[f.Type.Kind()]})
	}
	return append(c,
		Column{"_raw", "VARCHAR"}, Column{"_stored_time", "BIGINT"}, Column{"_stream_seq", "BIGINT"},
		Column{"_commit", "BIGINT"}, Column{"_pos", "INTEGER"})
}()

// An operation has one outcome. Should a forged second one be kept as a
// conflict, both are shown: a view does not judge.
const operationsView = `
SELECT operation_uid, tenant, time, service, method, principal, source, decision, ran,
	status_code, status_detail AS reason, message, duration_ms, interceptor, binding,
	plan_digest, trace_uid, metadata_uid, emitter, epoch, sequence, _commit, _pos
FROM events WHERE kind = 'outcome'`

// An evaluation that is not answered yet has NULL in the columns of the answer.
const evaluationsView = `
SELECT e.evaluation_uid, e.operation_uid, e.tenant, e.time, e.service, e.method, e.principal, e.source,
	e.interceptor, e.binding, e.phase, a.kind AS answer, a.decision, a.status_code, a.status_detail AS reason,
	a.failure_kind, a.failure_policy, a.duration_ms, e.replay_grade, e.plan_digest, e.trace_uid,
	e.metadata_uid, a.metadata_uid AS answer_uid, e.emitter, e.epoch, e.sequence, a.sequence AS answer_sequence,
	e._commit, e._pos
FROM events e
LEFT JOIN events a ON a.evaluation_uid = e.evaluation_uid AND a.operation_uid = e.operation_uid
	AND a.kind IN ('result', 'failure')
WHERE e.kind = 'evaluation'`

// Of a filter, an evaluation is when the event of it is or that of its answer: half
// of one would say that nobody answered.
const filteredEvaluations = `
	AND ((e._commit, e._pos) IN (SELECT (_commit, _pos) FROM events) OR (a._commit, a._pos) IN (SELECT (_commit, _pos) FROM events))`

// scopeView is what a filter selects from: all events that may be seen.
const scopeView = "_scope"

// sharedTable holds the rows of shared files that a scope of some tenants sees. Who
// asks which tables there are is shown views alone: it is in a schema that is not on
// the search path. The engine's own lists of all schemas name it; there is nothing in
// it that events has not.
const (
	sharedSchema = "_inner"
	sharedTable  = sharedSchema + "._shared"
)

// sharedStatements returns what copies rows out of files that hold those of
// others too, before anything else is asked; none when there are no such files.
func sharedStatements(shared []string, where string) []string {
	if len(shared) == 0 {
		return nil
	}
	return []string{"CREATE SCHEMA " + sharedSchema, "CREATE TABLE " + sharedTable + " AS " + selectColumns(fromFiles(shared)) + " WHERE " + where}
}

// viewStatements returns what makes the views over the rows at paths and, if
// there is one, in the table of shared rows, for which all conditions hold; and
// the filter, unless it is "". Of the classes it makes those that a query speaks of.
func viewStatements(paths []string, shared bool, conditions []string, filter, asked string) []string {
	var from []string
	if len(paths) > 0 {
		from = append(from, selectColumns(fromFiles(paths)))
	}
	if shared {
		from = append(from, "SELECT * FROM "+sharedTable)
	}
	if len(from) == 0 {
		from = append(from, selectColumns("")+" WHERE false")
	}
	events := strings.Join(from, " UNION ALL ")
	if len(conditions) > 0 {
		events = "SELECT * FROM (" + events + ") WHERE " + strings.Join(conditions, " AND ")
	}
	evaluations := evaluationsView
	if filter != "" {
		evaluations = strings.ReplaceAll(evaluationsView, "events", scopeView) + filteredEvaluations
	}
	// A view is bound when it is made, and again when it is used. There are many,
	// so they are made over an empty table, which then gives its place up.
	statements := []string{
		"CREATE TABLE events (" + columnDefinitions() + ")",
		"CREATE VIEW operations AS " + operationsView,
	}
	if filter == "" {
		statements = append(statements, "CREATE VIEW evaluations AS "+evaluations)
	} else {
		statements = append(statements, "CREATE VIEW "+scopeView+" AS "+events, "CREATE VIEW evaluations AS "+evaluations)
		events = "SELECT * FROM " + scopeView + " WHERE " + filter
	}
	for _, c := range classes {
		if !speaksOf(asked, c.name) {
			continue
		}
		statements = append(statements, fmt.Sprintf(`CREATE VIEW "%s" AS SELECT * FROM events WHERE class_uid = %d`, c.name, c.uid))
	}
	return append(statements, "DROP TABLE events", "CREATE VIEW events AS "+events)
}

// speaksOf reports whether a query may mean a view, by its name or by asking for
// all there are. "" is any query.
func speaksOf(query, view string) bool {
	query = strings.ToLower(query)
	if query == "" || strings.Contains(query, view) {
		return true
	}
	for _, word := range []string{"show", "describe", "summarize", "schema", "catalog", "duckdb", "pragma", "pg_", "sqlite"} {
		if strings.Contains(query, word) {
			return true
		}
	}
	return false
}

func columnDefinitions() string {
	definitions := make([]string, len(columns))
	for i, c := range columns {
		definitions[i] = c.Name + " " + c.Type
	}
	return strings.Join(definitions, ", ")
}

// selectColumns casts each column, which costs nothing where the type is right,
// so that the contract does not hang on who wrote the file.
func selectColumns(from string) string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		value := c.Name
		if from == "" {
			value = "NULL"
		}
		fmt.Fprintf(&b, "CAST(%s AS %s) AS %s", value, c.Type, c.Name)
	}
	return b.String() + from
}

// fromFiles names each file.
func fromFiles(paths []string) string {
	// A name=value directory in a path would become a column otherwise.
	return " FROM read_parquet(" + listLiteral(paths) + ", hive_partitioning = false)"
}

// literal quotes a string for SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func listLiteral(list []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(literal(s))
	}
	b.WriteByte(']')
	return b.String()
}
