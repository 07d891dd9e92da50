// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
)

type answerFunc = func(ctx context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error

// An answered query is what came back, read to its end.
type answered struct {
	status          int
	header, trailer http.Header
	body            string
}

// post sends a body to POST /v1/query of a server with the given answer.
func post(t *testing.T, answer answerFunc, body string) answered {
	t.Helper()
	s := serve.New(serve.Config{Store: &memory{}, Commits: func() uint64 { return 0 }, Query: answer})
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(func() { srv.Close(); http.DefaultClient.CloseIdleConnections() })
	resp, err := http.Post(srv.URL+"/v1/query", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header, resp.Trailer, string(b)}
}

func TestQuery(t *testing.T) {
	row := func(text string, columns func([]string) error, rows io.Writer) error {
		if text != "SELECT 1" {
			t.Errorf("asked %q", text)
		}
		if err := columns([]string{"a", "é\n"}); err != nil {
			return err
		}
		_, err := io.WriteString(rows, "{\"a\":1}\n")
		return err
	}
	got := post(t, func(_ context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error {
		return row(q.SQL, columns, rows)
	}, ` {"sql":"SELECT 1"} `+"\n")
	if got.status != http.StatusOK || got.body != "{\"a\":1}\n" || got.header.Get(serve.ColumnsHeader) != `["a","é\n"]` || got.trailer.Get(serve.ErrorTrailer) != "" {
		t.Errorf("%+v", got)
	}
	// What was sent before an error is not taken for the whole.
	got = post(t, func(_ context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error {
		return errors.Join(row(q.SQL, columns, rows), errors.New("told late"))
	}, `{"sql":"SELECT 1"}`)
	var late serve.RemoteError
	if err := json.Unmarshal([]byte(got.trailer.Get(serve.ErrorTrailer)), &late); err != nil || late.Message != "told late" || got.body != "{\"a\":1}\n" {
		t.Errorf("an error behind rows: %+v, %v", got, err)
	}
}

func TestQueryRefused(t *testing.T) {
	fails := func(err error) answerFunc {
		return func(_ context.Context, _ serve.Question, columns func([]string) error, _ io.Writer) error {
			return errors.Join(columns([]string{"a"}), err)
		}
	}
	names := func(list ...string) answerFunc {
		return func(_ context.Context, _ serve.Question, columns func([]string) error, _ io.Writer) error {
			return columns(list)
		}
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
		{"text behind", names("a"), fine + `{}`, 400, "something follows"},
		{"rubbish behind", names("a"), fine + `x`, 400, "invalid character"},
		{"another member", names("a"), `{"sql":"SELECT 1","x":1}`, 400, "unknown field"},
		{"nothing", names("a"), ``, 400, "the body is not"},
		{"no text", names("a"), `{}`, 400, "the body is not"},
		{"no end", names("a"), `{"sql":"` + strings.Repeat(" ", 1<<20), 400, "the body is not"},
		{"long text", engine, `{"sql":"` + strings.Repeat(" ", 65_537) + `"}`, 400, "64 KiB"},
		{"no process", engine, fine, 500, "start query"},
		{"many columns", names(strings.Repeat("c", 100_000)), fine, 400, "1 columns whose names take 100004 bytes"},
		{"late", fails(&sql.TimeoutError{}), fine, 504, "deadline_exceeded"},
		{"mistake", fails(serve.ErrInvalid), fine, 400, "invalid_argument"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := post(t, test.answer, test.body)
			if got.status != test.status || !strings.Contains(got.body, test.want) || got.header.Get(serve.ColumnsHeader) != "" {
				t.Errorf("%+v", got)
			}
		})
	}
}
