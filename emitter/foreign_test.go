// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// Files that were copied, renamed or taken away: what is in the others is there, and
// what happened is told.
func TestMovedFiles(t *testing.T) {
	w := wholeWAL(t, 40, 4, minFileBytes)
	names := slices.Sorted(maps.Keys(w.files))
	if len(names) < 6 {
		t.Fatalf("%d files", len(names))
	}
	third, fourth := names[2], names[3]
	for name, test := range map[string]struct {
		change func(files map[string][]byte)
		lost   string // the file whose events are
		told   []string
	}{
		"a copy behind all":        {func(f map[string][]byte) { f[walName(99)] = f[third] }, "", []string{walName(99)}},
		"one over another":         {func(f map[string][]byte) { f[fourth] = f[third] }, fourth, []string{fourth}},
		"two changed places":       {func(f map[string][]byte) { f[third], f[fourth] = f[fourth], f[third] }, "", []string{third, fourth}},
		"one in the middle gone":   {func(f map[string][]byte) { delete(f, third) }, third, []string{third}},
		"the oldest gone, trimmed": {func(f map[string][]byte) { delete(f, names[0]) }, names[0], nil},
	} {
		t.Run(name, func(t *testing.T) {
			files := maps.Clone(w.files)
			test.change(files)
			dir := t.TempDir()
			for name, b := range files {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			rec, records := readBack(t, dir)
			have := map[place]bool{}
			for _, r := range records {
				at := place{r.epoch, r.sequence}
				have[at] = true
				if !bytes.Equal(r.raw, w.events[at]) {
					t.Errorf("%v is another event", at)
				}
			}
			for at := range w.events {
				if lost := w.ends[at].file == test.lost; have[at] == lost {
					t.Errorf("%v, of %s: there is %v", at, w.ends[at].file, have[at])
				}
			}
			var told []string
			for _, d := range rec.damage {
				told = append(told, d.file)
			}
			if slices.Sort(told); !slices.Equal(told, test.told) {
				t.Errorf("told is %v, not %v", told, test.told)
			}
		})
	}
}

// What has the name of a file of ours and is none is told, and neither followed nor
// waited for.
func TestNoFiles(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("not to be touched"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := func(path string) error { return syscall.Mkfifo(path, 0o600) }
	link := func(path string) error { return os.Symlink(elsewhere, path) }
	directory := func(path string) error { return os.Mkdir(path, 0o700) }
	for _, name := range []string{walName(99), filepath.Join(asideDir, "x-1"+asideSuffix), lockFile} {
		for kind, put := range map[string]func(string) error{"pipe": pipe, "link": link, "directory": directory} {
			t.Run(kind+" "+filepath.Base(name), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), put(path)); err != nil {
					t.Fatal(err)
				}
				e, err := New(Config{Dir: dir, Name: "gateway-0", ReserveBytes: -1})
				if name == lockFile {
					var bad *DirError
					if !errors.As(err, &bad) || !strings.Contains(bad.Hint(), "move it away") {
						t.Errorf("%v", err)
					}
				} else {
					if err != nil {
						t.Fatal(err)
					}
					err := e.Emit(t.Context(), event("acme", "a")).Spooled(within(t))
					if err := errors.Join(err, e.Close(within(t))); err != nil {
						t.Error(err)
					}
					rec, records := readBack(t, dir)
					if !slices.ContainsFunc(records, func(r record) bool {
						return bytes.Contains(r.raw, []byte(name)) && bytes.Contains(r.raw, []byte(`"recovery"`))
					}) {
						t.Errorf("it is not told; damage %v", rec.damage)
					}
				}
				if b, err := os.ReadFile(elsewhere); err != nil || string(b) != "not to be touched" {
					t.Errorf("elsewhere: %q, %v", b, err)
				}
			})
		}
	}
}

// A file that goes away under a running emitter costs what was in it, and stops
// nothing.
func TestFileGoesAway(t *testing.T) {
	for kind, instead := range map[string]func(string) error{
		"nothing": func(string) error { return nil },
		"pipe":    func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		t.Run(kind, func(t *testing.T) {
			s := natstest.Run(t)
			js := s.JetStream(t)
			if err := stream.Apply(t.Context(), js); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			e, err := New(Config{Dir: dir, Name: "gateway-0", Conn: s.Conn(t), WALFileBytes: minFileBytes, ReserveBytes: -1})
			if err != nil {
				t.Fatal(err)
			}
			var last Receipt
			for i := range 60 { // nobody publishes yet
				last = e.Emit(t.Context(), event("acme", fmt.Sprint("payload-", i)))
				if err := last.Spooled(within(t)); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, walName(3))
			if err := errors.Join(os.Remove(path), instead(path)); err != nil {
				t.Fatal(err)
			}
			ran := make(chan error, 1)
			go func() { ran <- e.Run(context.Background()) }()
			if err := last.Streamed(within(t)); err != nil {
				t.Error(err)
			}
			if err := errors.Join(e.Close(within(t)), <-ran); err != nil {
				t.Fatal(err)
			}
			told := false
			for _, m := range onStream(t, js) {
				told = told || m.Kind == profile.KindLifecycle && bytes.Contains(m.raw, []byte(walName(3)))
			}
			if !told {
				t.Error("that the file went is not on the stream")
			}
		})
	}
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("a payload's method") }

// What is no event is refused and counted, whatever it does when it is encoded.
func TestPanickingPayload(t *testing.T) {
	e, err := New(Config{Dir: t.TempDir(), Name: "gateway-0"})
	if err != nil {
		t.Fatal(err)
	}
	bad := event("acme", "")
	bad.API.Request.Data = map[string]any{"x": panics{}}
	for i, ev := range []ocsf.Event{bad, (*ocsf.APIActivity)(nil), nil} {
		if err := e.Emit(t.Context(), ev).Spooled(within(t)); !errors.Is(err, ErrUnfit) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := e.Emit(t.Context(), event("acme", "a")).Spooled(within(t)); err != nil {
		t.Error(err)
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if s := e.State(); s.Offered != 4 || s.Sequenced != 1 || s.Refused != 3 || s.Declared != 3 {
		t.Errorf("%+v", s)
	}
}

// Whatever is heavy weighs.
func TestWeighs(t *testing.T) {
	const n = 1 << 20
	text := large(n)
	for name, change := range map[string]func(*ocsf.APIActivity){
		"raw_data":   func(e *ocsf.APIActivity) { e.RawData = text },
		"enrichment": func(e *ocsf.APIActivity) { e.Enrichments = []ocsf.Enrichment{{Data: map[string]any{"x": text}}} },
		"struct":     func(e *ocsf.APIActivity) { e.API.Request.Data = struct{ X string }{text} },
		"map": func(e *ocsf.APIActivity) {
			e.API.Request.Data = map[string]any{"x": map[string]string{"y": text}}
		},
		"user": func(e *ocsf.APIActivity) { e.Actor.User.Name = text },
	} {
		e := event("acme", "")
		change(e)
		if w := weigh(e); w < n-usual || w > n+16<<10 {
			t.Errorf("%s of %d bytes weighs %d", name, n, w)
		}
	}
	loop := map[string]any{}
	for i := range 100 {
		loop[fmt.Sprint(i)] = &loop
	}
	e := event("acme", "")
	e.API.Request.Data = loop
	_ = weigh(e) // which ends
}

// However many tenants there are, what states that files are given up is less than
// what was in them.
func TestCustodyOfMany(t *testing.T) {
	s := natstest.Run(t)
	js := s.JetStream(t)
	if err := stream.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	const tenants, events = 200, 1200
	e := start(t, t.TempDir(), s.Conn(t), func(c *Config) { c.WALFileBytes, c.WALMaxBytes, c.ReserveBytes = 64<<10, 1<<20, -1 })
	for i := range events {
		if err := e.Emit(t.Context(), event(fmt.Sprint("tenant-", i%tenants), "x")).Spooled(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	e.close()
	custody, listed := 0, 0
	for _, m := range onStream(t, js) {
		if bytes.Contains(m.raw, []byte(`"custody":"stream"`)) {
			custody++
			listed += bytes.Count(m.raw, []byte(`"last_sequence"`))
		}
	}
	if custody == 0 || custody > events/10 || listed < tenants {
		t.Errorf("%d events of custody, of %d epochs", custody, listed)
	}
}

// A connection that ended for good is named where somebody waits.
func TestConnectionClosed(t *testing.T) {
	s := natstest.Run(t)
	if err := stream.Apply(t.Context(), s.JetStream(t)); err != nil {
		t.Fatal(err)
	}
	nc := s.Conn(t)
	e := start(t, t.TempDir(), nc)
	if err := e.Emit(t.Context(), event("acme", "a")).Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	until(t, "the trouble", func() bool { return strings.Contains(e.State().Troubles[troubleConnection], "closed for good") })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := e.Emit(t.Context(), event("acme", "b")).Streamed(ctx); err == nil || !strings.Contains(err.Error(), "IgnoreAuthErrorAbort") {
		t.Errorf("waiting: %v", err)
	}
	if err := e.Close(ctx); err == nil || !strings.Contains(err.Error(), "closed for good") {
		t.Errorf("closing: %v", err)
	}
	if err := e.Close(t.Context()); err == nil {
		t.Error("closing again: no error")
	}
}
