// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// openWith opens a lake and closes it with the test.
func openWith(t *testing.T, dir string, o lake.Options) *lake.Lake {
	t.Helper()
	l, err := lake.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func compact(t *testing.T, l *lake.Lake, force bool) store.Compacted {
	t.Helper()
	done, err := l.Compact(t.Context(), force, func(put func(uint64) error) error { return put(0) })
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// One class, tenant and day to a file, whatever tenants call themselves.
func TestPublicLayout(t *testing.T) {
	dir := t.TempDir()
	l := openWith(t, dir, lake.Options{Region: "eu/1"})
	tenants := []string{"acme", "..", "a/b", "a%2Fb", "x=y", "_hot", "é\x01", strings.Repeat("long", 100), "."}
	var stored []store.Entry
	for _, tenant := range tenants {
		e := storetest.NewEpoch(t, tenant, "gateway-0")
		first := e.Start()
		e.Time += 24 * 60 * 60 * 1000
		stored = append(stored, commit(t, l, store.Batch{Entries: append([]store.Entry{first}, e.Operation()...)}).Added...)
	}
	done := compact(t, l, true)
	if done.Before != len(tenants) || done.After != 2*len(tenants) || done.Rows != int64(len(stored)) {
		t.Errorf("compacted %+v", done)
	}
	if want := (lake.Partition{ClassUID: 6003, Tenant: "acme", Day: "20261029"}).Dir("eu/1"); want != "api_activity/region=eu%2F1/accountId=acme/eventDay=20261029" {
		t.Errorf("directory of acme: %s", want)
	}
	tenantOf := map[string]string{} // directory to tenant
	for _, f := range l.Files() {
		for e, err := range lake.ReadSegment(t.Context(), dir, f.Path) {
			if err != nil {
				t.Fatal(err)
			}
			h := e.Header
			if p := (lake.Partition{ClassUID: h.ClassUID, Tenant: h.Tenant, Day: lake.Day(h.Time)}); !p.Holds(f.Path) {
				t.Errorf("an event of %q, class %d, lies in %s", h.Tenant, h.ClassUID, f.Path)
			}
			account := strings.Split(f.Path, "/")[2]
			if other, known := tenantOf[account]; known && other != h.Tenant {
				t.Errorf("%s is of %q and of %q", account, other, h.Tenant)
			}
			tenantOf[account] = h.Tenant
		}
	}
	if d := cmp.Diff(stored, all(t, l, store.Query{})); d != "" {
		t.Errorf("scan differs:\n%s", d)
	}
	hot, err := os.ReadDir(filepath.Join(dir, lake.HotDir))
	if err != nil || len(hot) > 0 {
		t.Errorf("%d hot files are still there (%v)", len(hot), err)
	}
}

// The name of a tenant's directory is one component, safe, and of no other.
func TestEscape(t *testing.T) {
	account := func(tenant string) string {
		parts := strings.Split(lake.Partition{ClassUID: 6003, Tenant: tenant, Day: "20261029"}.Dir("local"), "/")
		if len(parts) != 4 {
			t.Fatalf("tenant %q: %q", tenant, parts)
		}
		return parts[2]
	}
	text := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("a/.=%~\x00é")), 0, 90, -1),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 120), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(r *rapid.T) {
		a, b := text.Draw(r, "a"), text.Draw(r, "b")
		x, y := account(a), account(b)
		if len(x) > 255 || strings.ContainsFunc(strings.TrimPrefix(x, "accountId="), func(c rune) bool { return c <= ' ' || c > '~' || c == '=' || c == '/' }) {
			r.Errorf("tenant %q: %q", a, x)
		}
		if (x == y) != (a == b) {
			r.Errorf("%q and %q lie in %q and %q", a, b, x, y)
		}
	})
}

// A compaction is due by bytes, by time, and at the end of a day.
func TestCompactionIsDue(t *testing.T) {
	now := time.Date(2026, 10, 29, 12, 0, 0, 0, time.UTC)
	l := openWith(t, t.TempDir(), lake.Options{Now: func() time.Time { return now }})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	due := func(what string, want bool) {
		t.Helper()
		if done := compact(t, l, false); (done.Number > 0) != want {
			t.Errorf("%s: compacted %+v", what, done)
		}
	}
	due("nothing", false)
	commit(t, l, store.Batch{Entries: e.Operation()})
	now = now.Add(4 * time.Minute)
	commit(t, l, store.Batch{Entries: e.Operation()})
	due("too early", false)
	now = now.Add(time.Minute)
	due("after five minutes", true)
	now = time.Date(2026, 10, 29, 23, 59, 59, 0, time.UTC)
	commit(t, l, store.Batch{Entries: e.Operation()})
	due("before midnight", false)
	now = now.Add(time.Second)
	due("after midnight", true)

	small := openWith(t, t.TempDir(), lake.Options{CompactBytes: 1})
	commit(t, small, store.Batch{Entries: e.Operation()})
	commit(t, small, store.Batch{Entries: e.Operation()})
	if done := compact(t, small, false); done.Before != 1 {
		t.Errorf("by bytes: %+v", done)
	}
}

// bulky makes events of a megabyte, with times that go another way than their
// sequences.
func bulky(t *testing.T, e *storetest.Epoch, n int) []store.Entry {
	t.Helper()
	base := e.Time
	var out []store.Entry
	for i := range n {
		e.Time = base + int64(i*7919%n)
		out = append(out, e.Seal(&ocsf.DetectionFinding{
			ActivityID: ocsf.DetectionFindingCreate, FindingInfo: &ocsf.FindingInfo{UID: "f"},
			Base: ocsf.Base{Metadata: ocsf.Metadata{EventCode: profile.KindFinding}, Unmapped: map[string]any{"pad": strings.Repeat("x", 1<<20)}},
		}))
	}
	e.Time = base + int64(n)
	return out
}

// Large files are split, and what is more than a window is read in windows, in
// commit order whichever order the files have, forwards and backwards.
func TestSplitAndWindows(t *testing.T) {
	dir := t.TempDir()
	l := openWith(t, dir, lake.Options{SplitBytes: 100})
	acme, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "other", "gateway-0")
	var want []store.Entry
	for range 4 {
		want = append(want, commit(t, l, store.Batch{Entries: slices.Concat(bulky(t, acme, 25), bulky(t, other, 9))}).Added...)
	}
	if done := compact(t, l, true); done.After != 3 { // a row group of 64 MiB each
		t.Errorf("compacted %+v", done)
	}
	check := func(q store.Query, want []store.Entry) {
		t.Helper()
		n := 0
		for e, err := range l.Scan(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			if n >= len(want) || e.Commit != want[n].Commit || e.Pos != want[n].Pos || e.Header != want[n].Header || !q.WithoutRaw && !bytes.Equal(e.Raw, want[n].Raw) {
				t.Fatalf("%+v: entry %d is commit %d, position %d", q, n, e.Commit, e.Pos)
			}
			n++
		}
		if n != len(want) {
			t.Errorf("%+v: %d entries, not %d", q, n, len(want))
		}
	}
	check(store.Query{}, want)
	check(store.Query{WithoutRaw: true}, want)
	check(store.Query{After: store.Cursor{Commit: 2, Pos: 3}, Limit: 50}, want[34+4:34+4+50])
	slices.Reverse(want)
	check(store.Query{Descending: true}, want)
}

// A reader in another process keeps the files that it reads; one that is dead
// does not.
func TestPins(t *testing.T) {
	dir := t.TempDir()
	l := openWith(t, dir, lake.Options{})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	commit(t, l, store.Batch{Entries: e.Operation()})
	r, err := lake.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	hot := filepath.Join(dir, r.Files()[0].Path)
	if err := os.WriteFile(filepath.Join(dir, lake.PinsDir, "dead"), []byte("00000000000000000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	compact(t, l, true)
	if n := len(all(t, r, store.Query{})); n != 3 {
		t.Errorf("%d events, not 3", n)
	}
	if _, err := os.Stat(filepath.Join(dir, lake.PinsDir, "dead")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the pin of a dead process: %v", err)
	}
	compact(t, l, true)
	if _, err := os.Stat(hot); err != nil {
		t.Errorf("what is pinned: %v", err)
	}
	// A scan that is under way holds what it began with.
	m, release := r.Pin()
	if err := r.Refresh(); err != nil || r.Manifest().Number != 2 || m.Number != 1 {
		t.Fatalf("refreshed to %d, pinned %d: %v", r.Manifest().Number, m.Number, err)
	}
	compact(t, l, true)
	if _, err := os.Stat(hot); err != nil {
		t.Errorf("what a scan has pinned: %v", err)
	}
	release()
	if err := r.Refresh(); err != nil {
		t.Fatal(err)
	}
	compact(t, l, true)
	if _, err := os.Stat(hot); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what nobody reads: %v", err)
	}
	if n := len(all(t, r, store.Query{})); n != 3 {
		t.Errorf("%d events, not 3", n)
	}
}

// What is removed and pinned outlasts a restart, and goes with the pin.
func TestPinnedOverARestart(t *testing.T) {
	dir := t.TempDir()
	l := openWith(t, dir, lake.Options{})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	commit(t, l, store.Batch{Entries: e.Operation()})
	r, err := lake.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	hot := filepath.Join(dir, r.Files()[0].Path)
	compact(t, l, true)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openWith(t, dir, lake.Options{})
	if n := len(all(t, r, store.Query{})); n != 3 {
		t.Errorf("%d events, not 3", n)
	}
	r.Close()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	openWith(t, dir, lake.Options{})
	if _, err := os.Stat(hot); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what nobody reads: %v", err)
	}
}

// A segment that was changed gets no new digest; everything else goes on.
func TestCompactionRefusesDamage(t *testing.T) {
	dir := t.TempDir()
	l := openWith(t, dir, lake.Options{})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	commit(t, l, store.Batch{Entries: e.Operation()})
	path := filepath.Join(dir, l.Files()[0].Path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = l.Compact(t.Context(), true, func(put func(uint64) error) error { return put(0) })
	wantHint(t, err, lake.ErrCorrupt)
	if !strings.Contains(err.Error(), l.Files()[0].Path) {
		t.Errorf("error names no file: %v", err)
	}
	commit(t, l, store.Batch{Entries: e.Operation()})
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, damaged) || l.Manifest().Number != 2 {
		t.Errorf("the evidence is gone (%v)", err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if done := compact(t, l, true); done.Rows != 6 {
		t.Errorf("compacted %+v", done)
	}
}

// On a full disk a compaction fails with the hint to make room, commits go on,
// and what it wrote does not stay.
func TestCompactionOnAFullDisk(t *testing.T) {
	const uid = "33333333-3333-7333-8333-333333333333"
	dir := t.TempDir()
	var next []string
	l := openWith(t, dir, lake.Options{NewUID: func() string {
		if len(next) == 0 {
			return storetest.NewUID()
		}
		u := next[0]
		next = next[1:]
		return u
	}})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	start := e.Start()
	commit(t, l, store.Batch{Entries: append(e.Operation(), start)})
	// What is written to /dev/full meets a full disk: here the second file.
	full := filepath.Join(dir, lake.Partition{ClassUID: 6003, Tenant: "acme", Day: lake.Day(storetest.Start)}.Dir("local"))
	if err := os.MkdirAll(full, 0o750); err != nil {
		t.Fatal(err)
	}
	full = filepath.Join(full, uid+".parquet.tmp")
	if err := os.Symlink("/dev/full", full); err != nil {
		t.Fatal(err)
	}
	next = []string{storetest.NewUID(), storetest.NewUID(), uid} // spill, first, second
	_, err := l.Compact(t.Context(), true, func(put func(uint64) error) error { return put(0) })
	wantHint(t, err, syscall.ENOSPC)
	commit(t, l, store.Batch{Entries: e.Operation()})
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if done := compact(t, l, true); done.Rows != 7 {
		t.Errorf("with room again: %+v", done)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	derive(t, dir)
}

// The directory is marked before there is anything in it that older programs
// do not know.
func TestUpgradeComesFirst(t *testing.T) {
	refused := errors.New("not now")
	calls := 0
	l := openWith(t, t.TempDir(), lake.Options{Upgrade: func() error {
		if calls++; calls == 1 {
			return refused
		}
		return nil
	}})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	commit(t, l, store.Batch{Entries: e.Operation()})
	if calls != 0 {
		t.Error("a commit is no news")
	}
	_, err := l.Compact(t.Context(), true, func(put func(uint64) error) error { return put(0) })
	if !errors.Is(err, refused) || l.Manifest().Number != 1 {
		t.Errorf("statement %d: %v", l.Manifest().Number, err)
	}
	if done := compact(t, l, true); done.Number != 2 || calls != 2 {
		t.Errorf("compacted %+v after %d calls", done, calls)
	}
}

func TestRuns(t *testing.T) {
	file := func(path string, first, last uint64) lake.File {
		return lake.File{Path: path, FirstCommit: first, LastCommit: last}
	}
	var got []string
	for run := range lake.Runs([]lake.File{file("a", 1, 3), file("b", 2, 2), file("c", 3, 5), file("d", 6, 6), file("e", 8, 9), file("f", 8, 8)}) {
		names := ""
		for _, f := range run {
			names += f.Path
		}
		got = append(got, names)
	}
	if d := cmp.Diff([]string{"abc", "d", "ef"}, got); d != "" {
		t.Errorf("runs (-want +got):\n%s", d)
	}
}
