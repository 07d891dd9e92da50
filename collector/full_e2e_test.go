// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package collector

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
)

// occupy takes all the room there is in dir, but for left bytes, and returns what
// gives it back.
func occupy(t *testing.T, dir string, left int64) func() {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 4096)
	_, _ = rand.Read(block)
	n := int64(0)
	for err == nil {
		_, err = f.Write(block)
		n += int64(len(block))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Truncate(max(0, n-left-int64(len(block)))); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// The disk under lake, ledger and snapshot fills up. The collector says so and
// goes on trying, wherever the room ran out; with room again, everything is
// stored once and is in the ledger.
func TestDiskFillsUp(t *testing.T) {
	r := newRig(t)
	r.dir = t.TempDir()
	if err := syscall.Mount("tmpfs", r.dir, "tmpfs", 0, "size=16m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount a small disk: %v", err)
		}
		t.Skipf("LEFT OUT: a full disk under lake and ledger; mounting a small one needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(r.dir, syscall.MNT_DETACH) })
	key, err := ledger.OpenKey(filepath.Join(r.dir, "ledger.key"), filepath.Join(r.dir, "ledger.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	book, err := ledger.Open(t.Context(), filepath.Join(r.dir, "ledger"), key, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = book.Close(context.Background()) })
	run := r.start(func(c *Config) { c.Ledger = book })
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := []store.Entry{e.Start()}
	r.publish(sent...)
	r.drained(run)
	for left := int64(0); left <= 48<<10; left += 4 << 10 {
		free := occupy(t, r.dir, left)
		more := e.Operation()
		r.publish(more...)
		sent = append(sent, more...)
		failed := false
		eventually(t, "an error, or an end", func() bool {
			s := run.Status()
			failed = strings.Contains(s.Error, "no space left")
			return failed || len(s.Epochs) == 1 && s.Epochs[0].Stored == e.Sequence()
		})
		if left == 0 && !failed {
			t.Error("there was no room, and nothing failed")
		}
		t.Logf("%d bytes left: %s", left, run.Status().Error)
		free()
		r.drained(run)
		if s := run.Status(); s.Error != "" {
			t.Errorf("with %d bytes left, and then room: %s", left, s.Error)
		}
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(sent)
	lacks, err := book.Ensure(t.Context(), lake.Statements(r.dir+"/lake", 1))
	if err != nil || lacks != 0 {
		t.Errorf("the ledger lacks %d statements (%v)", lacks, err)
	}
}
