// SPDX-License-Identifier: Apache-2.0

//go:build node

package typescript

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A house is a data directory, what writes to it, and the server in front of it.
type house struct {
	t      *testing.T
	dir    string
	lake   *lake.Lake
	ledger *ledger.Ledger

	writing sync.Mutex
	epochs  map[string]*storetest.Epoch // by tenant; guarded by writing
	stream  uint64                      // guarded by writing

	serving sync.Mutex
	address string        // of the api
	server  *serve.Server // guarded by serving
	http    *http.Server  // guarded by serving
	served  chan error    // what Serve returned; guarded by serving

	told     sync.Mutex
	accesses []serve.Access // guarded by told
	another  chan struct{}  // closed when there is another access; guarded by told
}

const planDigest = "0d6e4079e36703ebd37c00722f5891d28b0e2811dc114b129215123adcce3605"

func newHouse(t *testing.T) *house {
	h := &house{t: t, dir: t.TempDir(), epochs: map[string]*storetest.Epoch{}, another: make(chan struct{})}
	key, err := ledger.OpenKey(filepath.Join(h.dir, "keys", "ledger.key"), filepath.Join(h.dir, "keys", "ledger.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	if h.lake, err = lake.Open(filepath.Join(h.dir, "lake"), lake.Options{}); err != nil {
		t.Fatal(err)
	}
	if h.ledger, err = ledger.Open(t.Context(), filepath.Join(h.dir, "ledger"), key, ledger.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(h.lake.Close(), h.ledger.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	plans := filepath.Join(h.dir, "plans")
	if err := errors.Join(os.Mkdir(plans, 0o700), os.WriteFile(filepath.Join(plans, planDigest+".json"), []byte(`{"bindings":[{"uid":"quota"}]}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	return h
}

// add commits n operations of a tenant, an outcome each, as a collector does.
func (h *house) add(tenant, message string, n int) (uids, operations []string, err error) {
	h.writing.Lock()
	defer h.writing.Unlock()
	e := h.epochs[tenant]
	if e == nil {
		e = storetest.NewEpoch(h.t, tenant, "gateway")
		h.epochs[tenant] = e
	}
	var batch store.Batch
	for i := range n {
		operation := storetest.NewUID()
		event := &ocsf.APIActivity{
			ActivityID: ocsf.APIActivityCreate,
			Base: ocsf.Base{
				ActionID: ocsf.ActionAllowed + ocsf.ActionID(i%2),
				Metadata: ocsf.Metadata{EventCode: profile.KindOutcome, CorrelationUID: operation, Profiles: []string{"security_control"}},
				Actor:    &ocsf.Actor{User: &ocsf.User{UID: "مها"}},
				API:      &ocsf.API{Operation: "CreateSandbox", Service: &ocsf.Service{Name: "demo.v1.Sandboxes"}},
			},
			SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.7"},
		}
		event.Message = message
		entry := e.Seal(event)
		h.stream++
		entry.StreamSeq = h.stream
		uids, operations = append(uids, entry.Header.MetadataUID), append(operations, operation)
		batch.Entries = append(batch.Entries, entry)
	}
	batch.StreamSeq = h.stream
	done, err := h.lake.Commit(context.Background(), batch)
	if err != nil {
		return nil, nil, err
	}
	statement, err := lake.ReadStatement(h.lake.Dir(), done.Number)
	if err != nil {
		return nil, nil, err
	}
	return uids, operations, h.ledger.Add(context.Background(), statement)
}

// failing is a store that fails behind an event that says so, for those who ask
// for the tenant broken.
type failing struct{ store.Reader }

const fails = "the disk fails behind this"

func (f failing) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		for e, err := range f.Reader.Scan(ctx, q) {
			if !yield(e, err) {
				return
			}
			if q.Tenant == "broken" && e.Header.Message == fails {
				yield(store.Entry{}, errors.New("read segment: input/output error"))
				return
			}
		}
	}
}

// replayed runs operations through the plan that was in force for them: none of
// these has bindings.
func replayed(ctx context.Context, _ string, events iter.Seq2[[]byte, error]) ([]byte, error) {
	empty := func(string) (*interceptor.Plan, error) {
		return &interceptor.Plan{Unmatched: interceptor.UnmatchedAllow}, nil
	}
	r, err := replay.Run(ctx, given(events), nil, replay.Recorded(empty))
	if err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

type given iter.Seq2[[]byte, error]

func (g given) Events(context.Context, string) iter.Seq2[[]byte, error] {
	return iter.Seq2[[]byte, error](g)
}

// Who may ask: ops may do all, and acme's auditor what auditors may.
var grants = map[string]*authz.Grant{
	"ops":     {Subject: "ops", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{authz.Everywhere}},
	"auditor": {Subject: "auditor", By: authz.ByToken, Capabilities: []authz.Capability{authz.List, authz.Read, authz.Tail}, Prefixes: []string{"acme"}},
}

func authenticate(r *http.Request) (*authz.Grant, error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if g := grants[token]; g != nil {
		return g, nil
	}
	return nil, &authz.Error{Err: authz.ErrUnauthenticated, Reason: "no valid token", Advice: "send `Authorization: Bearer TOKEN`"}
}

// serve opens the api as docket up does, and returns its address.
func (h *house) serve() string {
	h.address = "127.0.0.1:0"
	if err := h.open(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := h.close(); err != nil {
			h.t.Error(err)
		}
	})
	return h.address
}

func (h *house) open() error {
	h.serving.Lock()
	defer h.serving.Unlock()
	l, err := net.Listen("tcp", h.address)
	if err != nil {
		return err
	}
	h.address = l.Addr().String()
	h.server = serve.New(serve.Config{
		Store:    failing{h.lake},
		Commits:  func() uint64 { return h.lake.Manifest().Number },
		Query:    reading.SQL(h.lake, reading.Processes(sql.Limits{})),
		Plan:     reading.Plans(h.dir),
		Plans:    reading.PlanDigests(h.dir),
		Ledger:   reading.Ledger(h.dir),
		Replay:   replayed,
		Accessed: h.accessed,
		Poll:     time.Millisecond,
	})
	h.http = &http.Server{Handler: h.server.Handler(serve.Door{Name: "api", Authenticate: authenticate}), ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
	h.http.Protocols.SetHTTP1(true)
	h.http.Protocols.SetUnencryptedHTTP2(true)
	h.served = make(chan error, 1)
	go func(srv *http.Server, served chan<- error) { served <- srv.Serve(l) }(h.http, h.served)
	return nil
}

func (h *house) close() error {
	h.serving.Lock()
	defer h.serving.Unlock()
	h.server.Drain()
	err := h.http.Close()
	h.server.Close()
	if served := <-h.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func (h *house) accessed(_ context.Context, a serve.Access) {
	h.told.Lock()
	defer h.told.Unlock()
	h.accesses = append(h.accesses, a)
	close(h.another)
	h.another = make(chan struct{})
}

// ended waits until a request has ended that says something.
func (h *house) ended(ctx context.Context, says string) (serve.Access, error) {
	for {
		h.told.Lock()
		for _, a := range h.accesses {
			if !a.Began && strings.Contains(a.Request, says) {
				h.told.Unlock()
				return a, nil
			}
		}
		another := h.another
		h.told.Unlock()
		select {
		case <-another:
		case <-ctx.Done():
			return serve.Access{}, ctx.Err()
		}
	}
}

// control is how the tests in node make things happen, and returns where.
func (h *house) control() string {
	mux := http.NewServeMux()
	answer := func(pattern string, do func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := do(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_ = json.NewEncoder(w).Encode(v) // whoever asked may be gone
		})
	}
	answer("POST /add", func(r *http.Request) (any, error) {
		var what struct {
			Tenant, Message string
			N               int
		}
		if err := json.NewDecoder(r.Body).Decode(&what); err != nil {
			return nil, err
		}
		uids, operations, err := h.add(what.Tenant, what.Message, what.N)
		return map[string][]string{"uids": uids, "operations": operations}, err
	})
	answer("POST /restart", func(*http.Request) (any, error) { return nil, errors.Join(h.close(), h.open()) })
	answer("GET /ended", func(r *http.Request) (any, error) {
		a, err := h.ended(r.Context(), r.URL.Query().Get("says"))
		return map[string]any{"method": a.Method, "rows": a.Rows, "err": fmt.Sprint(a.Err)}, err
	})
	srv := httptest.NewServer(mux)
	h.t.Cleanup(srv.Close)
	return srv.URL
}

// cutting opens a way to the api whose connections are cut after some bytes of
// the answer, and returns its address.
func cutting(t *testing.T, api string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
	lengths := rand.New(rand.NewPCG(7, 7))
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			length := 200 + lengths.Int64N(8000)
			all.Go(func() { cut(t, from, api, length) })
		}
	})
	return l.Addr().String()
}

func cut(t *testing.T, from net.Conn, api string, length int64) {
	defer from.Close()
	to, err := net.Dial("tcp", api)
	if err != nil {
		return // the api starts anew; the client finds the connection closed
	}
	var asking sync.WaitGroup
	asking.Go(func() {
		_, _ = io.Copy(to, from) // until the client goes
		_ = to.Close()
	})
	if _, err := io.CopyN(from, to, length); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		t.Logf("cutting: %v", err) // the client went first
	}
	_ = to.Close()
	_ = from.Close()
	asking.Wait()
}

// ending opens a way to the api by a proxy that loses it after five lines of a
// stream and ends the answer as if it were whole, and returns its address.
func ending(t *testing.T, api string) string {
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: api}) },
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			r.Body = &fewLines{ReadCloser: r.Body, left: 5}
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String()
}

// fewLines end behind so many lines.
type fewLines struct {
	io.ReadCloser

	left int
}

func (f *fewLines) Read(b []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.ReadCloser.Read(b)
	for i, c := range b[:n] {
		if c != '\n' {
			continue
		}
		if f.left--; f.left == 0 {
			return i + 1, nil
		}
	}
	return n, err
}
