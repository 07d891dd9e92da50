// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// faultFS is the real file system with a disk that fails when told to.
type faultFS struct {
	osFS
	mu   sync.Mutex
	fail func(op, path string) (err error, before bool) // guarded by mu
}

// A fault comes before an operation takes effect, or after it did.
func (f *faultFS) do(op, path string, effect func() error) error {
	f.mu.Lock()
	fail := f.fail
	f.mu.Unlock()
	if fail == nil {
		return effect()
	}
	err, before := fail(op, path)
	if err != nil && before {
		return err
	}
	return errors.Join(effect(), err)
}

func (f *faultFS) set(fail func(op, path string) (error, bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *faultFS) Create(path string) (file File, err error) {
	err = f.do("create", path, func() error { file, err = f.osFS.Create(path); return err })
	if err != nil {
		if file != nil {
			_ = file.Close()
		}
		return nil, err
	}
	return &faultFile{file, f, path}, nil
}

func (f *faultFS) Rename(from, to string) error {
	return f.do("rename", to, func() error { return f.osFS.Rename(from, to) })
}

func (f *faultFS) Remove(path string) error {
	return f.do("remove", path, func() error { return f.osFS.Remove(path) })
}

func (f *faultFS) SyncDir(dir string) error {
	return f.do("syncdir", dir, func() error { return f.osFS.SyncDir(dir) })
}

type faultFile struct {
	File
	fs   *faultFS
	path string
}

// Write puts half of the bytes on the disk before it fails.
func (f *faultFile) Write(b []byte) (n int, err error) {
	err = f.fs.do("write", f.path, func() error { n, err = f.File.Write(b); return err })
	if err != nil && n == 0 {
		n, _ = f.File.Write(b[:len(b)/2])
	}
	return n, err
}

func (f *faultFile) Sync() error { return f.fs.do("sync", f.path, f.File.Sync) }

// Each operation of the file system fails once, before and after it took
// effect, with no space and with an I/O error, and then for a while. Whatever
// happens: events wait, none is lost, none comes twice with other bytes, the
// sequences have no gap.
func TestDiskFaults(t *testing.T) {
	s := natstest.Run(t)
	js := s.JetStream(t)
	for _, op := range []string{"create", "write", "sync", "rename", "syncdir"} {
		for _, before := range []bool{true, false} {
			for _, times := range []int{1, 3} {
				errno := syscall.ENOSPC
				if times == 3 {
					errno = syscall.EIO
				}
				t.Run(fmt.Sprintf("%s before=%v times=%d", op, before, times), func(t *testing.T) {
					_ = js.DeleteStream(t.Context(), "DOCKET")
					if err := stream.Apply(t.Context(), js); err != nil {
						t.Fatal(err)
					}
					diskFault(t, s, op, before, times, errno)
					epochs := audit(t, onStream(t, js))
					var events int
					for _, e := range epochs {
						events += len(e)
						if e[len(e)-1].ActivityID != int32(ocsf.ApplicationLifecycleStop) {
							t.Error("an epoch did not end with a stop event")
						}
					}
					if len(epochs) != 1 || events != 62 {
						t.Errorf("%d events in %d epochs, want 60, start and stop in one", events, len(epochs))
					}
				})
			}
		}
	}
}

func diskFault(t *testing.T, s *natstest.Server, op string, before bool, times int, errno syscall.Errno) {
	fs := new(faultFS)
	e := start(t, t.TempDir(), s.Conn(t), func(c *Config) {
		c.FS = fs
		c.WALFileBytes = minFileBytes // files change often
	})
	var failed int
	for i := range 60 {
		if i == 20 {
			fs.set(func(o, _ string) (error, bool) {
				if o != op || failed == times {
					return nil, false
				}
				failed++
				return errno, before
			})
		}
		if err := e.Emit(t.Context(), event("acme", fmt.Sprint(i))).Spooled(within(t)); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	e.close()
	if failed != times {
		t.Errorf("the fault came %d times, want %d", failed, times)
	}
	if trouble := e.State().Troubles[troubleWAL]; trouble != "" {
		t.Errorf("the trouble did not end: %s", trouble)
	}
}

// A disk that stays full: receipts stay open and the caller's context decides;
// Close gives up when its time is up, and says so on the receipts.
func TestDiskStaysFull(t *testing.T) {
	fs := new(faultFS)
	e, err := New(Config{Dir: t.TempDir(), Name: "gateway-0", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Emit(t.Context(), event("acme", "fine")).Spooled(within(t)); err != nil {
		t.Fatal(err)
	}
	fs.set(func(op, _ string) (error, bool) {
		if op == "write" {
			return syscall.ENOSPC, true
		}
		return nil, false
	})
	r := e.Emit(t.Context(), event("acme", "waits"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Spooled(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("spooled on a full disk: %v", err)
	}
	if trouble := e.State().Troubles[troubleWAL]; !strings.Contains(trouble, "no space left") {
		t.Errorf("state tells %q", trouble)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := r.Spooled(t.Context()); !errors.Is(err, ErrClosed) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("receipt after close: %v", err)
	}
	if err := e.Emit(t.Context(), event("acme", "late")).Spooled(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("emit after close: %v", err)
	}
}

// A record that went bad under a running or a stopped emitter is copied and
// told, the rest is published, and the next start works.
func TestDamageIsTold(t *testing.T) {
	s := natstest.Run(t)
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	e, err := New(Config{Dir: dir, Name: "gateway-0"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := e.Emit(t.Context(), event("acme", fmt.Sprint("payload-", i))).Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := onlyFile(t, dir)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "payload-4")
	b[at] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}

	for range 2 { // the second start finds it too, and tells again
		e := start(t, dir, s.Conn(t))
		e.close()
	}
	var text []string
	told := map[string]bool{} // the second start repeats what the first one said
	for _, m := range onStream(t, js) {
		text = append(text, string(m.raw))
		if m.Tenant == "docket" && strings.Contains(m.Message, "damaged") {
			told[m.MetadataUID] = true
		}
	}
	all := strings.Join(text, "\n")
	for i := range 10 {
		if found := strings.Contains(all, fmt.Sprint("payload-", i)); found != (i != 4) {
			t.Errorf("payload %d on the stream: %v", i, found)
		}
	}
	if len(told) != 2 {
		t.Errorf("the damage was told %d times, want once for each start", len(told))
	}
	copies, err := filepath.Glob(filepath.Join(dir, damagedDir, "*"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies %v, %v", copies, err)
	}
	kept, err := os.ReadFile(copies[0])
	if err != nil || !strings.Contains(string(kept), "ayload-4") {
		t.Errorf("copy %q, %v", kept, err)
	}
}

func TestSecondEmitterIsRefused(t *testing.T) {
	dir := t.TempDir()
	e, err := New(Config{Dir: dir, Name: "gateway-0"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(Config{Dir: dir, Name: "gateway-1"})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != fmt.Sprint(os.Getpid()) || locked.Hint() == "" {
		t.Fatalf("second emitter: %v", err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := New(Config{Dir: dir, Name: "gateway-0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"a file":      {Dir: file, Name: "gateway-0"},
		"a full disk": {Dir: t.TempDir(), Name: "gateway-0", FS: &faultFS{fail: func(op, _ string) (error, bool) { return syscall.ENOSPC, true }}},
	} {
		_, err := New(cfg)
		var dir *DirError
		if !errors.As(err, &dir) || dir.Hint() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"directory": func(c *Config) { c.Dir = "" },
		"name":      func(c *Config) { c.Name = "" },
		"control":   func(c *Config) { c.Name = "a\nb" },
		"trim_by":   func(c *Config) { c.TrimBy = "time" },
		"wal_full":  func(c *Config) { c.WALFull = "panic" },
		"WAL files": func(c *Config) { c.WALFileBytes = 1 },
		"key":       func(c *Config) { c.Key = []byte{1} },
		"batch":     func(c *Config) { c.MaxEventBytes = 8 << 20 },
		"negative":  func(c *Config) { c.QueueBytes = -1 },
		"OCSF":      func(c *Config) { c.Version = "1.7.0" },
	} {
		c := Config{Dir: "x", Name: "gateway-0"}.withDefaults()
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
