// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// child starts this test binary as docket.
func child(t *testing.T, out *bytes.Buffer, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// testscript tells its commands by the name that they are run by.
	link := filepath.Join(t.TempDir(), "docket")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(link, args...)
	cmd.Env = append(os.Environ(), "DOCKET_NATS_LISTEN=127.0.0.1:0", "DOCKET_API_LISTEN=127.0.0.1:0", "DOCKET_FLIGHT_LISTEN=127.0.0.1:0", "DOCKET_OPS_LISTEN=127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // if it lives
		_ = cmd.Wait()
	})
	return cmd
}

// foreign counts the foreign events in a data directory by uid.
func foreign(t *testing.T, dir string) map[string]int {
	t.Helper()
	r, err := lake.OpenReader(filepath.Join(dir, "lake"))
	if err != nil {
		return nil // not there yet
	}
	n := map[string]int{}
	for e, err := range r.Scan(t.Context(), store.Query{Kinds: []string{profile.KindForeign}, WithoutRaw: true}) {
		if err != nil {
			t.Fatal(err)
		}
		n[e.Header.MetadataUID]++
	}
	return n
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestIngestKilled kills docket ingest again and again, as soon as it has come
// some way further, and lets it come to its end at last: each event is stored, and
// once.
func TestIngestKilled(t *testing.T) {
	dir := t.TempDir()
	data, config, file := filepath.Join(dir, "d"), filepath.Join(dir, "c.toml"), filepath.Join(dir, "events.ndjson")
	if err := os.WriteFile(config, []byte("[collector]\nflush = \"20ms\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const events = 12_000
	var b strings.Builder
	for i := range events {
		fmt.Fprintf(&b, `{"class_uid":4001,"category_uid":4,"activity_id":1,"type_uid":400101,"time":%d,"severity_id":1,"metadata":{"version":"1.8.0","product":{"name":"x","vendor_name":"y"},"uid":"sandbox"},"src_endpoint":{"ip":"192.0.2.1"},"message":"%d %s"}`+"\n",
			1_790_000_000_000+i/10, i, strings.Repeat("x", 200))
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var up bytes.Buffer
	owner := child(t, &up, "up", "--config", config, "--data", data)
	within(t, "docket up runs", func() bool {
		_, _, code := docketRun("doctor", "--data", data)
		return code == 0
	})

	// wal is how much lies in the WAL of ingestion, in bytes.
	wal := func() (n int64) {
		files, err := filepath.Glob(filepath.Join(data, "ingest", "wal", "*.wal"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err == nil { // else it was trimmed just now
				n += info.Size()
			}
		}
		return n
	}
	kills := 0
	for stored := 0; kills < 8; kills++ {
		// Now when there is more in the WAL, now when there is more in the store.
		before := wal()
		further := func() bool { return wal() > before+100<<10 }
		if kills%2 == 1 {
			further = func() bool { return len(foreign(t, data)) > stored }
		}
		var out bytes.Buffer
		run := child(t, &out, "ingest", "--data", data, file)
		ended := make(chan error, 1)
		go func() { ended <- run.Wait() }()
		over := false
		within(t, "it comes further", func() bool {
			select {
			case err := <-ended:
				if over = true; err != nil {
					t.Fatalf("it failed: %v\n%s", err, out.String())
				}
				return true
			default:
				return further()
			}
		})
		if over {
			break
		}
		if err := run.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-ended
		stored = len(foreign(t, data))
	}
	if kills < 2 {
		t.Errorf("it was killed %d times only", kills)
	}
	var last bytes.Buffer
	if err := child(t, &last, "ingest", "--data", data, file).Wait(); err != nil {
		t.Fatalf("%v\n%s", err, last.String())
	}
	got := foreign(t, data)
	for uid, n := range got {
		if n != 1 {
			t.Errorf("event %s is stored %d times", uid, n)
		}
	}
	if len(got) != events {
		t.Errorf("%d events are stored, not %d, after %d kills\n%s", len(got), events, kills, last.String())
	}
	t.Logf("killed %d times; at last %s", kills, last.String())
	if err := owner.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := owner.Wait(); err != nil {
		t.Errorf("%v\n%s", err, up.String())
	}
	stdout, stderr, code := docketRun("verify", "--data", data, "--deep")
	if code != 0 {
		t.Errorf("verify: %d\n%s%s", code, stdout, stderr)
	}
}
