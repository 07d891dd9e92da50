// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// erased makes a lake of which the last statement, number 3, is an erasure, whose
// files are still there, as somebody reads them.
func erased(t *testing.T, dir string) (stored []store.Entry) {
	t.Helper()
	l := openWith(t, dir, lake.Options{})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	stored = commit(t, l, store.Batch{Entries: slices.Concat(e.Operation(), e.Operation())}).Added
	compact(t, l, true)
	_, release := l.Pin()
	if done := erase(t, l, retention.Erasure{Selection: retention.Selection{Subject: subject(t, "user:user-3")}}); done.Number != 3 || done.Rewritten == 0 {
		t.Fatalf("%+v", done)
	}
	// As killed: what is no longer of it stays.
	kept := t.TempDir()
	err := os.CopyFS(kept, os.DirFS(dir))
	for errors.Is(err, fs.ErrNotExist) { // an index got its name meanwhile
		kept = t.TempDir()
		err = os.CopyFS(kept, os.DirFS(dir))
	}
	if err != nil {
		t.Fatal(err)
	}
	release()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(kept, dir); err != nil {
		t.Fatal(err)
	}
	return stored
}

// A statement that is taken back has never been: all that it took away is there,
// and what it brought is not; whenever that is ended, it can be begun again.
func TestTakeBack(t *testing.T) {
	for n := 0; ; n++ {
		dir := filepath.Join(t.TempDir(), "lake")
		stored := erased(t, dir)
		left := n
		options := lake.Options{Fault: func(string) error {
			if left == 0 {
				return errKilled
			}
			left--
			return nil
		}}
		aside, err := lake.TakeBack(dir, 3, options)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		killed := err != nil
		if _, err := lake.ReadStatement(dir, 3); err == nil {
			if !killed {
				t.Error("the statement is still there")
			}
			if aside, err = lake.TakeBack(dir, 3, lake.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		if paths, err := lake.TakenBack(dir); err != nil || len(paths) != 1 || aside != "" && paths[0] != aside {
			t.Errorf("taken back %v, %q: %v", paths, aside, err)
		}
		l, err := lake.Open(dir, lake.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if l.Manifest().Number != 2 || l.Damaged() != nil {
			t.Errorf("statement %d, %v", l.Manifest().Number, l.Damaged())
		}
		wantStubs(t, l, stored)
		more := commit(t, l, store.Batch{Entries: storetest.NewEpoch(t, "acme", "gateway-1").Operation(), StreamSeq: 9})
		if more.Number != 3 {
			t.Errorf("the next has number %d", more.Number)
		}
		wantStubs(t, l, append(stored, more.Added...))
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wantNoDebris(t, dir, l.Manifest())
		if paths, err := lake.TakenBack(dir); err != nil || len(paths) != 1 {
			t.Errorf("in the end %v, %v", paths, err)
		}
		if !killed {
			if n < 5 {
				t.Errorf("only %d points", n)
			}
			break
		}
	}
}

// What took its files with it is not taken back, and stays as it is; nor is
// anything while somebody has the lake.
func TestNotTakenBack(t *testing.T) {
	for _, gone := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "lake")
		erased(t, dir)
		raw, err := lake.ReadStatement(dir, 3)
		if err != nil {
			t.Fatal(err)
		}
		s, err := lake.ParseStatement(raw)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(s.Removed[0].Path))
		if gone {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, []byte("another"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		var hinted *lake.Error
		if _, err := lake.TakeBack(dir, 3, lake.Options{}); !errors.Is(err, lake.ErrCorrupt) || !errors.As(err, &hinted) || hinted.Hint() == "" {
			t.Errorf("gone %v: %v", gone, err)
		}
		if b, err := lake.ReadStatement(dir, 3); err != nil || !bytes.Equal(b, raw) {
			t.Errorf("gone %v: the statement is %q, %v", gone, b, err)
		}
		if _, err := lake.TakeBack(dir, 4, lake.Options{}); err == nil {
			t.Error("one that is not there was taken back")
		}
		l, err := lake.Open(dir, lake.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lake.TakeBack(dir, 3, lake.Options{}); !errors.Is(err, lake.ErrLocked) {
			t.Errorf("of a lake in use: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Nothing leaves without a warrant, which comes before the statement; a compaction
// needs none.
func TestWarrants(t *testing.T) {
	dir := t.TempDir()
	refusal := errors.New("no room")
	var asked [][]byte
	answer := refusal
	l := openWith(t, dir, lake.Options{Warrant: func(b []byte) error {
		if _, err := lake.ReadStatement(dir, 3); err == nil {
			t.Error("the statement was there before")
		}
		asked = append(asked, b)
		return answer
	}})
	stored := commit(t, l, store.Batch{Entries: storetest.NewEpoch(t, "acme", "gateway-0").Operation()}).Added
	compact(t, l, true)
	if len(asked) > 0 {
		t.Error("a commit or a compaction needs a warrant")
	}
	terms := retention.Terms{Policy: policy(t, "1d"), Now: time.Now().Add(1000 * 24 * time.Hour)}
	if _, err := l.Expire(t.Context(), terms, atOnce); !errors.Is(err, refusal) {
		t.Errorf("without one: %v", err)
	}
	wantStubs(t, l, stored)
	if l.Manifest().Number != 2 {
		t.Errorf("statement %d", l.Manifest().Number)
	}
	answer = nil
	if done := expire(t, l, terms); done.Rows != int64(len(stored)) {
		t.Errorf("with one: %+v", done)
	}
	wantStubs(t, l, stored)
	raw, err := lake.ReadStatement(dir, 3)
	if err != nil || len(asked) != 2 || !bytes.Equal(asked[1], raw) {
		t.Errorf("%d were asked for, statement %q: %v", len(asked), raw, err)
	}
	for number, want := range map[uint64]bool{1: false, 2: false, 3: true} {
		b, err := lake.ReadStatement(dir, number)
		if err != nil {
			t.Fatal(err)
		}
		if removes, err := lake.Removes(b); removes != want || err != nil {
			t.Errorf("statement %d removes: %v, %v", number, removes, err)
		}
	}
	if _, err := lake.Removes([]byte("{}")); !errors.Is(err, lake.ErrCorrupt) {
		t.Errorf("what is no statement: %v", err)
	}
}

// What somebody else puts behind the last statement of a lake in use is not what it
// put, and makes room for the next one.
func TestStatementsOfOthers(t *testing.T) {
	dir := t.TempDir()
	l := openWith(t, dir, lake.Options{})
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	commit(t, l, store.Batch{Entries: e.Operation()})
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(lake.StatementPath(2))), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	statements := func() (all []string) {
		for b, err := range l.Statements(1) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(b))
		}
		return all
	}
	if n := len(statements()); n != 1 {
		t.Errorf("%d statements", n)
	}
	commit(t, l, store.Batch{Entries: e.Operation(), StreamSeq: 9})
	if all := statements(); len(all) != 2 || slices.Contains(all, "{}") {
		t.Errorf("statements %q", all)
	}
}
