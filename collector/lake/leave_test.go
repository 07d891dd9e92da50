// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

const dayMS = 24 * 60 * 60 * 1000

func atOnce(put func(uint64) error) error { return put(0) }

func policy(t *testing.T, period string, rules ...string) retention.Policy {
	t.Helper()
	p, err := retention.ParsePolicy(period, rules...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func subject(t *testing.T, s string) retention.Subject {
	t.Helper()
	who, err := retention.ParseSubject(s)
	if err != nil {
		t.Fatal(err)
	}
	return who
}

func erase(t *testing.T, l *lake.Lake, e retention.Erasure, holds ...retention.Hold) retention.Left {
	t.Helper()
	done, err := l.Erase(t.Context(), e, holds, atOnce, func(retention.Left) {})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func expire(t *testing.T, l *lake.Lake, terms retention.Terms) retention.Left {
	t.Helper()
	done, err := l.Expire(t.Context(), terms, atOnce)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// wantStubs looks that each entry that was stored is either there, or a stub
// stands for it, and never both.
func wantStubs(t *testing.T, l *lake.Lake, stored []store.Entry) {
	t.Helper()
	left := map[store.Cursor]lake.Stub{}
	for _, f := range l.Manifest().Stubs {
		stubs, err := lake.ReadStubs(t.Context(), l.Dir(), f.Path)
		if err != nil || int64(len(stubs)) != f.Count {
			t.Fatalf("%s: %d stubs, %v", f.Path, len(stubs), err)
		}
		for _, s := range stubs {
			left[store.Cursor{Commit: s.Commit, Pos: s.Pos}] = s
		}
	}
	here := map[store.Cursor]store.Entry{}
	for _, e := range all(t, l, store.Query{}) {
		here[store.Cursor{Commit: e.Commit, Pos: e.Pos}] = e
	}
	for _, e := range stored {
		at, h := store.Cursor{Commit: e.Commit, Pos: e.Pos}, e.Header
		s, gone := left[at]
		row, there := here[at]
		want := lake.Stub{h.Epoch, h.Sequence, h.Kind, h.ClassUID, h.Tenant, h.Time, h.Fingerprint, e.Commit, e.Pos, ""}
		if gone == there || there && !bytes.Equal(row.Raw, e.Raw) || gone && s != want {
			t.Errorf("%v: stub %+v, row %v", at, s, there)
		}
	}
	if len(left)+len(here) != len(stored) {
		t.Errorf("%d stubs, %d rows, stored were %d", len(left), len(here), len(stored))
	}
}

// Events leave when their day and their commit are as long ago as their rule
// says, whole files as they are; a hold keeps what it is about.
func TestExpire(t *testing.T) {
	now := time.UnixMilli(storetest.Start)
	l := openWith(t, t.TempDir(), lake.Options{Now: func() time.Time { return now }})
	acme, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "other", "gateway-0")
	var stored []store.Entry
	for range 3 {
		stored = append(stored, commit(t, l, store.Batch{Entries: slices.Concat([]store.Entry{acme.Start()}, acme.Operation(), other.Operation())}).Added...)
		acme.Time, other.Time, now = acme.Time+dayMS, other.Time+dayMS, now.Add(24*time.Hour)
	}
	keep := policy(t, "400d", "tenant=acme 30d", "tenant=acme class=application_lifecycle 40d", "class=http_activity 1d")
	at := func(days int64) retention.Terms {
		return retention.Terms{Policy: keep, Now: time.UnixMilli(storetest.Start/dayMS*dayMS + days*dayMS)}
	}
	if done := expire(t, l, at(9999)); done != (retention.Left{}) {
		t.Errorf("hot events expired: %+v", done)
	}
	compact(t, l, true)
	if done := expire(t, l, at(30)); done != (retention.Left{}) {
		t.Errorf("before their time: %+v", done)
	}
	// The first day is over 31 days after it began.
	if done := expire(t, l, at(31)); done.Rows != 3 || done.Removed != 1 || done.Rewritten != 0 {
		t.Errorf("the first day: %+v", done)
	}
	wantStubs(t, l, stored)
	hold := retention.Hold{ID: "1", Selection: retention.Selection{Tenant: "acme", Subject: subject(t, "user:user-3")}}
	terms := at(60)
	terms.Holds = []retention.Hold{hold}
	done := expire(t, l, terms)
	if done.Held == 0 || done.Rewritten == 0 {
		t.Errorf("with a hold: %+v", done)
	}
	wantStubs(t, l, stored)
	for _, e := range all(t, l, store.Query{Tenant: "acme"}) {
		if e.Header.Principal != "user-3" {
			t.Errorf("an event of %s is still there", e.Header.Principal)
		}
	}
	for range 2 {
		if again := expire(t, l, terms); again.Number != 0 || again.Held != done.Held {
			t.Errorf("again: %+v", again)
		}
	}
	terms.Holds = nil
	if rest := expire(t, l, terms); rest.Rows != done.Held || rest.Rewritten != 0 {
		t.Errorf("without the hold: %+v", rest)
	}
	if n := len(all(t, l, store.Query{Tenant: "acme"})); n != 0 {
		t.Errorf("%d events of acme are still there", n)
	}
	if n := len(all(t, l, store.Query{Tenant: "other"})); n != 9 {
		t.Errorf("%d events of the other, not 9", n)
	}
	wantStubs(t, l, stored)
	expired, erased := l.Manifest().Left()
	if expired != 12 || erased != 0 {
		t.Errorf("%d expired, %d erased", expired, erased)
	}
	// What is there once stays known: nothing comes twice.
	if c := commit(t, l, store.Batch{Entries: stored}); c.Duplicates != len(stored) || c.Number != 0 {
		t.Errorf("sent again: %d duplicates of %d, %d conflicts", c.Duplicates, len(stored), len(c.Conflicts))
	}
	// Of acme not even the directories are left.
	if _, err := os.Stat(filepath.Join(l.Dir(), "api_activity", "region=local", "accountId=acme")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of acme: %v", err)
	}
}

// What came late is kept as long as what did not.
func TestLateIsKept(t *testing.T) {
	now := time.UnixMilli(storetest.Start).Add(1000 * 24 * time.Hour)
	l := openWith(t, t.TempDir(), lake.Options{Now: func() time.Time { return now }})
	commit(t, l, store.Batch{Entries: storetest.NewEpoch(t, "acme", "gateway-0").Operation()})
	compact(t, l, true)
	keep := policy(t, "30d")
	if done := expire(t, l, retention.Terms{Policy: keep, Now: now.Add(29 * 24 * time.Hour)}); done.Number != 0 {
		t.Errorf("a day too early: %+v", done)
	}
	if done := expire(t, l, retention.Terms{Policy: keep, Now: now.Add(30 * 24 * time.Hour)}); done.Rows != 3 {
		t.Errorf("when its time is over: %+v", done)
	}
}

// named returns the files below a directory that have a text, in their bytes or
// in the events of their rows.
func named(t *testing.T, dir, text string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(full)
		if err != nil {
			return err
		}
		has := bytes.Contains(b, []byte(text))
		path, err := filepath.Rel(dir, full)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".parquet") && !strings.HasPrefix(path, lake.StubsDir) {
			for e, err := range lake.ReadSegment(t.Context(), dir, path) {
				if err != nil {
					return err
				}
				has = has || strings.Contains(fmt.Sprintf("%s %+v", e.Raw, e.Header), text)
			}
		}
		if has {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// After an erasure no file of the lake has the bytes, once nobody reads them;
// what is under a hold stays, and all others' events stay as they are.
func TestErase(t *testing.T) {
	dir := t.TempDir()
	l := openWith(t, dir, lake.Options{})
	acme, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "other", "gateway-0")
	var stored []store.Entry
	for range 4 {
		stored = append(stored, commit(t, l, store.Batch{Entries: slices.Concat(acme.Operation(), other.Operation())}).Added...)
		acme.Time += dayMS
	}
	compact(t, l, true)
	who := retention.Erasure{Selection: retention.Selection{Subject: subject(t, "user:user-3")}, Reference: "ticket 7", By: "root"}
	dry := who
	dry.DryRun = true
	number := l.Manifest().Number
	would := erase(t, l, dry)
	if would.Rows == 0 || would.Number != 0 || l.Manifest().Number != number {
		t.Errorf("dry run: %+v", would)
	}
	hold := retention.Hold{ID: "1", Selection: retention.Selection{Tenant: "other", Until: storetest.Start + dayMS}}
	part := erase(t, l, who, hold)
	if part.Held == 0 || part.Rows == 0 || part.Held+part.Rows != would.Rows {
		t.Errorf("under a hold %+v, would be %+v", part, would)
	}
	wantStubs(t, l, stored)
	r, err := lake.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	before := len(all(t, r, store.Query{}))
	if rest := erase(t, l, who); rest.Rows != part.Held || rest.Held != 0 {
		t.Errorf("without it %+v", rest)
	}
	if n := len(all(t, r, store.Query{})); n != before {
		t.Errorf("who reads has %d events, had %d", n, before)
	}
	if len(named(t, dir, "user-3")) == 0 {
		t.Error("what is read was deleted")
	}
	r.Close()
	compact(t, l, true)
	if files := named(t, dir, "user-3"); len(files) > 0 {
		t.Errorf("they are still in %v", files)
	}
	wantStubs(t, l, stored)
	if again := erase(t, l, who); again != (retention.Left{}) {
		t.Errorf("again: %+v", again)
	}
	b, err := lake.ReadStatement(dir, l.Manifest().Number)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := lake.ParseStatement(b); err != nil || s.Reference != "ticket 7" || s.By != "root" || s.Removed[0].Reason != lake.ReasonErasure {
		t.Errorf("statement %+v, %v", s, err)
	}
	// Look-ups by the new files' indexes find what stayed, and nothing else.
	found := 0
	for _, e := range stored {
		found += len(all(t, l, store.Query{Event: e.Header.MetadataUID}))
	}
	if int64(found) != int64(len(stored))-would.Rows {
		t.Errorf("%d events found by their uids, not %d", found, int64(len(stored))-would.Rows)
	}
}

var errKilled = errors.New("killed")

// An erasure or a retention that is ended at any of its points is done by the
// next one: nothing is lost, nothing is there twice, and no debris stays.
func TestKilledWhileLeaving(t *testing.T) {
	for _, restart := range []bool{true, false} {
		for n := rand.IntN(slower); ; n += slower {
			dir := t.TempDir()
			left, points := -1, []string{}
			options := lake.Options{Fault: func(point string) error {
				if left == 0 {
					return errKilled // and for all that comes after it, as for a process that is gone
				}
				if left > 0 {
					left--
					points = append(points, point)
				}
				return nil
			}}
			l, err := lake.Open(dir, options)
			if err != nil {
				t.Fatal(err)
			}
			e, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "other", "gateway-0")
			stored := commit(t, l, store.Batch{Entries: slices.Concat(e.Operation(), e.Operation(), other.Operation())}).Added
			compact(t, l, true)
			who := retention.Erasure{Selection: retention.Selection{Subject: subject(t, "user:user-3")}}
			terms := retention.Terms{Policy: policy(t, "", "tenant=other 1d"), Now: time.Now().Add(1000 * 24 * time.Hour)}
			left = n
			_, err1 := l.Erase(t.Context(), who, nil, atOnce, func(retention.Left) {})
			_, err2 := l.Expire(t.Context(), terms, atOnce)
			killed := err1 != nil || err2 != nil
			if killed && !errors.Is(errors.Join(err1, err2), errKilled) {
				t.Fatal(err1, err2)
			}
			left = -1
			if restart {
				_ = l.Close()
				if l, err = lake.Open(dir, options); err != nil {
					t.Fatal(err)
				}
			}
			stored = append(stored, commit(t, l, store.Batch{Entries: e.Operation(), StreamSeq: 9}).Added...)
			wantStubs(t, l, stored)
			compact(t, l, true)
			erase(t, l, who)
			expire(t, l, terms)
			wantStubs(t, l, stored)
			if files := named(t, dir, "user-3"); len(files) > 0 {
				t.Errorf("restart %v, point %d: still in %v", restart, n, files)
			}
			if expired, erased := l.Manifest().Left(); expired+erased < 4 {
				t.Errorf("%d expired, %d erased", expired, erased)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			wantNoDebris(t, dir, l.Manifest())
			if !killed {
				for _, want := range []string{"public written", "stubs begin", "stubs written", "stubs renamed", "statement renamed", "remove begin"} {
					if !slices.Contains(points, want) {
						t.Errorf("point %q was never reached", want)
					}
				}
				break
			}
		}
	}
}

// wantNoDebris looks that every segment and every file of stubs is one of the
// manifest.
func wantNoDebris(t *testing.T, dir string, m *lake.Manifest) {
	t.Helper()
	known := map[string]bool{}
	for _, f := range m.Files {
		known[f.Path] = true
	}
	for _, f := range m.Stubs {
		known[f.Path] = true
	}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(path, ".parquet") && !strings.HasPrefix(path, lake.IndexDir) && !known[path] {
			t.Errorf("debris: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A file that is damaged is not rewritten, nor taken away: that would be the end
// of the evidence.
func TestDamagedDoesNotLeave(t *testing.T) {
	dir := t.TempDir()
	l := openWith(t, dir, lake.Options{})
	commit(t, l, store.Batch{Entries: storetest.NewEpoch(t, "acme", "gateway-0").Operation()})
	compact(t, l, true)
	path := filepath.Join(dir, l.Files()[0].Path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, selected := range []retention.Selection{{Tenant: "acme"}, {Subject: subject(t, "user:user-3")}} {
		if _, err := l.Erase(t.Context(), retention.Erasure{Selection: selected}, nil, atOnce, nil); !errors.Is(err, lake.ErrCorrupt) {
			t.Errorf("erase %+v: %v", selected, err)
		}
	}
	if _, err := l.Expire(t.Context(), retention.Terms{Now: time.Now().Add(10000 * 24 * time.Hour)}, atOnce); !errors.Is(err, lake.ErrCorrupt) {
		t.Errorf("expire: %v", err)
	}
}

// What no statement may say of stubs is refused, whoever says it.
func TestStubsOfStatements(t *testing.T) {
	l := openWith(t, t.TempDir(), lake.Options{})
	commit(t, l, store.Batch{Entries: storetest.NewEpoch(t, "acme", "gateway-0").Operation()})
	compact(t, l, true)
	erase(t, l, retention.Erasure{Selection: retention.Selection{Tenant: "acme"}})
	for name, change := range map[string]func(*lake.Statement){
		"no rows leave by it":       func(s *lake.Statement) { s.Removed = s.Removed[:0] },
		"removes files for erasure": func(s *lake.Statement) { s.Stubs[0].Reason = lake.ReasonRetention },
		"lie in another place":      func(s *lake.Statement) { s.Stubs[0].Path = "_hot/x.parquet" },
		"is of 0 rows":              func(s *lake.Statement) { s.Stubs[0].Count = 0 },
		"commits 1 to 4":            func(s *lake.Statement) { s.Stubs[0].LastCommit = 4 },
		"for a reason that is none": func(s *lake.Statement) { s.Removed[0].Reason = "x" },
	} {
		_, err := lake.Fold(func(yield func([]byte, error) bool) {
			for b, err := range lake.Statements(l.Dir(), 1) {
				if err != nil {
					t.Fatal(err)
				}
				s, err := lake.ParseStatement(b)
				if err != nil {
					t.Fatal(err)
				}
				if s.Number == 3 {
					change(s)
				}
				if b, err = s.Encode(); err != nil || !yield(b, nil) {
					return
				}
			}
		})
		if !errors.Is(err, lake.ErrCorrupt) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
