// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	rowsof "github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/sql"
)

// A refusing store answers nothing.
type refusing struct{ snapshot, query error }

func (r refusing) Snapshot(context.Context) (clickhouse.Snapshot, error) {
	return clickhouse.Snapshot{}, r.snapshot
}
func (refusing) Tenants() []string { return nil }
func (r refusing) Select(context.Context, map[string]any, string, func(rowsof.Rows) error) error {
	return r.query
}

// Who asks is told what is wrong with the query, and nothing of the server: who runs
// docket finds that in its log.
func TestTold(t *testing.T) {
	address := &clickhouse.Error{Op: "read ClickHouse", Addr: "ch.internal:9000/secretdb", Err: errors.New("dial tcp 10.1.2.3:9000: connection refused")}
	for _, c := range []struct {
		err  error
		want string // that it is
	}{
		{&driver.Exception{Code: 47, Message: "DB::Exception: Unknown expression identifier `x` in scope SELECT x FROM secretdb.docket_events (version 26.7.2.1)"}, "query: Unknown expression identifier `x`"},
		{&driver.Exception{Code: 215, Message: "Column 'tenant' is not under aggregate function and not in GROUP BY keys. In query WITH events AS (SELECT 1 FROM secretdb.docket_events"}, "query: Column 'tenant' is not under aggregate function and not in GROUP BY keys"},
		{&driver.Exception{Code: 33, Message: "Cannot read all data. Bytes read: 0. Bytes expected: 8.: (while reading column time): (while reading from part /var/lib/clickhouse/store/a/all_1_1_0)"}, "query: Cannot read all data. Bytes read: 0. Bytes expected: 8."},
		{&driver.Exception{Code: 153, Message: "DB::Exception: Division by zero: In scope SELECT intDiv(1, 0)"}, "query: Division by zero"},
		{&driver.Exception{Code: 36, Message: "Syntax error: failed at position 39 ()) (line 1, col 39): ). Expected one of: FINAL"}, "query: Syntax error: failed at ): ). Expected one of: FINAL"},
		{&driver.Exception{Code: 40, Message: "Checksum doesn't match: corrupted data in /var/lib/clickhouse/store/a"}, "the store cannot answer, by code 40 of ClickHouse"},
		{&driver.Exception{Code: 279, Message: "All connection tries failed. ch-2.internal:9000, 10.1.2.3"}, "the store cannot answer, by code 279 of ClickHouse"},
		{&driver.Exception{Code: 1001, Message: "std::exception. Code: 1001, /var/lib/clickhouse"}, "the store cannot answer, by code 1001 of ClickHouse"},
		{&driver.Exception{Code: 497, Message: "docket: Not enough privileges. To execute this query, it's necessary to have the grant SELECT ON secretdb.x"}, "query: the user of docket on the server may not do this"},
		{address, "the store cannot be reached"},
	} {
		e := New(refusing{query: c.err}, sql.Limits{})
		err := e.Rows(t.Context(), Scope{}, "SELECT 1", nil, nil)
		if err == nil || err.Error() != c.want {
			t.Errorf("%v\nis told as %v, not %s", c.err, err, c.want)
		}
		// Names are looked up by who had a wrong one.
		if failed := new(sql.QueryError); errors.As(err, &failed) && (failed.Hint() != "") != strings.Contains(c.want, "Unknown expression") {
			t.Errorf("%v has the hint %q", err, failed.Hint())
		}
	}
	// Of what a store says before the query runs nothing is about the query.
	err := unanswered(t.Context(), &clickhouse.Error{Op: "read ClickHouse", Addr: "ch.internal:9000/secretdb", Err: &driver.Exception{Code: 60, Message: "Unknown table secretdb.docket_ranges"}})
	var hinted interface{ Hint() string }
	if err.Error() != "the store cannot answer, by code 60 of ClickHouse" || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), "not the query") {
		t.Errorf("%v", err)
	}
	var failed *sql.QueryError
	if errors.As(err, &failed) {
		t.Error("it is told as an error of the query")
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Error("answer", "error", unanswered(t.Context(), address))
	if !strings.Contains(logged.String(), "ch.internal:9000") || !strings.Contains(logged.String(), "connection refused") {
		t.Errorf("logged %s", logged.String())
	}
	var refused *sql.StatementError
	err = unanswered(t.Context(), &clickhouse.Error{Op: "read ClickHouse", Addr: "ch.internal:9000", Err: errors.New(`readData: clickhouse: unsupported column type "AggregateFunction(sum, Int64)"`)})
	if !errors.As(err, &refused) || strings.Contains(err.Error(), "internal") || !strings.Contains(err.Error(), "AggregateFunction(sum, Int64)") || !strings.Contains(refused.Hint(), "finalizeAggregation") {
		t.Errorf("%v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := unanswered(gone, address); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
