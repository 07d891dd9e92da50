// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package serve_test

import (
	"context"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/clickhouse/query"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// inClickHouse is a store in ClickHouse behind two servers, of which one may ask it in SQL.
type inClickHouse struct {
	*clickhouse.Store

	sql, scan *serve.Server
	asked     atomic.Int64
}

func newInClickHouse(t *testing.T) *inClickHouse {
	t.Helper()
	s, err := clickhouse.Open(t.Context(), chdbtest.Database(t), clickhouse.Options{Now: epoch})
	if err != nil {
		t.Fatal(err)
	}
	c := &inClickHouse{Store: s}
	engine := query.New(s, sql.Limits{})
	cfg := serve.Config{Store: s, Commits: s.Number, Now: epoch, Dialect: filter.ClickHouse}
	c.scan = serve.New(cfg)
	cfg.Query = func(ctx context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error {
		c.asked.Add(1)
		return engine.Rows(ctx, query.Scope{View: q.View, Filter: q.Filter, At: q.At}, q.SQL, columns, rows)
	}
	c.sql = serve.New(cfg)
	t.Cleanup(func() {
		c.sql.Close()
		c.scan.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// ClickHouse tells of plans what a scan does, too.
func TestPlansInClickHouseAreThoseOfAScan(t *testing.T) {
	for seed := range uint64(4) {
		c := newInClickHouse(t)
		for _, b := range planned(t, rand.New(rand.NewPCG(seed, 0))) {
			if _, err := c.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		plansAlike(t, seed, c.sql, c.scan, &c.asked)
	}
}

// A gateway that was reloaded often makes a long statement, which is answered all the
// same; one of more than a statement may have is scanned.
func TestManyReloadsInClickHouse(t *testing.T) {
	for reloads, inSQL := range map[int]bool{300: true, 1000: false} {
		c := newInClickHouse(t)
		gateway := storetest.NewEpoch(t, profile.TenantDocket, "gw-0")
		var b store.Batch
		for n := range reloads {
			gateway.Time = storetest.Start + int64(n)*1000
			digest := []string{planDigest, otherDigest}[n%2]
			b.Entries = append(b.Entries, gateway.Seal(activation(digest)), gateway.Seal(judgedBy(digest)))
		}
		if _, err := c.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		got, err := c.sql.Client(grants["admin"], "inside").ListPlans(t.Context(), &auditv1.ListPlansRequest{})
		if err != nil || len(got.GetPlans()) != reloads {
			t.Errorf("%d reloads: %d periods: %v", reloads, len(got.GetPlans()), err)
		}
		if asked := c.asked.Load() > 0; asked != inSQL {
			t.Errorf("%d reloads: the engine was asked: %t", reloads, asked)
		}
	}
}
