// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

// Offline, too, what is held stays and what is erased is gone; and nothing is
// erased without a yes.
func TestEraseOffline(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(formatDir(2))); err != nil {
		t.Fatal(err)
	}
	code := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		c := root()
		c.SetIn(strings.NewReader("n\n"))
		if got := cli.Run(c, append(args, "--data", dir), &out, &errs); got != want {
			t.Fatalf("%v: code %d, not %d: %s", args, got, want, errs.String())
		}
		return out.String() + errs.String()
	}
	erase := []string{"erase", "--subject", "user:user-2", "--reason", "ticket 9"}
	code(1, erase...)
	code(2, "erase", "--since", "24h")
	// A range without anything in it is not one that is open at one end.
	empty := append(erase, "--yes", "--since", "2099-01-01", "--until", "2099-01-01")
	if out := code(2, empty...); !strings.Contains(out, "--until 2099-01-01 is not after --since 2099-01-01") {
		t.Errorf("an empty range: %s", out)
	}
	code(2, append(erase, "--yes", "--until", "soon")...)
	code(2, "hold", "add", "--tenant", "acme")
	id := strings.TrimSpace(code(0, "hold", "add", "--tenant", "acme", "--reason", "case 1"))
	if out := code(4, append(erase, "--yes")...); !strings.Contains(out, "1 events erased, 1 stay under a legal hold") {
		t.Errorf("under a hold: %s", out)
	}
	code(1, "hold", "rm", "no-such-hold", "--reason", "x")
	code(0, "hold", "rm", id, "--reason", "closed")
	if out := code(0, "hold", "ls", "-o", "ndjson"); strings.Contains(out, id) {
		t.Errorf("holds: %s", out)
	}
	if out := code(0, append(erase, "--yes")...); !strings.Contains(out, "1 events erased, 0 stay") {
		t.Errorf("without it: %s", out)
	}
	if out := code(0, "verify", "--deep"); !strings.Contains(out, "\n2 erased; their stubs are here\n") {
		t.Errorf("verify: %s", out)
	}
	if out := code(0, "query", "SELECT count(*) AS n FROM events WHERE principal = 'user-2'", "-o", "csv"); !strings.Contains(out, "\n0\n") {
		t.Errorf("query: %s", out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "FORMAT"))
	if err != nil || string(b) != "3\n" {
		t.Errorf("FORMAT %q, %v", b, err)
	}
	if out := code(0, "expire", "--set", "lake.retention=99999d"); !strings.HasPrefix(out, "0 events expired, 0 stay") {
		t.Errorf("expire: %s", out)
	}
}
