// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package clickhouse_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/chdbtest"
	"github.com/docket-audit/docket/internal/profile"
)

// What a breaker does to a request.
const (
	passes   = ""
	refuses  = "refuses"  // the server never sees it
	swallows = "swallows" // the server answers, nobody hears it
	holds    = "holds"    // it fails, and comes to the server when it is let go
)

// A breaker stands between a store and its server.
type breaker struct {
	proxy *httputil.ReverseProxy

	mu    sync.Mutex
	left  int    // requests until the one that is broken; negative: none is
	how   string // guarded by mu, as are the others
	broke string // what it was
	held  []*http.Request
}

func newBreaker(t *testing.T, dsn string) (b *breaker, through string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	b = &breaker{left: -1, proxy: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: u.Host})}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	u.Host = srv.Listener.Addr().String()
	return b, u.String()
}

func (b *breaker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// All of it is read first: a proxy that answers while it still reads may cut both.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	b.mu.Lock()
	how := passes
	if b.left == 0 {
		how = b.how
		b.broke = "SELECT, or another without data"
		if q := r.URL.Query().Get("query"); q != "" {
			b.broke = q
		}
	}
	b.left--
	b.mu.Unlock()
	switch how {
	case refuses:
		panic(http.ErrAbortHandler)
	case swallows:
		b.proxy.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case holds:
		later := r.Clone(context.Background())
		later.Body = io.NopCloser(bytes.NewReader(body))
		b.mu.Lock()
		b.held = append(b.held, later)
		b.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	b.proxy.ServeHTTP(w, r)
}

// set breaks the request behind so many others.
func (b *breaker) set(left int, how string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left, b.how, b.broke = left, how, ""
}

// release lets go of what was held, and waits for the answers.
func (b *breaker) release() {
	b.mu.Lock()
	held := b.held
	b.held = nil
	b.mu.Unlock()
	for _, r := range held {
		b.proxy.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// Every request of a commit and of an opening breaks in every way, and the batch
// comes again: to the same store, and to one that was opened anew. What was held
// comes to the server before that, or when all is over.
func TestBrokenConnections(t *testing.T) {
	t.Parallel() // they wait for the engine, mostly
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	dsn := h.database(t, t.Name())
	b, through := newBreaker(t, dsn)
	opened := func() *clickhouse.Store {
		st, err := clickhouse.Open(t.Context(), through, clickhouse.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	st := opened()
	defer func() { _ = st.Close() }()
	late := 0
	for _, how := range []string{refuses, swallows, holds} {
		for _, anew := range []bool{false, true} {
			for n := 0; ; n++ {
				e := storetest.NewEpoch(t, "acme", "gateway-0")
				batch := store.Batch{
					Entries: append(e.Operation(), e.Fork().Operation()...), StreamSeq: st.StreamSeq() + 8,
					Quarantined: []store.Quarantined{{Subject: "x", Data: []byte(storetest.NewUID()), StreamSeq: st.StreamSeq() + 8, Reason: "z"}},
				}
				b.set(n, how)
				_, err := st.Commit(t.Context(), batch)
				first := err
				b.mu.Lock()
				broke := b.broke
				b.mu.Unlock()
				b.set(-1, passes)
				if broke == "" && err != nil {
					t.Fatalf("nothing was broken: %v", err)
				}
				if n%2 == 0 {
					b.release()
				}
				if anew && err != nil {
					_ = st.Close()
					st = opened()
				}
				for range 3 {
					if _, err = st.Commit(t.Context(), batch); err == nil {
						break
					}
				}
				if err != nil {
					t.Fatalf("%s request %d (%.60s), anew %v: first %v, then %v", how, n, broke, anew, first, err)
				}
				late += len(b.held)
				b.release()
				var events, held uint64
				query(t, dsn, "SELECT count() FROM events WHERE epoch = '"+e.UID+"'", &events)
				query(t, dsn, "SELECT count() FROM quarantine WHERE data = '"+string(batch.Quarantined[0].Data)+"'", &held)
				if events != 6 || held != 1 {
					t.Fatalf("%s request %d (%.60s), anew %v: %d events, %d messages", how, n, broke, anew, events, held)
				}
				if broke == "" {
					if n < 8 {
						t.Fatalf("a commit has %d requests only", n)
					}
					break
				}
			}
		}
	}
	if late == 0 {
		t.Error("nothing came late")
	}
	_ = st.Close()
	st = opened()
	_ = st.Close()
	st = opened() // which sweeps what the one before it found undecided
	derive(t, dsn)
}

// The engine is killed at every point of a commit, as by kill -9, and comes up again.
func TestKilledEngine(t *testing.T) {
	t.Parallel() // they wait for the engine, mostly
	dir := t.TempDir()
	e := chdbtest.Start(t, dir)
	h := &house{base: e.DSN(), made: make(map[string]bool)}
	h.database(t, t.Name())
	again := func() (dsn string) {
		e.Kill()
		e = chdbtest.Start(t, dir)
		u, _ := url.Parse(h.database(t, t.Name()))
		now, _ := url.Parse(e.DSN())
		now.Path = u.Path
		return now.String()
	}
	u, _ := url.Parse(h.database(t, t.Name()))
	dsn := u.String()
	epoch := storetest.NewEpoch(t, "acme", "gateway-0")
	want := 0
	for n := range 11 {
		left := n
		point := ""
		st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{Fault: func(at string) error {
			if left--; left == -1 {
				point = at
				e.Kill()
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		b := store.Batch{
			Entries: append(epoch.Operation(), epoch.Operation()...), StreamSeq: uint64(n + 1),
			Quarantined: []store.Quarantined{{Subject: "x", Data: fmt.Append(nil, n), StreamSeq: uint64(n + 1), Reason: "z"}},
		}
		want += 6
		_, err = st.Commit(t.Context(), b)
		if killed := point != "" && point != "commit written"; killed != (err != nil) {
			t.Fatalf("killed at %q: %v", point, err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		dsn = again()
		st, err = clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Commit(t.Context(), b); err != nil {
			t.Fatalf("killed at %q, and again: %v", point, err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if st, err = clickhouse.Open(t.Context(), dsn, clickhouse.Options{}); err == nil { // which sweeps
			err = st.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		var events uint64
		query(t, dsn, "SELECT count() FROM events", &events)
		if events != uint64(want) {
			t.Fatalf("killed at %q: %d events, not %d", point, events, want)
		}
		derive(t, dsn)
	}
}

// writerEnv makes a test binary a writer: its value is the DSN.
const writerEnv = "DOCKET_TEST_CLICKHOUSE_WRITER"

// TestWriter is the process that TestStorm kills. It commits what comes by its
// input, and says when it is done with a batch and what it is at.
func TestWriter(t *testing.T) {
	dsn := os.Getenv(writerEnv)
	if dsn == "" {
		t.Skip("left out: it is a part of TestStorm")
	}
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{Fault: func(at string) error {
		fmt.Println("at", at)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	var b store.Batch
	for in.Scan() {
		if line := in.Bytes(); len(line) > 0 {
			raw := slices.Clone(line)
			h, err := profile.Check(raw)
			if err != nil {
				t.Fatal(err)
			}
			b.Entries = append(b.Entries, store.Entry{Raw: raw, Header: h})
			continue
		}
		if _, err := st.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		fmt.Println("done")
		b = store.Batch{}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// Each message comes five times, in any order, to writers that are killed in the
// midst of it, again and again; and a user's view counts.
func TestStorm(t *testing.T) {
	t.Parallel() // they wait for the engine, mostly
	h := &house{base: chdbtest.Database(t), made: make(map[string]bool)}
	dsn := h.database(t, t.Name())
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []store.Entry
	for range 4 {
		e := storetest.NewEpoch(t, "acme", "gateway-0")
		for range 15 {
			all = append(all, e.Operation()...)
		}
	}
	var messages []store.Entry
	for range 5 {
		messages = append(messages, all...)
	}
	rnd.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	batches := slices.Collect(slices.Chunk(messages, 23))
	kills := 0
	for next := 0; next < len(batches); {
		// So many lines of its output on, the writer is killed.
		w := startWriter(t, dsn)
		lines := 3 + rnd.IntN(40)
		for next < len(batches) && lines > 0 {
			w.send(batches[next])
			done := false
			for !done && lines > 0 {
				switch line := w.line(); line {
				case "done":
					done = true
				case "":
					t.Fatalf("the writer ended: %s", w.errors.String())
				}
				lines--
			}
			if done {
				next++
			} else {
				kills++
			}
		}
		w.kill()
	}
	if kills < 3 {
		t.Errorf("%d writers were killed in the midst of a commit", kills)
	}
	st, err := clickhouse.Open(t.Context(), dsn, clickhouse.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if c, err := st.Commit(t.Context(), store.Batch{Entries: all}); err != nil || c.Number != 0 || c.Duplicates != len(all) {
		t.Errorf("afterwards: commit %d, %d duplicates of %d: %v", c.Number, c.Duplicates, len(all), err)
	}
	for uid, set := range st.Sequences() {
		if set.Watermark() != 45 || len(set) != 1 {
			t.Errorf("epoch %s has %v", uid, set)
		}
	}
	var events uint64
	query(t, dsn, "SELECT count() FROM events", &events)
	if events != uint64(len(all)) {
		t.Errorf("%d events, not %d", events, len(all))
	}
	derive(t, dsn)
}

// A writer is a process that runs TestWriter.
type writer struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	errors *strings.Builder
}

func startWriter(t *testing.T, dsn string) *writer {
	t.Helper()
	w := &writer{t: t, cmd: exec.Command(os.Args[0], "-test.run=^TestWriter$"), errors: new(strings.Builder)}
	w.cmd.Env = append(os.Environ(), writerEnv+"="+dsn)
	w.cmd.Stderr = w.errors
	in, err1 := w.cmd.StdinPipe()
	out, err2 := w.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, w.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	w.in, w.out = in, bufio.NewScanner(out)
	return w
}

func (w *writer) send(batch []store.Entry) {
	w.t.Helper()
	var b strings.Builder
	for i := range batch {
		b.Write(batch[i].Raw)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	if _, err := io.WriteString(w.in, b.String()); err != nil {
		w.t.Fatal(err)
	}
}

// line returns the next thing it says of its commits; "" when it ended.
func (w *writer) line() string {
	for w.out.Scan() {
		if line := w.out.Text(); line == "done" || strings.HasPrefix(line, "at ") {
			return line
		} else if strings.Contains(line, "FAIL") || strings.Contains(line, ".go:") {
			w.errors.WriteString(line + "\n")
		}
	}
	return ""
}

func (w *writer) kill() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait() // killed
	_ = w.in.Close()
}
