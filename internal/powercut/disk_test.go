// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"os"
	"path/filepath"
	"testing"
)

// program does what a program does, in dir/sub: a file is written and renamed, both
// synced as they should be; then more is written, and another file is made.
func program(t *testing.T) (*Disk, int) {
	t.Helper()
	root := t.TempDir()
	d, err := New(root)
	if err != nil {
		t.Fatal(err)
	}
	sub := filepath.Join(root, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := d.Create(filepath.Join(sub, "a.tmp"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte("synced"))
	for _, err := range []error{err, d.SyncDir(root), f.Sync(), d.Rename(filepath.Join(sub, "a.tmp"), filepath.Join(sub, "a")), d.SyncDir(sub)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	durable := d.Steps()
	_, err = f.Write([]byte("torn"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := d.Create(filepath.Join(sub, "b"))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{other.Close(), f.Close(), d.Remove(filepath.Join(sub, "a"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return d, durable
}

// after returns what is in sub, as name and content; nil when sub is gone.
func after(t *testing.T, d *Disk, at int, s Survival) map[string]string {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "found")
	if err := d.Cut(at, dst, s); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(dst, "sub"))
	if err != nil {
		return nil
	}
	found := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dst, "sub", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[e.Name()] = string(b)
	}
	return found
}

func TestCut(t *testing.T) {
	d, durable := program(t)
	all := d.Steps()
	if !d.Syncs(durable-1) || d.Syncs(1) {
		t.Error("the last step of the first part syncs, and the first does not")
	}
	if got := after(t, d, durable-1, Survival{}); got != nil {
		t.Errorf("before the directory is synced: %v", got)
	}
	if got := after(t, d, durable, Survival{}); len(got) != 1 || got["a"] != "synced" {
		t.Errorf("after it: %v", got)
	}
	if got := after(t, d, all, Survival{}); len(got) != 1 || got["a"] != "synced" {
		t.Errorf("what was removed and not synced is there: %v", got)
	}
	if got := after(t, d, all, Everything()); len(got) != 1 || got["b"] != "" {
		t.Errorf("without a cut: %v", got)
	}
	n := 0
	first := Survival{Entry: func() bool { n++; return n == 1 }, Content: func(_ int64, b []byte) []byte { return b[:2] }}
	if got := after(t, d, all, first); len(got) != 2 || got["a"] != "syncedto" {
		t.Errorf("with the first of two changes, torn: %v", got)
	}
	// The directory was made before its parent was synced, and the file after.
	if got := after(t, d, 3, Everything()); len(got) != 1 {
		t.Errorf("early: %v", got)
	}
	if got := after(t, d, 3, Survival{Content: Everything().Content}); got != nil {
		t.Errorf("a directory that nobody synced is there: %v", got)
	}
}

// What a disk begins with is durable.
func TestSecondCut(t *testing.T) {
	d, _ := program(t)
	root := filepath.Join(t.TempDir(), "found")
	if err := d.Cut(d.Steps(), root, Everything()); err != nil {
		t.Fatal(err)
	}
	again, err := New(root)
	if err != nil {
		t.Fatal(err)
	}
	if got := after(t, again, again.Steps(), Survival{}); len(got) != 1 || got["b"] != "" {
		t.Errorf("after the second cut: %v", got)
	}
}

func TestSectors(t *testing.T) {
	b := make([]byte, 1200)
	for i := range b {
		b[i] = 1
	}
	odd := func(i int) bool { return i%2 == 1 }
	got := Sectors(500, b, true, odd) // 12, 512, 512, 164 bytes
	sum := 0
	for _, c := range got {
		sum += int(c)
	}
	if len(got) != 1200 || sum != 512+164 || got[11] != 0 || got[12] != 1 || got[1035] != 0 || got[1036] != 1 {
		t.Errorf("%d bytes, %d of them kept", len(got), sum)
	}
	if got := Sectors(500, b, false, func(i int) bool { return i == 1 }); len(got) != 524 {
		t.Errorf("a file that did not grow has %d bytes", len(got))
	}
}
