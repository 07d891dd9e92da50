// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// How long events are kept is said by who writes, and becomes shorter only if that is
// what was said.
func TestWhoKeeps(t *testing.T) {
	dsn := chdbtest.Database(t)
	policy := func(period string, rules ...string) retention.Policy {
		t.Helper()
		p, err := retention.ParsePolicy(period, rules...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	is := func(days string, sets uint64) {
		t.Helper()
		var made, last string
		var rows uint64
		query(t, dsn, "SELECT create_table_query, (SELECT count() FROM docket_retention), (SELECT argMax(ttl, set) FROM docket_retention) FROM system.tables WHERE database = currentDatabase() AND name = 'docket_events'", &made, &rows, &last)
		want := "toIntervalDay(" + days + ")"
		if days == "" {
			want = ""
		}
		if strings.Contains(made, "TTL") != (days != "") || !strings.Contains(made, want) || !strings.Contains(last, want) || rows != sets {
			t.Errorf("not %s days, of %d settings: %d, %q and %s", days, sets, rows, last, made)
		}
	}
	var logged bytes.Buffer
	opened := func(behind bool, o clickhouse.Options) *clickhouse.Store {
		t.Helper()
		logged.Reset()
		o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		open := clickhouse.Open
		if behind {
			open = clickhouse.OpenBehind
		}
		st, err := open(t.Context(), dsn, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		return st
	}
	changed := func(st *clickhouse.Store, want *clickhouse.Change) {
		t.Helper()
		if d := cmp.Diff(want, st.Changed()); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	commits := func(st *clickhouse.Store) {
		t.Helper()
		if _, err := st.Commit(t.Context(), store.Batch{Entries: e.Operation()}); err != nil {
			t.Error(err)
		}
	}

	// One who stands by makes the tables, and says nothing of how long.
	behind := opened(true, clickhouse.Options{Retention: policy("30d", "tenant=acme 20d")})
	is("", 0)
	writer := opened(false, clickhouse.Options{Retention: policy("400d")})
	is("400", 1)
	changed(writer, nil)
	commits(writer)
	opened(true, clickhouse.Options{Retention: policy("30d")})
	is("400", 1)

	// They take over, and nothing leaves earlier for it.
	if err := behind.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	is("400", 1)
	changed(behind, &clickhouse.Change{
		Before: policy("400d"), After: policy("30d", "tenant=acme 20d"), Refused: true,
		Shorter: []retention.Rule{{Keep: 30 * retention.Day}, {Tenant: "acme", Keep: 20 * retention.Day}},
	})
	commits(behind)
	if all := behind.Troubles(); len(all) != 1 || !strings.Contains(all[0].What, "as before, 400d: the configuration says 30d; tenant=acme 20d") || !strings.Contains(all[0].Hint, "--shorten-retention") {
		t.Errorf("troubles %+v", all)
	}
	again := opened(false, clickhouse.Options{Retention: policy("forever", "class=api_activity 399d")})
	if got := again.Changed(); got == nil || !got.Refused || len(got.Shorter) != 1 || got.Shorter[0].Class != "api_activity" {
		t.Errorf("one class is kept for a shorter time: %+v", got)
	}
	if !strings.Contains(logged.String(), "level=WARN") || !strings.Contains(logged.String(), "before=400d") || !strings.Contains(logged.String(), `configured="forever; class=api_activity 399d"`) {
		t.Errorf("logged %s", logged.String())
	}
	is("400", 1)

	// Who says so shortens it, and to keep longer nobody has to be asked.
	changed(opened(false, clickhouse.Options{Retention: policy("30d"), Shorten: true}), &clickhouse.Change{
		Before: policy("400d"), After: policy("30d"), Shorter: []retention.Rule{{Keep: 30 * retention.Day}},
	})
	is("30", 2)
	changed(opened(false, clickhouse.Options{Retention: policy("30d")}), nil)
	changed(opened(false, clickhouse.Options{Retention: policy("500d")}), &clickhouse.Change{Before: policy("30d"), After: policy("500d")})
	if !strings.Contains(logged.String(), "before=30d after=500d") {
		t.Errorf("logged %s", logged.String())
	}
	is("500", 3)
	changed(opened(false, clickhouse.Options{Retention: policy("forever")}), &clickhouse.Change{Before: policy("500d"), After: policy("forever")})
	is("", 4)
	if got := opened(false, clickhouse.Options{Retention: policy("10000d")}).Changed(); got == nil || !got.Refused {
		t.Errorf("what was for ever ends: %+v", got)
	}
	forever := opened(false, clickhouse.Options{Retention: policy("20000d")})
	if changed(forever, nil); len(forever.Troubles()) > 0 {
		t.Errorf("troubles %+v", forever.Troubles())
	}
	last := opened(false, clickhouse.Options{Retention: policy("1d"), KeepRetention: true})
	changed(last, nil)
	is("", 4)
	commits(last)
}
