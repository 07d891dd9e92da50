// SPDX-License-Identifier: Apache-2.0

package clickhouse_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/store"
)

const secret = "Geh3im&=#/ @:%2f\"x"

// hint returns what an error tells a human to do, and looks that it tells no
// password.
func hint(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, form := range []string{"%v", "%+v"} {
			if text := fmt.Sprintf(form, e); strings.Contains(text, "Geh3im") {
				t.Errorf("it tells the password: %s", text)
			}
		}
	}
	var h interface{ Hint() string }
	if !errors.As(err, &h) || h.Hint() == "" {
		t.Errorf("no hint with %v", err)
		return ""
	}
	return h.Hint()
}

// A server refuses in many ways, and says again what it was given.
func TestRefused(t *testing.T) {
	for code, want := range map[int]string{
		516: "user or the password", 497: "grants", 164: "may only read", 81: "CREATE DATABASE", 243: "disk", 252: "flush less often", 241: "memory", 285: "replicas",
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Clickhouse-Exception-Code", fmt.Sprint(code))
				w.WriteHeader(http.StatusForbidden)
				_, _ = fmt.Fprintf(w, "Code: %d. DB::Exception: said %s and %s. (SUCH)", code, r.Header.Get("X-Clickhouse-Key"), r.URL.RawQuery)
			}))
			defer srv.Close()
			var logged bytes.Buffer
			dsn := "http://docket:" + escaped(secret) + "@" + srv.Listener.Addr().String() + "/audit"
			_, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			if got := hint(t, err); !strings.Contains(got, want) {
				t.Errorf("hint %q, not about %s", got, want)
			}
			var told *clickhouse.Error
			if passes := code == 241 || code == 243 || code == 285; !errors.As(err, &told) || told.Passes() != passes || strings.Contains(told.Hint(), "stream") {
				t.Errorf("%v, hint %q", err, told.Hint())
			}
			if strings.Contains(logged.String(), "Geh3im") {
				t.Errorf("the log tells the password: %s", logged.String())
			}
			if !strings.Contains(err.Error(), srv.Listener.Addr().String()+"/audit") {
				t.Errorf("it does not tell where: %v", err)
			}
		})
	}
}

// A server that ends does so in the middle of an answer, or before one.
func TestEnding(t *testing.T) {
	for name, end := range map[string]func(conn net.Conn){
		"before":  func(net.Conn) {},
		"between": func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				end(conn)
				_ = conn.Close() // the other side may be gone
			}))
			defer srv.Close()
			_, err := clickhouse.Open(t.Context(), "http://docket@"+srv.Listener.Addr().String()+"/audit", clickhouse.Options{})
			var told *clickhouse.Error
			if got := hint(t, err); !strings.Contains(got, "no server answers") || !errors.As(err, &told) || !told.Passes() {
				t.Errorf("%v, hint %q", err, got)
			}
		})
	}
}

// A server that waits for a request in another protocol says nothing.
func TestOtherProtocol(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	_, err := clickhouse.Open(t.Context(), "clickhouse://docket:"+escaped(secret)+"@"+srv.Listener.Addr().String()+"/audit?dial_timeout=200ms", clickhouse.Options{})
	if got := hint(t, err); !strings.Contains(got, "http://") {
		t.Errorf("%v, hint %q", err, got)
	}
}

func escaped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

func TestAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"http", "https", "clickhouse"} {
		_, err := clickhouse.Open(t.Context(), scheme+"://docket:"+escaped(secret)+"@"+addr+"/audit", clickhouse.Options{})
		// Who asks may have no stream on which anything waits.
		var told *clickhouse.Error
		if got := hint(t, err); !strings.Contains(got, "no server answers") || strings.Contains(got, "stream") || !errors.As(err, &told) || !told.Passes() {
			t.Errorf("%s: hint %q", scheme, got)
		}
		// It says where by the address, and not by what was asked.
		if got := err.Error(); strings.Contains(got, "?") || strings.Contains(got, "Post") || !strings.HasPrefix(got, "open ClickHouse "+addr+"/audit: dial tcp") {
			t.Errorf("%s: %s", scheme, got)
		}
		if err := clickhouse.Reach(t.Context(), scheme+"://docket:"+escaped(secret)+"@"+addr+"/audit"); !strings.Contains(hint(t, err), "no server answers") {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

// Who no longer wants a server that takes connections, and says nothing, does not wait
// for it: the test's time ends before the driver's.
func TestSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	came := make(chan net.Conn, 100)
	go func() {
		defer close(came)
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			came <- conn
		}
	}()
	reason := errors.New("not wanted any more")
	for _, dsn := range []string{"http://docket@%s/audit?dial_timeout=24h", "https://docket@%s/audit?dial_timeout=24h", "clickhouse://docket@%s/audit?dial_timeout=24h", "clickhouse://docket@%s/audit?dial_timeout=24h&secure=true"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error, 1)
		go func() { failed <- clickhouse.Reach(ctx, fmt.Sprintf(dsn, l.Addr())) }()
		select {
		case conn := <-came:
			cancel(reason)
			if err := <-failed; err == nil || !strings.Contains(err.Error(), reason.Error()) && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", dsn, err)
			}
			conn.Close()
		case err := <-failed:
			t.Errorf("%s: %v", dsn, err)
		}
		cancel(nil)
	}
}

// What is looked up in a server that is stopped, whose system takes connections for it,
// ends with an error; the test's time would be over before the driver's.
func TestLookUpOfSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // none of its connections is ever accepted
	for _, dsn := range []string{"http://docket@%s/audit?dial_timeout=24h&read_timeout=24h", "clickhouse://docket@%s/audit?dial_timeout=24h&read_timeout=24h"} {
		r, err := clickhouse.ReaderOf(fmt.Sprintf(dsn, l.Addr()), 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for name, q := range map[string]store.Query{"event": {Event: "e"}, "operation": {Operation: "o"}, "trace": {Trace: "t"}, "page": {Limit: 10, Descending: true}} {
			n := 0
			for _, err := range r.Scan(t.Context(), q) {
				n++
				var told *clickhouse.Error
				if !errors.Is(err, clickhouse.ErrSilent) || !errors.As(err, &told) || !told.Passes() || !strings.Contains(hint(t, err), "is it stopped") {
					t.Errorf("%s, %s: %v", dsn, name, err)
				}
			}
			if n != 1 {
				t.Errorf("%s, %s: %d entries", dsn, name, n)
			}
		}
		// Who gives up before is told that.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range r.Scan(ctx, store.Query{Event: "e"}) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: canceled: %v", dsn, err)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TLS to a port without.
func TestSchemeMismatch(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	_, err := clickhouse.Open(t.Context(), "https://docket:"+escaped(secret)+"@"+srv.Listener.Addr().String()+"/audit", clickhouse.Options{})
	if got := hint(t, err); !strings.Contains(got, "speaks no TLS") {
		t.Errorf("hint %q of %v", got, err)
	}
}

// A server that hangs up in the midst of things.
func TestHangsUp(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	_, err := clickhouse.OpenReader(t.Context(), "http://docket:"+escaped(secret)+"@"+srv.Listener.Addr().String(), clickhouse.Options{})
	if err == nil || strings.Contains(err.Error(), "Geh3im") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := clickhouse.OpenReader(ctx, "http://a:b@"+srv.Listener.Addr().String(), clickhouse.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// What is wrong with a DSN is told without telling the DSN.
func TestDSN(t *testing.T) {
	for _, dsn := range []string{
		"", "Geh3im", "clickhouse://u:Geh3im/x@host:9000/db", "http://u:Geh3im@ho st/", "Geh3im://u:p@host/", "http://u:p@host:Geh3im/",
		"https://u:Geh3im@host/?secure=Geh3im", "clickhouse://u:Geh3im@host/db?dial_timeout=Geh3im", "http://u:Geh3im@host/?secure=true", "clickhouse://u:Ge%h3im@host",
	} {
		_, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
		if got := hint(t, err); !strings.Contains(got, "a URL is such as") {
			t.Errorf("%s: hint %q of %v", dsn, got, err)
		}
	}
}
