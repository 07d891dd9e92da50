// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// quotaFS is a disk of some bytes. A write that does not fit takes what there is
// and fails.
type quotaFS struct {
	osFS
	mu   sync.Mutex
	free int64            // guarded by mu
	size map[string]int64 // by path; guarded by mu
}

func newQuotaFS(free int64) *quotaFS { return &quotaFS{free: free, size: map[string]int64{}} }

// take returns how much of n there is.
func (q *quotaFS) take(path string, n int64) (int64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	got := max(0, min(n, q.free))
	q.free -= got
	q.size[path] += got
	if got < n {
		return got, syscall.ENOSPC
	}
	return got, nil
}

func (q *quotaFS) grow(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free += n
}

func (q *quotaFS) Create(path string) (File, error) {
	f, err := q.osFS.Create(path)
	if err != nil {
		return nil, err
	}
	return &quotaFile{f, q, path}, nil
}

func (q *quotaFS) Allocate(path string, n int64) error {
	f, err := q.osFS.Create(path)
	if err != nil {
		return err
	}
	_, full := q.take(path, n)
	return errors.Join(full, fillFile(f, n), f.Close())
}

func (q *quotaFS) Rename(from, to string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.size[to], q.size[from] = q.size[from], 0
	return q.osFS.Rename(from, to)
}

func (q *quotaFS) Remove(path string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free, q.size[path] = q.free+q.size[path], 0
	return q.osFS.Remove(path)
}

type quotaFile struct {
	File
	fs   *quotaFS
	path string
}

func (f *quotaFile) Write(b []byte) (int, error) {
	n, err := f.fs.take(f.path, int64(len(b)))
	if err != nil {
		n, _ := f.File.Write(b[:n])
		return n, err
	}
	return f.File.Write(b)
}

// fillDisk emits until the disk is full, and returns how many events are on it.
func fillDisk(t *testing.T, e *Emitter) (spooled int64) {
	t.Helper()
	for i := 0; ; i++ {
		err := e.Emit(t.Context(), event("acme", strings.Repeat("x", 4<<10))).Spooled(within(t))
		switch {
		case errors.Is(err, ErrBackpressure):
			return spooled
		case err != nil:
			t.Fatal(err)
		}
		spooled++
	}
}

// wantRoom checks what a full disk must still take: the outcomes of operations
// that ran, and the ends of all epochs, with what was refused.
func wantRoom(t *testing.T, e *Emitter, dir string, spooled int64) {
	t.Helper()
	s := e.State()
	if s.ReserveBytes != 0 || !strings.Contains(s.Troubles[troubleReserve], "hint: make room") {
		t.Errorf("%d bytes in reserve; troubles %v", s.ReserveBytes, s.Troubles)
	}
	if _, err := os.Stat(filepath.Join(dir, reserveFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reserve is still there: %v", err)
	}
	for range 20 {
		outcome := event("acme", "outcome")
		outcome.Metadata.EventCode = profile.KindOutcome
		if err := e.Emit(t.Context(), outcome).Spooled(within(t)); err != nil {
			t.Fatalf("an outcome on a full disk: %v", err)
		}
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	s = e.State()
	if s.Sequenced != spooled+20 || s.Spooled != s.Sequenced+s.Own || s.Declared != s.Refused || s.Refused == 0 {
		t.Errorf("state %+v, %d were spooled before", s, spooled)
	}
	if stated := declared(t, dir); stated["acme "+reasonDiskFull] == 0 {
		t.Errorf("gap findings state %v", stated)
	}
	all := spooledEvents(t, dir)
	if last := all[len(all)-1]; last.Kind != profile.KindLifecycle || last.ActivityID != int32(ocsf.ApplicationLifecycleStop) {
		t.Errorf("the last event is %+v", last)
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	fs := newQuotaFS(3 << 20)
	e, err := New(Config{Dir: dir, Name: "gateway-0", FS: fs, WALFileBytes: 256 << 10, ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, reserveFile))
	if err != nil || info.Size() != 1<<20 || info.Mode().Perm() != 0o600 || e.State().ReserveBytes != 1<<20 {
		t.Fatalf("reserve %+v, %v", info, err)
	}
	spooled := fillDisk(t, e)
	if spooled < 100 {
		t.Fatalf("only %d events fit", spooled)
	}
	wantRoom(t, e, dir, spooled)
}

// A file system that is really full.
func TestRealDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("needs to mount a file system of its own: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	e, err := New(Config{Dir: dir, Name: "gateway-0", WALFileBytes: 256 << 10, ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	wantRoom(t, e, dir, fillDisk(t, e))

	// The next start finds no room for a reserve, says so, and takes outcomes.
	again, err := New(Config{Dir: dir, Name: "gateway-0", ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if s := again.State(); s.ReserveBytes != 0 || s.Troubles[troubleReserve] == "" {
		t.Errorf("state of a start on a full disk %+v", s)
	}
	if err := again.Emit(t.Context(), event("acme", "")).Spooled(within(t)); !errors.Is(err, ErrBackpressure) {
		t.Errorf("an event on a full disk: %v", err)
	}
	if err := again.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

// When there is room again, the reserve is made anew and everything is taken.
func TestDiskHasRoomAgain(t *testing.T) {
	dir := t.TempDir()
	fs := newQuotaFS(3 << 20)
	e, err := New(Config{Dir: dir, Name: "gateway-0", FS: fs, ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	fillDisk(t, e)
	fs.grow(8 << 20)
	until(t, "a reserve", func() bool { return e.State().ReserveBytes == 1<<20 })
	until(t, "the end of trouble", func() bool { return len(e.State().Troubles) == 0 })
	if err := e.Emit(t.Context(), event("acme", "")).Spooled(within(t)); err != nil {
		t.Error(err)
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

// A start that finds the disk full and a reserve from before has room by it for
// what a start has to write.
func TestStartOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	fs := newQuotaFS(2 << 20)
	open := func() *Emitter {
		t.Helper()
		e, err := New(Config{Dir: dir, Name: "gateway-0", FS: fs, ReserveBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	first := open()
	if err := first.Emit(t.Context(), event("acme", "")).Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	fs.grow(-fs.free) // somebody else has it now
	e := open()
	if s := e.State(); s.ReserveBytes != 0 || s.Troubles[troubleReserve] == "" {
		t.Errorf("state %+v", s)
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

// Without a file system that allocates, the reserve is written; without a
// reserve, a full disk is waited for.
func TestReserveKinds(t *testing.T) {
	dir := t.TempDir()
	e, err := New(Config{Dir: dir, Name: "gateway-0", FS: struct{ FS }{osFS{}}, ReserveBytes: 200 << 10})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, reserveFile))
	if err != nil || len(b) != 200<<10 || strings.Contains(string(b), strings.Repeat("\x00", 16)) {
		t.Errorf("the reserve holds %d bytes, or zeros (%v)", len(b), err)
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}

	fs := newQuotaFS(64 << 10)
	e, err = New(Config{Dir: t.TempDir(), Name: "gateway-0", FS: fs, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err := e.Emit(t.Context(), event("acme", strings.Repeat("x", 4<<10))).Spooled(ctx)
		cancel()
		if err == nil {
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) || e.State().Troubles[troubleWAL] == "" {
			t.Errorf("without a reserve: %v, %v", err, e.State().Troubles)
		}
		break
	}
	fs.grow(1 << 20)
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}
