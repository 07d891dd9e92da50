// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/store"
)

func requeue(_ context.Context, ids []string, tell func(any) error) error {
	for _, id := range ids {
		switch id {
		case "broken":
			return errors.New("broken")
		case "gone":
			return fmt.Errorf("%w: gone", store.ErrNotFound)
		}
		if err := tell(map[string]string{"id": id}); err != nil {
			return err
		}
	}
	return nil
}

func TestRequeue(t *testing.T) {
	s := start(t, newShelf(), func(c *serve.Config) { c.Requeue = requeue })
	for name, test := range map[string]struct {
		body, want string
		status     int
		trailer    string
	}{
		"some":    {`{"ids":["a","b"]}`, "{\"id\":\"a\"}\n{\"id\":\"b\"}\n", 200, ""},
		"all":     {`{"all":true}`, "", 200, ""},
		"late":    {`{"ids":["a","broken"]}`, "{\"id\":\"a\"}\n", 200, "broken"},
		"none":    {`{"ids":["gone"]}`, "not_found", 404, ""},
		"neither": {`{}`, "invalid_argument", 400, ""},
		"both":    {`{"ids":["a"],"all":true}`, "invalid_argument", 400, ""},
		"typo":    {`{"id":["a"]}`, "invalid_argument", 400, ""},
	} {
		got := s.do(t, "admin", http.MethodPost, "/v1/quarantine/requeue", test.body)
		if got.err != nil || got.status != test.status || !strings.Contains(got.body, test.want) || test.status == 200 && got.body != test.want ||
			!strings.Contains(got.trailer.Get(serve.ErrorTrailer), test.trailer) || test.trailer == "" && got.trailer.Get(serve.ErrorTrailer) != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := s.do(t, "", http.MethodPost, "/v1/quarantine/requeue", `{"all":true}`); got.status != http.StatusUnauthorized {
		t.Errorf("without the token: %+v", got)
	}
	if got := start(t, newShelf()).do(t, "admin", http.MethodPost, "/v1/quarantine/requeue", `{"all":true}`); got.status != http.StatusNotImplemented {
		t.Errorf("where nothing is collected: %+v", got)
	}
}

// Who changes something is an admin of everything, at every door.
func TestAdmins(t *testing.T) {
	did := 0
	s := start(t, newShelf(), func(c *serve.Config) {
		c.Reload = func(context.Context) (any, error) { did++; return struct{}{}, nil }
		c.Requeue = func(context.Context, []string, func(any) error) error { did++; return nil }
		c.Actions = map[string]serve.Action{"erase": func(context.Context, []byte, func(any) error) error { did++; return nil }}
		c.Status = func(context.Context) (any, error) { did++; return map[string]int{"n": 1}, nil }
	})
	for path, need := range map[string]string{
		"GET /v1/status": "list", "POST /v1/chain/reload": "admin", "POST /v1/quarantine/requeue": "admin", "POST /v1/erase": "admin",
	} {
		method, path, _ := strings.Cut(path, " ")
		for token, want := range map[string]int{"": 401, "acme": 403, "nothing": 403, "without-" + need: 403, "admin": 200} {
			did = 0
			s.accesses.take()
			got := s.do(t, token, method, path, `{"all":true}`)
			if got.status != want || (did == 1) != (want == 200) {
				t.Errorf("%s %s as %q: %+v, did %d", method, path, token, got, did)
			}
			told := s.accesses.take()
			if want != 200 && (len(told) != 1 || told[0].Err == nil || told[0].Method != method+" "+path) {
				t.Errorf("%s %s as %q: told %+v", method, path, token, told)
			}
		}
	}
	if code, body := s.get(t, "/v1/status"); code != 200 || body != "{\"n\":1}\n" {
		t.Errorf("status: %d %s", code, body)
	}
	if code, body := start(t, newShelf()).get(t, "/v1/status"); code != 200 || body != "{}\n" {
		t.Errorf("no status: %d %s", code, body)
	}
}

func TestWhoMayAsk(t *testing.T) {
	reloads := 0
	m := newShelf()
	s := serve.New(serve.Config{
		Store: m, Commits: m.Commits,
		Reload: func(context.Context) (any, error) { reloads++; return struct{}{}, nil },
	})
	t.Cleanup(s.Close)
	const read, change = "GET /v1/events", "POST /v1/chain/reload"
	bearer := func(secret string) func(*http.Request) (*authz.Grant, error) {
		v, err := authz.New(authz.Config{Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		return v.HTTP
	}
	secret := bearer("secret")
	net, local, none := s.Handler(serve.Door{Name: "api", Authenticate: secret}), s.Handler(serve.Door{Name: "api", Authenticate: serve.OrLoopback(secret)}), s.Handler(serve.Door{Authenticate: bearer("")})
	for _, tc := range []struct {
		name                                string
		door                                http.Handler
		authorization, host, origin, remote string
		reads, changes                      int
	}{
		{"right token", net, "Bearer secret", "docket.example", "", "", 200, 200},
		{"no token", net, "", "127.0.0.1:8080", "", "", 401, 401},
		{"wrong token", net, "Bearer secrex", "127.0.0.1:8080", "", "", 401, 401},
		{"basic", net, "Basic secret", "127.0.0.1:8080", "", "", 401, 401},
		{"a door without a token", none, "Bearer ", "127.0.0.1:8080", "", "", 401, 401},
		{"open to this machine", local, "", "127.0.0.1:8080", "", "", 200, 401},
		{"by name", local, "", "localhost:8080", "", "", 200, 401},
		{"by IPv6", local, "", "[::1]:8080", "", "", 200, 401},
		{"with the token too", local, "Bearer secret", "127.0.0.1:8080", "", "", 200, 200},
		{"with a wrong token", local, "Bearer secrex", "127.0.0.1:8080", "", "", 401, 401},
		{"from another machine", local, "", "127.0.0.1:8080", "", "192.0.2.1:1234", 401, 401},
		{"a name that someone made resolve to loopback", local, "", "evil.example:8080", "", "", 401, 401},
		{"a page of someone else", local, "", "127.0.0.1:8080", "https://evil.example", "", 401, 401},
		{"the socket", s.Handler(serve.Door{Name: "socket", Authenticate: serve.Trusting(func(*http.Request) string { return "local" })}), "", "docket", "", "@", 200, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for what, want := range map[string]int{read: tc.reads, change: tc.changes} {
				method, path, _ := strings.Cut(what, " ")
				r := httptest.NewRequest(method, path, nil)
				if r.Host, r.RemoteAddr = tc.host, tc.remote; tc.remote == "" {
					r.RemoteAddr = "127.0.0.1:4242"
				}
				if tc.authorization != "" {
					r.Header.Set("Authorization", tc.authorization)
				}
				if tc.origin != "" {
					r.Header.Set("Origin", tc.origin)
				}
				w, before := httptest.NewRecorder(), reloads
				tc.door.ServeHTTP(w, r)
				if w.Code != want {
					t.Errorf("%s: %d, want %d: %s", what, w.Code, want, w.Body)
				}
				if told := w.Header().Get("WWW-Authenticate") != ""; told != (want == 401) {
					t.Errorf("%s: told how to come in: %t", what, told)
				}
				if called := reloads > before; called != (what == change && want == 200) {
					t.Errorf("%s: reloaded is %t", what, called)
				}
			}
		})
	}
}

// Why a reload is refused is told with its advice; where there is no chain there
// is nothing to reload, and to look is not to do.
func TestReload(t *testing.T) {
	if got := start(t, newShelf()).do(t, "admin", http.MethodPost, "/v1/chain/reload", ""); got.status != http.StatusNotImplemented {
		t.Errorf("without a chain: %+v", got)
	}
	s := start(t, newShelf(), func(c *serve.Config) {
		c.Reload = func(context.Context) (any, error) {
			return nil, fmt.Errorf("%w: %w", serve.ErrRefused, advised{errors.New("docket.toml:7: unknown key")})
		}
	})
	got := s.do(t, "admin", http.MethodPost, "/v1/chain/reload", "")
	if got.status != http.StatusConflict || !strings.Contains(got.body, `{"code":"failed_precondition","message":"refused: docket.toml:7: unknown key","hint":"did you mean it"}`) {
		t.Errorf("refused: %+v", got)
	}
	if got := s.do(t, "admin", http.MethodGet, "/v1/chain/reload", ""); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %+v", got)
	}
}

type advised struct{ error }

func (advised) Hint() string { return "did you mean it" }

// A mistake is told once, with the field that it is in.
func TestMistakesAreToldOnce(t *testing.T) {
	s := start(t, newShelf())
	for path, want := range map[string]struct{ field, message string }{
		"/v1/events?filter=tenant":                                         {"filter", "not true or false"},
		"/v1/events?filter=nonsense+%3D+1":                                 {"filter", `"=" at character 10 was not expected there`},
		"/v1/events?filter=tenannt+%3D%3D1":                                {"filter", `there is no column or function "tenannt"`},
		"/v1/events?filter=%ff":                                            {"filter", "it is not UTF-8"},
		"/v1/events?page_token=x":                                          {"page_token", "it is none that this server gave"},
		"/v1/events?page_size=no":                                          {"page_size", `"no" is no number in its range`},
		"/v1/events?page_size=3000000000":                                  {"page_size", `"3000000000" is no number in its range`},
		"/v1/events?page_size=":                                            {"page_size", `"" is no number in its range`},
		"/v1/events?page_size=-1":                                          {"page_size", "-1 is not a number of events"},
		"/v1/events?page_size=1&page_size=":                                {"page_size", "it is there 2 times"},
		"/v1/events?since=yesterday":                                       {"since", `"yesterday" is no time as in RFC 3339`},
		"/v1/events?since=1960-01-01T00:00:00Z":                            {"since", "before 1970"},
		"/v1/events?since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z": {"until", "not after since"},
		"/v1/events?newest_first=perhaps":                                  {"newest_first", `"perhaps" is no true or false`},
		"/v1/events?newestFirst=true":                                      {"newestFirst", "there is no such parameter"},
		"/v1/events?fliter=true":                                           {"fliter", "there is no such parameter"},
		"/v1/events?since.seconds=1":                                       {"since.seconds", "there is no such parameter"},
		"/v1/events?%zz":                                                   {"", "invalid URL escape"},
		"/v1/events?a;b":                                                   {"", "semicolon"},
		"/v1/events/%ff":                                                   {"uid", "it is not UTF-8"},
		"/v1/events/" + strings.Repeat("x", 1025):                          {"uid", "it is longer than 1024 bytes"},
		"/v1/tail?last=-1":                                                 {"last", "-1 is not a number of events"},
		"/v1/tail?all=true&last=1":                                         {"resume_token", "exclude each other"},
		"/v1/tail?resume_token=x":                                          {"resume_token", "not a resume token of this store"},
		"/v1/stats?facets=nonsense":                                        {"facets", `there is no column "nonsense"`},
		"/v1/stats?top=1001":                                               {"top", "not between 1 and 1000"},
		"/v1/stats?interval=1us":                                           {"interval", "no positive number of milliseconds"},
		"/v1/stats?interval=0.0001s":                                       {"interval", "no positive number of milliseconds"},
		"/v1/stats?interval=-1s":                                           {"interval", "no positive number of milliseconds"},
		"/v1/plans/nothex":                                                 {"digest", "no SHA-256"},
	} {
		code, body := s.get(t, path)
		var answer struct{ Error serve.RemoteError }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusBadRequest || answer.Error.Code != "invalid_argument" ||
			!strings.Contains(answer.Error.Message, want.message) || answer.Error.Field != want.field || strings.Contains(answer.Error.Message, "rpc error") {
			t.Errorf("GET %.100s: %d %s, want 400 with %q", path, code, body, want)
		}
	}
	for what, want := range map[string]int{
		"GET /v2": 404, "GET /v1": 404, "GET /v1/nothing": 404, "GET /": 404, "GET //v1/events": 404, "GET /v1/../v1/events": 404,
		"GET /v1/events/": 404, "GET /v1/events/a/b": 404, "GET /v1/events/a%2Fb": 404,
		"DELETE /v1/events": 405, "POST /v1/events": 405, "GET /v1/query": 405, "HEAD /v1/events": 405,
	} {
		method, path, _ := strings.Cut(what, " ")
		got := s.do(t, "admin", method, path, "", "Content-Type", "application/x-www-form-urlencoded")
		if got.status != want || method != http.MethodHead && !strings.HasPrefix(got.body, `{"error":{"code":"`) {
			t.Errorf("%s: %+v", what, got)
		}
		if got.status == http.StatusMethodNotAllowed != (got.header.Get("Allow") != "") {
			t.Errorf("%s: %d with Allow %q", what, got.status, got.header.Get("Allow"))
		}
	}
}

// Who asks by another method is told by which one, of every path that there is.
func TestAllow(t *testing.T) {
	s := start(t, newShelf(), func(c *serve.Config) {
		c.Actions = map[string]serve.Action{"erase": nil, "expire": nil, "holds": nil} // none is done here
	})
	for path, methods := range readAPI(t).Paths {
		address := strings.NewReplacer("{uid}", "x", "{digest}", planDigest, "{id}", "x").Replace(path)
		for _, other := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			if methods[strings.ToLower(other)] != nil {
				continue
			}
			got := s.do(t, "admin", other, address, "")
			allow := strings.Split(got.header.Get("Allow"), ", ")
			if got.status != http.StatusMethodNotAllowed || !strings.Contains(got.body, `"code":"unimplemented"`) {
				t.Errorf("%s %s: %+v", other, address, got)
			}
			for method := range methods {
				if !slices.Contains(allow, strings.ToUpper(method)) || len(allow) > len(methods)+1 {
					t.Errorf("%s %s: Allow is %q, and the document has %s", other, address, allow, method)
				}
			}
		}
	}
}

// An action knows who asks for it, so that the record names nobody else.
func TestActionsKnowWhoAsks(t *testing.T) {
	s := start(t, newShelf(), func(c *serve.Config) {
		c.Actions = map[string]serve.Action{"holds": func(ctx context.Context, _ []byte, tell func(any) error) error {
			return tell(map[string]string{"by": authz.FromContext(ctx).Subject})
		}}
	})
	if got := s.do(t, "admin", http.MethodPost, "/v1/holds", "{}"); got.status != http.StatusOK || got.body != "{\"by\":\"admin\"}\n" {
		t.Errorf("answered %+v", got)
	}
}
