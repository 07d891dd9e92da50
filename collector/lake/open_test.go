// SPDX-License-Identifier: Apache-2.0

package lake_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// filled makes a lake with some commits, closes it and returns its directory.
func filled(t *testing.T, commits int) string {
	t.Helper()
	dir := t.TempDir()
	l, err := lake.Open(dir, lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	for range commits {
		commit(t, l, store.Batch{
			Entries: e.Operation(), StreamSeq: uint64(e.Sequence()),
			Quarantined: []store.Quarantined{{Subject: "x", Data: []byte("y"), StreamSeq: uint64(e.Sequence())}},
		})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wantHint checks that err is about cause and tells what to do.
func wantHint(t *testing.T, err, cause error) {
	t.Helper()
	var hinted interface{ Hint() string }
	if !errors.Is(err, cause) || !errors.As(err, &hinted) || hinted.Hint() == "" {
		t.Errorf("error is %v, without a hint or not %v", err, cause)
	}
}

func TestSecondWriterIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := lake.Open(dir, lake.Options{})
	wantHint(t, err, lake.ErrLocked)
}

func TestNoLakeToRead(t *testing.T) {
	_, err := lake.OpenReader(filepath.Join(t.TempDir(), "none"))
	wantHint(t, err, fs.ErrNotExist)
}

// A directory in which nothing can be made is told with a hint. A file in the
// place of the lake does it for root too, who may write anywhere else.
func TestUnwritableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := lake.Open(filepath.Join(file, "lake"), lake.Options{})
	var e *lake.Error
	if !errors.As(err, &e) || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("error is %v", err)
	}
	for _, cause := range []error{fs.ErrPermission, syscall.EROFS, syscall.ENOSPC} {
		wantHint(t, lake.Failed("open lake", "dir", cause), cause)
	}
}

func TestClosedLakeRefusesCommits(t *testing.T) {
	l := open(t, t.TempDir())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Commit(t.Context(), store.Batch{}); !errors.Is(err, lake.ErrClosed) {
		t.Errorf("error is %v", err)
	}
}

// Whatever byte of the manifest is flipped, the lake is read as the statements
// have it, and it is told.
func TestDamagedManifest(t *testing.T) {
	dir := filled(t, 3)
	path := filepath.Join(dir, lake.ManifestPath)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 37 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := lake.OpenReader(dir)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if !errors.Is(r.Damaged(), lake.ErrCorrupt) || r.Manifest().Number != 3 || len(all(t, r, store.Query{})) != 9 {
			t.Errorf("byte %d: damaged is %v, statement %d", at, r.Damaged(), r.Manifest().Number)
		}
	}
	l := open(t, dir)
	if l.Damaged() == nil {
		t.Error("the writer does not tell that the manifest was damaged")
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, whole) {
		t.Errorf("the writer did not make the manifest again (%v)", err)
	}
}

func TestManifestIsMissing(t *testing.T) {
	dir := filled(t, 2)
	if err := os.Remove(filepath.Join(dir, lake.ManifestPath)); err != nil {
		t.Fatal(err)
	}
	r, err := lake.OpenReader(dir)
	if err != nil || r.Manifest().Number != 2 || r.Damaged() != nil {
		t.Errorf("reader: %v, %v", err, r.Damaged())
	}
	if l := open(t, dir); l.Manifest().Number != 2 {
		t.Errorf("writer: statement %d", l.Manifest().Number)
	}
}

// A statement that is gone or changed stops a writer: its next commit would take
// a number that the ledger knows with another content.
func TestDamagedStatements(t *testing.T) {
	for name, damage := range map[string]func(path func(n uint64) string) error{
		"first changed": func(path func(uint64) string) error {
			b, err := os.ReadFile(path(1))
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(path(1), bytes.Replace(b, []byte(`"tenant":"acme"`), []byte(`"tenant":"acmf"`), 1), 0o600), os.Remove(path(0)))
		},
		"middle gone": func(path func(uint64) string) error { return errors.Join(os.Remove(path(2)), os.Remove(path(0))) },
		"last gone":   func(path func(uint64) string) error { return os.Remove(path(3)) },
		"all gone but manifest": func(path func(uint64) string) error {
			return errors.Join(os.Remove(path(1)), os.Remove(path(2)), os.Remove(path(3)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t, 3)
			err := damage(func(n uint64) string {
				if n == 0 {
					return filepath.Join(dir, lake.ManifestPath)
				}
				return filepath.Join(dir, lake.StatementPath(n))
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = lake.Open(dir, lake.Options{})
			wantHint(t, err, lake.ErrCorrupt)
		})
	}
}

// What an interrupted commit left goes; what a statement names, and what is
// not the lake's, stays.
func TestOrphansAreRemoved(t *testing.T) {
	dir := filled(t, 1)
	uid := storetest.NewUID()
	gone := []string{"_hot/" + uid + ".parquet", "_hot/" + uid + ".parquet.tmp", "_quarantine/" + uid + ".ndjson", "_commits/000000000002.json.tmp", "_manifest.json.tmp"}
	stay := []string{"_hot/notes.txt", "_hot/mine.parquet", "README"}
	for _, path := range append(gone, stay...) {
		if err := os.WriteFile(filepath.Join(dir, path), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, dir)
	if n := len(all(t, l, store.Query{})); n != 3 {
		t.Errorf("%d events left of 3", n)
	}
	for _, path := range gone {
		if _, err := os.Stat(filepath.Join(dir, path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there (%v)", path, err)
		}
	}
	for _, path := range stay {
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Error(err)
		}
	}
}

// Readers see whole commits only, while a writer adds them; and the manifest
// lags behind where there are many files, which shows nowhere.
func TestReadersBesideAWriter(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	const commits = 70
	var writing sync.WaitGroup
	writing.Go(func() {
		e := storetest.NewEpoch(t, "acme", "gateway-0")
		for range commits {
			if _, err := l.Commit(t.Context(), store.Batch{Entries: e.Operation()}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	r, err := lake.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	for last := 0; last < 3*commits && !t.Failed(); {
		if err := r.Refresh(); err != nil {
			t.Fatal(err)
		}
		n := len(all(t, r, store.Query{WithoutRaw: true}))
		if n < last || n%3 != 0 {
			t.Fatalf("%d events after %d", n, last)
		}
		last = n
	}
	writing.Wait()
	fresh, err := lake.OpenReader(dir)
	if err != nil || fresh.Manifest().Number != commits {
		t.Errorf("a new reader sees statement %d (%v)", fresh.Manifest().Number, err)
	}
}

// A segment in which any byte is another makes an error of a scan at worst,
// never a panic.
func TestDamagedSegments(t *testing.T) {
	dir := filled(t, 1)
	r, err := lake.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, r.Files()[0].Path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for at := 0; at < len(whole); at += 11 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x55
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, err := range r.Scan(t.Context(), store.Query{Tenant: "acme"}) {
			if err != nil {
				failed++
				if !strings.Contains(err.Error(), r.Files()[0].Path) {
					t.Errorf("byte %d: the error names no file: %v", at, err)
				}
			}
		}
	}
	if failed == 0 {
		t.Error("nothing was noticed")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for _, err := range r.Scan(t.Context(), store.Query{}) {
		if !errors.Is(err, lake.ErrCorrupt) {
			t.Errorf("a missing segment: %v", err)
		}
	}
}
