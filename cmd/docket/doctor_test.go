// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

func wantDoctor(t *testing.T, dir string, wantCode int, want ...string) {
	t.Helper()
	stdout, stderr, code := docketRun("doctor", "--data", dir, "-o", "short")
	if code != wantCode {
		t.Errorf("exit %d, want %d", code, wantCode)
	}
	for _, w := range want {
		if !strings.Contains(stdout, w) {
			t.Errorf("no %q", w)
		}
	}
	if strings.Contains(stdout, "socket") {
		t.Error("looks for a socket")
	}
	if t.Failed() {
		t.Logf("%s%s", stdout, stderr)
	}
}

// A docket-gateway keeps no store and no socket: without them it is well.
func TestDoctorKnowsAGateway(t *testing.T) {
	dir := t.TempDir()
	own, err := datadir.Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	troubles := 0
	mux := http.NewServeMux()
	ready := `{"ready":true,"interceptors":[]}`
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/json" {
			t.Errorf("readyz is asked for %q", r.Header.Get("Accept"))
		}
		fmt.Fprintln(w, ready)
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE docket_emitter_offered_total counter\ndocket_emitter_offered_total 12\ndocket_emitter_sequenced_total 12\n"+
			"docket_emitter_wal_bytes 4096\ndocket_emitter_wal_behind_bytes 17\ndocket_emitter_troubles %d\nother{a=\"b\"} 1\n", troubles)
	})
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	ops, nats := listen(), listen()
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go srv.Serve(ops)
	t.Cleanup(func() { srv.Close() })
	announce := func(nats string) {
		t.Helper()
		if err := own.Announce(datadir.Run{
			PID: os.Getpid(), Command: "docket-gateway", Version: "0", Started: time.Now(), Emitter: "edge-7",
			Addresses: map[string]string{"ops": "http://" + ops.Addr().String(), "nats": nats},
		}); err != nil {
			t.Fatal(err)
		}
	}
	up := "nats://gw:xxxxx@" + nats.Addr().String()
	announce(up)
	emitter := "emitter: edge-7: 12 events offered, 12 sequenced, 0 refused of which 0 are stated in gap findings; 4096 bytes of WAL, 17 not yet on the stream"
	wantDoctor(t, dir, cli.ExitOK, "ok: owner: docket-gateway", "ok: ready", "ok: "+emitter, "ok: broker: "+up+" is reachable", "ok: store: none here")
	ready = `{"ready":true,"interceptors":[{"interceptor":"a","state":"serving","denies":true,"token":true},` +
		`{"interceptor":"b","state":"unreachable","denies":false,"since":"2026-11-21T06:00:00Z"}]}`
	wantDoctor(t, dir, cli.ExitOK, "ok: interceptor: interceptor a serves, and accepts the gateway's token",
		"warning: interceptor: interceptor b is not reachable since 2026-11-21T06:00:00Z, and its bindings fail open")
	ready = `{"ready":false,"reason":"the chain: interceptor c","interceptors":[{"interceptor":"c","state":"refuses","denies":true,"token":true,"since":"2026-11-21T06:00:00Z"}]}`
	wantDoctor(t, dir, cli.ExitFound, "problem: ready: the chain: interceptor c", "problem: interceptor: interceptor c refuses who calls it since 2026-11-21T06:00:00Z, and what its bindings select is denied")
	ready = "" // of a version that says nothing
	wantDoctor(t, dir, cli.ExitOK, "ok: ready")
	troubles = 1
	wantDoctor(t, dir, cli.ExitFound, "problem: emitter: troubles: 1")
	troubles = 0
	announce("nats://127.0.0.1:1")
	wantDoctor(t, dir, cli.ExitFound, "problem: broker: NATS is not reachable")

	// Stopped, it is known by its WAL.
	writeFile(t, filepath.Join(dir, "wal", "00000001.wal"), "0123456789")
	writeFile(t, filepath.Join(dir, "keys", "emitter.vkey"), "x")
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	wantDoctor(t, dir, cli.ExitOK, "ok: owner: none; the directory is of a docket-gateway", "ok: emitter: 10 bytes of WAL in 1 files", "ok: keys: keys/emitter.vkey")

	_, stderr, code := docketRun("verify", "--data", dir)
	if code != cli.ExitFailure || !strings.Contains(stderr, "no store here\nhint: docket-gateway sends its events on") {
		t.Errorf("verify: exit %d: %s", code, stderr)
	}

	// Without a lake, but of a docket that did not come so far as to store anything.
	writeFile(t, filepath.Join(dir, "keys", "ledger.vkey"), "docket.example+00000000+AAAA\n")
	wantDoctor(t, dir, cli.ExitOK, "ok: owner: none; the directory is read as it lies", "warning: store: nothing was ever stored: no start came that far")
	// Whoever takes away a lake that there was does not make it look so.
	writeFile(t, filepath.Join(dir, "ledger", "checkpoint"), "x\n")
	wantDoctor(t, dir, cli.ExitFound, "ok: owner: none; the directory is read as it lies", "problem: store: open lake")
	// Without a lake, but of a docket: its events are in ClickHouse.
	writeFile(t, filepath.Join(dir, "store"), "ch.example:9000/audit\n")
	wantDoctor(t, dir, cli.ExitOK, "ok: owner: none; the directory is read as it lies", "ok: store: the events are in ClickHouse at ch.example:9000/audit")
}

// Two emitters with one name are told apart by the keys that they sign with.
func TestDoctorNamesTwoKeys(t *testing.T) {
	head := func(epoch, key string) store.Entry {
		raw, _, err := profile.Seal(&ocsf.ApplicationLifecycle{
			ActivityID: ocsf.ApplicationLifecycleOther,
			Base: ocsf.Base{
				Time: 1_793_215_000_000, SeverityID: ocsf.SeverityInformational,
				Metadata: ocsf.Metadata{UID: epoch[:35] + "9", TenantUID: "acme", EventCode: profile.KindLifecycle, Product: &ocsf.Product{Name: "docket"}},
				Unmapped: map[string]any{profile.Unmapped: map[string]any{"lifecycle": "head", "head": map[string]any{"key": key}}},
			},
			App: &ocsf.Product{Name: "docket"},
		}, profile.Link{Emitter: "host", Epoch: epoch, Sequence: 1})
		if err != nil {
			t.Fatal(err)
		}
		header, err := profile.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return store.Entry{Raw: raw, Header: header}
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "FORMAT"), "1\n")
	l, err := lake.Open(filepath.Join(dir, "lake"), lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	batch := store.Batch{StreamSeq: 2}
	for i, key := range []string{strings.Repeat("a1", 16), strings.Repeat("b2", 16)} {
		e := head(fmt.Sprintf("0199d0aa-0000-7000-8000-0000000000%d1", i), key)
		e.StreamSeq = uint64(i) + 1
		batch.Entries = append(batch.Entries, e)
	}
	if _, err := l.Commit(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wantDoctor(t, dir, cli.ExitOK, "warning: keys: emitter host signs with the keys a1a1a1a1a1a1a1a1 and b2b2b2b2b2b2b2b2")
}

// A store that has stopped storing knows nothing of what it does not have; the
// emitter beside it does.
func TestConservationCountsWhatTheStoreHasNotSeen(t *testing.T) {
	epochs := withEmitted(
		[]collector.EpochStatus{{Epoch: "a", Sequenced: 10, Stored: 10}, {Epoch: "b", Sequenced: 5, Stored: 5}},
		"gateway-0", map[string]int64{"a": 25, "b": 5, "c": 3})
	var d diagnosis
	d.conserve(epochs)
	if got, want := d.Conservation, (conservation{Sequenced: 33, Stored: 15, InFlight: 18, Epochs: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
