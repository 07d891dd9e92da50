// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A held replay reads all events, says so, and goes on when it is let.
type held struct {
	read chan struct{} // one for each replay that has read all
	on   chan struct{} // one lets one go on
}

func hold(c *serve.Config) *held {
	h := &held{make(chan struct{}, 1), make(chan struct{})}
	c.Replay = func(ctx context.Context, _ string, events iter.Seq2[[]byte, error]) ([]byte, error) {
		n := 0
		for _, err := range events {
			if err != nil {
				return nil, err
			}
			n++
		}
		h.read <- struct{}{}
		select {
		case <-h.on:
			return fmt.Appendf(nil, "{\n  \"operations\": %d\n}\n", n), nil
		case <-ctx.Done():
			return []byte("{}"), ctx.Err()
		}
	}
	return h
}

// refused checks which error a server answered.
func refused(t testing.TB, what string, err error, code, field string) *serve.RemoteError {
	t.Helper()
	var e *serve.RemoteError
	if !errors.As(serve.FromStatus(err), &e) || e.Code != code || e.Field != field {
		t.Errorf("%s: %v, want %s of field %q", what, err, code, field)
		return &serve.RemoteError{}
	}
	return e
}

// One replay runs at a time, whoever began it; it goes on when the caller has
// left, and tells how far it is.
func TestOneReplayAtATime(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "globex", "acme")
	var h *held
	s := start(t, m, func(c *serve.Config) { h = hold(c) })
	ctx, leave := context.WithCancel(as(t.Context(), "admin"))
	begun, err := s.client().StartReplay(ctx, &auditv1.StartReplayRequest{})
	leave()
	if err != nil {
		t.Fatal(err)
	}
	<-h.read
	const path = "/v1/replays/"
	status, body := s.get(t, path+begun.GetId())
	if want := `{"id":"` + begun.GetId() + `","state":"running","started":"2026-11-21T01:02:03Z","events":"3","error":""}`; status != 200 || body != want {
		t.Errorf("while it runs: %d %s, want %s", status, body, want)
	}
	got := s.do(t, "acme", http.MethodPost, "/v1/replays", `{}`)
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, `"code":"unavailable"`) || !strings.Contains(got.body, "a replay is running") {
		t.Errorf("another one: %+v", got)
	}
	_, err = s.client().StartReplay(as(t.Context(), "admin"), &auditv1.StartReplayRequest{})
	refused(t, "another one", err, "unavailable", "")
	h.on <- struct{}{}
	admin := s.Client(grants["admin"], "inside")
	p := ended(t, admin, begun.GetId())
	if p.GetState() != "done" || p.GetEvents() != 3 || p.GetError() != "" || !p.GetEnded().AsTime().Equal(epoch()) {
		t.Errorf("done: %v", p)
	}
	status, body = s.get(t, path+begun.GetId())
	if want := `{"id":"` + begun.GetId() + `","state":"done","started":"2026-11-21T01:02:03Z","ended":"2026-11-21T01:02:03Z","events":"3","report":{"operations":3},"error":""}`; status != 200 || body != want {
		t.Errorf("done: %d %s, want %s", status, body, want)
	}
	// Then there is room for another one, and both are remembered.
	again, err := admin.StartReplay(t.Context(), &auditv1.StartReplayRequest{Tenants: []string{"globex"}})
	if err != nil || again.GetId() == begun.GetId() {
		t.Fatal(again, err)
	}
	<-h.read
	h.on <- struct{}{}
	if p := ended(t, admin, again.GetId()); string(p.GetReport()) != "{\n  \"operations\": 1\n}\n" {
		t.Errorf("of one tenant: %v", p)
	}
	if p := ended(t, admin, begun.GetId()); p.GetEvents() != 3 {
		t.Errorf("the first one: %v", p)
	}
}

// A replay is there for who began it, by whichever token covers as much.
func TestWhoseReplay(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "acme/eu")
	s := start(t, m)
	owner := authz.Grant{Subject: "alice", Issuer: "https://idp", By: authz.ByToken, Capabilities: authz.Capabilities(), Prefixes: []string{"acme", "globex"}}
	begun, err := s.Client(&owner, "api").StartReplay(t.Context(), &auditv1.StartReplayRequest{Tenants: []string{"acme/eu"}})
	if err != nil {
		t.Fatal(err)
	}
	ended(t, s.Client(&owner, "api"), begun.GetId())
	change := func(f func(*authz.Grant)) *authz.Grant {
		g := owner
		f(&g)
		return &g
	}
	for _, test := range []struct {
		name string
		who  *authz.Grant
		code string
	}{
		{"another token of the same", change(func(g *authz.Grant) { g.Expires = epoch().Add(time.Hour) }), ""},
		{"in another order", change(func(g *authz.Grant) { g.Prefixes = []string{"globex/", "x", "acme/"} }), ""},
		{"of everything", change(func(g *authz.Grant) { g.Prefixes = []string{authz.Everywhere} }), ""},
		{"another subject", change(func(g *authz.Grant) { g.Subject = "bob" }), "not_found"},
		{"a subject that begins so", change(func(g *authz.Grant) { g.Subject = "alice2" }), "not_found"},
		{"of another issuer", change(func(g *authz.Grant) { g.Issuer = "https://other" }), "not_found"},
		{"known otherwise", change(func(g *authz.Grant) { g.By = authz.ByCertificate }), "not_found"},
		{"an admin", grants["admin"], "not_found"},
		{"covers less", change(func(g *authz.Grant) { g.Prefixes = []string{"acme"} }), "permission_denied"},
		{"covers a part of what it was about", change(func(g *authz.Grant) { g.Prefixes = []string{"acme/eu", "globex"} }), "permission_denied"},
		{"covers what it was about and no more", change(func(g *authz.Grant) { g.Prefixes = []string{"acme/eu"} }), "permission_denied"},
		{"covers nothing", change(func(g *authz.Grant) { g.Prefixes = nil }), "permission_denied"},
		{"without the capability", change(func(g *authz.Grant) { g.Capabilities = []authz.Capability{authz.Read} }), "permission_denied"},
	} {
		p, err := s.Client(test.who, "api").GetReplay(t.Context(), &auditv1.GetReplayRequest{Id: begun.GetId()})
		if test.code == "" {
			if err != nil || p.GetState() != "done" || !strings.Contains(string(p.GetReport()), "event-2") {
				t.Errorf("%s: %v, %v", test.name, p, err)
			}
			continue
		}
		if e := refused(t, test.name, err, test.code, ""); strings.Contains(e.Message, "globex") || strings.Contains(e.Message, "acme") {
			t.Errorf("%s: it tells whose events were replayed: %s", test.name, e.Message)
		}
	}
}

// Sixteen are remembered: the one before those is one that there never was.
func TestReplaysAreForgotten(t *testing.T) {
	s := start(t, newShelf())
	var ids []string
	for range 18 {
		ids = append(ids, s.replay(t, "admin", &auditv1.StartReplayRequest{}))
	}
	for i, id := range ids {
		_, err := s.Client(grants["admin"], "inside").GetReplay(t.Context(), &auditv1.GetReplayRequest{Id: id})
		if i < 2 {
			refused(t, fmt.Sprint("replay ", i), err, "not_found", "")
		} else if err != nil {
			t.Errorf("replay %d: %v", i, err)
		}
	}
}

// What is replayed is what the request selects, in the order in which it was
// stored, through the plan that it names.
func TestWhatIsReplayed(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "globex", "acme/eu")
	m.add(t, "acmeCorp", "acme")
	type given struct {
		plan   string
		events []string
	}
	got := make(chan given, 1)
	s := start(t, m, func(c *serve.Config) {
		c.Replay = func(_ context.Context, plan string, events iter.Seq2[[]byte, error]) ([]byte, error) {
			g := given{plan: plan}
			for raw, err := range events {
				if err != nil {
					got <- g
					return nil, err
				}
				h, err := profile.Parse(raw)
				if err != nil {
					t.Error(err)
				}
				g.events = append(g.events, h.MetadataUID)
			}
			got <- g
			return []byte(`{}`), nil
		}
	})
	for _, test := range []struct {
		token, body string
		want        string
		plan        string
	}{
		{"admin", `{}`, "event-1 event-2 event-3 event-4 event-5", ""},
		{"acme", `{}`, "event-1 event-3 event-5", ""},
		{"acme", `{"tenants":["acme/eu"]}`, "event-3", ""},
		{"admin", `{"exclude_tenants":["acme"]}`, "event-2 event-4", ""},
		{"admin", `{"filter":"decision == \"deny\" || tenant == \"globex\"","plan":"` + planDigest + `"}`, "event-1 event-2 event-3 event-5", "sha256:" + planDigest},
		{"globex", `{"plan":"sha256:` + planDigest + `"}`, "event-2", "sha256:" + planDigest},
		{"admin", `{"since":"1970-01-01T00:00:00.002Z","until":"1970-01-01T00:00:00.004Z"}`, "event-2 event-3", ""},
		{"admin", `{"filter":"false"}`, "", ""},
	} {
		a := s.do(t, test.token, http.MethodPost, "/v1/replays", test.body)
		id, ok := strings.CutPrefix(strings.TrimSuffix(a.body, `"}`), `{"id":"`)
		if a.status != 200 || !ok || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %+v", test.body, a)
			continue
		}
		if diff := cmp.Diff(given{test.plan, strings.Fields(test.want)}, <-got, cmp.AllowUnexported(given{}), cmp.Comparer(func(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") })); diff != "" {
			t.Errorf("%s as %s (-want +got):\n%s", test.body, test.token, diff)
		}
		if p := ended(t, s.Client(grants[test.token], "api"), id); p.GetState() != "done" || p.GetEvents() != int64(len(strings.Fields(test.want))) {
			t.Errorf("%s: %v", test.body, p)
		}
	}
	// A filter that has no value for an event, and a store that cannot be read.
	admin := s.Client(grants["admin"], "inside")
	p, err := admin.StartReplay(t.Context(), &auditv1.StartReplayRequest{Filter: "1/(time-3) == 7"})
	if err != nil {
		t.Fatal(err)
	}
	<-got
	if p := ended(t, admin, p.GetId()); p.GetState() != "failed" || !strings.Contains(p.GetError(), "filter") || p.GetReport() != nil || p.GetEnded() == nil || p.GetEvents() != 0 {
		t.Errorf("a filter without a value: %v", p)
	}
	m.Close()
	p, err = admin.StartReplay(t.Context(), &auditv1.StartReplayRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-got
	if p := ended(t, admin, p.GetId()); p.GetState() != "failed" || p.GetError() == "" {
		t.Errorf("of a store that cannot be read: %v", p)
	}
}

func TestReplayRefused(t *testing.T) {
	s := start(t, newShelf())
	for what, test := range map[string]struct {
		q           *auditv1.StartReplayRequest
		code, field string
	}{
		"an unknown plan":     {&auditv1.StartReplayRequest{Plan: strings.Repeat("0", 64)}, "not_found", ""},
		"no digest":           {&auditv1.StartReplayRequest{Plan: "latest"}, "invalid_argument", "plan"},
		"in upper case":       {&auditv1.StartReplayRequest{Plan: strings.ToUpper(planDigest)}, "invalid_argument", "plan"},
		"a path":              {&auditv1.StartReplayRequest{Plan: "../" + planDigest}, "invalid_argument", "plan"},
		"a filter":            {&auditv1.StartReplayRequest{Filter: "kind"}, "invalid_argument", "filter"},
		"a time that is none": {&auditv1.StartReplayRequest{Since: at(4), Until: at(4)}, "invalid_argument", "until"},
	} {
		_, err := s.client().StartReplay(as(t.Context(), "admin"), test.q)
		refused(t, what, err, test.code, test.field)
	}
	_, err := s.client().GetReplay(as(t.Context(), "admin"), &auditv1.GetReplayRequest{})
	refused(t, "no id", err, "invalid_argument", "id")
	// What was refused is not remembered, and nothing runs.
	s.replay(t, "admin", &auditv1.StartReplayRequest{})

	without := start(t, newShelf(), func(c *serve.Config) { c.Replay = nil })
	_, err = without.client().StartReplay(as(t.Context(), "admin"), &auditv1.StartReplayRequest{})
	refused(t, "nothing is replayed", err, "unimplemented", "")
	without = start(t, newShelf(), func(c *serve.Config) { c.Plan = nil })
	_, err = without.client().StartReplay(as(t.Context(), "admin"), &auditv1.StartReplayRequest{Plan: planDigest})
	refused(t, "there are no plans", err, "unimplemented", "")
}

// A replay that fails has an error and no report.
func TestReplayFails(t *testing.T) {
	s := start(t, newShelf(), func(c *serve.Config) {
		c.Replay = func(context.Context, string, iter.Seq2[[]byte, error]) ([]byte, error) {
			return []byte(`{}`), errors.New("no such interceptor")
		}
	})
	p := ended(t, s.Client(grants["admin"], "inside"), s.replay(t, "admin", &auditv1.StartReplayRequest{}))
	if p.GetState() != "failed" || p.GetError() != "no such interceptor" || p.GetReport() != nil {
		t.Errorf("%v", p)
	}
}

// What a token began does not outlive it.
func TestReplayExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newShelf()
		m.add(t, "acme")
		cfg := serve.Config{Store: m, Commits: m.Commits}
		h := hold(&cfg)
		s := serve.New(cfg)
		defer s.Close()
		short := authz.Trusted("short", authz.ByToken)
		short.Expires = time.Now().Add(time.Hour)
		begun, err := s.Client(short, "api").StartReplay(t.Context(), &auditv1.StartReplayRequest{})
		if err != nil {
			t.Fatal(err)
		}
		<-h.read
		time.Sleep(time.Hour - 1) // of the bubble
		synctest.Wait()
		get := func() *auditv1.GetReplayResponse {
			longer := authz.Trusted("short", authz.ByToken)
			p, err := s.Client(longer, "api").GetReplay(t.Context(), &auditv1.GetReplayRequest{Id: begun.GetId()})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		if p := get(); p.GetState() != "running" {
			t.Errorf("before: %v", p)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if p := get(); p.GetState() != "failed" || p.GetError() != "unauthenticated: the token has expired" || p.GetReport() != nil || p.GetEnded().AsTime().Sub(p.GetStarted().AsTime()) != time.Hour {
			t.Errorf("behind: %v", p)
		}
	})
}

// Close ends what runs and waits for it, and nothing begins behind it.
func TestCloseEndsReplays(t *testing.T) {
	m := newShelf()
	m.add(t, "acme")
	cfg := serve.Config{Store: m, Commits: m.Commits, Now: epoch}
	h := hold(&cfg)
	s := serve.New(cfg)
	c := s.Client(grants["admin"], "inside")
	begun, err := c.StartReplay(t.Context(), &auditv1.StartReplayRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-h.read
	s.Close()
	p, err := c.GetReplay(t.Context(), &auditv1.GetReplayRequest{Id: begun.GetId()})
	if err != nil || p.GetState() != "failed" || p.GetReport() != nil || p.GetError() == "" {
		t.Errorf("%v, %v", p, err)
	}
	_, err = c.StartReplay(t.Context(), &auditv1.StartReplayRequest{})
	refused(t, "behind Close", err, "unavailable", "")

	// However requests and Close fall together.
	for range 200 {
		var running atomic.Int32
		s := serve.New(serve.Config{Store: m, Commits: m.Commits, Now: epoch, Replay: func(ctx context.Context, _ string, _ iter.Seq2[[]byte, error]) ([]byte, error) {
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		var asking sync.WaitGroup
		for range 3 {
			asking.Go(func() {
				_, _ = s.Client(grants["admin"], "inside").StartReplay(t.Context(), &auditv1.StartReplayRequest{})
			})
		}
		s.Close()
		if n := running.Load(); n != 0 {
			t.Fatalf("%d run behind Close", n)
		}
		asking.Wait()
		if n := running.Load(); n != 0 {
			t.Fatalf("%d began behind Close", n)
		}
	}
}
