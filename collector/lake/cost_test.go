// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// What is said of tenants, classes and days adds up to the files, before
// compaction and after it.
func TestCosts(t *testing.T) {
	dir := t.TempDir()
	now := time.UnixMilli(storetest.Start)
	l := openWith(t, dir, lake.Options{Now: func() time.Time { return now }})
	acme, globex := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "globex/x", "gateway-1")
	seq := uint64(0)
	put := func(entries ...store.Entry) {
		t.Helper()
		for i := range entries {
			seq++
			entries[i].StreamSeq = seq
		}
		if _, err := l.Commit(t.Context(), store.Batch{Entries: entries, StreamSeq: seq}); err != nil {
			t.Fatal(err)
		}
	}
	put(append(acme.Operation(), globex.Start())...)
	now = now.Add(48 * time.Hour)
	acme.Time += 48 * 60 * 60 * 1000
	put(acme.Operation()...)

	check := func(estimated bool) {
		t.Helper()
		m := l.Manifest()
		costs, err := lake.Costs(dir, m)
		if err != nil {
			t.Fatal(err)
		}
		type row struct {
			Tenant, Class string
			Events        int64
		}
		var got []row
		var bytes, files int64
		for _, c := range costs {
			got = append(got, row{c.Tenant, c.Class, c.Events})
			bytes += c.Bytes
			if (c.Estimated > 0) != estimated || c.Estimated > c.Bytes || c.Bytes <= 0 {
				t.Errorf("%+v", c)
			}
		}
		if diff := cmp.Diff([]row{{"acme", "api_activity", 3}, {"globex/x", "application_lifecycle", 1}, {"acme", "api_activity", 3}}, got); diff != "" || costs[0].Day >= costs[2].Day {
			t.Errorf("%+v: %s", costs, diff)
		}
		for _, f := range m.Files {
			files += f.Bytes
		}
		if diff := files - bytes; diff < 0 || diff > int64(len(costs)) { // rounded down
			t.Errorf("costs of %d bytes, files of %d", bytes, files)
		}
	}
	check(true)
	m := l.Manifest()
	size := m.Files[0].Bytes + m.Files[1].Bytes
	for _, test := range []struct {
		within, later time.Duration
		want          lake.Growth
	}{
		{7 * 24 * time.Hour, 0, lake.Growth{Since: now.Add(-48 * time.Hour).UTC(), Bytes: size, Day: size / 2}},
		{24 * time.Hour, time.Hour, lake.Growth{Since: now.UTC(), Bytes: m.Files[1].Bytes, Day: m.Files[1].Bytes}},
		{time.Hour, 2 * time.Hour, lake.Growth{Since: now.Add(time.Hour).UTC()}},
	} {
		got, err := lake.GrowthWithin(dir, m, test.within, now.Add(test.later))
		if err != nil || got != test.want {
			t.Errorf("within %s: %+v, %v, want %+v", test.within, got, err, test.want)
		}
	}
	compact(t, l, true)
	check(false)
}
