// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A replaytest is a copy of examples/replaytest somewhere else, as a user's
// module would be.
type replaytest struct {
	t   *testing.T
	dir string
}

func copyReplaytest(t *testing.T) *replaytest {
	t.Helper()
	r := &replaytest{t, filepath.Join(t.TempDir(), "replaytest")}
	if err := os.CopyFS(r.dir, os.DirFS(filepath.Join(root(), "examples", "replaytest"))); err != nil {
		t.Fatal(err)
	}
	docket, err := filepath.Abs(root())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := r.run("mod", "edit", "-replace", module+"="+docket); err != nil {
		t.Fatalf("go mod edit: %v\n%s", err, out)
	}
	return r
}

// run runs the go command in the module, without cgo.
func (r *replaytest) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *replaytest) read(name string) string {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(content)
}

// edit replaces a text that is in a file once.
func (r *replaytest) edit(name, old, by string) {
	r.t.Helper()
	content := r.read(name)
	if strings.Count(content, old) != 1 {
		r.t.Fatalf("%s has %q %d times, want once", name, old, strings.Count(content, old))
	}
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(strings.Replace(content, old, by, 1)), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// Who tests a policy against history gets neither the store nor the stream into
// their go.sum, needs no C compiler, and writes a test that fits on a screen.
func TestReplaytest(t *testing.T) {
	r := copyReplaytest(t)
	kept := r.read("go.sum")
	if out, err := r.run("mod", "tidy"); err != nil {
		t.Fatalf("go mod tidy: %v\n%s", err, out)
	}
	sums := r.read("go.sum")
	if sums != kept {
		t.Errorf("go mod tidy makes another go.sum of examples/replaytest:\n%s", sums)
	}
	for _, heavy := range []string{"duckdb", "nats-server", "clickhouse", "arrow", "cobra"} {
		for line := range strings.Lines(sums) {
			if strings.Contains(strings.ToLower(line), heavy) {
				t.Errorf("go.sum of a module that replays has %s", line)
			}
		}
	}
	if out, err := r.run("test", "-count=1", "./..."); err != nil {
		t.Errorf("go test: %v\n%s", err, out)
	}
	const most = 20
	body := r.read("replay_test.go")
	_, body, _ = strings.Cut(body, "import (")
	if n := strings.Count(body, "\n"); n > most {
		t.Errorf("the test has %d lines from its imports on, at most %d", n, most)
	}
}

// A rule that was changed fails the test with what it would do to which operations,
// in words that need no explanation.
func TestReplaytestWithTheRuleChanged(t *testing.T) {
	rule := `user == nil || name == "root" || name == "0"`
	for name, c := range map[string]struct {
		by   string
		want []string
	}{
		// The twelve that are meant, and the other twenty-eight.
		"stricter": {
			rule + ` || name == "app"`,
			[]string{"--- FAIL: TestPolicyAgainstHistory", "allow -> deny", "no-root", "28", "demo.sandbox.v1.Sandboxes/CreateSandbox", "sandboxes run as a user, not as root"},
		},
		// None of those that are meant.
		"looser": {`user == nil || name == "nobody"`, []string{"--- FAIL: TestPolicyAgainstHistory", "0 flips, want 12"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := copyReplaytest(t)
			r.edit(filepath.Join("noroot", "noroot.go"), rule, c.by)
			out, err := r.run("test", "-count=1", "./...")
			if err == nil {
				t.Fatalf("it passes:\n%s", out)
			}
			if missing := slices.DeleteFunc(c.want, func(s string) bool { return strings.Contains(out, s) }); len(missing) > 0 {
				t.Errorf("it does not say %q:\n%s", missing, out)
			}
		})
	}
}
