// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package copying

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// From a lake into tables and back nothing is lost, and nothing is another.
func TestThereAndBack(t *testing.T) {
	dir := t.TempDir()
	a, data, b := filepath.Join(dir, "a"), filepath.Join(dir, "tables"), filepath.Join(dir, "b")
	tables := chdbtest.Database(t)
	s := &story{t: t}
	s.fill(a, "", 4)
	want := contentOf(t, a)
	for range 2 {
		copied(t, a, tables, data, Options{Events: 20})
		if d := cmp.Diff(want, contentOf(t, tables)); d != "" {
			t.Fatalf("in tables (-want +got)\n%s", d)
		}
		sound(t, tables, data)
		copied(t, tables, b, "", Options{Events: 11})
		if d := cmp.Diff(want, contentOf(t, b)); d != "" {
			t.Fatalf("back (-want +got)\n%s", d)
		}
		sound(t, b, "")
		s.fill(a, "", 1)
		want = contentOf(t, a)
	}

	// Somebody collects into them, or may: the ledger is elsewhere.
	d, err := datadir.Own(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDestination(t.Context(), tables, data, new(config.Config), testLog(t)); !errors.Is(err, datadir.ErrOwned) {
		t.Errorf("a directory that somebody has: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDestination(t.Context(), tables, filepath.Join(dir, "other"), new(config.Config), testLog(t)); !errors.Is(err, ErrElsewhere) {
		t.Errorf("a directory without the ledger: %v", err)
	}
	other := chdbtest.Database(t)
	destination(t, other, filepath.Join(dir, "others"), func(*Destination) {})
	copied(t, a, other, filepath.Join(dir, "others"), Options{Events: 9})
	forever, err := retention.ParsePolicy("forever")
	if err != nil {
		t.Fatal(err)
	}
	writes, err := clickhouse.Open(t.Context(), other, clickhouse.Options{Retention: forever})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writes.Close() }()
	if to, err := OpenDestination(t.Context(), other, data, new(config.Config), testLog(t)); !errors.Is(err, ledger.ErrContradicted) {
		t.Errorf("the ledger of other tables: %v, %v", to, err)
	}
	more := store.Batch{Entries: []store.Entry{storetest.NewEpoch(t, "acme", "gateway").Start()}, StreamSeq: writes.StreamSeq() + 1, Fence: writes.LastFence()}
	if _, err := writes.Commit(t.Context(), more); err != nil {
		t.Errorf("who writes to the tables was ended by who has no ledger of them: %v", err)
	}
	// What is kept for ever there is, whatever the configuration of who copies says.
	destination(t, other, filepath.Join(dir, "others"), func(*Destination) {})
	reads, err := clickhouse.OpenReader(t.Context(), other, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reads.Close() }()
	if kept, err := reads.Kept(t.Context()); err != nil || len(kept) != 2 || kept[1].Policy.Default != retention.Forever {
		t.Errorf("a copy changed how long events are kept: %v, %v", kept, err)
	}
}

// Killed wherever it is, or its server, a copy goes on.
func TestTablesKilled(t *testing.T) {
	dir := t.TempDir()
	a, data := filepath.Join(dir, "a"), filepath.Join(dir, "tables")
	(&story{t: t}).fill(a, "", 3)
	engine := chdbtest.Start(t, "")
	// The server dies in the midst.
	from, err := OpenSource(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	to, err := OpenDestination(t.Context(), engine.DSN(), data, new(config.Config), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	parts := 0
	done, err := Run(t.Context(), from, to, Options{Events: 5, Progress: func(int64, int64) {
		if parts++; parts == 3 {
			engine.Kill()
		}
	}})
	if err == nil || done.Events+done.Quarantined != 15 {
		t.Errorf("the server is gone: %+v, %v", done, err)
	}
	_ = to.Close(context.WithoutCancel(t.Context())) // of a server that is gone
	if err := from.Close(); err != nil {
		t.Error(err)
	}
	engine = chdbtest.Start(t, engine.Dir())
	// And then those who copy.
	if runs := killed(t, a, engine.DSN(), data, 6); runs < 2 {
		t.Errorf("%d runs", runs)
	}
	if d := cmp.Diff(contentOf(t, a), contentOf(t, engine.DSN())); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if done := copied(t, a, engine.DSN(), data, Options{}); done.Events != 0 || done.Passed == 0 {
		t.Errorf("%+v", done)
	}
	sound(t, engine.DSN(), data)
}
