// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store whose commits the test makes.
type memory struct {
	mu      sync.Mutex
	entries []store.Entry
	commit  uint64
}

// add commits events of the given tenants, one each.
func (m *memory) add(t *testing.T, tenants ...string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commit++
	for i, tenant := range tenants {
		n := len(m.entries) + 1
		raw, _, err := profile.Seal(&ocsf.APIActivity{
			ActivityID: ocsf.APIActivityCreate,
			Base: ocsf.Base{
				Time: int64(n), SeverityID: ocsf.SeverityInformational, ActionID: ocsf.ActionAllowed + ocsf.ActionID(n%2),
				Metadata: ocsf.Metadata{
					UID: fmt.Sprintf("event-%d", n), EventCode: profile.KindOutcome, TenantUID: tenant, CorrelationUID: fmt.Sprintf("op-%d", n),
				},
				API: &ocsf.API{Operation: "Get"},
			},
		}, profile.Link{Epoch: fmt.Sprintf("epoch-%d", n), Emitter: "test", Sequence: 1})
		if err != nil {
			t.Fatal(err)
		}
		h, err := profile.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		m.entries = append(m.entries, store.Entry{Raw: raw, Header: h, Commit: m.commit, Pos: uint32(i)})
	}
}

func (m *memory) Commits() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commit
}

func (m *memory) Scan(_ context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	m.mu.Lock()
	entries := m.entries[:len(m.entries):len(m.entries)]
	m.mu.Unlock()
	return func(yield func(store.Entry, error) bool) {
		for i := range entries {
			e := entries[i]
			if q.Descending {
				e = entries[len(entries)-1-i]
			}
			at := store.Cursor{Commit: e.Commit, Pos: e.Pos}
			behind := at.Commit > q.After.Commit || at.Commit == q.After.Commit && at.Pos > q.After.Pos
			if q.After != (store.Cursor{}) && (behind == q.Descending || at == q.After) {
				continue
			}
			if q.Tenant != "" && q.Tenant != e.Header.Tenant || q.Event != "" && q.Event != e.Header.MetadataUID {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func start(t *testing.T, m *memory) (*serve.Server, string) {
	t.Helper()
	s := serve.New(serve.Config{Store: m, Commits: m.Commits, Poll: time.Millisecond})
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(func() { srv.Close(); http.DefaultClient.CloseIdleConnections() })
	return s, srv.URL
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func uids(t *testing.T, events []json.RawMessage) []string {
	t.Helper()
	var out []string
	for _, raw := range events {
		h, err := profile.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h.MetadataUID)
	}
	return out
}

func TestEventsInPages(t *testing.T) {
	m := &memory{}
	m.add(t, "acme", "globex", "acme")
	m.add(t, "acme", "globex")
	_, base := start(t, m)
	var pages [][]string
	for token := ""; ; {
		code, body := get(t, base+"/v1/events?page_size=2&filter="+url.QueryEscape(`tenant == "acme"`)+"&page_token="+token)
		var p struct {
			Events        []json.RawMessage `json:"events"`
			NextPageToken *string           `json:"next_page_token"`
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil || code != http.StatusOK || p.NextPageToken == nil {
			t.Fatalf("%d %s: %v", code, body, err)
		}
		pages = append(pages, uids(t, p.Events))
		if token = *p.NextPageToken; token == "" {
			break
		}
	}
	if diff := cmp.Diff([][]string{{"event-1", "event-3"}, {"event-4"}}, pages); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	// The exact shape, also of nothing.
	if _, body := get(t, base+"/v1/events?filter="+url.QueryEscape(`metadata_uid == "none"`)); body != `{"events":[],"next_page_token":""}`+"\n" {
		t.Errorf("an empty answer is %s", body)
	}
	// A page that is full and the last one says so.
	if _, body := get(t, base+"/v1/events?page_size=5"); !strings.HasSuffix(body, `"next_page_token":""}`+"\n") {
		t.Errorf("the last page has a next one: ...%s", body[len(body)-60:])
	}
	// What is sent are the stored bytes.
	_, body := get(t, base+"/v1/events?page_size=1")
	if !strings.Contains(body, string(m.entries[0].Raw)) {
		t.Errorf("the event's bytes are not in %s", body)
	}
}

// A page ends before it is too large to be held, and the next one goes on.
func TestPagesEndByTheirSize(t *testing.T) {
	m := &memory{}
	m.add(t, "a", "b", "c", "d")
	for i := range m.entries {
		m.entries[i].Raw = append(m.entries[i].Raw, strings.Repeat(" ", []int{7, 7, 20, 1}[i]<<20)...)
	}
	_, base := start(t, m)
	var pages [][]string
	for token := ""; ; {
		_, body := get(t, base+"/v1/events?page_token="+token)
		var p struct {
			Events        []json.RawMessage `json:"events"`
			NextPageToken string            `json:"next_page_token"`
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		pages = append(pages, uids(t, p.Events))
		if token = p.NextPageToken; token == "" {
			break
		}
	}
	if diff := cmp.Diff([][]string{{"event-1", "event-2"}, {"event-3"}, {"event-4"}}, pages); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

// The newest of a tail are as many as were asked for, wherever in a commit the
// first of them is.
func TestTailBeginsWhereItShould(t *testing.T) {
	m := &memory{}
	m.add(t, "acme", "globex", "acme")
	m.add(t, "acme")
	m.add(t, "globex", "acme")
	_, base := start(t, m)
	for filter, all := range map[string][]string{
		``:                 {"event-1", "event-2", "event-3", "event-4", "event-5", "event-6"},
		`tenant == "acme"`: {"event-1", "event-3", "event-4", "event-6"},
		`time > 100`:       nil,
	} {
		for n := range len(all) + 2 {
			_, body := get(t, fmt.Sprintf("%s/v1/tail?last=%d&filter=%s", base, n, url.QueryEscape(filter)))
			var events []json.RawMessage
			for line := range strings.Lines(body) {
				events = append(events, json.RawMessage(strings.TrimSpace(line)))
			}
			want := all[max(0, len(all)-n):]
			if got := uids(t, events); strings.Join(want, " ") != strings.Join(got, " ") {
				t.Errorf("%s: the last %d are %v, want %v", filter, n, got, want)
			}
		}
	}
}

func TestMistakesAreToldOnce(t *testing.T) {
	_, base := start(t, &memory{})
	for path, want := range map[string]string{
		"/v1/events?filter=tenant":          "not true or false",
		"/v1/events?filter=nonsense+%3D+1":  `"=" at character 10 was not expected there`,
		"/v1/events?filter=tenannt+%3D%3D1": `there is no column or function "tenannt"`,
		"/v1/events?page_token=x":           "page_token is none that this server gave",
		"/v1/events?page_size=no":           "page_size is",
		"/v1/tail?last=-1":                  "last is",
	} {
		code, body := get(t, base+path)
		var answer struct{ Error serve.RemoteError }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusBadRequest || answer.Error.Code != "invalid_argument" || !strings.Contains(answer.Error.Message, want) {
			t.Errorf("GET %s: %d %s, want 400 with %q", path, code, body, want)
		}
	}
	if code, _ := get(t, base+"/v2"); code != http.StatusNotFound {
		t.Errorf("GET /v2: %d", code)
	}
	resp, err := http.Post(base+"/v1/query", "", strings.NewReader(`{"sql":"SELECT 1"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotImplemented {
		t.Errorf("a query without SQL: %d", resp.StatusCode)
	}
}

// A tail sees each event once, whether it was stored before or comes while the
// tail runs, and ends with the last one when the server drains.
func TestTailMissesNothingAndRepeatsNothing(t *testing.T) {
	m := &memory{}
	m.add(t, "old", "old")
	s, base := start(t, m)
	for _, last := range []string{"all", "1", "0"} {
		before := len(m.entries)
		resp, err := http.Get(base + "/v1/tail?follow=true&last=" + last)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		want := map[string]int{"all": 1, "1": before, "0": before + 1}[last]
		for range 50 {
			m.add(t, "new", "new", "new")
			for lines.Scan() {
				h, err := profile.Parse(lines.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				if h.MetadataUID != fmt.Sprintf("event-%d", want) {
					t.Fatalf("last=%s: got %s, want event-%d", last, h.MetadataUID, want)
				}
				if want++; want > len(m.entries) {
					break
				}
			}
		}
		if last == "0" {
			m.add(t, "end")
			s.Drain()
			rest, err := io.ReadAll(resp.Body)
			if err != nil || strings.Count(string(rest), "\n") != 1 || !strings.Contains(string(rest), `"end"`) {
				t.Errorf("after Drain: %v %s", err, rest)
			}
		}
		resp.Body.Close()
	}
}

func TestWhoMayAsk(t *testing.T) {
	reloads := 0
	s := serve.New(serve.Config{
		Store: &memory{}, Commits: func() uint64 { return 0 },
		Reload: func(context.Context) (any, error) { reloads++; return struct{}{}, nil },
	})
	const read, change = "GET /v1/events", "POST /v1/chain/reload"
	net, local, none := s.API("secret"), s.Local("secret"), s.API("")
	for _, tc := range []struct {
		name                        string
		door                        http.Handler
		authorization, host, origin string
		reads, changes              int
	}{
		{"right token", net, "Bearer secret", "docket.example", "", 200, 200},
		{"no token", net, "", "127.0.0.1:8080", "", 401, 401},
		{"wrong token", net, "Bearer secrex", "127.0.0.1:8080", "", 401, 401},
		{"basic", net, "Basic secret", "127.0.0.1:8080", "", 401, 401},
		{"a door without a token", none, "Bearer ", "127.0.0.1:8080", "", 401, 401},
		{"open to this machine", local, "", "127.0.0.1:8080", "", 200, 401},
		{"by name", local, "", "localhost:8080", "", 200, 401},
		{"by IPv6", local, "", "[::1]:8080", "", 200, 401},
		{"with the token too", local, "Bearer secret", "127.0.0.1:8080", "", 200, 200},
		{"a name that someone made resolve to loopback", local, "", "evil.example:8080", "", 401, 401},
		{"a page of someone else", local, "", "127.0.0.1:8080", "https://evil.example", 401, 401},
		{"the socket", s.Handler(), "", "docket", "", 200, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for what, want := range map[string]int{read: tc.reads, change: tc.changes} {
				method, path, _ := strings.Cut(what, " ")
				r := httptest.NewRequest(method, path, nil)
				r.Host = tc.host
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
	ask := func(s *serve.Server, method string) (int, string) {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(method, "/v1/chain/reload", nil))
		return w.Code, w.Body.String()
	}
	cfg := serve.Config{Store: &memory{}, Commits: func() uint64 { return 0 }}
	if code, body := ask(serve.New(cfg), http.MethodPost); code != http.StatusNotImplemented {
		t.Errorf("without a chain: %d %s", code, body)
	}
	cfg.Reload = func(context.Context) (any, error) {
		return nil, fmt.Errorf("%w: %w", serve.ErrRefused, advised{errors.New("docket.toml:7: unknown key")})
	}
	code, body := ask(serve.New(cfg), http.MethodPost)
	if code != http.StatusConflict || !strings.Contains(body, `{"code":"failed_precondition","message":"refused: docket.toml:7: unknown key","hint":"did you mean it"}`) {
		t.Errorf("refused: %d %s", code, body)
	}
	if code, body := ask(serve.New(cfg), http.MethodGet); code != http.StatusNotFound {
		t.Errorf("GET: %d %s", code, body)
	}
}

type advised struct{ error }

func (advised) Hint() string { return "did you mean it" }
