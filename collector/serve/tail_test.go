// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// standing is where a tail is.
type standing struct {
	Live   bool   `json:"live"`
	Reason string `json:"reason"`
}

// A line of a stream in REST.
type line struct {
	Event    json.RawMessage `json:"event"`
	CaughtUp *standing       `json:"caught_up"`
	Position *standing       `json:"position"`
	Resume   string          `json:"resume_token"`

	Columns []string          `json:"columns"`
	Rows    []json.RawMessage `json:"rows"`

	End   *struct{}          `json:"end"`
	Error *serve.RemoteError `json:"error"`
}

func (l *line) uid(t testing.TB) string {
	t.Helper()
	h, err := profile.Parse(l.Event)
	if err != nil {
		t.Fatal(err)
	}
	return h.MetadataUID
}

// lines reads a whole answer of lines, strictly.
func lines(t testing.TB, body string) []line {
	t.Helper()
	var out []line
	for text := range strings.Lines(body) {
		var l line
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil || !strings.HasSuffix(text, "\n") {
			t.Fatalf("%q: %v", text, err)
		}
		out = append(out, l)
	}
	return out
}

// The newest of a tail are as many as were asked for, wherever in a commit the
// first of them is.
func TestTailBeginsWhereItShould(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "globex", "acme")
	m.add(t, "acme")
	m.add(t, "globex", "acme")
	s := start(t, m)
	ask := func(parameters string) string {
		_, body := s.get(t, "/v1/tail?"+parameters)
		all := lines(t, body)
		if len(all) == 0 || all[len(all)-1].End == nil {
			t.Fatalf("%s: no end in %q", parameters, body)
		}
		var got []string
		for _, l := range all[:len(all)-1] {
			got = append(got, l.uid(t))
		}
		return strings.Join(got, " ")
	}
	for filter, all := range map[string][]string{
		``:                 {"event-1", "event-2", "event-3", "event-4", "event-5", "event-6"},
		`tenant == "acme"`: {"event-1", "event-3", "event-4", "event-6"},
		`time > 100`:       nil,
	} {
		for n := range len(all) + 2 {
			want := strings.Join(all[max(0, len(all)-n):], " ")
			if got := ask(fmt.Sprintf("last=%d&filter=%s", n, url.QueryEscape(filter))); got != want {
				t.Errorf("%s: the last %d are %v, want %v", filter, n, got, want)
			}
		}
		if got, want := ask("all=true&filter="+url.QueryEscape(filter)), strings.Join(all, " "); got != want {
			t.Errorf("%s: all are %v, want %v", filter, got, want)
		}
	}
	if got := ask("last=2&tenants=globex"); got != "event-2 event-5" {
		t.Errorf("of a tenant: %s", got)
	}
	// since is of the time when it happened: here 1 ms after 1970, 2 ms after it, ...
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	for since, want := range map[string]string{
		at(0).Format("2006-01-02T15:04:05Z"):                           "event-1 event-2 event-3 event-4 event-5 event-6",
		at(5).Format("2006-01-02T15:04:05.000Z"):                       "event-5 event-6",
		url.QueryEscape(at(3).Format("2006-01-02T15:04:05.000+00:00")): "event-3 event-4 event-5 event-6",
		at(7).Format("2006-01-02T15:04:05.000Z"):                       "",
	} {
		if got := ask("since=" + since); got != want {
			t.Errorf("since %s: %s, want %s", since, got, want)
		}
	}
	// Each token goes on behind its own event.
	_, body := s.get(t, "/v1/tail?all=true")
	for i, l := range lines(t, body)[:6] {
		var want []string
		for n := i + 2; n <= 6; n++ {
			want = append(want, fmt.Sprintf("event-%d", n))
		}
		if got := ask("resume_token=" + l.Resume); got != strings.Join(want, " ") {
			t.Errorf("behind event %d: %s", i+1, got)
		}
	}
}

// A tail sees each event once, whether it was stored before or comes while the
// tail runs, and ends with the last one when the server drains.
func TestTailMissesNothingAndRepeatsNothing(t *testing.T) {
	m := newShelf()
	m.add(t, "old", "old")
	s := start(t, m)
	for _, begin := range []string{"all=true", "last=1", "last=0"} {
		before := len(m.entries)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/v1/tail?follow=true&"+begin, nil)
		req.Header.Set("Authorization", "Bearer admin")
		resp, err := s.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(resp.Body)
		want := map[string]int{"all=true": 1, "last=1": before, "last=0": before + 1}[begin]
		caughtUp := 0
		for range 50 {
			m.add(t, "new", "new", "new")
			for want <= len(m.entries) && in.Scan() {
				l := lines(t, in.Text()+"\n")[0]
				if l.CaughtUp != nil {
					caughtUp++
					continue
				}
				if got := l.uid(t); got != fmt.Sprintf("event-%d", want) {
					t.Fatalf("%s: got %s, want event-%d", begin, got, want)
				}
				want++
			}
		}
		if caughtUp != 1 {
			t.Errorf("%s: caught up %d times", begin, caughtUp)
		}
		if begin == "last=0" {
			m.add(t, "end")
			s.Drain()
			rest, err := io.ReadAll(resp.Body)
			got := lines(t, string(rest))
			if err != nil || len(got) != 2 || !strings.Contains(string(got[0].Event), `"end"`) || got[1].End == nil {
				t.Errorf("after Drain: %v %s", err, rest)
			}
		}
		resp.Body.Close()
	}
}

// Whoever reconnects with the token of the last event that they took sees each
// once, also where the connection was cut within a commit and events come
// meanwhile.
func TestTailResumes(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "acme", "acme", "acme")
	s := start(t, m)
	r := &auditv1.TailRequest{All: true, Follow: true}
	for next, take := 1, 1; next < 60; take = take%5 + 1 {
		ctx, cut := context.WithCancel(as(t.Context(), "admin"))
		stream, err := s.client().Tail(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < take; {
			item, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			r = &auditv1.TailRequest{ResumeToken: item.GetResumeToken(), Follow: true}
			if item.GetCaughtUp() != nil {
				m.add(t, "acme", "acme", "acme", "acme", "acme")
			}
			if item.GetEvent() == nil {
				continue
			}
			if got := (&line{Event: item.GetEvent()}).uid(t); got != fmt.Sprintf("event-%d", next) {
				t.Fatalf("got %s, want event-%d", got, next)
			}
			next++
			n++
		}
		cut()
		for err == nil { // until the cut is seen
			_, err = stream.Recv()
		}
	}
}

// Events of an answer in SSE.
type frame struct{ id, event, data string }

// frames reads SSE as a browser does.
func frames(t testing.TB, body string) []frame {
	t.Helper()
	var out []frame
	if body != "" && !strings.HasSuffix(body, "\n\n") {
		t.Errorf("the last event of %q has no end", body)
	}
	for block := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		var f frame
		for text := range strings.SplitSeq(block, "\n") {
			name, value, ok := strings.Cut(text, ": ")
			to := map[string]*string{"id": &f.id, "event": &f.event, "data": &f.data}[name]
			if !ok || to == nil || *to != "" {
				t.Fatalf("%q is no line of an event, in %q", text, block)
			}
			*to = value
		}
		out = append(out, f)
	}
	return out
}

func TestServerSentEvents(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "globex", "acme")
	s := start(t, m)
	const sse = "text/event-stream"
	got := s.do(t, "admin", http.MethodGet, "/v1/tail?all=true", "", "Accept", sse)
	if got.status != 200 || got.header.Get("Content-Type") != sse || got.err != nil {
		t.Fatalf("%+v", got)
	}
	_, plain := s.get(t, "/v1/tail?all=true")
	text := strings.Split(strings.TrimSpace(plain), "\n")
	all := frames(t, got.body)
	if len(all) != 4 {
		t.Fatalf("%d events: %+v", len(all), all)
	}
	for i, l := range lines(t, plain)[:3] {
		if want := (frame{l.Resume, "", text[i]}); all[i] != want {
			t.Errorf("event %d is\n%+v, want\n%+v", i, all[i], want)
		}
	}
	if all[3] != (frame{"", "end", `{"end":{}}`}) {
		t.Errorf("the last event is %+v", all[3])
	}
	// A browser that connects again sends the last id with the same address.
	got = s.do(t, "admin", http.MethodGet, "/v1/tail?all=true&since=2026-01-01T00:00:00Z&last=5&tenants=acme", "", "Accept", sse, "Last-Event-ID", all[0].id)
	if rest := frames(t, got.body); len(rest) != 2 || rest[0] != all[2] || rest[1].event != "end" {
		t.Errorf("resumed: %+v", rest)
	}
	// What is illegible is not left out of the address on the way.
	got = s.do(t, "admin", http.MethodGet, "/v1/tail?filter=%zz", "", "Accept", sse, "Last-Event-ID", all[0].id)
	if got.status != 400 {
		t.Errorf("an illegible filter, resumed: %+v", got)
	}
	got = s.do(t, "admin", http.MethodGet, "/v1/tail", "", "Accept", sse, "Last-Event-ID", "nonsense")
	if got.status != 400 || !strings.Contains(got.body, `"field":"resume_token"`) {
		t.Errorf("a last id that is none: %+v", got)
	}
	// An error before the first event is that of any other request: browsers do
	// not connect again.
	got = s.do(t, "", http.MethodGet, "/v1/tail", "", "Accept", sse)
	if got.status != 401 || got.header.Get("Content-Type") != "application/json" || got.header.Get("WWW-Authenticate") == "" || !strings.HasPrefix(got.body, `{"error":{"code":"unauthenticated",`) {
		t.Errorf("without a token: %+v", got)
	}
	// One behind it is an event of its own.
	got = s.do(t, "admin", http.MethodPost, "/v1/query", `{"sql":"late"}`, "Accept", sse)
	all = frames(t, got.body)
	if last := all[len(all)-1]; got.status != 200 || last != (frame{"", "error", `{"error":{"code":"internal","message":"told late"}}`}) {
		t.Errorf("a late error: %+v", got)
	}
	// Answers that are no streams are what they are.
	got = s.do(t, "admin", http.MethodGet, "/v1/events?page_size=1&tenants=nobody", "", "Accept", sse)
	if got.body != `{"events":[],"next_page_token":""}` {
		t.Errorf("a page for who accepts events: %+v", got)
	}
	// A server that stops tells those who follow.
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/v1/tail?follow=true", nil)
	req.Header.Set("Authorization", "Bearer admin")
	req.Header.Set("Accept", sse)
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.Drain()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	all = frames(t, string(b))
	if len(all) != 2 || all[0].event != "caught_up" || all[0].id == "" || all[1].event != "end" {
		t.Errorf("drained: %+v", all)
	}
}

// A connection that is cut has no end, in neither form.
func TestCutIsNoEnd(t *testing.T) {
	for _, accept := range []string{"", "text/event-stream"} {
		m := newShelf()
		m.add(t, "acme")
		s := start(t, m)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/v1/tail?all=true&follow=true", nil)
		req.Header.Set("Authorization", "Bearer admin")
		req.Header.Set("Accept", accept)
		resp, err := s.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(resp.Body)
		if _, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		s.cut()
		b, err := io.ReadAll(in)
		resp.Body.Close()
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("Accept %q: a connection that was cut ends without an error", accept)
		}
		if strings.Contains(string(b), `"end"`) || strings.Contains(string(b), `"error"`) {
			t.Errorf("Accept %q: a connection that was cut has an end: %s", accept, b)
		}
	}
}

// A tail that fails when it has begun says so in its last line.
// A store that cannot be read is told of where nothing was sent yet. That an error
// comes behind something is tested by tokens that expire: TestExpiryInMidStream.
func TestTailFails(t *testing.T) {
	m := newShelf()
	m.add(t, "acme")
	s := start(t, m)
	m.Close()
	code, body := s.get(t, "/v1/tail?all=true")
	var answer struct{ Error *serve.RemoteError }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusInternalServerError || answer.Error == nil || answer.Error.Code != "internal" {
		t.Errorf("%d %s, %v", code, body, err)
	}
}

func TestTailRefuses(t *testing.T) {
	s := start(t, newShelf())
	ctx := as(t.Context(), "admin")
	token := "czEuMC4w"
	for name, r := range map[string]*auditv1.TailRequest{
		"resume_token": {ResumeToken: token, All: true},
		"last":         {Last: -1},
		"since":        {Since: &timestamppb.Timestamp{Nanos: -1}},
		"filter":       {Filter: "tenant"},
	} {
		stream, err := s.client().Tail(ctx, r)
		if err == nil {
			_, err = stream.Recv()
		}
		var e *serve.RemoteError
		if !errors.As(serve.FromStatus(err), &e) || e.Code != "invalid_argument" || e.Field != name {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
