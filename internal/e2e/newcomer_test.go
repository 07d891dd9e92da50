// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A newcomer clones, types `make up` on a machine whose ports are all taken,
// and pastes the README's second-terminal block.
func TestNewcomer(t *testing.T) {
	for _, port := range []string{"4222", "7070", "8080", "9090", "3000"} {
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			defer l.Close()
		} // else somebody has it already, which is as good
	}
	clone := cloneOf(t)
	build := exec.Command("make", "build")
	build.Dir, build.Env = clone, environment()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}

	up := exec.Command("make", "up")
	out := &buffer{}
	up.Dir, up.Env = clone, environment()
	up.Stdout, up.Stderr = out, out
	up.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	up.WaitDelay = seconds(5)
	began := time.Now()
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		syscall.Kill(-up.Process.Pid, syscall.SIGTERM)
		up.Wait()
		if t.Failed() {
			t.Logf("make up printed:\n%s", tailOf(out.String(), 6000))
		}
	}()
	// The words of the sentences; see internal/profile.
	for _, word := range []string{"allowed", "denied", "modified", "failed"} {
		for !strings.Contains(out.String(), word) {
			if time.Since(began) > time.Minute {
				t.Fatalf("no sentence with %q within a minute", word)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}

	lines := secondTerminal(t, clone)
	if len(lines) < 4 {
		t.Fatalf("the README's second-terminal block has %d lines", len(lines))
	}
	for _, line := range lines {
		cmd := exec.Command("bash", "-c", line)
		cmd.Dir, cmd.Env = clone, environment()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", line, err, tailOf(string(out), 2000))
		}
	}
}

// cloneOf clones HEAD: what is not committed is not seen.
func cloneOf(t *testing.T) string {
	t.Helper()
	top, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Fatalf("git rev-parse: %v", err)
	}
	clone := filepath.Join(t.TempDir(), "docket")
	if out, err := exec.Command("git", "clone", "-q", strings.TrimSpace(string(top)), clone).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	return clone
}

// secondTerminal returns the commands of the first fenced block after the words
// "second terminal" in the README. Lines that start with # are what they print.
func secondTerminal(t *testing.T, clone string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(clone, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?is)second terminal.*?```[a-z]*\n(.*?)```").FindSubmatch(b)
	if block == nil {
		t.Fatal("README.md has no block after the words \"second terminal\"")
	}
	var lines []string
	for line := range strings.Lines(string(block[1])) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "$ "))
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}
