// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package storebench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
)

// BenchmarkAPI asks by REST what a user asks first of a large lake: the answer
// is read to its end.
func BenchmarkAPI(b *testing.B) {
	r, err := lake.OpenReader(bigLake(b))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	scope, _, _ := scopeOf(b, r.Dir())
	query := serve.SQL(sql.NewProcesses(exe, []string{answerName}, sql.Limits{}), func(serve.Question) (sql.Scope, func(), error) { return scope, func() {}, nil })
	s := serve.New(serve.Config{Store: r, Commits: func() uint64 { return r.Manifest().Number }, Query: query})
	defer s.Close()
	srv := httptest.NewServer(s.Handler(serve.Door{Name: "api", Authenticate: func(*http.Request) (*authz.Grant, error) {
		return authz.Trusted("bench", authz.BySecret), nil
	}}))
	defer srv.Close()
	for _, q := range []struct{ name, path string }{
		{"newest", "/v1/events?newest_first=true"},
		{"oldest", "/v1/events"},
		{"denied", "/v1/events?newest_first=true&filter=" + url.QueryEscape(`kind == "outcome" && decision == "deny"`)},
		{"principal", "/v1/events?newest_first=true&filter=" + url.QueryEscape(`principal == "user-7"`)},
		{"operations", "/v1/operations"},
		{"tail", "/v1/tail?last=100"},
		{"stats", "/v1/stats"},
		{"plans", "/v1/plans"}, // of which no event but outcomes tells
	} {
		b.Run(q.name, func(b *testing.B) {
			bytes := int64(0)
			for b.Loop() {
				resp, err := srv.Client().Get(srv.URL + q.path)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status, err)
				}
				bytes = n
			}
			b.ReportMetric(float64(bytes), "bytes")
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms/op")
		})
	}
}
