// SPDX-License-Identifier: Apache-2.0

package examples_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

var fences = regexp.MustCompile("(?s)```(go|toml)\n(.*?)```")

// TestGuide runs the blocks of docs/interceptors.md: its test passes, and its
// program judges calls as a process of its own, plugged in by its table.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile("../docs/interceptors.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string][]string{}
	for _, block := range fences.FindAllStringSubmatch(string(text), -1) {
		blocks[block[1]] = append(blocks[block[1]], block[2])
	}
	if len(blocks["go"]) != 2 || len(blocks["toml"]) != 1 {
		t.Fatalf("docs/interceptors.md has %d blocks of Go and %d of TOML", len(blocks["go"]), len(blocks["toml"]))
	}
	dir := t.TempDir()
	files := map[string]string{"main.go": blocks["go"][0], "main_test.go": blocks["go"][1], "chain.toml": blocks["toml"][0]}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "owners")
	for _, args := range [][]string{
		{"vet", filepath.Join(dir, "main.go"), filepath.Join(dir, "main_test.go")},
		{"test", "-count=1", filepath.Join(dir, "main.go"), filepath.Join(dir, "main_test.go")},
		{"build", "-o", program, filepath.Join(dir, "main.go")},
	} {
		if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
	endpoint := "unix://" + socket(t)
	process := exec.CommandContext(t.Context(), program, endpoint)
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	table := strings.NewReplacer("unix:///run/docket/owners.sock", endpoint, `"250ms"`, `"10s"`).Replace(files["chain.toml"])
	f := load(t, []byte(table))
	if len(f.Warnings) > 0 {
		t.Errorf("its table gives warnings: %v", f.Warnings)
	}
	for replicas, want := range map[int32]codes.Code{0: codes.OK, 10: codes.OK, 11: codes.FailedPrecondition} {
		request := &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Labels: map[string]string{"owner": "me", "k": "v"}, Spec: &sandboxv1.SandboxSpec{Replicas: replicas}}}
		outcome := runAs(t, f.Plan, map[string]string{"kind": "user", "subject": "ann"}, "CreateSandbox", request)
		if got := outcome.Status.Code(); got != want {
			t.Errorf("%d replicas: %v (%s), want %v", replicas, got, outcome.Reason, want)
		}
		made := proto.CloneOf(request)
		made.Sandbox.Labels["owner"] = "ann"
		if outcome.Request == nil || !proto.Equal(outcome.Request, made) || len(outcome.Patches) != 1 {
			t.Errorf("%d replicas: the request became %v", replicas, outcome.Request)
		}
	}
	// Whom the operator's table does not select is not asked.
	outcome := runAs(t, f.Plan, map[string]string{"kind": "sandbox", "sandbox_id": "s"}, "CreateSandbox", &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{Spec: &sandboxv1.SandboxSpec{Replicas: 11}}})
	if outcome.Decision != interceptor.Modify {
		t.Errorf("a sandbox with 11 replicas: %s (%s)", outcome.Decision, outcome.Reason)
	}
	if err := errors.Join(f.Close(), process.Process.Signal(os.Interrupt), process.Wait()); err != nil {
		t.Errorf("it did not end well: %v", err)
	}
}
