// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/sql"
)

// What became of a query's process has a status that says what to do, in the
// words of whoever saw it.
func TestQueryErrors(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{
		{&sql.StatementError{Found: "x"}, 400, "invalid_argument"},
		{&sql.QueryError{Err: errors.New("x")}, 400, "invalid_argument"},
		{&sql.MemoryError{Limit: 1 << 30}, 429, "resource_exhausted"},
		{new(sql.BusyError), 503, "unavailable"},
		{&sql.TimeoutError{Limit: 1}, 504, "deadline_exceeded"},
		{new(sql.UnavailableError), 501, "unimplemented"},
		{&sql.CrashError{State: "x"}, 500, "internal"},
	} {
		w := httptest.NewRecorder()
		writeError(w, queryError(fmt.Errorf("around: %w", test.err)))
		body := w.Body.String()
		if w.Code != test.status || !strings.Contains(body, test.code) || !strings.Contains(body, `around: `+test.err.Error()) || !strings.Contains(body, `"hint":`) && test.code != "invalid_argument" {
			t.Errorf("%T: %d %s", test.err, w.Code, body)
		}
		if again := w.Header().Get("Retry-After") != ""; again != (test.status == 503) {
			t.Errorf("%T: asked again: %t", test.err, again)
		}
		if field := strings.Contains(body, `"field":"sql"`); field != (test.code == "invalid_argument") {
			t.Errorf("%T: has a field: %t", test.err, field)
		}
	}
}

// A distant error is one of a store that is a server.
type distant struct{ error }

func (distant) Elsewhere()      {}
func (d distant) Unwrap() error { return d.error }

// Who asks is not told where the store is, whatever is said around it; but that they
// stopped themselves, and what was said instead of it, they are.
func TestStoreElsewhere(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		says   string
	}{
		{distant{errors.New("read ClickHouse 10.0.0.7:9000/audit: connection refused")}, 503, "the store cannot be reached"},
		{fmt.Errorf("list events: %w", distant{errors.New("read ClickHouse 10.0.0.7:9000/audit: EOF")}), 503, "the store cannot be reached"},
		{fmt.Errorf("list events: %w", distant{fmt.Errorf("read ClickHouse 10.0.0.7:9000/audit: %w", context.DeadlineExceeded)}), 504, "the store cannot be reached"},
		{unspoken{distant{errors.New("read ClickHouse 10.0.0.7:9000/audit: EOF")}}, 500, "by code 242"},
	} {
		w := httptest.NewRecorder()
		writeError(w, test.err)
		if body := w.Body.String(); w.Code != test.status || !strings.Contains(body, test.says) || strings.Contains(body, "10.0.0.7") {
			t.Errorf("%v: %d %s", test.err, w.Code, body)
		}
	}
}

// An unspoken error says nothing of its cause.
type unspoken struct{ cause error }

func (unspoken) Error() string   { return "the store cannot answer, by code 242 of ClickHouse" }
func (e unspoken) Unwrap() error { return e.cause }
