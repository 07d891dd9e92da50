// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package main

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
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/cmd/internal/contexts"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/flight"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/serve/servetest"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

const (
	planDigest = "00000000000000000000000000000000000000000000000000000000000000aa"
	planJSON   = `{"bindings":[{"id":"images"}]}`
)

// grants are the callers, by the token that they send.
var grants = map[string]*authz.Grant{
	"admin":   authz.Trusted("admin", authz.BySecret),
	"acme":    {Subject: "alice", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{"acme"}},
	"expired": {Subject: "old", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{authz.Everywhere}, Expires: time.Unix(1, 0)},
	"nothing": {Subject: "zero", By: authz.ByToken},
}

func granted(authorization []string) (*authz.Grant, error) {
	if g := grants[strings.TrimPrefix(strings.Join(authorization, ","), "Bearer ")]; g != nil {
		return g, nil
	}
	return nil, &authz.Error{Err: authz.ErrUnauthenticated, Reason: "no valid token", Advice: "bring one"}
}

func bearing(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// A house has all doors over one lake, and a context of the command line for each
// caller.
type house struct {
	server *serve.Server
	store  kept
	stored map[string][]byte // events by their uids
	base   string            // of REST
	client auditv1.AuditServiceClient
	flight *flightsql.Client
}

func newHouse(t *testing.T) *house {
	t.Helper()
	return openHouse(t, func(r *http.Request) (*authz.Grant, error) { return granted(r.Header.Values("Authorization")) },
		func(_ context.Context, md metadata.MD) (*authz.Grant, error) { return granted(md.Get("authorization")) })
}

// openHouse opens the doors to those whom two functions know.
func openHouse(t *testing.T, atAPI func(*http.Request) (*authz.Grant, error), atFlight func(context.Context, metadata.MD) (*authz.Grant, error)) *house {
	t.Helper()
	return houseOver(t, lakeAsked(t, nil), atAPI, atFlight)
}

// kept is a store that can be filled.
type kept interface {
	store.Writer
	store.Reader
}

// A keep is a store, and how SQL is answered over it.
type keep struct {
	asking

	store   kept
	commits func() uint64
}

func lakeAsked(t *testing.T, now func() time.Time) keep {
	t.Helper()
	l, err := lake.Open(t.TempDir(), lake.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	processes := reading.Processes(sql.Limits{})
	return keep{asking{reading.SQL(l, processes), reading.Arrow(l, processes), nil}, l, func() uint64 { return l.Manifest().Number }}
}

// houseOver opens the doors to a store, which it fills.
func houseOver(t *testing.T, k keep, atAPI func(*http.Request) (*authz.Grant, error), atFlight func(context.Context, metadata.MD) (*authz.Grant, error)) *house {
	t.Helper()
	h := &house{store: k.store, stored: map[string][]byte{}}
	h.fill(t)
	ask := k.rows
	h.server = serve.New(serve.Config{
		Store: k.store, Commits: k.commits, Dialect: k.dialect, Poll: time.Millisecond, Ledger: h, Plan: plan, Replay: replayed,
		Plans: func(context.Context) ([]string, error) { return []string{planDigest}, nil },
		Query: func(ctx context.Context, q serve.Question, columns func([]string) error, rows io.Writer) error {
			switch q.SQL { // what no question can be relied on to bring about
			case "busy":
				return fmt.Errorf("%w: later", serve.ErrBusy)
			case "broken":
				return errors.New("broken before anything")
			case "late":
				q.SQL = "SELECT metadata_uid FROM events ORDER BY ALL"
				return errors.Join(ask(ctx, q, columns, rows), errors.New("told late"))
			}
			return ask(ctx, q, columns, rows)
		},
	})
	h.open(t, atAPI)
	h.openFlight(t, k.arrow, atFlight)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("DOCKET_CONTEXT", "")
	t.Setenv("DOCKET_DATA", "")
	known, err := contexts.Open()
	if err != nil {
		t.Fatal(err)
	}
	for token := range grants {
		if err := known.Save(contexts.Context{Name: token, URL: h.base, Token: token}, false); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// fill makes files that hold events of several tenants, and one of a time beyond
// the year 9999.
func (h *house) fill(t *testing.T) {
	t.Helper()
	commit := func(entries ...store.Entry) {
		t.Helper()
		if _, err := h.store.Commit(t.Context(), store.Batch{Entries: entries, StreamSeq: entries[len(entries)-1].StreamSeq}); err != nil {
			t.Fatal(err)
		}
	}
	n := uint64(0)
	event := func(tenant string, at int64, uid, operation, text string) store.Entry {
		t.Helper()
		n++
		took := at % 100
		e := &ocsf.APIActivity{
			ActivityID: ocsf.APIActivityCreate,
			Base: ocsf.Base{
				Time: at, Duration: &took, SeverityID: ocsf.SeverityInformational, ActionID: ocsf.ActionAllowed + ocsf.ActionID(n%2), Message: text,
				Metadata: ocsf.Metadata{UID: uid, EventCode: profile.KindOutcome, TenantUID: tenant, CorrelationUID: operation},
				API:      &ocsf.API{Operation: "Get", Service: &ocsf.Service{Name: "acme.v1.Things " + text}},
				Actor:    &ocsf.Actor{AppName: "app" + text},
			},
		}
		raw, header, err := profile.SealHeader(e, profile.Link{Epoch: fmt.Sprintf("0199c1f2-7a10-7c3e-9b1d-%012x", n), Emitter: "test", Sequence: 1})
		if err != nil {
			t.Fatal(err)
		}
		h.stored[uid] = raw
		return store.Entry{Raw: raw, Header: header, StreamSeq: n}
	}
	commit(event("acme", 1, "event-1", "op-1", ""), event("globex", 2, "event-2", "op-2", ""), event("acme/eu", 3, "event-3", "op-3", ""))
	commit(event("acme", 4, "event-4", "op-1", "two words <&> \u2028 \x7f"), event("acmeCorp", 5, "event-5", "op-1", ""))
	commit(event("acme", 1<<53-1, "event-6", "op-6", "late"))
}

// open serves as the daemon does: gRPC without TLS and REST at one listener.
func (h *house) open(t *testing.T, authenticate func(*http.Request) (*authz.Grant, error)) {
	t.Helper()
	web := httptest.NewUnstartedServer(h.server.Handler(serve.Door{Name: "api", Authenticate: authenticate}))
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Start()
	h.base = web.URL
	conn, err := grpc.NewClient(web.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	h.client = auditv1.NewAuditServiceClient(conn)
	t.Cleanup(func() {
		conn.Close()
		web.Close()
		h.server.Close()
	})
}

func (h *house) openFlight(t *testing.T, engine flight.Engine, authorize func(context.Context, metadata.MD) (*authz.Grant, error)) {
	t.Helper()
	door, err := flight.New(flight.Config{
		Engine:    engine,
		Authorize: authorize,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- door.Serve(l) }()
	h.flight, err = flightsql.NewClient(l.Addr().String(), nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(h.flight.Close(), door.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
}

// inREST asks in REST.
func (h *house) inREST(t *testing.T, token, name string, q proto.Message) servetest.Said {
	t.Helper()
	method, path, body := servetest.REST(t, name, q)
	req, err := http.NewRequestWithContext(t.Context(), method, h.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return servetest.InREST(t, name, resp.StatusCode, string(answer))
}

// bySQL asks over Flight SQL. Values are as JSON has them.
func (h *house) bySQL(t *testing.T, token, text string) (columns []string, rows [][]any, refused *serve.RemoteError) {
	t.Helper()
	ctx := bearing(t.Context(), token)
	info, err := h.flight.Execute(ctx, text)
	if err != nil {
		return nil, nil, told(err)
	}
	r, err := h.flight.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		return nil, nil, told(err)
	}
	defer r.Release()
	for _, f := range r.Schema().Fields() {
		columns = append(columns, f.Name)
	}
	for r.Next() {
		for i := range int(r.Record().NumRows()) {
			var row []any
			for _, column := range r.Record().Columns() {
				b, err := json.Marshal(column.GetOneForMarshal(i))
				if err != nil {
					t.Fatal(err)
				}
				row = append(row, decoded(t, b))
			}
			rows = append(rows, row)
		}
	}
	if r.Err() != nil {
		return nil, nil, told(r.Err())
	}
	return columns, rows, nil
}

// told is an error of Flight SQL in the words of the API, less the hint, which
// stands in brackets there.
func told(err error) *serve.RemoteError {
	e := servetest.Remote(err)
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		e.Message, _, _ = strings.Cut(s.Message(), " (")
	}
	return e
}

func plan(_ context.Context, digest string) ([]byte, error) {
	if digest != planDigest {
		return nil, fmt.Errorf("read plan: %w", store.ErrNotFound)
	}
	return []byte(planJSON), nil
}

// What stands in for a replay: a report that has all that it was given.
func replayed(_ context.Context, _ string, events iter.Seq2[[]byte, error]) ([]byte, error) {
	all := []json.RawMessage{}
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		all = append(all, bytes.Clone(e))
	}
	return json.Marshal(map[string]any{"replayed": all})
}

// replay begins a replay as admin, waits until it is done, and returns its id.
func (h *house) replay(t *testing.T) string {
	t.Helper()
	c := h.server.Client(grants["admin"], "directory")
	begun, err := c.StartReplay(t.Context(), &auditv1.StartReplayRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		is, err := c.GetReplay(t.Context(), &auditv1.GetReplayRequest{Id: begun.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		if is.GetState() != "running" {
			return begun.GetId()
		}
		runtime.Gosched()
	}
}

// Checkpoint implements [serve.Ledger].
func (*house) Checkpoint(context.Context) ([]byte, error) {
	return []byte("docket.test\n1\nAAAA\n\n— docket.test sig\n"), nil
}

// Prove implements [serve.Ledger] as the one of a data directory does: of the
// event that was stored first, with what else was in its commit.
func (h *house) Prove(ctx context.Context, uid string) (*serve.Proof, error) {
	for found, err := range h.store.Scan(ctx, store.Query{Event: uid}) {
		if err != nil {
			return nil, err
		}
		p := &serve.Proof{Fingerprint: found.Header.Fingerprint}
		var text bytes.Buffer
		for e, err := range h.store.Scan(ctx, store.Query{After: store.Cursor{Commit: found.Commit - 1, Pos: math.MaxUint32}, AsOf: found.Commit}) {
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
