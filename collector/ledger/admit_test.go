// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A site is a ledger that was stopped, with the statements it is of.
type site struct {
	t      *testing.T
	dir    string
	stated int
}

// made is what a site begins with. It is made once, as each statement waits for a
// checkpoint; tests take copies.
var made struct {
	once sync.Once
	dir  string
}

// newSite returns one of five statements.
func newSite(t *testing.T) *site {
	t.Helper()
	made.once.Do(func() {
		dir, err := os.MkdirTemp("", "docket-ledger-")
		if err != nil {
			t.Fatal(err)
		}
		made.dir = dir
		newSiteIn(t, filepath.Join(dir, "data"), statement)
	})
	s := &site{t: t, dir: t.TempDir(), stated: 5}
	if err := os.CopyFS(s.dir, os.DirFS(filepath.Join(made.dir, "data"))); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) path(elem ...string) string { return filepath.Join(append([]string{s.dir}, elem...)...) }

func (s *site) statements() iter.Seq2[[]byte, error] {
	return stated(s.stated)
}

func (s *site) open(adopt bool) (*Ledger, error) {
	k, err := OpenKey(s.path("keys", "ledger.key"), s.path("keys", "ledger.vkey"))
	if err != nil {
		return nil, err
	}
	return Open(s.t.Context(), s.path("ledger"), k, Options{Statements: s.statements(), Kept: s.path("keys", "ledger.checkpoint"), Adopt: adopt})
}

func (s *site) close(l *Ledger) {
	s.t.Helper()
	if err := l.Close(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) remove(elem ...string) {
	s.t.Helper()
	if err := os.RemoveAll(s.path(elem...)); err != nil {
		s.t.Fatal(err)
	}
}

// files returns what lies in the ledger, to see that nothing was signed.
func (s *site) files() map[string]string {
	m := map[string]string{}
	_ = filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			m[path] = string(b)
		}
		return nil
	})
	return m
}

// TestNothingIsSignedOver changes and removes what takes no key, and starts: the
// key must not be lent to it.
func TestNothingIsSignedOver(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(*site)
		want error
		what string
	}{
		"ledger and statements gone":      {func(s *site) { s.remove("ledger"); s.stated = 3 }, ErrGone, "there are 3 statements"},
		"ledger gone":                     {func(s *site) { s.remove("ledger") }, ErrGone, "there are 5 statements"},
		"checkpoint gone":                 {func(s *site) { s.remove("ledger", "checkpoint") }, ErrGone, "there are 5 statements"},
		"all but the keys gone":           {func(s *site) { s.remove("ledger"); s.stated = 0 }, ErrGone, "its last checkpoint"},
		"all but the public key gone":     {func(s *site) { s.remove("ledger"); s.remove("keys", "ledger.checkpoint"); s.stated = 0 }, ErrGone, "its public key"},
		"all but the tiles gone":          {func(s *site) { s.remove("ledger", "checkpoint"); s.remove("keys"); s.stated = 0 }, ErrGone, "its tiles"},
		"the keys gone":                   {func(s *site) { s.remove("keys") }, ErrKeyLost, ""},
		"keys and ledger gone":            {func(s *site) { s.remove("keys"); s.remove("ledger") }, ErrGone, "there are 5 statements"},
		"statements gone":                 {func(s *site) { s.stated = 3 }, ErrContradicted, "statement 4 is gone"},
		"statements that nobody added":    {func(s *site) { s.stated = 7 }, ErrContradicted, "statements 6 to 7"},
		"a statement of a stranger":       {func(s *site) { s.swap(2) }, ErrContradicted, "statement 3 is not the one"},
		"a ledger of yesterday":           {func(s *site) { s.rollBack() }, ErrContradicted, "the ledger has 3"},
		"a state behind the checkpoint":   {func(s *site) { s.rollBackState() }, ErrContradicted, "is of 3 leaves"},
		"a kept checkpoint of a stranger": {func(s *site) { s.write("nonsense\n", "keys", "ledger.checkpoint") }, ErrContradicted, "kept checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			test.do(s)
			before := s.files()
			l, err := s.open(false)
			var hinted *Error
			if !errors.Is(err, test.want) || !errors.As(err, &hinted) || hinted.Hint() == "" || !strings.Contains(err.Error(), test.what) {
				t.Fatalf("Open: %v", err)
			}
			if l != nil {
				t.Fatal("a ledger beside an error")
			}
			after := s.files()
			for path, b := range after {
				if before[path] != b {
					t.Errorf("%s was written", path)
				}
			}
		})
	}
}

// swap makes statement i another one, of the same size, in the tiles of leaves
// that Open compares with the statements.
func (s *site) swap(i int) {
	s.t.Helper()
	other := newSiteIn(s.t, s.t.TempDir(), func(j int) []byte {
		if j == i {
			return []byte("a stranger's")
		}
		return statement(j)
	})
	for _, part := range []string{"ledger", "keys"} {
		s.remove(part)
		if err := os.CopyFS(s.path(part), os.DirFS(other.path(part))); err != nil {
			s.t.Fatal(err)
		}
	}
}

// newSiteIn makes one of five statements in a directory that is empty.
func newSiteIn(t *testing.T, dir string, statement func(int) []byte) *site {
	t.Helper()
	s := &site{t: t, dir: dir}
	l, err := s.open(false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := l.Add(t.Context(), statement(i)); err != nil {
			t.Fatal(err)
		}
	}
	s.close(l)
	return s
}

func (s *site) write(text string, elem ...string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(elem...), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// rollBack puts ledger and statements back to what they were, and forgets to
// put back the checkpoint that is kept elsewhere.
func (s *site) rollBack() {
	s.t.Helper()
	kept, err := os.ReadFile(s.path("keys", "ledger.checkpoint"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.remove("ledger")
	s.remove("keys", "ledger.checkpoint")
	s.remove("keys", "ledger.vkey")
	s.stated = 0
	l, err := s.open(false)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range 3 {
		if err := l.Add(s.t.Context(), statement(i)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.close(l)
	s.stated = 3
	s.write(string(kept), "keys", "ledger.checkpoint")
}

func (s *site) rollBackState() {
	s.t.Helper()
	old := &site{t: s.t, dir: s.t.TempDir()}
	if err := os.CopyFS(old.path("keys"), os.DirFS(s.path("keys"))); err != nil {
		s.t.Fatal(err)
	}
	old.rollBack()
	state, err := os.ReadFile(old.path("ledger", filepath.FromSlash(statePath)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(string(state), "ledger", filepath.FromSlash(statePath))
	s.stated = 3
}

func TestCrashedStatementIsAdded(t *testing.T) {
	s := newSite(t)
	s.stated = 6
	l, err := s.open(false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close(l)
	if n, err := l.Ensure(t.Context(), stated(6)); n != 1 || err != nil {
		t.Fatalf("Ensure: %d, %v", n, err)
	}
	if _, err := l.Ensure(t.Context(), stated(8)); !errors.Is(err, ErrContradicted) {
		t.Fatalf("Ensure of two more: %v", err)
	}
	if l.Adopted() != nil {
		t.Error("adopted what was ours")
	}
}

func TestAdopt(t *testing.T) {
	s := newSite(t)
	s.remove("ledger")
	s.stated = 3
	l, err := s.open(true)
	if err != nil {
		t.Fatal(err)
	}
	a := l.Adopted()
	if a == nil || !errors.Is(a.Reason, ErrGone) || a.Statements != 3 || len(a.Aside) != 1 {
		t.Fatalf("adopted %+v", a)
	}
	s.close(l)
	k := newKey(t, s.dir)
	if log := checkLog(t, s.path("ledger"), k); !slices.Equal(log.Leaves, digests(3)) {
		t.Errorf("%d leaves", len(log.Leaves))
	}
	// It is asked for once; with it, what is whole stays as it is.
	for _, adopt := range []bool{false, true} {
		if l, err = s.open(adopt); err != nil || l.Adopted() != nil {
			t.Fatalf("afterwards: %v, %v", l, err)
		}
		s.close(l)
	}
	s.stated = 2
	if l, err = s.open(true); err != nil || !errors.Is(l.Adopted().Reason, ErrContradicted) || len(l.Adopted().Aside) != 2 {
		t.Fatalf("the second time: %v", err)
	}
	s.close(l)
}
