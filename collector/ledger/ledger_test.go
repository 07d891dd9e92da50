// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/docket-audit/docket/collector/ledger/proof"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		victim(dir)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(made.dir)
		os.Exit(code)
	}))
}

// newKey makes a key in dir.
func newKey(t *testing.T, dir string) *Key {
	t.Helper()
	k, err := OpenKey(filepath.Join(dir, "keys", "ledger.key"), filepath.Join(dir, "keys", "ledger.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t *testing.T, dir string, k *Key) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), dir, k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func statement(i int) []byte { return fmt.Appendf(nil, `{"number":%d}`, i) }

// stated are the first n statements.
func stated(n int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i := range n {
			if !yield(statement(i), nil) {
				return
			}
		}
	}
}

func digests(n int) [][32]byte {
	var d [][32]byte
	for i := range n {
		d = append(d, sha256.Sum256(statement(i)))
	}
	return d
}

// checkLog re-reads the whole log, ours and tessera's way, and returns it.
func checkLog(t *testing.T, dir string, k *Key) *Log {
	t.Helper()
	log, problems, err := Read(t.Context(), dir, k.Verifier())
	if err != nil || len(problems) > 0 {
		t.Fatalf("Read: %v, problems %v", err, problems)
	}
	if !log.Trusted {
		t.Fatal("checkpoint is not trusted")
	}
	v, err := note.NewVerifier(k.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	hashes := func(bundle []byte) ([][]byte, error) {
		var b api.EntryBundle
		if err := b.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		var h [][]byte
		for _, e := range b.Entries {
			h = append(h, rfc6962.DefaultHasher.HashLeaf(e))
		}
		return h, nil
	}
	if log.Checkpoint.Size > 0 {
		if err := fsck.New(k.Origin(), v, client.FileFetcher{Root: dir}, hashes, fsck.Opts{}).Check(t.Context()); err != nil {
			t.Fatalf("tessera's fsck: %v", err)
		}
	}
	return log
}

func TestAddIsCoveredWhenItReturns(t *testing.T) {
	dir := t.TempDir()
	k := newKey(t, dir)
	l := open(t, filepath.Join(dir, "ledger"), k)
	for i := range 3 {
		if err := l.Add(t.Context(), statement(i)); err != nil {
			t.Fatal(err)
		}
		raw, err := l.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cp, err := proof.OpenCheckpoint(raw, k.Verifier())
		if err != nil || cp.Size < uint64(i+1) {
			t.Fatalf("checkpoint after statement %d: size %d, %v", i, cp.Size, err)
		}
	}
	log := checkLog(t, l.dir, k)
	if !slices.Equal(log.Leaves, digests(3)) {
		t.Fatalf("leaves %x", log.Leaves)
	}
}

func TestConcurrentAdds(t *testing.T) {
	dir := t.TempDir()
	k := newKey(t, dir)
	l := open(t, filepath.Join(dir, "ledger"), k)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := l.Add(t.Context(), statement(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	log := checkLog(t, l.dir, k)
	for _, d := range digests(20) {
		if !slices.Contains(log.Leaves, d) {
			t.Errorf("leaf %x is missing", d)
		}
	}
}

func TestReopenContinues(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger")
	for i := range 3 {
		l := open(t, path, newKey(t, dir))
		if err := l.Add(t.Context(), statement(i)); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Add(t.Context(), statement(i)); !errors.Is(err, ErrClosed) {
			t.Fatalf("Add after Close: %v", err)
		}
	}
	if log := checkLog(t, path, newKey(t, dir)); !slices.Equal(log.Leaves, digests(3)) {
		t.Fatalf("leaves %x", log.Leaves)
	}
}

func TestEnsureAddsOnlyWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	k := newKey(t, dir)
	l := open(t, filepath.Join(dir, "ledger"), k)
	if n, err := l.Ensure(t.Context(), stated(0)); n != 0 || err != nil {
		t.Fatalf("Ensure of nothing: %d, %v", n, err)
	}
	if err := l.Add(t.Context(), statement(0)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if n, err := l.Ensure(t.Context(), stated(2)); n != want || err != nil {
			t.Fatalf("Ensure: %d, %v; want %d", n, err, want)
		}
	}
	if log := checkLog(t, l.dir, k); !slices.Equal(log.Leaves, digests(2)) {
		t.Fatalf("%d leaves", len(log.Leaves))
	}
}

func TestAddGivesUpWithItsContext(t *testing.T) {
	dir := t.TempDir()
	l := open(t, filepath.Join(dir, "ledger"), newKey(t, dir))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Add(ctx, statement(0)); !errors.Is(err, context.Canceled) {
		t.Fatalf("Add: %v", err)
	}
}

func TestOtherKeyIsRefused(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	l := open(t, filepath.Join(dir, "ledger"), newKey(t, dir))
	if err := l.Add(t.Context(), statement(0)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(other, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "keys", "ledger.key"), []byte(newKeyText(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), l.dir, newKey(t, other), Options{})
	var hinted *Error
	if !errors.Is(err, ErrOtherKey) || !errors.As(err, &hinted) || hinted.Hint() == "" {
		t.Fatalf("Open with another key: %v", err)
	}
	log, problems, err := Read(t.Context(), l.dir, newKey(t, other).Verifier())
	if err != nil || log.Trusted || len(problems) != 1 || !strings.Contains(problems[0].What, "another key") {
		t.Fatalf("Read with another key: trusted %v, %v, %v", log.Trusted, problems, err)
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	priv, pub := filepath.Join(dir, "keys", "ledger.key"), filepath.Join(dir, "keys", "ledger.vkey")
	k := newKey(t, dir)
	if _, err := os.Stat(priv); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key that signed nothing was written: %v", err)
	}
	begin := func(k *Key) {
		t.Helper()
		if err := open(t, filepath.Join(dir, "ledger"), k).Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	begin(k)
	st, err := os.Stat(priv)
	if err != nil || st.Mode() != 0o600 {
		t.Fatalf("%s: mode %v, %v", priv, st.Mode(), err)
	}
	if !strings.HasPrefix(k.Origin(), "docket/") || len(k.Origin()) != len("docket/")+16 {
		t.Errorf("origin %q", k.Origin())
	}
	// A kill between the two files.
	if err := os.Remove(pub); err != nil {
		t.Fatal(err)
	}
	again := newKey(t, dir)
	if again.Verifier() != k.Verifier() {
		t.Errorf("key changed from %s to %s", k.Verifier(), again.Verifier())
	}
	begin(again)
	if b, err := os.ReadFile(pub); err != nil || string(b) != k.Verifier()+"\n" {
		t.Errorf("%s holds %q, %v", pub, b, err)
	}
	// A lost private key is not replaced in silence.
	if err := os.Remove(priv); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(priv, pub); !errors.Is(err, ErrKeyLost) {
		t.Errorf("OpenKey without the private half: %v", err)
	}
	// The public half of somebody else is not taken for ours.
	other := newKey(t, t.TempDir())
	if err := os.WriteFile(pub, []byte(other.Verifier()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(priv, []byte(newKeyText(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(priv, pub); !errors.Is(err, ErrOtherKey) {
		t.Errorf("OpenKey with a stranger's public half: %v", err)
	}
}

func newKeyText(t *testing.T) string {
	t.Helper()
	text, err := makeKey()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestContinues(t *testing.T) {
	dir := t.TempDir()
	k := newKey(t, dir)
	l := open(t, filepath.Join(dir, "ledger"), k)
	var kept []proof.Checkpoint
	for i := range 4 {
		if err := l.Add(t.Context(), statement(i)); err != nil {
			t.Fatal(err)
		}
		raw, err := l.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cp, err := proof.OpenCheckpoint(raw, k.Verifier())
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, cp)
	}
	log := checkLog(t, l.dir, k)
	for _, cp := range kept {
		if err := log.Continues(cp); err != nil {
			t.Errorf("size %d: %v", cp.Size, err)
		}
	}
	newest := kept[3]
	rolledBack := *log
	rolledBack.Hashes = log.Hashes[:3]
	if err := rolledBack.Continues(newest); !errors.Is(err, ErrRolledBack) {
		t.Errorf("smaller log: %v", err)
	}
	forked := *log
	forked.Hashes = slices.Clone(log.Hashes)
	forked.Hashes[1][0] ^= 1
	if err := forked.Continues(newest); !errors.Is(err, ErrRolledBack) {
		t.Errorf("forked log: %v", err)
	}
	newest.Origin = "docket/0000000000000000"
	if err := log.Continues(newest); !errors.Is(err, ErrRolledBack) {
		t.Errorf("another log's checkpoint: %v", err)
	}
}

// TestEveryFlippedByteIsFound flips a byte in each file of a log that has full
// and partial tiles, current ones and outlived ones.
func TestEveryFlippedByteIsFound(t *testing.T) {
	dir := t.TempDir()
	k := newKey(t, dir)
	path := filepath.Join(dir, "ledger")
	l := open(t, path, k)
	added := 0
	for _, n := range []int{1, 2, 3, 258, 260} {
		if err := l.add(t.Context(), digests(n)[added:]); err != nil {
			t.Fatal(err)
		}
		added = n
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkLog(t, path, k)
	files := 0
	err := filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(file, ".state/") && d.Name() != "treeState" {
			return err
		}
		files++
		good, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		bad := slices.Clone(good)
		at := rand.IntN(len(bad))
		bad[at] ^= 1 << rand.IntN(8)
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			return err
		}
		if _, problems, err := Read(t.Context(), path, k.Verifier()); err != nil || len(problems) == 0 {
			t.Errorf("byte %d of %s flipped: problems %v, %v", at, file, problems, err)
		}
		if err := os.Remove(file); err != nil {
			return err
		}
		_, problems, err := Read(t.Context(), path, k.Verifier())
		outlived := strings.Contains(file, ".p/") && !strings.HasSuffix(file, "/001.p/4") && !strings.HasSuffix(file, "tile/1/000.p/1")
		if err != nil || (len(problems) == 0) != outlived {
			t.Errorf("%s removed: problems %v, %v", file, problems, err)
		}
		return os.WriteFile(file, good, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d files", files)
	}
	checkLog(t, path, k)
}
