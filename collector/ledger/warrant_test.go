// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/docket-audit/docket/collector/ledger/proof"
)

// sixth takes events away.
func sixth(b []byte) (bool, error) {
	if bytes.Equal(b, []byte("broken")) {
		return false, errors.New("no statement")
	}
	return bytes.Equal(b, statement(5)), nil
}

func (s *site) openWarranted(adopt bool) (*Ledger, error) {
	return Open(s.t.Context(), s.path("ledger"), newKey(s.t, s.dir), Options{
		Statements: s.statements(), Kept: s.path("keys", "ledger.checkpoint"), Removes: sixth, Warrants: s.path("keys", "ledger.warrant"), Adopt: adopt,
	})
}

// A statement that takes events away is signed for by the key's own word only, in
// whatever way it comes to the ledger.
func TestNothingLeavesWithoutAWarrant(t *testing.T) {
	s := newSite(t)
	l, err := s.openWarranted(false)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Add(t.Context(), statement(5)); !errors.Is(err, ErrNoWarrant) {
		t.Errorf("Add: %v", err)
	}
	if err := l.Add(t.Context(), []byte("broken")); err == nil {
		t.Error("what is no statement was added")
	}
	n, err := l.Ensure(t.Context(), stated(6))
	var hinted *Error
	if n != 0 || !errors.Is(err, ErrNoWarrant) || !errors.As(err, &hinted) || hinted.Hint() == "" {
		t.Errorf("Ensure: %d, %v", n, err)
	}
	if err := l.Warrant([]byte("another")); err != nil {
		t.Fatal(err)
	}
	if err := l.Add(t.Context(), statement(5)); !errors.Is(err, ErrNoWarrant) {
		t.Errorf("Add with the warrant of another: %v", err)
	}
	s.close(l)
	if err := l.Warrant(statement(5)); !errors.Is(err, ErrClosed) {
		t.Errorf("Warrant of a closed ledger: %v", err)
	}
	s.stated = 6
	before := s.files()
	l, err = s.openWarranted(false)
	if l != nil || !errors.Is(err, ErrNoWarrant) || errors.Is(err, ErrContradicted) || !errors.As(err, &hinted) || hinted.Hint() == "" || !strings.Contains(err.Error(), "statement 6") {
		t.Fatalf("Open: %v", err)
	}
	for path, b := range s.files() {
		if before[path] != b {
			t.Errorf("%s was written", path)
		}
	}
	if log := checkLog(t, s.path("ledger"), newKey(t, s.dir)); !slices.Equal(log.Leaves, digests(5)) {
		t.Errorf("%d leaves", len(log.Leaves))
	}
	// A human may decide otherwise.
	if l, err = s.openWarranted(true); err != nil || l.Adopted() == nil || !errors.Is(l.Adopted().Reason, ErrNoWarrant) {
		t.Fatalf("adopted: %v", err)
	}
	s.close(l)
}

// With a warrant it is made up for like any other, at once and after a start.
func TestWarrantOutlastsACrash(t *testing.T) {
	for _, again := range []bool{false, true} {
		s := newSite(t)
		l, err := s.openWarranted(false)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Warrant(statement(5)); err != nil {
			t.Fatal(err)
		}
		s.stated = 6
		if again {
			s.close(l)
			if l, err = s.openWarranted(false); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := l.Ensure(t.Context(), stated(6)); n != 1 || err != nil {
			t.Errorf("Ensure: %d, %v", n, err)
		}
		if err := l.Add(t.Context(), statement(6)); err != nil {
			t.Error(err)
		}
		s.close(l)
		s.remove("keys", "ledger.warrant") // it is of no more use
		s.stated = 7
		if l, err = s.openWarranted(false); err != nil {
			t.Fatal(err)
		}
		s.close(l)
	}
}

// A leaf that nobody has signed for takes no key: the next start would sign it.
func TestUnsignedLeafOfARemoval(t *testing.T) {
	for _, warranted := range []bool{false, true} {
		s := newSite(t)
		old := map[string]string{}
		for _, path := range []string{s.path("ledger", "checkpoint"), s.path("keys", "ledger.checkpoint")} {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			old[path] = string(b)
		}
		l, err := s.openWarranted(false)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Warrant(statement(5)); err != nil {
			t.Fatal(err)
		}
		if err := l.Add(t.Context(), statement(5)); err != nil {
			t.Fatal(err)
		}
		s.close(l)
		s.stated = 6
		for path, b := range old {
			if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if !warranted {
			s.remove("keys", "ledger.warrant")
		}
		l, err = s.openWarranted(false)
		if !warranted {
			if l != nil || !errors.Is(err, ErrNoWarrant) || !errors.Is(err, ErrContradicted) {
				t.Fatalf("Open: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s.close(l)
		if log := checkLog(t, s.path("ledger"), newKey(t, s.dir)); log.Checkpoint.Size != 6 {
			t.Errorf("%d are signed for", log.Checkpoint.Size)
		}
	}
}

// A warrant is for one statement, by one key, and is nothing else; nor is anything
// else a warrant.
func TestOpenWarrant(t *testing.T) {
	dir := t.TempDir()
	k, other := newKey(t, dir), newKey(t, t.TempDir())
	path := filepath.Join(dir, "keys", "ledger.warrant")
	l, err := Open(t.Context(), filepath.Join(dir, "ledger"), k, Options{Warrants: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close(context.Background()) }()
	if err := l.Warrant(statement(5)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if digest, err := OpenWarrant(raw, k.Verifier()); err != nil || digest != sha256.Sum256(statement(5)) {
		t.Errorf("%x, %v", digest, err)
	}
	if _, err := OpenWarrant(raw, other.Verifier()); err == nil {
		t.Error("it holds under another key")
	}
	if cp, err := proof.OpenCheckpoint(raw, k.Verifier()); err == nil {
		t.Errorf("it is a checkpoint: %+v", cp)
	}
	cp, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWarrant(cp, k.Verifier()); err == nil {
		t.Error("a checkpoint is a warrant")
	}
	good := warrantText(k.Origin(), sha256.Sum256(statement(5)))
	for _, text := range []string{
		strings.Replace(good, "leave", "stay", 1), good + "more\n", strings.ToUpper(good), strings.Replace(good, "statement ", "statement 00", 1),
		warrantText(other.Origin(), sha256.Sum256(statement(5))),
	} {
		signed, err := note.Sign(&note.Note{Text: text}, k.signer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenWarrant(signed, k.Verifier()); err == nil {
			t.Errorf("%q is a warrant", text)
		}
	}
	// The last letters of a signature have bits that a decoder passes over; whether
	// they matter depends on the letter, so many are signed.
	for n := range 30 {
		signed, err := note.Sign(&note.Note{Text: warrantText(k.Origin(), sha256.Sum256(statement(n)))}, k.signer)
		if err != nil {
			t.Fatal(err)
		}
		for i := range signed {
			changed := bytes.Clone(signed)
			changed[i] ^= 1
			if digest, err := OpenWarrant(changed, k.Verifier()); err == nil {
				t.Errorf("with byte %d of %q changed it is one of %x", i, signed, digest)
			}
		}
	}
}
