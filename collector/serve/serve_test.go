// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bufio"
	"context"
	"encoding/json"
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
	s := serve.New(serve.Config{Store: &memory{}, Commits: func() uint64 { return 0 }})
	for _, tc := range []struct {
		name, token, authorization, host, origin string
		want                                     int
	}{
		{"right token", "secret", "Bearer secret", "docket.example", "", 200},
		{"no token", "secret", "", "127.0.0.1:8080", "", 401},
		{"wrong token", "secret", "Bearer secrex", "127.0.0.1:8080", "", 401},
		{"basic", "secret", "Basic secret", "127.0.0.1:8080", "", 401},
		{"open to this machine", "", "", "127.0.0.1:8080", "", 200},
		{"by name", "", "", "localhost:8080", "", 200},
		{"by IPv6", "", "", "[::1]:8080", "", 200},
		{"a name that someone made resolve to loopback", "", "", "evil.example:8080", "", 401},
		{"a page of someone else", "", "", "127.0.0.1:8080", "https://evil.example", 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/v1/events", nil)
			r.Host = tc.host
			if tc.authorization != "" {
				r.Header.Set("Authorization", tc.authorization)
			}
			if tc.origin != "" {
				r.Header.Set("Origin", tc.origin)
			}
			w := httptest.NewRecorder()
			s.API(tc.token).ServeHTTP(w, r)
			if w.Code != tc.want {
				t.Errorf("%d, want %d: %s", w.Code, tc.want, w.Body)
			}
		})
	}
}

// A filter selects the same with the store's help and without.
func TestFilters(t *testing.T) {
	m := &memory{}
	m.add(t, "acme", "globex", "acme", "docket")
	for expression, want := range map[string][]string{
		``:                                       {"event-1", "event-2", "event-3", "event-4"},
		`tenant == "acme"`:                       {"event-1", "event-3"},
		`"acme" == tenant && time > 1`:           {"event-3"},
		`tenant == "acme" || tenant == "docket"`: {"event-1", "event-3", "event-4"},
		`!(tenant == "acme")`:                    {"event-2", "event-4"},
		`tenant.startsWith("g") && !ran`:         {"event-2"},
		`decision == "deny" && time in [1,3]`:    {"event-1", "event-3"},
		`metadata_uid == "event-4"`:              {"event-4"},
		`tenant == ""`:                           nil,
	} {
		f, err := serve.ParseFilter(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		var q store.Query
		f.Narrow(&q)
		var got []string
		for e := range m.Scan(context.Background(), q) {
			ok, err := f.Matches(&e.Header)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				got = append(got, e.Header.MetadataUID)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", expression, diff)
		}
	}
	// An expression that would run for hours is stopped.
	long := `[1,2,3,4,5,6,7,8,9,10]`
	f, err := serve.ParseFilter(long + `.all(a, ` + long + `.all(b, ` + long + `.all(c, ` + long + `.all(d, ` + long + `.all(e, a + b + c + d + e + sequence >= 0)))))`)
	if err == nil {
		_, err = f.Matches(&profile.Header{})
	}
	if err == nil {
		t.Error("a filter of 100,000 steps is not stopped")
	}
}
