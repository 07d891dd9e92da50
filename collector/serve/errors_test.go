// SPDX-License-Identifier: Apache-2.0

package serve

import (
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
