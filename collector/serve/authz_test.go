// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/serve/servetest"
	"github.com/docket-audit/docket/collector/store"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// plainRequests are requests that an admin is answered.
func plainRequests(t testing.TB, s *server) map[string]proto.Message {
	return map[string]proto.Message{
		"SearchEvents":   &auditv1.SearchEventsRequest{},
		"GetEvent":       &auditv1.GetEventRequest{Uid: "event-1"},
		"ListOperations": &auditv1.ListOperationsRequest{},
		"GetOperation":   &auditv1.GetOperationRequest{Uid: "op-1"},
		"Tail":           &auditv1.TailRequest{All: true},
		"Query":          &auditv1.QueryRequest{Sql: "SELECT 1"},
		"Stats":          &auditv1.StatsRequest{},
		"GetPlan":        &auditv1.GetPlanRequest{Digest: planDigest},
		"ListPlans":      &auditv1.ListPlansRequest{},
		"GetLedger":      &auditv1.GetLedgerRequest{Event: "event-1"},
		"StartReplay":    &auditv1.StartReplayRequest{},
		"GetReplay":      &auditv1.GetReplayRequest{Id: s.replay(t, "admin", &auditv1.StartReplayRequest{})},
	}
}

var capabilityOf = map[string][]authz.Capability{
	"SearchEvents": {authz.Read}, "GetEvent": {authz.Read}, "ListOperations": {authz.List}, "GetOperation": {authz.Read}, "Tail": {authz.Tail},
	"Query": {authz.SQL}, "Stats": {authz.List}, "GetPlan": {authz.List}, "ListPlans": {authz.List}, "GetLedger": {authz.List, authz.Read},
	"StartReplay": {authz.Replay}, "GetReplay": {authz.Replay},
}

// Who may not is refused, whatever is asked by whichever door, and each request
// is told of once, with who it was, what was asked and how much was answered.
func TestWhoMayAskWhat(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "acmeCorp", "acme/eu", "globex")
	s := start(t, m)
	for name, q := range plainRequests(t, s) {
		if name == "GetReplay" { // 16 are remembered, and others were begun
			q = &auditv1.GetReplayRequest{Id: s.replay(t, "admin", &auditv1.StartReplayRequest{})}
		}
		set := func(field string, tenants ...string) proto.Message {
			c := proto.Clone(q)
			fd := c.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(field))
			if fd == nil {
				return nil
			}
			for _, tenant := range tenants {
				c.ProtoReflect().Mutable(fd).List().Append(protoreflect.ValueOfString(tenant))
			}
			return c
		}
		type ask struct {
			token string
			q     proto.Message
			code  string // "" is an answer
			says  string
		}
		asks := map[string]ask{
			"nobody":          {"", q, "unauthenticated", "no valid token"},
			"another token":   {"adminx", q, "unauthenticated", "no valid token"},
			"expired":         {"expired", q, "unauthenticated", "expired"},
			"no capability":   {"nothing", q, "permission_denied", "is missing"},
			"an admin":        {"admin", q, "", ""},
			"a foreign one":   {"acme", set("tenants", "globex"), "permission_denied", `"globex"`},
			"one of two":      {"acme", set("tenants", "acme", "globex"), "permission_denied", `"globex"`},
			"a longer name":   {"acme", set("tenants", "acmeCorp"), "permission_denied", `"acmeCorp"`},
			"a shorter name":  {"acme", set("tenants", "acm"), "permission_denied", `"acm"`},
			"all":             {"acme", set("tenants", "/"), "permission_denied", `"/"`},
			"none":            {"acme", set("tenants", ""), "permission_denied", `""`},
			"exclude alone":   {"acme", set("exclude_tenants", "globex"), "permission_denied", "excluded grants nothing"},
			"its own":         {"acme", set("tenants", "acme"), "", ""},
			"below it":        {"acme", set("tenants", "acme/eu"), "", ""},
			"an admin but it": {"admin", set("exclude_tenants", "acme"), "", ""},
		}
		for _, c := range authz.Capabilities() {
			code := ""
			if name == "GetReplay" && c != authz.Replay {
				continue // it is there for who began it
			}
			if slices.Contains(capabilityOf[name], c) {
				code = "permission_denied"
			}
			asks["without "+string(c)] = ask{"without-" + string(c), q, code, map[bool]string{true: string(c) + " is missing"}[code != ""]}
		}
		doors := map[string]func(testing.TB, string, string, proto.Message) said{"gRPC": s.byGRPC, "REST": s.byREST}
		for what, a := range asks {
			if a.q == nil {
				continue
			}
			for door, by := range doors {
				s.accesses.take()
				got := by(t, a.token, name, a.q)
				code, message := "", ""
				if got.Error != nil {
					code, message = got.Error.Code, got.Error.Message
				}
				if code != a.code || !strings.Contains(message, a.says) {
					t.Errorf("%s, %s, %s: %q %s, want %q", name, door, what, code, message, a.code)
				}
				if a.code != "" && len(got.Messages) > 0 {
					t.Errorf("%s, %s, %s: refused, and answered %v", name, door, what, got.Messages)
				}
				told := s.accesses.take()
				if len(told) != 1 {
					t.Errorf("%s, %s, %s: told %d times: %+v", name, door, what, len(told), told)
					continue
				}
				if name == "StartReplay" && got.Error == nil { // one runs at a time
					ended(t, s.Client(grants[a.token], "directory"), got.Messages[0].(*auditv1.StartReplayResponse).GetId())
				}
				one := told[0]
				if one.Grant != grants[a.token] || one.Door != "api" || one.Peer == "" || one.Method != name || (one.Err == nil) != (a.code == "") || !one.Start.Equal(epoch()) {
					t.Errorf("%s, %s, %s: told %+v", name, door, what, one)
				}
				of := proto.Clone(a.q)
				proto.Reset(of)
				if err := protojson.Unmarshal([]byte(one.Request), of); err != nil || !proto.Equal(of, a.q) {
					t.Errorf("%s, %s, %s: told of %s, not of %v: %v", name, door, what, one.Request, a.q, err)
				}
				if want := rowsOf(got.Messages); one.Rows != want {
					t.Errorf("%s, %s, %s: told of %d rows, want %d", name, door, what, one.Rows, want)
				}
			}
		}
	}
	// Within the process too.
	s.accesses.take()
	s.byClient(t, "acme", "SearchEvents", &auditv1.SearchEventsRequest{})
	if told := s.accesses.take(); len(told) != 1 || told[0].Door != "directory" || told[0].Grant.Subject != "alice" || told[0].Rows != 2 {
		t.Errorf("within the process: told %+v", told)
	}
	// A long request is told of in part.
	s.byREST(t, "admin", "Query", &auditv1.QueryRequest{Sql: strings.Repeat("é", 5000)})
	if told := s.accesses.take(); len(told) != 1 || len(told[0].Request) > 2100 || !strings.HasPrefix(told[0].Request, `{"sql":"éé`) || !strings.HasSuffix(told[0].Request, "é...") {
		t.Errorf("a long request: %d bytes", len(told[0].Request))
	}
}

func rowsOf(all []proto.Message) int64 {
	n := 0
	for _, m := range all {
		switch m := m.(type) {
		case *auditv1.SearchEventsResponse:
			n += len(m.GetEvents())
		case *auditv1.ListOperationsResponse:
			n += len(m.GetOperations())
		case *auditv1.GetOperationResponse:
			n += len(m.GetMoments())
		case *auditv1.QueryResponse:
			n += len(m.GetRows())
		case *auditv1.ListPlansResponse:
			n += len(m.GetPlans())
		case *auditv1.StartReplayResponse:
		default: // one event, plan, proof or count
			n++
		}
	}
	return int64(n)
}

// What a token began ends with it, by every door, and says so. The clock is that
// of the bubble: no test waits.
func TestExpiryInMidStream(t *testing.T) {
	for _, door := range []string{"gRPC", "REST", "SSE", "within the process"} {
		t.Run(door, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newShelf()
				m.add(t, "acme")
				var told accesses
				s := serve.New(serve.Config{Store: m, Commits: m.Commits, Poll: time.Minute, Accessed: told.tell})
				defer s.Close()
				g := authz.Trusted("short", authz.ByToken)
				g.Expires = time.Now().Add(time.Hour)
				l := newPipes()
				web := &http.Server{Protocols: new(http.Protocols), Handler: s.Handler(serve.Door{Name: "api", Authenticate: func(*http.Request) (*authz.Grant, error) { return g, nil }})}
				web.Protocols.SetHTTP1(true)
				web.Protocols.SetUnencryptedHTTP2(true)
				var serving sync.WaitGroup
				serving.Go(func() { _ = web.Serve(l) })
				defer serving.Wait()
				defer web.Close()

				begun := time.Now()
				var last string // what was said last
				items := 0
				switch door {
				case "REST", "SSE":
					transport := &http.Transport{DialContext: l.dial}
					defer transport.CloseIdleConnections()
					req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://docket/v1/tail?all=true&follow=true", nil)
					if door == "SSE" {
						req.Header.Set("Accept", "text/event-stream")
					}
					resp, err := (&http.Client{Transport: transport}).Do(req)
					if err != nil {
						t.Fatal(err)
					}
					b, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil {
						t.Fatal(err)
					}
					if door == "SSE" {
						all := frames(t, string(b))
						if items = len(all) - 1; all[items].event == "error" {
							last = all[items].data
						}
					} else {
						all := strings.Split(strings.TrimSpace(string(b)), "\n")
						items = len(all) - 1
						last = all[items]
					}
				default:
					c := s.Client(g, "directory")
					if door == "gRPC" {
						conn, err := grpc.NewClient("passthrough:///docket", grpc.WithTransportCredentials(insecure.NewCredentials()),
							grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.dial(ctx, "", "") }))
						if err != nil {
							t.Fatal(err)
						}
						defer conn.Close()
						c = auditv1.NewAuditServiceClient(conn)
					}
					stream, err := c.Tail(t.Context(), &auditv1.TailRequest{All: true, Follow: true})
					for err == nil {
						if _, err = stream.Recv(); err == nil {
							items++
						}
					}
					var e *serve.RemoteError
					if errors.As(serve.FromStatus(err), &e) {
						last = fmt.Sprintf(`{"error":{"code":%q,"message":%q,"hint":%q}}`, e.Code, e.Message, e.Advice)
					}
				}
				// The event, that it has caught up, and a position every 5 s of an hour; the last of
				// them is due in the moment in which it ends.
				if items != 2+720 && items != 2+719 {
					t.Errorf("%d items", items)
				}
				if want := `{"error":{"code":"unauthenticated","message":"unauthenticated: the token has expired","hint":"get a new one, and go on with the last resume_token"}}`; last != want {
					t.Errorf("the end is %s, want %s", last, want)
				}
				if lasted := time.Since(begun); lasted != time.Hour {
					t.Errorf("it lasted %s", lasted)
				}
				if all := told.take(); len(all) != 2 || !all[0].Began || all[1].Began || all[1].Rows != 1 || !errors.Is(all[1].Err, authz.ErrUnauthenticated) || all[1].Duration != time.Hour {
					t.Errorf("told %+v", all)
				}
			})
		})
	}
}

// pipes is a listener within the process.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// A caller never gets a byte of a tenant that they are not covered for, whatever
// is asked: each event is full of a word that only its tenant has.
func TestNothingOfOthers(t *testing.T) {
	tenants := []string{"acme", "acmeCorp", "acme/eu", "acme/eu/west", "acm", "globex", "acme.eu", "docket", "ACME", "acme eu"}
	word := func(tenant string) string { return fmt.Sprintf("canary%dof", slices.Index(tenants, tenant)) }
	rapid.Check(t, func(r *rapid.T) {
		m := newShelf()
		n := 0
		name := func(kind string) string { return fmt.Sprintf("%s-%d", kind, rapid.IntRange(0, 3).Draw(r, kind)) }
		for range rapid.IntRange(1, 4).Draw(r, "commits") {
			var entries []store.Entry
			for range rapid.IntRange(1, 6).Draw(r, "events") {
				n++
				tenant := rapid.SampledFrom(tenants).Draw(r, "tenant")
				entries = append(entries, sealed(t, tenant, n, name("uid"), name("op"), word(tenant)))
			}
			m.put(t, entries...)
		}
		mine := rapid.SampledFrom([]string{"acme", "acme/", "acme/eu", "globex", "acm", "nobody", "acme eu"}).Draw(r, "prefix")
		g := &authz.Grant{Subject: "someone", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{mine}}
		s := serve.New(serve.Config{Store: m, Commits: m.Commits, Query: m.query, Ledger: m, Plan: plan, Replay: replay, Now: epoch})
		defer s.Close()
		scanning := serve.New(serve.Config{Store: m, Commits: m.Commits, Now: epoch}) // Stats asks the database where there is one
		defer scanning.Close()
		door := serve.Door{Name: "api", Authenticate: func(*http.Request) (*authz.Grant, error) { return g, nil }}
		scan := scanning.Handler(door)
		h := s.Handler(door)
		named := rapid.SliceOfN(rapid.SampledFrom(append([]string{"/", "", "nobody"}, tenants...)), 0, 2)
		filters := []string{"", "true", `tenant != "x"`, `message.contains("canary")`, `tenant == "globex"`, `1/time == 0`}
		f := rapid.SampledFrom(filters).Draw(r, "filter")
		include, exclude := named.Draw(r, "include"), named.Draw(r, "exclude")
		var questions []asked
		for _, size := range []int32{0, 1, 2} {
			questions = append(
				questions,
				asked{"SearchEvents", &auditv1.SearchEventsRequest{PageSize: size, Filter: f, Tenants: include, ExcludeTenants: exclude, NewestFirst: size == 1}},
				asked{"ListOperations", &auditv1.ListOperationsRequest{PageSize: size, Filter: f, Tenants: include, ExcludeTenants: exclude}},
				asked{"Tail", &auditv1.TailRequest{Last: size, All: size == 0, Filter: f, Tenants: include, ExcludeTenants: exclude}},
			)
		}
		questions = append(
			questions,
			asked{"Stats", &auditv1.StatsRequest{Filter: f, Tenants: include, ExcludeTenants: exclude, Facets: []string{"tenant", "message", "service", "principal", "epoch"}, Top: 1}},
			asked{"Query", &auditv1.QueryRequest{Sql: "SELECT 1", Filter: f, Tenants: include, ExcludeTenants: exclude}},
			asked{"Query", &auditv1.QueryRequest{Sql: "late"}}, asked{"GetPlan", &auditv1.GetPlanRequest{Digest: planDigest}}, asked{"ListPlans", &auditv1.ListPlansRequest{}},
		)
		for i := range 4 {
			questions = append(
				questions,
				asked{"GetEvent", &auditv1.GetEventRequest{Uid: fmt.Sprintf("uid-%d", i)}}, asked{"GetOperation", &auditv1.GetOperationRequest{Uid: fmt.Sprintf("op-%d", i)}},
				asked{"GetLedger", &auditv1.GetLedgerRequest{Event: fmt.Sprintf("uid-%d", i)}},
			)
		}
		again := &auditv1.StartReplayRequest{}
		if _, err := g.View(include, exclude); err == nil && f != "1/time == 0" {
			again = &auditv1.StartReplayRequest{Filter: f, Tenants: include, ExcludeTenants: exclude}
		}
		questions = append(questions, asked{"GetReplay", &auditv1.GetReplayRequest{Id: replayed(t, s.Client(g, "directory"), again).GetId()}}, asked{"StartReplay", &auditv1.StartReplayRequest{Filter: f, Tenants: include, ExcludeTenants: exclude}})
		seen := false
		for _, q := range questions {
			answer := inMemory(t, h, q)
			if q.name == "Stats" {
				answer = append(answer, inMemory(t, scan, q)...)
			}
			grpcSaid := bytesOf(servetest.Ask(t.Context(), s.Client(g, "directory"), q.name, q.request))
			answer = append(answer, grpcSaid.bytes...)
			if grpcSaid.Error != nil {
				answer = fmt.Appendf(answer, "%+v", *grpcSaid.Error)
			}
			for _, tenant := range tenants {
				has := bytes.Contains(answer, []byte(word(tenant)))
				if has && !g.Covers(tenant) {
					r.Fatalf("%s, who is covered for %s, got bytes of %s by %s of %v:\n%s", g.Subject, mine, tenant, q.name, q.request, answer)
				}
				seen = seen || has
			}
		}
		// What is theirs they do get.
		theirs := slices.ContainsFunc(m.entries, func(e store.Entry) bool { return g.Covers(e.Header.Tenant) })
		if len(include) == 0 && len(exclude) == 0 && f == "" && seen != theirs {
			r.Fatalf("%s: events are there: %t, seen: %t", mine, theirs, seen)
		}
	})
}

// inMemory asks in REST without a listener and returns all that was written.
func inMemory(t testing.TB, h http.Handler, q asked) []byte {
	method, path, body := servetest.REST(t, q.name, q.request)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return fmt.Append(nil, w.Code, w.Header(), w.Body.String())
}

type asked struct {
	name    string
	request proto.Message
}

// What these tests ask is every method that there is.
func TestRequestsAreOfEveryMethod(t *testing.T) {
	have := slices.Sorted(maps.Keys(plainRequests(t, start(t, newShelf()))))
	var want []string
	for _, m := range auditv1.AuditService_ServiceDesc.Methods {
		want = append(want, m.MethodName)
	}
	for _, m := range auditv1.AuditService_ServiceDesc.Streams {
		want = append(want, m.StreamName)
	}
	slices.Sort(want)
	if !slices.Equal(have, want) || !slices.Equal(slices.Sorted(maps.Keys(servetest.RPCs)), want) || !slices.Equal(slices.Sorted(maps.Keys(capabilityOf)), want) {
		t.Errorf("tested are %v, there are %v", have, want)
	}
}

// A query that its caller is still being answered ends with the token too.
func TestExpiryInMidQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newShelf()
		begun := make(chan struct{})
		s := serve.New(serve.Config{Store: m, Commits: m.Commits, Stall: -1, Query: func(ctx context.Context, _ serve.Question, columns func([]string) error, rows io.Writer) error {
			if err := columns([]string{"n"}); err != nil {
				return err
			}
			if _, err := io.WriteString(rows, "{\"n\":1}\n"); err != nil {
				return err
			}
			close(begun)
			<-ctx.Done() // it would run for hours
			return ctx.Err()
		}})
		defer s.Close()
		g := authz.Trusted("short", authz.ByToken)
		g.Expires = time.Now().Add(time.Hour)
		r := httptest.NewRequest(http.MethodPost, "/v1/query", strings.NewReader(`{"sql":"SELECT 1"}`))
		w := httptest.NewRecorder()
		s.Handler(serve.Door{Name: "api", Authenticate: func(*http.Request) (*authz.Grant, error) { return g, nil }}).ServeHTTP(w, r)
		<-begun
		all := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
		if len(all) != 3 || !strings.Contains(all[1], `{"n":1}`) || !strings.Contains(all[2], `"code":"unauthenticated"`) || time.Now() != g.Expires {
			t.Errorf("%s: %q", time.Now(), all)
		}
	})
}
