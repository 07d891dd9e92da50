// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

func uids(t testing.TB, events []json.RawMessage) []string {
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

// pages follows the pages of /v1/events and returns their uids.
func pages(t *testing.T, s *server, parameters string) [][]string {
	t.Helper()
	var out [][]string
	for token := ""; ; {
		code, body := s.get(t, "/v1/events?"+parameters+"&page_token="+token)
		var p struct {
			Events        []json.RawMessage `json:"events"`
			NextPageToken *string           `json:"next_page_token"`
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil || code != http.StatusOK || p.NextPageToken == nil {
			t.Fatalf("%d %.200s: %v", code, body, err)
		}
		out = append(out, uids(t, p.Events))
		if token = *p.NextPageToken; token == "" {
			return out
		}
		if len(out) > 100 {
			t.Fatal("the pages do not end")
		}
	}
}

func TestEventsInPages(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "globex", "acme")
	m.add(t, "acme", "globex")
	s := start(t, m)
	acme := "page_size=2&filter=" + url.QueryEscape(`tenant == "acme"`)
	for parameters, want := range map[string][][]string{
		acme:                             {{"event-1", "event-3"}, {"event-4"}},
		acme + "&newest_first=true":      {{"event-4", "event-3"}, {"event-1"}},
		"page_size=2&tenants=globex":     {{"event-2", "event-5"}},
		"page_size=3&newest_first=true":  {{"event-5", "event-4", "event-3"}, {"event-2", "event-1"}},
		"exclude_tenants=globex":         {{"event-1", "event-3", "event-4"}},
		"tenants=acme&tenants=globex":    {{"event-1", "event-2", "event-3", "event-4", "event-5"}},
		"since=1970-01-01T00:00:00.002Z": {{"event-2", "event-3", "event-4", "event-5"}},
		"until=1970-01-01T00:00:00.003Z": {{"event-1", "event-2"}},
		// An instant within a millisecond: what is at its beginning was before.
		"since=1970-01-01T00:00:00.002000001Z": {{"event-3", "event-4", "event-5"}},
		"until=1970-01-01T00:00:00.002000001Z": {{"event-1", "event-2"}},
	} {
		if diff := cmp.Diff(want, pages(t, s, parameters)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", parameters, diff)
		}
	}
	// The exact shape, also of nothing.
	if _, body := s.get(t, "/v1/events?filter="+url.QueryEscape(`metadata_uid == "none"`)); body != `{"events":[],"next_page_token":""}` {
		t.Errorf("an empty answer is %q", body)
	}
	// A page that is full and the last one says so.
	if _, body := s.get(t, "/v1/events?page_size=5"); !strings.HasSuffix(body, `"next_page_token":""}`) {
		t.Errorf("the last page has a next one: ...%s", body[len(body)-60:])
	}
	// What is sent are the stored bytes.
	if _, body := s.get(t, "/v1/events?page_size=1"); !strings.HasPrefix(body, `{"events":[`+string(m.entries[0].Raw)+`],"next_page_token":"`) {
		t.Errorf("the event's bytes are not in %s", body)
	}
}

// A page of one question is not that of another, and what comes between two
// pages of the newest does not shift them.
func TestPageTokens(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "globex", "acme")
	s := start(t, m)
	c, ctx := s.client(), as(t.Context(), "admin")
	first, err := c.SearchEvents(ctx, &auditv1.SearchEventsRequest{PageSize: 2, NewestFirst: true})
	if err != nil || first.GetNextPageToken() == "" {
		t.Fatal(first, err)
	}
	m.add(t, "acme")
	for name, r := range map[string]*auditv1.SearchEventsRequest{
		"another filter":    {NewestFirst: true, Filter: "true"},
		"another order":     {},
		"other tenants":     {NewestFirst: true, Tenants: []string{"acme"}},
		"without some":      {NewestFirst: true, ExcludeTenants: []string{"acme"}},
		"of another time":   {NewestFirst: true, Since: timestamppb.New(epoch())},
		"up to another one": {NewestFirst: true, Until: timestamppb.New(epoch())},
	} {
		r.PageToken = first.GetNextPageToken()
		if _, err := c.SearchEvents(ctx, r); err == nil || !strings.Contains(err.Error(), "another question") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.ListOperations(ctx, &auditv1.ListOperationsRequest{PageToken: first.GetNextPageToken()}); err == nil || !strings.Contains(err.Error(), "another question") {
		t.Errorf("operations: %v", err)
	}
	// The size of a page is not of the question.
	second, err := c.SearchEvents(ctx, &auditv1.SearchEventsRequest{PageSize: 5, NewestFirst: true, PageToken: first.GetNextPageToken()})
	if err != nil || len(second.GetEvents()) != 1 || second.GetNextPageToken() != "" {
		t.Fatal(second, err)
	}
	if got := uids(t, []json.RawMessage{second.GetEvents()[0]}); got[0] != "event-1" {
		t.Errorf("the second page has %s", got)
	}
}

// A page ends before it is too large for a client of gRPC with its defaults,
// and the next one goes on.
func TestPagesEndByTheirSize(t *testing.T) {
	m := newShelf()
	var entries []store.Entry
	for i, mib := range []int{1, 1, 5, 1, 2, 1} {
		e := sealed(t, "acme", i+1, "event-"+string(rune('1'+i)), "", strings.Repeat("x", mib<<20/3)) // it is there three times
		entries = append(entries, e)
	}
	m.put(t, entries...)
	s := start(t, m)
	want := [][]string{{"event-1", "event-2"}, {"event-3"}, {"event-4"}, {"event-5"}, {"event-6"}}
	got := pages(t, s, "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	// With the defaults of a client of gRPC.
	ctx := as(t.Context(), "admin")
	first, err := s.client().SearchEvents(ctx, &auditv1.SearchEventsRequest{}, grpc.MaxCallRecvMsgSize(4<<20))
	if err != nil || len(first.GetEvents()) != 2 {
		t.Errorf("%d events, %v", len(first.GetEvents()), err)
	}
}
