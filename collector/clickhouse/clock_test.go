// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// A collector whose clock is behind that of the server by more than a prepared statement
// is kept makes commits nevertheless.
func TestClockBehind(t *testing.T) {
	now := time.Now().AddDate(0, 0, -60)
	st, err := clickhouse.Open(t.Context(), chdbtest.Database(t), clickhouse.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	for i := range 3 {
		c, err := st.Commit(t.Context(), store.Batch{Entries: []store.Entry{e.API("outcome", fmt.Sprint("op-", i), "")}, StreamSeq: uint64(i + 1)})
		if err != nil || len(c.Added) != 1 {
			t.Fatalf("commit %d: %d added, %v", i+1, len(c.Added), err)
		}
	}
}

// One that is behind by more than events are kept stores none that would be gone at
// once, says so with both clocks, and goes on when it is right.
func TestClockFarBehind(t *testing.T) {
	dsn := chdbtest.Database(t)
	policy, err := retention.ParsePolicy("30d", "tenant=brief 2d", "tenant=kept forever")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().AddDate(0, 0, -3)
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{Retention: policy, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	epochs := map[string]*storetest.Epoch{}
	for _, tenant := range []string{"acme", "brief", "kept"} {
		epochs[tenant] = storetest.NewEpoch(t, tenant, "gateway-0")
	}
	commit := func(tenant string, at time.Time) (store.Committed, error) {
		e := epochs[tenant]
		e.Time = at.UnixMilli()
		return st.Commit(t.Context(), store.Batch{Entries: []store.Entry{e.API("outcome", "op", "")}})
	}
	refused := func(c store.Committed, err error, rule string) {
		t.Helper()
		var clock *clickhouse.ClockError
		if !errors.Is(err, clickhouse.ErrClock) || !errors.As(err, &clock) || clock.Rule.String() != rule || clock.Server.Sub(clock.Here) < 2*24*time.Hour ||
			!strings.Contains(err.Error(), now.UTC().Format("2006-01-02T")) || !strings.Contains(err.Error(), clock.Server.UTC().Format("2006-01-02T")) {
			t.Errorf("commit %d: %v", c.Number, err)
		}
		var told *clickhouse.Error
		if got := hint(t, err); !strings.Contains(got, "clock") || !errors.As(err, &told) || !told.Passes() {
			t.Errorf("hint %q", got)
		}
	}
	for range 2 {
		c, err := commit("brief", now)
		refused(c, err, "tenant=brief 2d")
	}
	var rows uint64
	if query(t, dsn, "SELECT count() FROM docket_prepared", &rows); rows != 0 {
		t.Errorf("%d statements of what cannot be stored", rows)
	}
	if all := st.Troubles(); len(all) != 1 || !strings.Contains(all[0].What, "behind that of ClickHouse: it says "+now.UTC().Format("2006-01-02T")) || all[0].Hint == "" {
		t.Errorf("troubles %+v", all)
	}
	// What is kept longer is stored, and what says itself that it is of now.
	for _, c := range []struct {
		tenant string
		at     time.Time
	}{{"acme", now}, {"kept", now}, {"brief", time.Now()}} {
		if done, err := commit(c.tenant, c.at); err != nil || len(done.Added) != 1 {
			t.Errorf("%s: %d added, %v", c.tenant, len(done.Added), err)
		}
	}
	now = time.Now().AddDate(-3, 0, 0)
	// No commit is before its predecessor, whatever the clock says.
	if done, err := commit("acme", now); err != nil || len(done.Added) != 1 {
		t.Errorf("%d added, %v", len(done.Added), err)
	}
	now = time.Now()
	if done, err := commit("brief", now); err != nil || len(done.Added) != 1 {
		t.Errorf("by the right time: %d added, %v", len(done.Added), err)
	}
	if all := st.Troubles(); len(all) != 0 {
		t.Errorf("troubles %+v", all)
	}
	if query(t, dsn, "SELECT count() FROM events", &rows); rows != 5 {
		t.Errorf("%d events, not 5", rows)
	}
	now = time.Now().AddDate(1, 0, 0)
	if done, err := commit("acme", now); err != nil || len(done.Added) != 1 {
		t.Errorf("%d added, %v", len(done.Added), err)
	}
	if all := st.Troubles(); len(all) != 1 || !strings.Contains(all[0].What, "ahead of that of ClickHouse") {
		t.Errorf("troubles %+v", all)
	}
}
