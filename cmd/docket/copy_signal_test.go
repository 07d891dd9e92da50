// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/internal/chdbtest"
)

// Whoever presses ^C while a server takes long does not wait for it, is told what was
// copied, and makes the same copy again.
func TestCopyAndInterrupt(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a")
	if err := os.CopyFS(a, os.DirFS(filepath.Join("testdata", "formats", "2"))); err != nil {
		t.Fatal(err)
	}
	to, err := neturl.Parse(chdbtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	waits := true
	through := httputil.NewSingleHostReverseProxy(&neturl.URL{Scheme: to.Scheme, Host: to.Host})
	through.Transport = &http.Transport{DisableKeepAlives: true} // who is interrupted takes no connection from who comes next
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if waits && strings.HasPrefix(r.URL.Query().Get("query"), "INSERT INTO docket_events") {
			waits = false
			if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
				t.Error(err)
			}
			_, _ = io.Copy(io.Discard, r.Body) // until then nobody looks whether the client is there
			<-r.Context().Done()
			return
		}
		through.ServeHTTP(w, r)
	}))
	defer between.Close()
	to.Host = between.Listener.Addr().String()
	copied := func() (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = cli.Run(root(), []string{"copy", "--from", a, "--to", to.String(), "--data", filepath.Join(dir, "l")}, &out, &errs)
		return code, out.String(), errs.String()
	}
	code, stdout, stderr := copied()
	if want := "docket: interrupted, before the stores were compared: copied 0 events and 0 messages in quarantine; 0 were there\nhint: make the same copy again: it goes on where it was\n"; code != cli.ExitPartial || stderr != want || stdout != "" {
		t.Errorf("interrupted: exit %d, %s\n%s", code, stdout, stderr)
	}
	if waits {
		t.Error("nothing was inserted")
	}
	if code, stdout, stderr := copied(); code != cli.ExitOK || !strings.Contains(stdout, "the destination has everything") {
		t.Errorf("again: exit %d, %s\n%s", code, stdout, stderr)
	}
}
