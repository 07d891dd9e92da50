// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

type answerFunc = func(ctx context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error

// post sends a body to POST /v1/query of a server with the given answer.
func post(t *testing.T, answer answerFunc, body string) httpAnswer {
	t.Helper()
	s := start(t, newShelf(), func(c *serve.Config) { c.Query = answer })
	return s.do(t, "admin", http.MethodPost, "/v1/query", body)
}

func TestQuery(t *testing.T) {
	row := func(text string, columns func([]string) error, rows io.Writer) error {
		if text != "SELECT 1" {
			t.Errorf("asked %q", text)
		}
		if err := columns([]string{"a", "é\n"}); err != nil {
			return err
		}
		// However it is cut, and what is between the rows.
		for _, part := range []string{"{\"a\"", ":1}", "\n{\"a\":\"b c\"}\n\n{", "}\n"} {
			if _, err := io.WriteString(rows, part); err != nil {
				return err
			}
		}
		return nil
	}
	const (
		names = `{"columns":["a","é\n"],"rows":[]}` + "\n"
		first = `{"columns":[],"rows":[{"a":1},{"a":"b c"}]}` + "\n"
		last  = `{"columns":[],"rows":[{}]}` + "\n"
	)
	got := post(t, func(_ context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error {
		if q.Filter != "ran" || q.At != 3 || !q.View.All() {
			t.Errorf("asked %+v", q)
		}
		return row(q.SQL, columns, rows)
	}, ` {"sql":"SELECT 1","filter":"ran","at":"3"} `+"\n")
	if diff := cmp.Diff(names+first+last+`{"end":{}}`+"\n", got.body); got.status != http.StatusOK || diff != "" || got.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%+v (-want +got):\n%s", got, diff)
	}
	// What was sent before an error is not taken for the whole.
	got = post(t, func(_ context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error {
		return errors.Join(row(q.SQL, columns, rows), errors.New("told late"))
	}, `{"sql":"SELECT 1"}`)
	if got.body != names+first+last+`{"error":{"code":"internal","message":"told late"}}`+"\n" {
		t.Errorf("an error behind rows: %+v", got)
	}
	// No row has its names, and an end.
	got = post(t, func(_ context.Context, _ serve.Question, columns func([]string) error, _ io.Writer) error {
		return columns([]string{"a"})
	}, `{"sql":"SELECT 1"}`)
	if got.body != `{"columns":["a"],"rows":[]}`+"\n"+`{"end":{}}`+"\n" {
		t.Errorf("no rows: %+v", got)
	}
	// A row without an end is not a row.
	got = post(t, func(_ context.Context, _ serve.Question, columns func([]string) error, rows io.Writer) error {
		_, err := io.WriteString(rows, `{"a":`)
		return errors.Join(columns([]string{"a"}), err)
	}, `{"sql":"SELECT 1"}`)
	if !strings.Contains(got.body, "ends within a row") {
		t.Errorf("half a row: %+v", got)
	}
}

// Rows are sent together, up to a size.
func TestRowsTogether(t *testing.T) {
	long := `{"a":"` + strings.Repeat("x", 100<<10) + `"}` + "\n"
	s := start(t, newShelf(), func(c *serve.Config) {
		c.Query = func(_ context.Context, _ serve.Question, columns func([]string) error, rows io.Writer) error {
			_, err := io.WriteString(rows, strings.Repeat(long, 5)+`{"a":"`+strings.Repeat("y", 5<<20)+"\"}\n{}\n")
			return errors.Join(columns([]string{"a"}), err)
		}
	})
	stream, err := s.client().Query(as(t.Context(), "admin"), &auditv1.QueryRequest{Sql: "x"})
	var sizes []int
	for err == nil {
		var part *auditv1.QueryResponse
		if part, err = stream.Recv(); err == nil {
			sizes = append(sizes, len(part.GetRows()))
		}
	}
	if diff := cmp.Diff([]int{2, 2, 1, 1, 1, 0}, sizes); !errors.Is(err, io.EOF) || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestQueryRefused(t *testing.T) {
	fails := func(err error) answerFunc {
		return func(context.Context, serve.Question, func([]string) error, io.Writer) error { return err }
	}
	names := func(_ context.Context, _ serve.Question, columns func([]string) error, _ io.Writer) error {
		return columns([]string{"a"})
	}
	engine := serve.SQL(sql.NewProcesses("/nonexistent", []string{"docket"}, sql.Limits{}), func(serve.Question) (sql.Scope, func(), error) { return sql.Scope{Dir: "."}, func() {}, nil })
	const fine = `{"sql":"SELECT 1"}`
	for _, test := range []struct {
		name   string
		answer answerFunc
		body   string
		status int
		want   string
	}{
		{"text behind", names, fine + `{}`, 400, "unexpected token"},
		{"rubbish behind", names, fine + `x`, 400, "the body"},
		{"another member", names, `{"sql":"SELECT 1","x":1}`, 400, `unknown field \"x\"`},
		{"a member twice", names, `{"sql":"SELECT 1","sql":"SELECT 2"}`, 400, "duplicate"},
		{"another type", names, `{"sql":1}`, 400, "invalid value for string"},
		{"nothing", names, ``, 400, "the body is empty"},
		{"no text", names, `{}`, 400, `"field":"sql"`},
		{"no object", names, `[]`, 400, "the body"},
		{"no UTF-8", names, "{\"sql\":\"\xff\"}", 400, "the body"},
		{"no end", names, `{"sql":"` + strings.Repeat(" ", 1<<20), 400, "the body"},
		{"long text", engine, `{"sql":"` + strings.Repeat(" ", 65_537) + `"}`, 400, "64 KiB"},
		{"no process", engine, fine, 500, "start query"},
		{"late", fails(&sql.TimeoutError{}), fine, 504, "deadline_exceeded"},
		{"mistake", fails(serve.ErrInvalid), fine, 400, "invalid_argument"},
		{"not now", fails(fmt.Errorf("%w: later", serve.ErrBusy)), fine, 503, "unavailable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := post(t, test.answer, test.body)
			if got.status != test.status || !strings.Contains(got.body, test.want) || !strings.HasPrefix(got.body, `{"error":{"code":"`) || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%+v", got)
			}
			if again := got.header.Get("Retry-After") != ""; again != (got.status == 503) {
				t.Errorf("asked again: %t", again)
			}
		})
	}
	s := start(t, newShelf(), func(c *serve.Config) { c.Query, c.Unsupported = nil, errors.New("made without cgo") })
	if got := s.do(t, "admin", http.MethodPost, "/v1/query", fine); got.status != http.StatusNotImplemented || !strings.Contains(got.body, "made without cgo") {
		t.Errorf("a query without SQL: %+v", got)
	}
}

// A caller who does not take the answer ends the query: the process that makes
// it is one of few.
func TestStall(t *testing.T) {
	ended := make(chan error, 1)
	s := start(t, newShelf(), func(c *serve.Config) {
		c.Stall = time.Millisecond
		c.Query = func(ctx context.Context, _ serve.Question, columns func([]string) error, rows io.Writer) error {
			err := columns([]string{"a"})
			big := `{"a":"` + strings.Repeat("x", 1<<20) + "\"}\n"
			for err == nil {
				if _, err = io.WriteString(rows, big); err == nil {
					err = ctx.Err()
				}
			}
			ended <- context.Cause(ctx)
			return err
		}
	})
	inside := s.Client(grants["admin"], "inside")
	for name, c := range map[string]auditv1.AuditServiceClient{"gRPC": s.client(), "within the process": inside} {
		ctx, cancel := context.WithCancel(as(t.Context(), "admin"))
		stream, err := c.Query(ctx, &auditv1.QueryRequest{Sql: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if cause := <-ended; !errors.Is(cause, serve.ErrStalled) {
			t.Errorf("%s: ended by %v", name, cause)
		}
		for err == nil {
			_, err = stream.Recv()
		}
		cancel()
		if errors.Is(err, io.EOF) {
			t.Errorf("%s: ended as if that were all", name)
		}
	}
	// And in REST, where the body is not read.
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+"/v1/query", strings.NewReader(`{"sql":"x"}`))
	req.Header.Set("Authorization", "Bearer admin")
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if cause := <-ended; !errors.Is(cause, serve.ErrStalled) {
		t.Errorf("ended by %v", cause)
	}
	b, err := io.ReadAll(resp.Body)
	if !strings.Contains(string(b[max(0, len(b)-200):]), `{"error":{"code":"aborted"`) {
		t.Errorf("%v ...%s", err, b[max(0, len(b)-200):])
	}
}
