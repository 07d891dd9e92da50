// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// Scripts of others read these; new members may be added, none may go.
func TestReplayJSON(t *testing.T) {
	b, err := json.Marshal(&replayAnswer{Report: &replay.Report{Groups: []replay.Group{}, Strata: []replay.Stratum{}}, Verdict: (&verdict{}).told()})
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"annotation_diffs", "dialled", "errors", "failure_diffs", "flips", "groups", "linked", "patch_diffs", "reexecuted",
		"replayed", "same", "status_diffs", "strata", "unanswered", "unreplayable", "verdict",
	}
	if got := string(members["verdict"]); got != `{"fails":false,"reasons":[]}` {
		t.Errorf("verdict is %s", got)
	}
	delete(members, "verdict")
	want = slices.DeleteFunc(want, func(name string) bool { return name == "verdict" })
	lists := []string{"groups", "strata"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(members))); diff != "" {
		t.Errorf("members of replay -o json (-want +got):\n%s", diff)
	}
	for name, v := range members {
		if shape := string(v); shape != "0" && shape != "[]" || slices.Contains(lists, name) != (shape == "[]") {
			t.Errorf("%s is %s", name, shape)
		}
	}
}

// The banner prints addresses as URLs, and commands that a shell reads as meant.
func TestBanner(t *testing.T) {
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "it's data")
	d := &daemon{
		o: upOptions{data: dir, demo: true, stdout: &out}, cfg: &config.Config{}, dir: &datadir.Dir{Path: dir},
		run: datadir.Run{Addresses: map[string]string{"api": "http://127.0.0.1:8080", "flight": "grpc://127.0.0.1:8081", "proxy": "http://127.0.0.1:7070", "ops": "http://127.0.0.1:9090", "nats": "nats://127.0.0.1:4222"}, Taken: map[string]string{"proxy": "7069"}},
	}
	d.banner()
	for _, want := range []string{`(?m)^  proxy +http://127\.0\.0\.1:7070 +moved from 7069, which is taken; governed calls go here$`, `(?m)^  api +http://127\.0\.0\.1:8080 `, `(?m)^  flight +grpc://127\.0\.0\.1:8081 `, `(?m)^  ops +http://127\.0\.0\.1:9090 `, `(?m)^  nats +nats://127\.0\.0\.1:4222 `} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	d.o.demo, d.open = false, false
	out.Reset()
	d.banner()
	if want := "send the token in " + filepath.Join(dir, "keys", "api.token") + "\n"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, out.String())
	}
	if n := len(d.commands()); n != 5 {
		t.Errorf("%d commands, want 5", n)
	}
}

// A broker elsewhere whose stream promises less than declared is refused: what
// it would lose nobody else keeps.
func TestWeakerStreamIsRefused(t *testing.T) {
	broker := natstest.Run(t)
	wanted := stream.Declared().Stream
	wanted.Discard = jetstream.DiscardOld
	if _, err := broker.JetStream(t).CreateStream(t.Context(), wanted); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "docket.toml")
	if err := os.WriteFile(name, []byte("[nats]\nurl = \""+broker.URL()+"\"\n[api]\nlisten = \"127.0.0.1:0\"\n[flight]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	err := up(t.Context(), upOptions{config: name, data: filepath.Join(t.TempDir(), "d"), log: slog.New(slog.DiscardHandler), stdout: &out, stderr: &errs})
	var weaker *stream.WeakerError
	if !errors.As(err, &weaker) || weaker.Differences[0].Field != "discard" {
		t.Errorf("up with a weaker stream: %v", err)
	}
}
