// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"bytes"
	"errors"
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

// policies returns a function that reads a policy.
func policies(t *testing.T) func(period string, rules ...string) retention.Policy {
	t.Helper()
	return func(period string, rules ...string) retention.Policy {
		t.Helper()
		p, err := retention.ParsePolicy(period, rules...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

// How long events are kept is said by who writes, and becomes shorter only if that is
// what was said.
func TestWhoKeeps(t *testing.T) {
	dsn := chdbtest.Database(t)
	policy := policies(t)
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
	if !strings.Contains(logged.String(), "level=WARN") || !strings.Contains(logged.String(), "before=400d") || !strings.Contains(logged.String(), `configured="forever; class=api_activity 399d"`) || !strings.Contains(logged.String(), "--shorten-retention") {
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

// How long events are kept is what the table says, whoever set that: the writer puts
// it right, and says so.
func TestStrayTTL(t *testing.T) {
	dsn := chdbtest.Database(t)
	policy := policies(t)
	made := func(table string) (ttl string) {
		t.Helper()
		query(t, dsn, "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = '"+table+"'", &ttl)
		_, ttl, _ = strings.Cut(ttl, " TTL ")
		ttl, _, _ = strings.Cut(ttl, " SETTINGS ")
		return ttl
	}
	var logged bytes.Buffer
	opened := func(o clickhouse.Options) *clickhouse.Store {
		t.Helper()
		logged.Reset()
		o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		st, err := clickhouse.Open(t.Context(), dsn, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		return st
	}
	sets := func() (n uint64) {
		t.Helper()
		query(t, dsn, "SELECT count() FROM docket_retention", &n)
		return n
	}
	for _, configured := range []retention.Policy{policy("400d"), policy("400d", "tenant=acme 300d", "tenant=a'b\\c 350d", "tenant=acme class=api_activity forever")} {
		opened(clickhouse.Options{Retention: configured, Shorten: true})
		own, noted := made("docket_events"), sets()
		if changed := opened(clickhouse.Options{Retention: configured}).Changed(); changed != nil || logged.Len() > 0 {
			t.Fatalf("nothing was altered: %+v, %s", changed, logged.String())
		}
		const other = "toDateTime(intDiv(_stored_time, 1000)) + toIntervalDay(10)"
		ten := strings.Replace(own, "400)", "10)", 1)
		longer := strings.Replace(own, "400)", "500)", 1)
		for _, c := range []struct {
			name, alter string
			o           clickhouse.Options
			before      string // the default of
			refused     bool
			found       string
			stays       bool
		}{
			{name: "shorter", alter: "MODIFY TTL " + ten, before: "10d", found: ten},
			{name: "shorter, and nobody may say", alter: "MODIFY TTL " + ten, o: clickhouse.Options{KeepRetention: true}, before: "10d", found: ten},
			{name: "shorter, and so is what is configured", alter: "MODIFY TTL " + ten, o: clickhouse.Options{Retention: policy("5d")}, before: "400d", refused: true, found: ten},
			{name: "another", alter: "MODIFY TTL " + other, before: "400d", found: other},
			{name: "longer", alter: "MODIFY TTL " + longer, before: "500d", refused: true, found: longer, stays: true},
			{name: "longer, which is not meant", alter: "MODIFY TTL " + longer, o: clickhouse.Options{Shorten: true}, before: "500d", found: longer},
			{name: "none", alter: "REMOVE TTL", before: "forever", refused: true, found: "none", stays: true},
			{name: "none, which is not meant", alter: "REMOVE TTL", o: clickhouse.Options{Shorten: true}, before: "forever", found: "none"},
		} {
			query(t, dsn, "ALTER TABLE docket_events "+c.alter)
			altered := made("docket_events")
			if altered == own {
				t.Fatalf("%s: %s alters nothing", c.name, c.alter)
			}
			// Who does not write, alters nothing.
			behind, err := clickhouse.OpenBehind(t.Context(), dsn, clickhouse.Options{Retention: configured, Shorten: true})
			if err != nil {
				t.Fatal(err)
			}
			reader, err := clickhouse.OpenReader(t.Context(), dsn, clickhouse.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := made("docket_events"); got != altered {
				t.Errorf("%s: one who stands by, or reads, sets %s", c.name, got)
			}
			if c.o.Retention.Default == 0 && !c.o.KeepRetention {
				c.o.Retention = configured
			}
			st := opened(c.o)
			got := st.Changed()
			if got == nil || got.Before.Default.String() != c.before || got.Refused != c.refused || got.Found != c.found || c.refused != (len(got.Shorter) > 0 && !c.o.Shorten) {
				t.Errorf("%s: %+v", c.name, got)
			}
			want := own
			if c.stays {
				want = altered
			}
			if ttl := made("docket_events"); ttl != want {
				t.Errorf("%s: the events have %s", c.name, ttl)
			}
			if !strings.Contains(logged.String(), "level=WARN") || !strings.Contains(logged.String(), "than docket_retention says") {
				t.Errorf("%s: logged %s", c.name, logged.String())
			}
			if all := st.Troubles(); len(all) == 0 || !strings.Contains(all[len(all)-1].What, "another TTL") {
				t.Errorf("%s: troubles %+v", c.name, all)
			}
			// The next one finds it as it shall be, unless that is for somebody to say.
			if err := behind.TakeOver(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := behind.Changed(); (got != nil) != c.stays {
				t.Errorf("%s: then %+v", c.name, got)
			}
			if ttl := made("docket_events"); ttl != own {
				t.Errorf("%s: then the events have %s", c.name, ttl)
			}
			altogether, err := reader.Altered(t.Context())
			if err != nil || len(altogether) > 0 {
				t.Errorf("%s: altered %+v, %v", c.name, altogether, err)
			}
			if err := errors.Join(behind.Close(), reader.Close()); err != nil {
				t.Error(err)
			}
		}
		if n := sets(); n != noted {
			t.Errorf("%d settings, of %d", n, noted)
		}
	}

	// How old rows lie is the server's own affair, and other tables have theirs.
	prepared := made("docket_prepared")
	query(t, dsn, "ALTER TABLE docket_events MODIFY TTL toDateTime(intDiv(time, 1000)) + toIntervalDay(1), toDateTime(intDiv(time, 1000)) + toIntervalDay(3) RECOMPRESS CODEC(ZSTD(9))")
	query(t, dsn, "ALTER TABLE docket_quarantine MODIFY TTL toDateTime(intDiv(_stored_time, 1000)) + toIntervalDay(1)")
	query(t, dsn, "ALTER TABLE docket_stubs MODIFY TTL toDateTime(intDiv(time, 1000)) + toIntervalDay(1)")
	query(t, dsn, "ALTER TABLE docket_prepared MODIFY TTL put + INTERVAL 1 DAY")
	opened(clickhouse.Options{Retention: policy("500d")})
	if got := made("docket_events"); !strings.Contains(got, "350, 400))") || !strings.Contains(got, "toIntervalDay(3) RECOMPRESS CODEC(ZSTD(9))") || strings.Contains(got, "toIntervalDay(1)") {
		t.Errorf("the events have %s", got)
	}
	if q, s, p := made("docket_quarantine"), made("docket_stubs"), made("docket_prepared"); q != "" || s != "" || p != prepared {
		t.Errorf("the quarantine has %q, the stubs %q, what is prepared %q", q, s, p)
	}
}

// A docket that ends while it shortens how long events are kept has done so, or not:
// the next one does not say the one while the table has the other.
func TestKeepCrash(t *testing.T) {
	dsn := chdbtest.Database(t)
	b, through := newBreaker(t, dsn)
	long, short := retention.Policy{Default: 400 * retention.Day}, retention.Policy{Default: 30 * retention.Day}
	open := func(dsn string, o clickhouse.Options) (*clickhouse.Change, error) {
		st, err := clickhouse.Open(t.Context(), dsn, o)
		if err != nil {
			return nil, err
		}
		return st.Changed(), st.Close()
	}
	between := 0
	for n := 0; ; n++ {
		if _, err := open(dsn, clickhouse.Options{Retention: long}); err != nil {
			t.Fatal(err)
		}
		var noted, notedThen uint64
		query(t, dsn, "SELECT count() FROM docket_retention", &noted)
		b.set(n, refuses)
		_, err := open(through, clickhouse.Options{Retention: short, Shorten: true})
		b.mu.Lock()
		broke := b.broke
		b.left = -1
		b.mu.Unlock()
		if broke == "" {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		var made string
		query(t, dsn, "SELECT count(), (SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'docket_events') FROM docket_retention", &notedThen, &made)
		half := strings.Contains(made, "toIntervalDay(30)") && notedThen == noted
		got, err := open(dsn, clickhouse.Options{Retention: long})
		if err != nil {
			t.Fatal(err)
		}
		if half {
			between++
			if got == nil || got.Refused || got.Before.Default != short.Default || got.After.Default != long.Default || !strings.Contains(got.Found, "toIntervalDay(30)") {
				t.Errorf("without %s: %+v", broke, got)
			}
		}
		if query(t, dsn, "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'docket_events'", &made); !strings.Contains(made, "toIntervalDay(400)") {
			t.Errorf("without %s the events have %s", broke, made)
		}
	}
	if between == 0 {
		t.Error("no request is between the two")
	}
}
