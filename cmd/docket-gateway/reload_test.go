// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/cmd/internal/ops"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// hup reloads the gateway and waits until its log says so once more than before.
func (w *world) hup(said string) {
	w.t.Helper()
	before := strings.Count(w.printed.String(), said)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(said, func() bool { return strings.Count(w.printed.String(), said) > before })
}

func (w *world) state() ops.State {
	w.t.Helper()
	_, body := w.get("/readyz", "application/json")
	var s ops.State
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		w.t.Fatalf("%v: %s", err, body)
	}
	return s
}

// SIGHUP puts a changed chain in force for calls that come from then on; a call
// under way ends by the plan that it began with. Every outcome names its plan,
// and both plans are kept.
func TestHangup(t *testing.T) {
	w := newWorld(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := func(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		entered <- struct{}{}
		<-leave
		return allow(ctx, e)
	}
	first := judged("j", serve(t, "unix", judge{"slow", slow}), "")
	w.write("", first)
	w.start()
	before := w.state().Plan
	old := make(chan error, 1)
	go func() { old <- w.create(t.Context(), &sandboxv1.Sandbox{Name: "old"}) }()
	<-entered

	w.write("", judged("k", serve(t, "unix", judge{"no", deny}), ""))
	w.hup("the chain is reloaded")
	after := w.state().Plan
	if after == before || len(w.state().Interceptors) != 1 || w.state().Interceptors[0].Interceptor != "k" {
		t.Errorf("plan %s after %s: %+v", after, before, w.state())
	}
	if err := w.create(t.Context(), &sandboxv1.Sandbox{Name: "new"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a call after the reload: %v", err)
	}
	close(leave)
	if err := <-old; err != nil {
		t.Errorf("a call from before the reload: %v", err)
	}

	events := w.recorded()
	outcomes := ofKind(events, "outcome")
	if len(outcomes) != 2 || !strings.Contains(outcomes[0], after) || !strings.Contains(outcomes[1], before) {
		t.Errorf("outcomes %s; plans %s, %s", outcomes, before, after)
	}
	for _, digest := range []string{before, after} {
		if n := strings.Count(strings.Join(ofKind(events, "lifecycle"), "\n"), `"message":"plan `+digest+" is in force"); n != 1 {
			t.Errorf("plan %s is stated %d times", digest, n)
		}
		if _, err := os.Stat(filepath.Join(w.dir, "plans", strings.TrimPrefix(digest, "sha256:")+".json")); err != nil {
			t.Error(err)
		}
	}
}

// A file that is refused leaves the chain as it was, which the log and an event
// say; so does one whose interceptor does not answer.
func TestBadHangup(t *testing.T) {
	w := newWorld(t)
	good := judged("j", serve(t, "unix", judge{"b", allow}), "")
	w.write("", good)
	w.start()
	before := w.state().Plan
	for _, bad := range []string{
		good + "[[",
		judged("j", filepath.Join(shortDir(t), "nobody.sock"), ""),
		good + "[[interceptors.bindings]]\nid = \"nobody's\"\ndisabled = true\n",
	} {
		w.write("", bad)
		w.hup("the chain is as it was")
	}
	w.write("", good)
	w.hup("the chain is reloaded")
	if after := w.state().Plan; after != before {
		t.Errorf("plan %s after %s", after, before)
	}
	if err := w.create(t.Context(), &sandboxv1.Sandbox{Name: "box"}); err != nil {
		t.Error(err)
	}
	rejected := 0
	for _, e := range w.recorded() {
		if strings.Contains(e, `"class_uid":6008`) && strings.Contains(e, before) && strings.Contains(e, "docket.toml") {
			rejected++
		}
	}
	if rejected != 3 {
		t.Errorf("%d rejected plans are recorded, want 3", rejected)
	}
}

// An interceptor that goes away is named by /readyz; the rest of readiness is
// tested with a clock, in package requestpath.
func TestReadyzNamesWhoIsAway(t *testing.T) {
	w := newWorld(t)
	socket := filepath.Join(shortDir(t), "i.sock")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- remote.ListenAndServe(ctx, "unix://"+socket, judge{"b", allow}) }()
	w.eventually("socket", func() bool { _, err := os.Stat(socket); return err == nil })
	w.write("", judged("j", socket, `failure_policy = "fail_open"`))
	w.start()
	if code, body := w.get("/readyz", ""); code != 200 || body != "ok\n" {
		t.Errorf("at the start: %d %s", code, body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var body string
	w.eventually("word of it", func() bool {
		var code int
		if code, body = w.get("/readyz", ""); code != 200 {
			t.Fatalf("one that fails open makes the gateway unready: %d %s", code, body)
		}
		return body != "ok\n"
	})
	if !strings.HasPrefix(body, "ok\ninterceptor j is not reachable since ") || strings.Contains(body, socket) {
		t.Errorf("readyz says %s", body)
	}
	if h := w.state().Interceptors[0]; h.State != requestpath.Unreachable || h.Denies || h.Detail != "" {
		t.Errorf("in JSON: %+v", h)
	}
}
