// SPDX-License-Identifier: Apache-2.0

package chdbtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// need returns the library's path. Without it the test is left out, or fails where
// it may not be.
func need(t testing.TB) string {
	t.Helper()
	path, err := library()
	switch {
	case err == nil:
		return path
	case required:
		t.Fatal(err)
	default:
		t.Skipf("left out: %s by a real ClickHouse engine: %v; make clickhouse runs it", t.Name(), err)
	}
	return ""
}

// library finds libchdb.so, once.
var library = sync.OnceValues(func() (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("chdbtest: libchdb is used on linux/amd64 only, this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	path := os.Getenv("DOCKET_TEST_CHDB")
	if path == "" {
		root, err := root()
		if err != nil {
			return "", err
		}
		path = filepath.Join(root, ".tmp", "chdb", "libchdb.so")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("chdbtest: no %s (make .tmp/chdb/.done fetches it, DOCKET_TEST_CHDB names another)", path)
	} else if err != nil {
		return "", fmt.Errorf("chdbtest: find libchdb: %w", err)
	}
	return path, nil
})

// root is the directory of the module that the test belongs to.
func root() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("chdbtest: find the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// server builds chdbserver, once per test binary, and returns it as a file that is
// open and has no name any more: so nobody has to remove it.
var server = sync.OnceValues(func() (f *os.File, err error) {
	dir, err := os.MkdirTemp("", "chdbserver")
	if err != nil {
		return nil, fmt.Errorf("chdbtest: build chdbserver: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := filepath.Join(dir, "chdbserver")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", name, "github.com/docket-audit/docket/internal/chdbtest/chdbserver")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("chdbtest: build chdbserver: %w\n%s", err, out)
	}
	f, err = os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("chdbtest: build chdbserver: %w", err)
	}
	return f, nil
})
