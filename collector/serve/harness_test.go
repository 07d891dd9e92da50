// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/memory"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// answerName is what this program is called where it answers one query; see
// [sql.Processes].
const answerName = "docket-serve-answer"

func TestMain(m *testing.M) {
	if os.Args[0] == answerName {
		if err := sql.Answer(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// A server of HTTP that has cut off a request waits half a second before it closes the
	// connection, and no call of the server ends after that.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// A shelf is a store whose commits the test makes.
type shelf struct {
	*memory.Store

	mu      sync.Mutex
	commits uint64
	entries []store.Entry // as they were given in
}

func newShelf() *shelf { return &shelf{Store: memory.New(memory.Options{Now: epoch})} }

// epoch is the clock of tests.
func epoch() time.Time { return time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC) }

func (s *shelf) Commits() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits
}

// put commits events.
func (s *shelf) put(t testing.TB, entries ...store.Entry) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	done, err := s.Commit(context.Background(), store.Batch{Entries: entries})
	if err != nil || done.Number == 0 {
		t.Fatalf("commit %+v: %v", done, err)
	}
	s.entries = append(s.entries, done.Added...)
	s.commits = done.Number
}

// add commits events of the given tenants, one each, which are numbered.
func (s *shelf) add(t testing.TB, tenants ...string) {
	t.Helper()
	var entries []store.Entry
	for i, tenant := range tenants {
		n := len(s.entries) + i + 1
		entries = append(entries, sealed(t, tenant, n, fmt.Sprintf("event-%d", n), fmt.Sprintf("op-%d", n), ""))
	}
	s.put(t, entries...)
}

// sealed is an event with a number, from which much of it follows.
func sealed(t testing.TB, tenant string, n int, uid, operation, text string) store.Entry {
	t.Helper()
	e := &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityCreate,
		Base: ocsf.Base{
			Time: int64(n), SeverityID: ocsf.SeverityInformational, ActionID: ocsf.ActionAllowed + ocsf.ActionID(n%2), Message: text,
			Metadata: ocsf.Metadata{UID: uid, EventCode: profile.KindOutcome, TenantUID: tenant, CorrelationUID: operation},
			API:      &ocsf.API{Operation: "Get", Service: &ocsf.Service{Name: "acme.v1.Things " + text}},
			Actor:    &ocsf.Actor{AppName: "app" + text},
		},
	}
	return sealedEvent(t, e, uuid.NewSHA1(uuid.Nil, fmt.Append(nil, tenant, n, uid)).String())
}

func sealedEvent(t testing.TB, e ocsf.Event, epoch string) store.Entry {
	t.Helper()
	raw, h, err := profile.SealHeader(e, profile.Link{Epoch: epoch, Emitter: "test", Sequence: 1})
	if err != nil {
		t.Fatal(err)
	}
	return store.Entry{Raw: raw, Header: h, StreamSeq: uint64(h.Time)}
}

// grants are the callers of the tests, by the token that they send.
var grants = map[string]*authz.Grant{
	"admin":   authz.Trusted("admin", authz.BySecret),
	"acme":    {Subject: "alice", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{"acme"}},
	"globex":  {Subject: "gina", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{"globex"}},
	"expired": {Subject: "old", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{authz.Everywhere}, Expires: epoch()},
	"nothing": {Subject: "zero", By: authz.ByToken},
}

// without is everything but one capability.
func without(c authz.Capability) *authz.Grant {
	g := authz.Trusted("without-"+string(c), authz.ByToken)
	var rest []authz.Capability
	for _, other := range g.Capabilities {
		if other != c {
			rest = append(rest, other)
		}
	}
	g.Capabilities = rest
	return g
}

func init() { //nolint:gochecknoinits // a table that is derived
	for _, c := range authz.Capabilities() {
		grants["without-"+string(c)] = without(c)
	}
}

func authenticate(r *http.Request) (*authz.Grant, error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if g := grants[token]; g != nil {
		return g, nil
	}
	return nil, &authz.Error{Err: authz.ErrUnauthenticated, Reason: "no valid token", Advice: "bring one"}
}

// accesses keeps what a server tells of accesses.
type accesses struct {
	mu   sync.Mutex
	told []serve.Access
}

func (a *accesses) tell(_ context.Context, one serve.Access) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = append(a.told, one)
}

// take returns what was told since it was last called.
func (a *accesses) take() []serve.Access {
	a.mu.Lock()
	defer a.mu.Unlock()
	told := a.told
	a.told = nil
	return told
}

// A server of a test, and the ways to ask it.
type server struct {
	*serve.Server

	shelf    *shelf
	accesses accesses
	base     string // of REST
	http     *http.Client
	conn     *grpc.ClientConn
	cut      func() // ends all connections, as a power cut does
}

// start serves a shelf as the daemon does: one listener for HTTP and, without
// TLS, HTTP/2 with gRPC.
func start(t testing.TB, s *shelf, change ...func(*serve.Config)) *server {
	t.Helper()
	srv := &server{shelf: s}
	cfg := serve.Config{Store: s, Commits: s.Commits, Poll: time.Millisecond, Now: epoch, Accessed: srv.accesses.tell, Query: s.query, Ledger: s, Plan: plan, Replay: replay}
	for _, c := range change {
		c(&cfg)
	}
	srv.Server = serve.New(cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: srv.Handler(serve.Door{Name: "api", Authenticate: authenticate}), Protocols: new(http.Protocols)}
	web.Protocols.SetHTTP1(true)
	web.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(l) // it is closed below
	}()
	srv.cut = func() { web.Close() }
	srv.conn, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	srv.base, srv.http = "http://"+l.Addr().String(), &http.Client{Transport: transport}
	t.Cleanup(func() {
		srv.conn.Close()
		transport.CloseIdleConnections()
		web.Close()
		<-done
		srv.Close()
	})
	return srv
}

func (s *server) client() auditv1.AuditServiceClient { return auditv1.NewAuditServiceClient(s.conn) }

// as is the context of a caller over gRPC.
func as(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// An httpAnswer is one that was read to its end.
type httpAnswer struct {
	status          int
	header, trailer http.Header
	body            string
	err             error // of reading it
}

// do sends a request as a caller.
func (s *server) do(t testing.TB, token, method, path, body string, header ...string) httpAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return httpAnswer{resp.StatusCode, resp.Header, resp.Trailer, string(b), err}
}

// get asks as an admin.
func (s *server) get(t testing.TB, path string) (int, string) {
	t.Helper()
	a := s.do(t, "admin", http.MethodGet, path, "")
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a.status, a.body
}

// What stands in for the engine: a row for each event of the view.
func (s *shelf) query(ctx context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error {
	switch q.SQL {
	case "bad":
		return serve.Invalid("sql", errors.New("no such table"))
	case "busy":
		return fmt.Errorf("%w: later", serve.ErrBusy)
	case "broken":
		return errors.New("broken before anything")
	}
	if err := columns([]string{"uid", "é\n"}); err != nil {
		return err
	}
	for e, err := range s.Scan(ctx, store.Query{}) {
		if err != nil {
			return err
		}
		if !q.View.Sees(e.Header.Tenant) {
			continue
		}
		if _, err := fmt.Fprintf(rows, "{\"uid\":%q,\"é\\n\":%s}\n", e.Header.MetadataUID, e.Raw); err != nil {
			return err
		}
	}
	if q.SQL == "late" {
		return errors.New("told late")
	}
	return nil
}

const (
	planDigest = "00000000000000000000000000000000000000000000000000000000000000aa"
	planJSON   = `{"bindings":[{"id":"images"}]}`
	checkpoint = "docket.test\n1\nAAAA\n\n— docket.test sig\n"
)

func plan(_ context.Context, digest string) ([]byte, error) {
	if digest != planDigest {
		return nil, fmt.Errorf("read plan: %w", store.ErrNotFound)
	}
	return []byte(planJSON), nil
}

// What stands in for a replay: a report that has all that it was given.
func replay(_ context.Context, _ string, events iter.Seq2[[]byte, error]) ([]byte, error) {
	all := []json.RawMessage{}
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		all = append(all, bytes.Clone(e))
	}
	return json.Marshal(map[string]any{"replayed": all})
}

// replay begins a replay and waits until it is done.
func (s *server) replay(t testing.TB, token string, r *auditv1.StartReplayRequest) (id string) {
	t.Helper()
	return replayed(t, s.Client(grants[token], "directory"), r).GetId()
}

func replayed(t testing.TB, c auditv1.AuditServiceClient, r *auditv1.StartReplayRequest) *auditv1.GetReplayResponse {
	t.Helper()
	begun, err := c.StartReplay(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return ended(t, c, begun.GetId())
}

// ended waits until a replay is done.
func ended(t testing.TB, c auditv1.AuditServiceClient, id string) *auditv1.GetReplayResponse {
	t.Helper()
	for {
		is, err := c.GetReplay(t.Context(), &auditv1.GetReplayRequest{Id: id})
		if err != nil {
			t.Fatal(err)
		}
		if is.GetState() != "running" {
			return is
		}
		runtime.Gosched()
	}
}

// Checkpoint implements [serve.Ledger].
func (*shelf) Checkpoint(context.Context) ([]byte, error) { return []byte(checkpoint), nil }

// Prove implements [serve.Ledger] as the one of a data directory does: of the
// event that was stored first, with what else was in its commit.
func (s *shelf) Prove(ctx context.Context, uid string) (*serve.Proof, error) {
	for found, err := range s.Scan(ctx, store.Query{Event: uid}) {
		if err != nil {
			return nil, err
		}
		p := &serve.Proof{Fingerprint: found.Header.Fingerprint}
		var text bytes.Buffer
		text.Write(found.Raw)
		for e, err := range s.Scan(ctx, store.Query{After: store.Cursor{Commit: found.Commit - 1, Pos: math.MaxUint32}, AsOf: found.Commit}) {
			if err != nil {
				return nil, err
			}
			text.Write(e.Raw)
			p.Tenants = append(p.Tenants, e.Header.Tenant)
		}
		p.Text = text.Bytes()
		return p, nil
	}
	return nil, fmt.Errorf("prove %s: %w", uid, store.ErrNotFound)
}

func at(ms int64) *timestamppb.Timestamp { return timestamppb.New(time.UnixMilli(ms)) }
