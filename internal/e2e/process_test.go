// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a docket that a test started and will end.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *buffer
	done chan struct{}
	err  error
}

// A buffer collects output while others read it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs bin and ends it with the test.
func start(t *testing.T, bin string, args ...string) *process {
	t.Helper()
	p := &process{t: t, out: &buffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(bin, args...)
	p.cmd.Env = environment()
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	// A process that inherited the pipe must not keep Wait from returning.
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s %s: %v", bin, strings.Join(args, " "), err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s %s printed:\n%s", filepath.Base(bin), strings.Join(args, " "), tailOf(p.out.String(), 4000))
		}
	})
	return p
}

// wait returns the exit code.
func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%s did not end within %v", p.cmd.Path, limit)
	}
	return exitCode(p.err)
}

// kill ends it as a crash would.
func (p *process) kill() {
	p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// stop ends it as an operator would, and returns the exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait(60 * time.Second)
}

// eventually polls until ok, while p lives.
func (p *process) eventually(what string, limit time.Duration, ok func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		select {
		case <-p.done:
			p.t.Fatalf("waiting for %s: the process ended: %v", what, p.err)
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("no %s within %v", what, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// addresses waits for run.json and returns the URLs that it names.
func (p *process) addresses(dir string) map[string]string {
	p.t.Helper()
	var run struct {
		Addresses map[string]string `json:"addresses"`
	}
	p.eventually("run.json", 30*time.Second, func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "run.json"))
		return err == nil && json.Unmarshal(b, &run) == nil && len(run.Addresses) > 0
	})
	return run.Addresses
}

// docket runs a verb to its end.
func docket(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, docketBin, args...)
	cmd.Env = environment()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("docket %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), exitCode(err)
}

// mustDocket runs a verb that has to succeed and returns what it printed.
func mustDocket(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := docket(t, args...)
	if code != 0 {
		t.Fatalf("docket %s: exit %d\n%s%s", strings.Join(args, " "), code, tailOf(stdout, 4000), tailOf(stderr, 2000))
	}
	return stdout
}

// query asks dir in SQL and returns the rows.
func query[T any](t *testing.T, dir, sql string) []T {
	t.Helper()
	out := mustDocket(t, "query", "--data", dir, "-o", "ndjson", sql)
	var rows []T
	dec := json.NewDecoder(strings.NewReader(out))
	for {
		var row T
		if err := dec.Decode(&row); errors.Is(err, io.EOF) {
			return rows
		} else if err != nil {
			t.Fatalf("read rows of %q: %v", sql, err)
		}
		rows = append(rows, row)
	}
}

// environment is this process's, without what would steer docket.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "DOCKET_") && !strings.HasPrefix(kv, "NATS_") {
			env = append(env, kv)
		}
	}
	return append(env, "NO_COLOR=1")
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

func tailOf(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "..." + s[len(s)-n:]
}
