// SPDX-License-Identifier: Apache-2.0

package datadir

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func TestOneOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d, err := Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Owner(dir); err == nil || errors.Is(err, ErrNotOwned) {
		t.Errorf("owner before run.json: %v, want one that has not said where it listens", err)
	}
	if err := d.Announce(Run{PID: 4711, Command: "docket up", Addresses: map[string]string{"api": "http://x"}}); err != nil {
		t.Fatal(err)
	}
	_, err = Own(dir)
	var hint interface{ Hint() string }
	if !errors.Is(err, ErrOwned) || !strings.Contains(err.Error(), "pid 4711") || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "kill 4711") {
		t.Errorf("second owner: %v, want a refusal that names the pid", err)
	}
	if run, err := Owner(dir); err != nil || run.PID != 4711 || run.Addresses["api"] != "http://x" {
		t.Errorf("Owner = %+v, %v", run, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "run.json")); !os.IsNotExist(err) {
		t.Errorf("run.json after Close: %v", err)
	}
	// A killed owner leaves run.json behind, with a pid that may live: ours.
	stale := fmt.Sprintf(`{"pid":%d}`, os.Getpid())
	if err := os.WriteFile(filepath.Join(dir, "run.json"), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Owner(dir); !errors.Is(err, ErrNotOwned) {
		t.Errorf("stale run.json: %v, want ErrNotOwned", err)
	}
	d, err = Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

// Whoever is killed leaves a mark, at whatever time, and it stays until somebody has
// put right what he left.
func TestUnclean(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	own := func() *Dir {
		t.Helper()
		d, err := Own(dir)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	wants := func(when string, crashed bool) {
		t.Helper()
		if got := Crashed(dir); got != crashed {
			t.Errorf("%s: crashed is %v", when, got)
		}
	}
	d := own()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	wants("after a clean end", false)
	d = own()
	d.lock.Close() // as by a kill
	wants("after a kill", true)
	d = own()
	d.Close()
	wants("after a start that put nothing right", true)
	d = own()
	d.Settle()
	d.lock.Close()
	wants("after a kill of one that did", true)
	d = own()
	if err := d.Announce(Run{PID: 1}); err != nil {
		t.Fatal(err)
	}
	d.Close()
	wants("after a clean end", false)
}

func TestFormat(t *testing.T) {
	dir := t.TempDir()
	if err := Check(dir); !errors.Is(err, ErrNotADir) {
		t.Errorf("Check of an empty directory: %v", err)
	}
	d, err := Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if b, _ := os.ReadFile(filepath.Join(dir, "FORMAT")); string(b) != "3\n" {
		t.Errorf("FORMAT holds %q", b)
	}
	if err := Check(dir); err != nil {
		t.Errorf("Check: %v", err)
	}
	for content, want := range map[string]error{"4\n": ErrTooNew, "x": ErrNotADir, "0": ErrNotADir} {
		if err := os.WriteFile(filepath.Join(dir, "FORMAT"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		_, owned := Own(dir)
		if err := Check(dir); !errors.Is(err, want) || !errors.Is(owned, want) {
			t.Errorf("FORMAT %q: Check %v, Own %v, want %v", content, err, owned, want)
		}
	}
}

// An older directory stays what it is until something new comes into it.
func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	write := func(s string) {
		if err := os.WriteFile(filepath.Join(dir, "FORMAT"), []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(want string) {
		t.Helper()
		if b, err := os.ReadFile(filepath.Join(dir, "FORMAT")); string(b) != want {
			t.Errorf("FORMAT holds %q, not %q (%v)", b, want, err)
		}
	}
	write("1\n")
	d, err := Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	holds("1\n")
	for range 2 {
		if err := d.Upgrade(); err != nil {
			t.Fatal(err)
		}
		holds("3\n")
	}
}

func TestSocketOfALongPath(t *testing.T) {
	for _, length := range []int{10, 120} {
		dir := filepath.Join(t.TempDir(), strings.Repeat("d", length))
		d, err := Own(dir)
		if err != nil {
			t.Fatal(err)
		}
		l, err := d.ListenSocket()
		if err != nil {
			t.Fatal(err)
		}
		c, err := DialSocket(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		info, err := os.Stat(filepath.Join(dir, "docket.sock"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("docket.sock: %v, %v, want mode 0600", info, err)
		}
		short, _ := os.Readlink(filepath.Join(dir, "docket.sock"))
		l.Close()
		d.Close()
		for _, gone := range []string{filepath.Join(dir, "docket.sock"), short} {
			if _, err := os.Lstat(gone); gone != "" && err == nil {
				t.Errorf("%s is left behind", gone)
			}
		}
	}
}

func TestListenMovesToTheNextFreePort(t *testing.T) {
	first, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := Listen(first.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	a, b := first.Addr().(*net.TCPAddr).Port, second.Addr().(*net.TCPAddr).Port
	if b <= a || b > a+100 {
		t.Errorf("moved from port %d to %d", a, b)
	}
}

// No user may make directories in /proc, not even root.
func TestReadOnlyDirectory(t *testing.T) {
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("LEFT OUT: no /proc")
	}
	_, err := Own("/proc/docket-data")
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint(), "must be writable") {
		t.Errorf("Own of a read-only directory: %v", err)
	}
}

func TestKeysAreMadeOnce(t *testing.T) {
	d, err := Own(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	path := d.Join("keys", "emitter.key")
	key, err := EmitterKey(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := EmitterKey(path)
	if err != nil || !key.Equal(again) {
		t.Errorf("the second time: %v, equal %v", err, key.Equal(again))
	}
	b, err := os.ReadFile(d.Join("keys", "emitter.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.NewVerifier(strings.TrimSpace(string(b))); err != nil {
		t.Errorf("public key %q: %v", b, err)
	}
	token, err := d.Token()
	if same, err2 := d.Token(); err != nil || err2 != nil || token != same || len(token) < 20 {
		t.Errorf("token %q, then %q: %v, %v", token, same, err, err2)
	}
	for _, name := range []string{"emitter.key", "api.token"} {
		if info, err := os.Stat(d.Join("keys", name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info, err)
		}
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := EmitterKey(path); err == nil {
		t.Error("nonsense is taken for a key")
	}
}

// A directory of something else is left as it is; one that a start which was cut
// short began is gone on with.
func TestForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"keys", "lost+found"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Own(dir)
	if err != nil {
		t.Fatalf("a directory that was begun: %v", err)
	}
	d.Close()

	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "letter.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var hint interface{ Hint() string }
	if _, err := Own(foreign); !errors.Is(err, ErrNotADir) || !strings.Contains(err.Error(), "letter.txt") || !errors.As(err, &hint) {
		t.Errorf("Own of a foreign directory: %v", err)
	}
	if entries, err := os.ReadDir(foreign); err != nil || len(entries) != 1 {
		t.Errorf("it was changed: %v, %v", entries, err)
	}
}

// A listener is shown by an address that can be called, and says when it moved.
func TestListener(t *testing.T) {
	for asked, want := range map[string]string{"127.0.0.1:0": "127.0.0.1", "0.0.0.0:0": "127.0.0.1", ":0": "127.0.0.1", "localhost:0": "localhost"} {
		l, err := Listen(asked)
		if err != nil {
			t.Fatal(err)
		}
		host, port, err := net.SplitHostPort(l.HostPort())
		if host != want || port == "0" || err != nil || l.TakenPort != "" {
			t.Errorf("%s is shown as %s, taken %q", asked, l.HostPort(), l.TakenPort)
		}
		moved, err := Listen(net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			t.Fatal(err)
		}
		var r Run
		r.Note("api", moved.TakenPort)
		if r.Moved("api") != "moved from "+port+", which is taken" || r.Moved("ops") != "" {
			t.Errorf("%s on taken port: %q", asked, r.Moved("api"))
		}
		moved.Close()
		l.Close()
	}
}
