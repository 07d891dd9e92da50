// SPDX-License-Identifier: Apache-2.0

package ops

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckCommand(t *testing.T) {
	ready := true
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready {
			http.Error(w, "the WAL is full", http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	dir, err := os.MkdirTemp("", "docket-check-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	lis, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	ask := func(target string) error {
		c := CheckCommand()
		c.SetArgs([]string{target})
		c.SilenceErrors, c.SilenceUsage = true, true
		return c.ExecuteContext(t.Context())
	}
	for _, target := range []string{srv.URL + "/readyz", "unix://" + socket} {
		if err := ask(target); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	ready = false
	for target, want := range map[string]string{
		srv.URL + "/readyz":                 "the WAL is full",
		"unix://" + socket + ".none":        "no such file",
		"tcp://127.0.0.1:1":                 "neither http:// nor unix://",
		"http://127.0.0.1:1/nobody/listens": "refused",
	} {
		if err := ask(target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", target, err, want)
		}
	}
}
