// SPDX-License-Identifier: Apache-2.0

//go:build node

package typescript

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/collector/sql"
)

// A query runs in a process of its own, which is this program.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == reading.AnswerVerb {
		if err := sql.Answer(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const client = "../../../schemas/typescript"

// The tests of the client run in node: those that need nothing, and
// server.test.ts, which is told where the server of this test is.
func TestClientUnderNode(t *testing.T) {
	files, err := filepath.Glob(client + "/dist/test/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("the client is not compiled (%v); `make typescript` does it", err)
	}
	h := newHouse(t)
	api := h.serve()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test", "--test-reporter=spec")
	for _, f := range files {
		cmd.Args = append(cmd.Args, "dist/test/"+filepath.Base(f))
	}
	cmd.Dir = client
	cmd.Env = append(os.Environ(),
		"DOCKET_URL=http://"+api,
		"DOCKET_CUTTING_URL=http://"+cutting(t, api),
		"DOCKET_ENDING_URL=http://"+ending(t, api),
		"DOCKET_CONTROL_URL="+h.control(),
	)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}
