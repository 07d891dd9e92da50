// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/serve/servetest"
)

// rawCodec sends bytes as they are, and takes whatever comes.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (rawCodec) Name() string                         { return "proto" }

// Whoever sends what cannot be read is told of once, as who asks what can: with who
// it was, by which door, for what, and the code of the error.
func TestUnreadIsTold(t *testing.T) {
	s := start(t, newShelf(), func(c *serve.Config) {
		c.Requeue = requeue
		c.Actions = map[string]serve.Action{"holds": func(_ context.Context, body []byte, tell func(any) error) error {
			if !json.Valid(body) {
				return fmt.Errorf("%w: no JSON", serve.ErrInvalid)
			}
			return tell(struct{}{})
		}}
	})
	long, large := strings.Repeat("é", 5000), strings.Repeat("x", 600<<10)
	const service = "/docket.audit.v1.AuditService/"
	inREST := func(method, path, body string) func(token string) string {
		return func(token string) string {
			got := s.do(t, token, method, path, body)
			var e struct{ Error serve.RemoteError }
			if err := json.Unmarshal([]byte(got.body), &e); err != nil {
				t.Errorf("%s %.100s: %+v", method, path, got)
			}
			return e.Error.Code
		}
	}
	// Within the process: to a client who sends too much net/http lingers.
	inMemory := func(path, body string) func(token string) string {
		h := s.Handler(serve.Door{Name: "api", Authenticate: authenticate})
		return func(token string) string {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+token)
			h.ServeHTTP(w, r)
			var e struct{ Error serve.RemoteError }
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			return e.Error.Code
		}
	}
	byGRPC := func(method, message string) func(token string) string {
		return func(token string) string {
			var into []byte
			err := s.conn.Invoke(as(t.Context(), token), method, []byte(message), &into, grpc.ForceCodecV2(rawCodec{}))
			return servetest.Remote(err).Code
		}
	}
	for what, test := range map[string]struct {
		ask             func(token string) (code string)
		code            string
		method, request string // as they are told; method "" is nothing told
		guarded         bool   // who may not is refused before it is read
	}{
		"no JSON":               {inREST("POST", "/v1/query", `{"sql":`), "invalid_argument", "Query", "POST /v1/query", false},
		"no body":               {inREST("POST", "/v1/replays", ""), "invalid_argument", "StartReplay", "POST /v1/replays", false},
		"no field of it":        {inREST("POST", "/v1/query", `{"select":"1"}`), "invalid_argument", "Query", "POST /v1/query", false},
		"a large body":          {inMemory("/v1/query", `{"sql":"`+large+`"}`), "invalid_argument", "Query", "POST /v1/query", false},
		"no number":             {inREST("GET", "/v1/events?page_size=none&page_token=hunter2", ""), "invalid_argument", "SearchEvents", "GET /v1/events", false},
		"no parameter":          {inREST("GET", "/v1/tail?token=hunter2", ""), "invalid_argument", "Tail", "GET /v1/tail", false},
		"no path":               {inREST("GET", "/v1/nothing?token=hunter2", ""), "not_found", "GET /v1/nothing", "", false},
		"no path at all":        {inREST("GET", "/v1", ""), "not_found", "GET /v1", "", false},
		"a crooked path":        {inREST("GET", "/v1/../v1/events", ""), "not_found", "GET /v1/../v1/events", "", false},
		"a long path":           {inREST("GET", "/v1/"+long, ""), "not_found", "GET /v1/" + strings.Repeat("é", 96) + "...", "", false},
		"another method":        {inREST("DELETE", "/v1/events", ""), "unimplemented", "DELETE /v1/events", "", false},
		"another admin's":       {inREST("DELETE", "/v1/status", ""), "unimplemented", "DELETE /v1/status", "", false},
		"no order":              {inREST("POST", "/v1/quarantine/requeue", "{"), "invalid_argument", "POST /v1/quarantine/requeue", "", true},
		"no action":             {inREST("POST", "/v1/holds", "{"), "invalid_argument", "POST /v1/holds", "", true},
		"a large action":        {inMemory("/v1/holds", large), "invalid_argument", "POST /v1/holds", "", true},
		"no message":            {byGRPC(service+"GetEvent", "\xff\xff"), "internal", "GetEvent", service + "GetEvent", false},
		"no message to stream":  {byGRPC(service+"Tail", "\xff\xff"), "internal", "Tail", service + "Tail", false},
		"a large message":       {byGRPC(service+"GetEvent", large), "resource_exhausted", "GetEvent", service + "GetEvent", false},
		"a large one to stream": {byGRPC(service+"Query", large), "resource_exhausted", "Query", service + "Query", false},
		"no method":             {byGRPC(service+"Delete", ""), "unimplemented", "Delete", service + "Delete", false},
		"no call at all":        {func(token string) string { return noCall(t, s, token, "/x") }, "", "x", "/x", false},
		"no timeout":            {func(token string) string { return noCall(t, s, token, service+"GetEvent", "Grpc-Timeout", "soon") }, "", "GetEvent", service + "GetEvent", false},
		"elsewhere":             {inREST("GET", "/v2/events", ""), "not_found", "", "", false},
		"no health":             {byGRPC("/grpc.health.v1.Health/Check", "\xff\xff"), "internal", "", "", false},
	} {
		for _, token := range []string{"admin", "acme", "expired", ""} {
			s.accesses.take()
			code := test.ask(token)
			told := s.accesses.take()
			for test.method != "" && len(told) == 0 { // a call may still end when it is answered
				runtime.Gosched()
				told = s.accesses.take()
			}
			if test.method == "" {
				if code != test.code || len(told) > 0 {
					t.Errorf("%s as %q: %s, told %+v", what, token, code, told)
				}
				continue
			}
			want := test.code
			if test.guarded && token != "admin" {
				want = map[string]string{"acme": "permission_denied", "expired": "unauthenticated", "": "unauthenticated"}[token]
			}
			if code == "" { // gRPC has no words for it
				code, want = "invalid_argument", "invalid_argument"
			}
			if code != want || len(told) != 1 {
				t.Errorf("%s as %q: %s, want %s; told %+v", what, token, code, want, told)
				continue
			}
			one := told[0]
			if _, known := servetest.RPCs[test.method]; token == "" && !known && !test.guarded { // nobody names what is not there
				test.method, test.request = "unknown", cmp.Or(test.request, test.method)
			}
			if one.Grant != grants[token] || one.Door != "api" || one.Peer == "" || one.Method != test.method || one.Request != test.request || one.Rows != 0 || !one.Start.Equal(epoch()) {
				t.Errorf("%s as %q: told %+v: %v", what, token, one, one.Err)
			}
			raw, h := sealedAccess(t, &one, "1.8.0")
			if denied := token == "" || want == "permission_denied" || want == "unauthenticated"; h.Decision != map[bool]string{true: "deny", false: "allow"}[denied] || h.StatusCode != strings.ToUpper(want) || len(raw) > 16<<10 || strings.Contains(string(raw), "hunter2") {
				t.Errorf("%s as %q: %d bytes, %+v", what, token, len(raw), h)
			}
		}
	}
	if got := s.do(t, "admin", http.MethodPost, "/v1/holds", "{}"); got.status != http.StatusOK || len(s.accesses.take()) > 0 {
		t.Errorf("an order that is read: %+v", got)
	}
}

// noCall sends what says that it is gRPC, over HTTP/2, and is refused.
func noCall(t *testing.T, s *server, token, path string, header ...string) string {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+path, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body) // until it is refused
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK && resp.Trailer.Get("Grpc-Status") == "0" {
		t.Errorf("%s is answered: %+v", path, resp)
	}
	return ""
}
