// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/serve/servetest"
	"github.com/docket-audit/docket/schemas/openapi"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// An apiDocument is what the tests read of the OpenAPI document.
type apiDocument struct {
	raw   any
	Info  struct{ Title, Version string }
	Paths map[string]map[string]*operation

	SecurityDefinitions map[string]struct{ Type, In, Name string }
	Security            []map[string][]string
}

type operation struct {
	OperationID string
	Summary     string
	Tags        []string
	Parameters  []parameter
	Produces    []string
	Responses   map[string]struct{ Schema any }
}

// ofService reports whether gRPC has it too. TestEveryRoute has the others.
func (o *operation) ofService() bool { return slices.Equal(o.Tags, []string{"AuditService"}) }

type parameter struct {
	Name, In, Type, Format string
}

func readAPI(t testing.TB) *apiDocument {
	t.Helper()
	api := new(apiDocument)
	err := json.Unmarshal(openapi.Document, api)
	if err == nil {
		api.raw, err = jsonschema.UnmarshalJSON(bytes.NewReader(openapi.Document))
	}
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// schema compiles the schema of an answer: that of a status, or "default".
func (a *apiDocument) schema(t testing.TB, path, method, status string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4)
	c.AssertFormat()
	c.RegisterFormat(&jsonschema.Format{Name: "int64", Validate: decimal(func(s string) error { _, err := strconv.ParseInt(s, 10, 64); return err })})
	c.RegisterFormat(&jsonschema.Format{Name: "uint64", Validate: decimal(func(s string) error { _, err := strconv.ParseUint(s, 10, 64); return err })})
	if err := c.AddResource("docket.json", a.raw); err != nil {
		t.Fatal(err)
	}
	pointer := strings.NewReplacer("~", "~0", "/", "~1")
	s, err := c.Compile(fmt.Sprintf("docket.json#/paths/%s/%s/responses/%s/schema", url.PathEscape(pointer.Replace(path)), method, status))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// decimal is a number in a string.
func decimal(parse func(string) error) func(any) error {
	return func(v any) error {
		if s, ok := v.(string); ok {
			return parse(s)
		}
		return nil
	}
}

// The document is OpenAPI 2.0 by the schema of those who make it, and has what
// generators of clients ask for.
func TestOpenAPI(t *testing.T) {
	f, err := os.ReadFile("../../schemas/openapi/testdata/openapi-2.0.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	official, err := jsonschema.UnmarshalJSON(bytes.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("openapi.json", official); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	api := readAPI(t)
	if err := schema.Validate(api.raw); err != nil {
		t.Error(err)
	}
	if b := api.SecurityDefinitions["bearer"]; api.Info.Title == "" || api.Info.Version == "" || b.In != "header" || b.Name != "Authorization" || len(api.Security) != 1 {
		t.Errorf("it lacks a title, a version or who may ask: %+v", api)
	}
	have := map[string]bool{}
	for path, methods := range api.Paths {
		for method, op := range methods {
			if !op.ofService() {
				continue
			}
			have[op.OperationID] = true
			if r, ok := servetest.RPCs[op.OperationID]; !ok || r.Path != path || op.Summary == "" {
				t.Errorf("%s %s is %+v", method, path, op)
			}
			if streams := slices.Equal(op.Produces, []string{"application/x-ndjson", "text/event-stream"}); streams != servetest.RPCs[op.OperationID].Streaming {
				t.Errorf("%s %s is a stream: %t", method, path, streams)
			}
		}
	}
	if len(have) != len(servetest.RPCs) {
		t.Errorf("it has %d of %d methods", len(have), len(servetest.RPCs))
	}
	// It is what the server gives to everybody, and there is a page of it.
	s := start(t, newShelf())
	if got := s.do(t, "", http.MethodGet, "/openapi.json", ""); got.status != 200 || got.body != string(openapi.Document) || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("/openapi.json: %d %.100s", got.status, got.body)
	}
	page := s.do(t, "", http.MethodGet, "/docs", "")
	for path := range api.Paths {
		if page.status != 200 || !strings.Contains(page.body, "<code>"+path+"</code>") || strings.Contains(page.body, "<script") {
			t.Errorf("/docs: %d, lacks %s", page.status, path)
		}
	}
}

// Every path of the document answers, and as it says.
func TestAnswersAreOfTheirSchemas(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "globex")
	s := start(t, m)
	requests := plainRequests(t, s)
	more := map[string][]proto.Message{
		"SearchEvents": {&auditv1.SearchEventsRequest{PageSize: 1}, &auditv1.SearchEventsRequest{Filter: "false"}},
		"Stats":        {&auditv1.StatsRequest{Facets: []string{"tenant", "time"}}, &auditv1.StatsRequest{Filter: "false"}},
		"GetLedger":    {&auditv1.GetLedgerRequest{}},
		"GetOperation": {&auditv1.GetOperationRequest{Uid: "op-2"}},
		"Query":        {&auditv1.QueryRequest{Sql: "late"}},
	}
	api := readAPI(t)
	for path, methods := range api.Paths {
		for method, op := range methods {
			if !op.ofService() {
				continue
			}
			fine, refused := api.schema(t, path, method, "200"), api.schema(t, path, method, "default")
			check := func(schema *jsonschema.Schema, text string) {
				t.Helper()
				v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
				if err == nil {
					err = schema.Validate(v)
				}
				if err != nil {
					t.Errorf("%s %s answers %s: %v", method, path, text, err)
				}
			}
			for _, q := range append(more[op.OperationID], requests[op.OperationID]) {
				m, address, body := servetest.REST(t, op.OperationID, q)
				got := s.do(t, "admin", m, address, body)
				if got.status != http.StatusOK {
					t.Errorf("%s %s: %+v", method, path, got)
					continue
				}
				texts := []string{got.body}
				if servetest.RPCs[op.OperationID].Streaming {
					texts = strings.Split(strings.TrimSpace(got.body), "\n")
				}
				for _, text := range texts {
					if strings.HasPrefix(text, `{"error":`) {
						check(refused, text)
						continue
					}
					check(fine, text)
				}
				check(refused, s.do(t, "", m, address, body).body)
			}
		}
	}
}

// Whatever is asked, the server is not at fault, and what it refuses is an
// object as any other error.
func TestRandomRequests(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "globex", "acme/eu")
	s := serve.New(serve.Config{Store: m, Commits: m.Commits, Query: m.query, Ledger: m, Plan: plan, Replay: replay, Now: epoch, Requeue: requeue, Grace: -1, Poll: time.Millisecond, Actions: map[string]serve.Action{"erase": told, "expire": told, "holds": told}})
	t.Cleanup(s.Close)
	s.Drain() // so that a tail that follows ends
	h := s.Handler(serve.Door{Name: "api", Authenticate: authenticate})
	api := readAPI(t)
	hostile := rapid.OneOf(
		rapid.String(), rapid.StringMatching(`[a-z_]{0,12}(==|<|in)[ "0-9a-z\[\]]{0,12}`), rapid.StringMatching(`-?[0-9]{1,40}(\.[0-9]{1,12})?s?`),
		rapid.StringMatching(`[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,12})?(Z|\+[0-9]{2}:[0-9]{2})`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{
			"", "null", "true", "-1", "0", "1", "2147483648", "1e9", "NaN", "event-1", "op-1", planDigest, "../..", "%2F", "a/b", "acme", "/", "\x00", "\r\nX: y", "event-1\x00",
			`tenant == "acme"`, `1/0 == 1`, `time / 0 == 1`, `"a".matches("(")`, `matches(message, "(((((((a*)*)*)*)*)*)*")`, `[[[[[[[[]]]]]]]]`, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "0s", "1ms",
			"-0.000000001s", "315576000000s", "315576000001s", "MS4w", "czEuMC4w", strings.Repeat("(", 3000), strings.Repeat("a", 100_000), "kind", "events", "'", "bad", "late", "SELECT 1",
		}),
	)
	odd := rapid.SampledFrom([]string{"%2F", "%2f", "%252F", "%00", "%ff", "..", ".", "%2e%2e", "a b", "é", ":", "*", "a:b", "%20", "//", "~", "event-1", "op-1", planDigest, ""})
	paths := slices.Sorted(maps.Keys(api.Paths))
	paths = append(paths, "/v1", "/", "/docket.audit.v1.AuditService/Query")
	rapid.Check(t, func(r *rapid.T) {
		path := rapid.SampledFrom(paths).Draw(r, "path")
		method := rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"}).Draw(r, "method")
		var op *operation
		for m, o := range api.Paths[path] {
			if op = o; rapid.IntRange(0, 9).Draw(r, "which method") > 0 {
				method = strings.ToUpper(m)
			}
		}
		address := path
		for _, name := range []string{"{uid}", "{digest}", "{id}"} {
			segment := rapid.OneOf(odd, rapid.Map(hostile, url.PathEscape)).Draw(r, "segment")
			address = strings.ReplaceAll(address, name, segment)
		}
		var query []string
		if op != nil {
			for _, p := range op.Parameters {
				for range rapid.SampledFrom([]int{0, 0, 0, 0, 1, 1, 2}).Draw(r, "times") {
					query = append(query, p.Name+"="+rapid.Map(hostile, url.QueryEscape).Draw(r, p.Name))
				}
			}
		}
		query = append(query, rapid.SliceOfN(rapid.SampledFrom([]string{"%", "%zz", "a;b", "=", "&", "x=1", "page_size", "%ff=1", "uid=b", "since.seconds=1", "follow=true", "all=true", "", ""}), 0, 1).Draw(r, "odd")...)
		body := rapid.OneOf(
			rapid.SampledFrom([]string{"", "{", "[]", "null", `{"sql":"SELECT 1"}`, `{"sql":"bad"}`, `{"sql":"late"}`, `{"at":1e400}`, `{"at":-1,"sql":"x"}`, `{"at":"99999999999999999999"}`, `{"ids":["a"]}`, `{"all":true}`, `{"ids":["gone"]}`, strings.Repeat("[", 20_000), "\xff"}),
			rapid.Map(hostile, func(v string) string {
				b, _ := json.Marshal(map[string]any{"sql": v, "filter": v, "tenants": []string{v}})
				return string(b)
			}),
			hostile,
		).Draw(r, "body")
		token := rapid.SampledFrom([]string{"admin", "admin", "admin", "acme", "nothing", "expired", ""}).Draw(r, "token")
		target := "http://docket" + address
		if len(query) > 0 {
			target += "?" + strings.Join(query, "&")
		}
		req, err := http.NewRequest(method, target, strings.NewReader(body))
		if err != nil {
			return // no client can ask that
		}
		req.RequestURI, req.RemoteAddr = req.URL.RequestURI(), "127.0.0.1:1"
		req.Header.Set("Authorization", "Bearer "+token)
		for name, values := range map[string][]string{
			"Accept": {"", "*/*", "text/event-stream", "application/json", "nonsense"}, "Content-Type": {"", "application/json", "application/x-www-form-urlencoded", "application/grpc"},
			"Last-Event-ID": {"", "", "czEuMC4w", "x"}, "X-HTTP-Method-Override": {"", "GET", "DELETE"}, "Grpc-Timeout": {"", "", "1S", "x", "0n"}, "Grpc-Metadata-Authorization": {"", "Bearer admin"},
		} {
			if v := rapid.SampledFrom(values).Draw(r, name); v != "" {
				req.Header.Set(name, v)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		what := fmt.Sprintf("%s %.300s %.200q as %q: %d %.500s", method, target, body, token, w.Code, w.Body)
		switch {
		case w.Code >= 500 && w.Code != http.StatusNotImplemented && w.Code != http.StatusGatewayTimeout && (w.Code != http.StatusServiceUnavailable || path != "/v1/replays"):
			r.Fatalf("the server is at fault: %s", what)
		case w.Code >= 300 && w.Code < 400:
			r.Fatalf("it sends elsewhere: %s", what)
		case w.Code >= 400 && method != http.MethodHead:
			var e struct {
				Error *struct{ Code, Message, Field, Hint string }
			}
			d := json.NewDecoder(w.Body)
			d.DisallowUnknownFields()
			if err := d.Decode(&e); err != nil || e.Error == nil || e.Error.Code == "" || e.Error.Message == "" || d.More() || w.Header().Get("Content-Type") != "application/json" || strings.Contains(e.Error.Message, "rpc error") {
				r.Fatalf("no error as any other: %v: %s", err, what)
			}
		}
	})
}

// told is an action that tells what it is to do.
func told(_ context.Context, body []byte, tell func(any) error) error {
	var order map[string]any
	if err := json.Unmarshal(body, &order); err != nil {
		return fmt.Errorf("%w: %w", serve.ErrInvalid, err)
	}
	return tell(order)
}

// What is beside the service answers as the document says, too.
func TestAnswersBesideAreOfTheirSchemas(t *testing.T) {
	api := readAPI(t)
	s := start(t, newShelf(), func(c *serve.Config) {
		c.Requeue = requeue
		c.Reload = func(context.Context) (any, error) {
			return map[string]any{"before": "a", "after": "b", "added": []string{"x"}}, nil
		}
		c.Actions = map[string]serve.Action{"erase": told, "expire": told, "holds": told}
	})
	bodies := map[string]string{"/v1/quarantine/requeue": `{"ids":["a","b"]}`, "/v1/erase": `{"events":1}`, "/v1/expire": `{"total":true}`, "/v1/holds": `{"id":"h","reason":"r","placed":1}`}
	for path, methods := range api.Paths {
		for method, op := range methods {
			if op.ofService() {
				continue
			}
			got := s.do(t, "admin", strings.ToUpper(method), path, bodies[path])
			media, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
			if got.status != http.StatusOK || !slices.Equal(op.Produces, []string{media}) || len(op.Tags) != 1 || op.Summary == "" || op.OperationID == "" {
				t.Errorf("%s %s answers %+v, and is %+v", method, path, got, op)
			}
			texts := []string{got.body}
			switch media {
			case "text/html":
				continue
			case "application/x-ndjson":
				texts = strings.Split(strings.TrimSpace(got.body), "\n")
			}
			schema := api.schema(t, path, method, "200")
			for _, text := range texts {
				v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
				if err == nil {
					err = schema.Validate(v)
				}
				if err != nil {
					t.Errorf("%s %s answers %s: %v", method, path, text, err)
				}
			}
		}
	}
}
