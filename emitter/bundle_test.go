// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// headers are what the WAL files of dir say of the open epochs, oldest first, as
// "tenant sequence".
func headers(t *testing.T, dir string) (all [][]string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+walSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths { // in the order of their numbers
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		h, _, err := decodeHeader(b)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		said := []string{}
		for _, p := range h.Epochs {
			said = append(said, fmt.Sprint(p.Tenant, " ", p.Sequence))
		}
		slices.Sort(said)
		all = append(all, said)
	}
	return all
}

// A bundle is being synced while the next one is sealed. The sync fails: the
// bundle goes into a new file, whose header knows nothing of either, and the next
// one after it.
func TestSealsWhileItSyncs(t *testing.T) {
	dir := t.TempDir()
	fs := new(faultFS)
	e := start(t, dir, nil, func(c *Config) { c.FS = fs })
	if err := e.Emit(t.Context(), event("acme", "first")).Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	syncing, gate := make(chan struct{}), make(chan struct{})
	hung := false
	fs.set(func(op, _ string) (error, bool) { // one sync at a time
		if op != "sync" || hung {
			return nil, false
		}
		hung = true
		close(syncing)
		<-gate
		return syscall.EIO, false
	})
	under := []Receipt{e.Emit(t.Context(), event("acme", "second"))}
	<-syncing
	for i := range 10 {
		under = append(under, e.Emit(t.Context(), event([]string{"acme", "beta"}[i%2], fmt.Sprint("next-", i))))
	}
	until(t, "what comes meanwhile to be sealed", func() bool { return e.State().Sequenced == 12 })
	for i, r := range under {
		waiting, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := r.Spooled(waiting); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("event %d is spooled before its sync is done: %v", i, err)
		}
		cancel()
	}
	close(gate)
	for i, r := range under {
		if err := r.Spooled(within(t)); err != nil {
			t.Errorf("event %d: %v", i, err)
		}
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(headers(t, dir)), "[[] [acme 2]]"; got != want {
		t.Errorf("headers say %s, want %s", got, want)
	}
	rec, records := readBack(t, dir)
	last, text := map[string]int64{}, ""
	for _, r := range records {
		if last[r.epoch]++; r.sequence != last[r.epoch] {
			t.Errorf("sequence %d at the place of %d", r.sequence, last[r.epoch])
		}
		text += string(r.raw)
	}
	if len(records) != 16 || len(rec.epochs) != 0 || len(rec.damage) != 0 {
		t.Errorf("%d records, %d epochs open, %d damages", len(records), len(rec.epochs), len(rec.damage))
	}
	for _, p := range []string{"first", "second", "next-0", "next-9"} {
		if strings.Count(text, p+`"`) != 1 {
			t.Errorf("%s is there %d times", p, strings.Count(text, p+`"`))
		}
	}
}

// Epochs that a crash left are in every header until the events that close them
// are durable: the sync of those fails, and a sync after it.
func TestClosesWhatIsNotDurable(t *testing.T) {
	for _, fails := range []int{2, 3} { // the first sync is that of the new file's header
		t.Run(fmt.Sprint("sync ", fails), func(t *testing.T) {
			dir := t.TempDir()
			writeWAL(t, dir, 1<<20, sealedRecords(t, "acme", 3), sealedRecords(t, "beta", 2))
			fs := new(faultFS)
			syncs := 0
			fs.set(func(op, _ string) (error, bool) {
				if op == "sync" {
					syncs++
				}
				if op == "sync" && syncs == fails {
					return syscall.EIO, false
				}
				return nil, false
			})
			e := start(t, dir, nil, func(c *Config) { c.FS, c.ReserveBytes = fs, -1 })
			until(t, "the closing events", func() bool { return e.State().Spooled == 2 })
			if err := e.Emit(t.Context(), event("acme", "later")).Spooled(within(t)); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(within(t)); err != nil {
				t.Fatal(err)
			}
			want := [][]string{{}, {"acme 3", "beta 2"}, {"acme 3", "beta 2"}}
			if fails == 3 { // that of the event which comes later
				want[2] = []string{"acme 1", "beta 1"}
			}
			if got := headers(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("headers say %v, want %v", got, want)
			}
			if rec, _ := readBack(t, dir); len(rec.epochs) != 0 {
				t.Errorf("open epochs %v", rec.epochs)
			}
		})
	}
}

// Whoever closes an emitter that is being closed has it closed when that returns:
// the directory is free.
func TestCloseTogether(t *testing.T) {
	late := &lateFS{FS: osFS{}, closing: make(chan struct{}), may: make(chan struct{})}
	cfg := Config{Dir: t.TempDir(), Name: "gw-0", FS: late}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	late.armed.Store(true)
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- e.Close(within(t)) }()
	<-late.closing
	go func() { second <- e.Close(within(t)) }()
	select {
	case err := <-second:
		t.Error("closed, and the WAL is still open")
		second <- err
	case <-time.After(50 * time.Millisecond): // it waits, or is slow, which proves nothing
	}
	close(late.may)
	if err := errors.Join(<-first, <-second); err != nil {
		t.Fatal(err)
	}
	cfg.FS = nil
	again, err := New(cfg)
	if err == nil {
		err = again.Close(within(t))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A lateFS tells, once armed, when one of its files is being closed, and waits.
type lateFS struct {
	FS
	armed        atomic.Bool
	closing, may chan struct{}
	once         sync.Once
}

func (f *lateFS) Create(path string) (File, error) {
	file, err := f.FS.Create(path)
	return lateFile{file, f}, err
}

type lateFile struct {
	File
	fs *lateFS
}

func (f lateFile) Close() error {
	if f.fs.armed.Load() {
		f.fs.once.Do(func() { close(f.fs.closing) })
		<-f.fs.may
	}
	return f.File.Close()
}

// The memory of a bundle's events is that of the ones before, and of no others.
func TestBundleRoom(t *testing.T) {
	var b bundle
	rapid.Check(t, func(t *rapid.T) {
		var all [][]byte
		for i, n := range rapid.SliceOfN(rapid.IntRange(1, chunkBytes+chunkBytes/4), 1, 60).Draw(t, "lengths") {
			raw := append(b.room(), bytes.Repeat([]byte{byte(i)}, n)...)
			b.add(record{raw: raw})
			all = append(all, raw)
		}
		for i, raw := range all {
			if bytes.Count(raw, []byte{byte(i)}) != len(raw) {
				t.Fatalf("event %d of %d bytes was overwritten", i, len(raw))
			}
		}
		used, left := len(b.full), len(b.spare)
		b.empty()
		if len(b.spare) != used+max(left-1, 0) || len(b.full) != 0 {
			t.Fatalf("of %d chunks that were full and %d that were not needed %d are kept, and %d are still full", used, left, len(b.spare), len(b.full))
		}
	})
}
