// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/internal/profile"
)

// A Scope is what a query may see.
type Scope struct {
	View authz.View
	// Filter is CEL over the columns of an event's header, for those who ask and not
	// against them.
	Filter string
	// At is the number of a commit, as of which events are seen; 0 is now.
	At uint64
}

// A column is one of the view events.
type column struct {
	name, typ string // as ClickHouse has it
	shared    bool   // it lies there with a dictionary, which many tenants share
}

// columns are those of a segment of a lake, in its order: the header's, then what
// storing adds.
var columns = sync.OnceValue(func() []column {
	plain := map[string]bool{"metadata_uid": true, "message": true, "operation_uid": true, "evaluation_uid": true, "trace_uid": true, "fingerprint": true, "prev_fingerprint": true}
	var all []column
	for _, f := range reflect.VisibleFields(reflect.TypeFor[profile.Header]()) {
		n, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		c := column{name: n, typ: map[reflect.Kind]string{reflect.String: "String", reflect.Int64: "Int64", reflect.Int32: "Int32", reflect.Bool: "Bool"}[f.Type.Kind()]}
		c.shared = c.typ == "String" && !plain[n]
		all = append(all, c)
	}
	return append(all, column{name: "_raw", typ: "String"}, column{name: "_stored_time", typ: "Int64"},
		column{name: "_stream_seq", typ: "Int64"}, column{name: "_commit", typ: "Int64"}, column{name: "_pos", typ: "Int32"})
})

// views are the views by name: what each selects, from the events of a scope.
var views = sync.OnceValue(func() map[string]string {
	all := map[string]string{
		"events": "",
		"operations": "SELECT operation_uid, tenant, time, service, method, principal, source, decision, ran," +
			" status_code, status_detail AS reason, message, duration_ms, interceptor, binding," +
			" plan_digest, trace_uid, metadata_uid, emitter, epoch, sequence, _commit, _pos FROM events WHERE kind = 'outcome'",
		"evaluations": "SELECT e.evaluation_uid AS evaluation_uid, e.operation_uid AS operation_uid, e.tenant AS tenant, e.time AS time," +
			" e.service AS service, e.method AS method, e.principal AS principal, e.source AS source," +
			" e.interceptor AS interceptor, e.binding AS binding, e.phase AS phase, a.kind AS answer, a.decision AS decision," +
			" a.status_code AS status_code, a.status_detail AS reason, a.failure_kind AS failure_kind," +
			" a.failure_policy AS failure_policy, a.duration_ms AS duration_ms, e.replay_grade AS replay_grade," +
			" e.plan_digest AS plan_digest, e.trace_uid AS trace_uid, e.metadata_uid AS metadata_uid," +
			" a.metadata_uid AS answer_uid, e.emitter AS emitter, e.epoch AS epoch, e.sequence AS sequence," +
			" a.sequence AS answer_sequence, e._commit AS _commit, e._pos AS _pos" +
			" FROM (SELECT * FROM EVENTS WHERE kind = 'evaluation') AS e" +
			" LEFT JOIN (SELECT * FROM EVENTS WHERE kind IN ('result', 'failure')) AS a" +
			" ON a.evaluation_uid = e.evaluation_uid AND a.operation_uid = e.operation_uid",
	}
	for _, c := range sql.Classes() {
		all[c.Name] = fmt.Sprintf("SELECT * FROM events WHERE class_uid = %d", c.UID)
	}
	return all
})

// scopeView is what a filter selects from: all events that may be seen. No query can
// name it: it is quoted by nobody but here.
const scopeView = "docket_scope"

const filterFailed = "filter: it has no value for an event, as a division by 0 has none"

// with returns what stands in front of a query that sees a scope: the views that are
// in use, as common table expressions.
func with(s Scope, snap clickhouse.Snapshot, use map[string]bool) (string, error) {
	rows := []string{snap.Committed}
	if at := snap.Number; s.At != 0 && s.At < at {
		rows = append(rows, fmt.Sprintf("_commit <= %d", s.At))
	} else {
		rows = append(rows, fmt.Sprintf("_commit <= %d", at))
	}
	if !s.View.All() {
		var seen []string
		for _, t := range snap.Tenants {
			if s.View.Sees(t) {
				seen = append(seen, filter.ClickHouse.Text(t))
			}
		}
		if len(seen) == 0 {
			seen = append(seen, "''") // nobody's name
		}
		rows = append([]string{"tenant IN (" + strings.Join(seen, ", ") + ")"}, rows...)
	}
	var list []string
	for _, c := range columns() {
		if c.shared {
			list = append(list, "CAST("+c.name+" AS String) AS "+c.name)
		} else {
			list = append(list, c.name)
		}
	}
	events := "SELECT " + strings.Join(list, ", ") + " FROM " + snap.Table + " PREWHERE " + strings.Join(rows, " AND ")
	f, err := filter.Parse(s.Filter)
	if err != nil {
		return "", err
	}
	where, err := f.SQL(filter.ClickHouse)
	if err != nil {
		return "", err
	}
	evaluations := strings.ReplaceAll(views()["evaluations"], "EVENTS", "events")
	var all []string
	if s.Filter == "" {
		all = append(all, "events AS ("+events+")")
	} else {
		condition := where.Text
		if where.Partial { // and then fails here as it does in Go
			condition = "(" + condition + " OR throwIf(isNull(" + condition + "), " + filter.ClickHouse.Text(filterFailed) + ") = 1)"
		}
		all = append(all, scopeView+" AS ("+events+")", "events AS (SELECT * FROM "+scopeView+" WHERE "+condition+")")
		evaluations = strings.ReplaceAll(views()["evaluations"], "EVENTS", scopeView)
		// Of a filter, an evaluation is when the event of it is or that of its answer: half
		// of one would say that nobody answered.
		evaluations = "SELECT * EXCEPT (answer_commit, answer_pos) FROM (" + strings.Replace(evaluations, ", e._commit AS _commit, e._pos AS _pos",
			", e._commit AS _commit, e._pos AS _pos, a._commit AS answer_commit, a._pos AS answer_pos", 1) +
			") WHERE (_commit, _pos) IN (SELECT _commit, _pos FROM events) OR (answer_commit, answer_pos) IN (SELECT _commit, _pos FROM events)"
	}
	for _, name := range slices.Sorted(keys(use)) {
		switch name {
		case "events":
		case "evaluations":
			all = append(all, "evaluations AS ("+evaluations+")")
		default:
			all = append(all, name+" AS ("+views()[name]+")")
		}
	}
	return strings.Join(all, ", "), nil
}

func keys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// spoken returns the views that a query may mean.
func spoken(all []token) map[string]bool {
	use := map[string]bool{}
	for _, t := range all {
		id := t.text
		if t.kind == name {
			id = strings.Trim(id, "`\"")
		}
		if t.kind != text && isView(id) {
			use[id] = true
		}
	}
	return use
}

// behind puts a query behind what it sees.
func behind(prefix string, all []token) string {
	switch {
	case all[0].is("WITH") && len(all) > 1 && all[1].is("RECURSIVE"):
		return "WITH RECURSIVE " + prefix + ", " + join(all[2:])
	case all[0].is("WITH"):
		return "WITH " + prefix + ", " + join(all[1:])
	case all[0].is("("):
		return "WITH " + prefix + " SELECT * FROM (" + join(all) + ")"
	default:
		return "WITH " + prefix + " " + join(all)
	}
}
