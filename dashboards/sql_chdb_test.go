// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package dashboards

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/docket-audit/docket/internal/chdbtest"
	"github.com/docket-audit/docket/internal/profile"
)

// What the panels ask is answered by ClickHouse, over a table with the columns of
// events and the views that a store there has, and is what a lake answers.
func TestPanelsOnClickHouse(t *testing.T) {
	opts, err := clickhousego.ParseDSN(chdbtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	db, err := clickhousego.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	fill(t, db)
	everyPanel(t, func(t *testing.T, text string) (columns []string, rows [][]string) {
		t.Helper()
		r, err := db.Query(t.Context(), text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		defer r.Close()
		columns = r.Columns()
		for r.Next() {
			values := make([]any, len(columns))
			for i, c := range r.ColumnTypes() {
				values[i] = reflect.New(c.ScanType()).Interface()
			}
			if err := r.Scan(values...); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			row := make([]string, 0, len(columns))
			for _, v := range values {
				to := reflect.ValueOf(v).Elem()
				if to.Kind() == reflect.Pointer && !to.IsNil() {
					to = to.Elem() // a column that may be NULL
				}
				row = append(row, fmt.Sprint(to.Interface()))
			}
			rows = append(rows, row)
		}
		if err := r.Err(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return columns, rows
	})
}

// fill makes the table and the views, and puts the world in.
func fill(t *testing.T, db clickhousego.Conn) {
	t.Helper()
	var definitions, places []string
	fields := reflect.VisibleFields(reflect.TypeFor[profile.Header]())
	for _, f := range fields {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		definitions = append(definitions, name+" "+map[reflect.Kind]string{
			reflect.String: "String", reflect.Int64: "Int64", reflect.Int32: "Int32", reflect.Bool: "Bool",
		}[f.Type.Kind()])
		places = append(places, name)
	}
	for _, text := range []string{
		"CREATE TABLE events (" + strings.Join(append(definitions, "_raw String"), ", ") + ") ENGINE = MergeTree ORDER BY (tenant, time)",
		`CREATE VIEW operations AS SELECT operation_uid, tenant, time, service, method, principal, source, decision, ran,
			status_code, status_detail AS reason, message, duration_ms, interceptor, binding, plan_digest, trace_uid, metadata_uid,
			emitter, epoch, sequence FROM events WHERE kind = 'outcome'`,
		`CREATE VIEW evaluations AS SELECT e.evaluation_uid AS evaluation_uid, e.operation_uid AS operation_uid, e.tenant AS tenant, e.time AS time,
			e.service AS service, e.method AS method, e.principal AS principal, e.source AS source, e.interceptor AS interceptor,
			e.binding AS binding, e.phase AS phase, a.kind AS answer, a.decision AS decision, a.status_code AS status_code,
			a.status_detail AS reason, a.failure_kind AS failure_kind, a.failure_policy AS failure_policy,
			a.duration_ms AS duration_ms, e.replay_grade AS replay_grade
			FROM (SELECT * FROM events WHERE kind = 'evaluation') AS e
			LEFT JOIN (SELECT * FROM events WHERE kind IN ('result', 'failure')) AS a
				ON a.evaluation_uid = e.evaluation_uid AND a.operation_uid = e.operation_uid
			SETTINGS join_use_nulls = 1`,
	} {
		if err := db.Exec(t.Context(), text); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	batch, err := db.PrepareBatch(context.WithoutCancel(t.Context()), "INSERT INTO events ("+strings.Join(append(places, "_raw"), ", ")+")")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range world(t) {
		values := make([]any, 0, len(fields)+1)
		for _, f := range fields {
			values = append(values, reflect.ValueOf(e.Header).FieldByIndex(f.Index).Interface())
		}
		if err := batch.Append(append(values, string(e.Raw))...); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}
