// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
)

// A docket-gateway takes no commands: who asks is told what to send, and whom.
func TestReloadOfAGateway(t *testing.T) {
	dir := t.TempDir()
	own, err := datadir.Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if err := own.Announce(datadir.Run{PID: os.Getpid(), Command: "docket-gateway"}); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := docketRun("chain", "reload", "--data", dir)
	if code != cli.ExitFailure || !strings.Contains(stderr, "docket-gateway has no listener that takes commands\nhint: send it the signal: kill -HUP ") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// What changed is one line each, and nothing of it steers a terminal.
func TestWriteChange(t *testing.T) {
	for want, change := range map[string]*requestpath.Change{
		"same     sha256:a\n": {Before: "sha256:a", After: "sha256:a"},
		"before   sha256:a\nafter    sha256:b\nremoved  i/old\nadded    i/new\\x1b[2J\nchanged  i/k: order, timeout_ns\nchanged  audit, unmatched\n" +
			"restart  for nats.url, redact: a reload does not take what changed there\nwarning  look out\n": {
			Before: "sha256:a", After: "sha256:b", Removed: []string{"i/old"}, Added: []string{"i/new\x1b[2J"},
			Changed:  []requestpath.ChangedBindings{{Binding: "i/k", Keys: []string{"order", "timeout_ns"}}},
			Settings: []string{"audit", "unmatched"}, Restart: []string{"nats.url", "redact"}, Warnings: []string{"look out"},
		},
	} {
		var b strings.Builder
		if err := writeChange(&b, change); err != nil || b.String() != want {
			t.Errorf("wrote\n%s\nwant\n%s\n%v", b.String(), want, err)
		}
	}
}
