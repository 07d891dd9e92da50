// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// A file system that is read-only when the emitter starts, as after a remount: it
// is told why it cannot begin, what is there stays, and the next start, on one
// that can be written, goes on. What happens to an emitter that runs is in the
// fault matrix: no file system is remounted while files of it are written.
func TestReadOnlyFileSystem(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("needs to mount a file system of its own: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	}()
	cfg := Config{Dir: filepath.Join(mount, "wal"), Name: "gateway-0", ReserveBytes: 1 << 20}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Emit(t.Context(), event("acme", "before")).Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT|flags, "size=16m"); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	_, err = New(cfg)
	var dir *DirError
	if !errors.As(err, &dir) || !errors.Is(err, syscall.EROFS) || dir.Hint() == "" {
		t.Errorf("a start on a read-only file system: %v", err)
	}
	remount(0)
	again, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Emit(t.Context(), event("acme", "after")).Spooled(within(t)); err != nil {
		t.Error(err)
	}
	if err := again.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	rec, records := readBack(t, cfg.Dir)
	if len(rec.damage) != 0 || len(rec.epochs) != 0 || len(records) != 6 {
		t.Errorf("%d records, %d epochs open, damage %v", len(records), len(rec.epochs), rec.damage)
	}
}
