// SPDX-License-Identifier: Apache-2.0

//go:build cgo && chdb

package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/serve/servetest"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/internal/chdbtest"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

func clickHouseAsked(t *testing.T) keep {
	t.Helper()
	s, err := clickhouse.Open(t.Context(), chdbtest.Database(t), clickhouse.Options{Now: always})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	engine := reading.ClickHouse(s, sql.Limits{})
	return keep{asking{engine.Rows, engine, filter.ClickHouse}, s, s.Number}
}

// always is when everything is stored.
var always = func() func() time.Time {
	begun := time.Now()
	return func() time.Time { return begun }
}()

// inClickHouse says what is DuckDB's in the table in ClickHouse's words.
func inClickHouse(all map[string][]posed) map[string][]posed {
	words := strings.NewReplacer("(FROM events", "(SELECT * FROM events", "error('told late')", "throwIf(time > 0, 'told late')", "chr(10)", "char(10)")
	for _, posed := range all {
		for i := range posed {
			q := &posed[i]
			q.sql = words.Replace(q.sql)
			for j := range q.verb {
				q.verb[j] = words.Replace(q.verb[j])
			}
			if r, ok := q.request.(*auditv1.QueryRequest); ok {
				r.Sql = words.Replace(r.Sql)
			}
		}
	}
	return all
}

// Over ClickHouse each method gives one answer at all doors too, and it is the one
// that it gives over the lake.
func TestOneAnswerOverClickHouse(t *testing.T) {
	over := func(k keep) *house {
		return houseOver(t, k, func(r *http.Request) (*authz.Grant, error) { return granted(r.Header.Values("Authorization")) },
			func(_ context.Context, md metadata.MD) (*authz.Grant, error) { return granted(md.Get("authorization")) })
	}
	lake, click := over(lakeAsked(t, always)), over(clickHouseAsked(t))
	const replay = "none" // a replay has an id of its own each time
	inLake, inClick := questions(replay), inClickHouse(questions(replay))
	compared := 0
	for name, all := range inLake {
		for i := range all {
			for _, token := range []string{"admin", "acme"} {
				want := servetest.Ask(lake.as(t, token), lake.client, name, all[i].request)
				got := servetest.Ask(click.as(t, token), click.client, name, inClick[name][i].request)
				if name == "Query" && want.Error != nil && got.Error != nil {
					// The engines have words of their own.
					want.Error.Message, got.Error.Message, want.Error.Advice, got.Error.Advice = "", "", "", ""
				}
				if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
					t.Errorf("%s %d (%v) as %s (-lake +ClickHouse):\n%s", name, i, all[i].request, token, diff)
				}
				compared++
			}
		}
	}
	t.Logf("%d answers compared", compared)
	click.oneAnswer(t, inClickHouse(questions(click.replay(t))))
}
