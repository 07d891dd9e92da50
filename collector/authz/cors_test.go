// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

func TestCORS(t *testing.T) {
	c := must(NewCORS([]string{"https://ok.example", "http://localhost:5173"}))(t)
	for _, tc := range []struct {
		name    string
		cors    CORS
		origin  []string
		allowed bool
	}{
		{"listed", c, []string{"https://ok.example"}, true},
		{"listed, with a port", c, []string{"http://localhost:5173"}, true},
		{"not a browser", c, nil, false},
		{"one that begins so", c, []string{"https://ok.example.evil"}, false},
		{"one that ends so", c, []string{"https://evil-ok.example"}, false},
		{"below it", c, []string{"https://a.ok.example"}, false},
		{"another scheme", c, []string{"http://ok.example"}, false},
		{"another port", c, []string{"https://ok.example:8443"}, false},
		{"a pattern's dot", c, []string{"https://okxexample"}, false},
		{"two in one", c, []string{"https://ok.example https://evil.example"}, false},
		{"two", c, []string{"https://ok.example", "https://evil.example"}, false},
		{"null", c, []string{"null"}, false},
		{"none are by default", CORS{}, []string{"https://ok.example"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reached := 0
			h := tc.cors.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reached++; w.WriteHeader(http.StatusTeapot) }))
			do := func(method string, header http.Header) *httptest.ResponseRecorder {
				r := httptest.NewRequest(method, "/v1/events", http.NoBody)
				if tc.origin != nil {
					r.Header["Origin"] = tc.origin
				}
				for name, v := range header {
					r.Header[name] = v
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				return w
			}
			check := func(what string, resp *httptest.ResponseRecorder) {
				t.Helper()
				want := ""
				if tc.allowed {
					want = tc.origin[0]
				}
				if got := resp.Header().Get("Access-Control-Allow-Origin"); got != want {
					t.Errorf("%s: allowed for %q, want %q", what, got, want)
				}
				if !slices.Contains(resp.Header().Values("Vary"), "Origin") {
					t.Errorf("%s: a cache may mix up origins: %v", what, resp.Header())
				}
				if resp.Header().Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s: credentials are allowed", what)
				}
			}
			resp := do(http.MethodGet, nil)
			check("request", resp)
			if resp.Code != http.StatusTeapot || reached != 1 {
				t.Errorf("request: status %d, reached %d times", resp.Code, reached)
			}
			resp = do(http.MethodOptions, http.Header{"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"}})
			check("preflight", resp)
			switch {
			case tc.origin == nil:
				if reached != 2 {
					t.Error("OPTIONS that are no preflight are not passed on")
				}
			case tc.allowed:
				if resp.Code != http.StatusNoContent || resp.Header().Get("Access-Control-Allow-Methods") != corsMethods ||
					resp.Header().Get("Access-Control-Allow-Headers") != corsHeaders || resp.Header().Get("Access-Control-Max-Age") != corsMaxAge || reached != 1 {
					t.Errorf("preflight: %d %v", resp.Code, resp.Header())
				}
			default:
				if resp.Code != http.StatusForbidden || resp.Header().Get("Access-Control-Allow-Methods") != "" || reached != 1 {
					t.Errorf("preflight: %d %v", resp.Code, resp.Header())
				}
			}
		})
	}
}

func TestOrigins(t *testing.T) {
	for _, o := range []string{
		"", "*", "null", "https://*.example", "https://ok.example/", "https://ok.example/x", "https://OK.example", "HTTPS://ok.example", "ok.example",
		"https://", "https://me@ok.example", "https://ok.example:443", "http://ok.example:80", "https://ok.example?x", "https://ok.example#x", "ftp://ok.example", "https://ok.example https://b.example",
	} {
		if _, err := NewCORS([]string{o}); err == nil {
			t.Errorf("%q is taken", o)
		}
	}
	for _, o := range []string{"https://ok.example", "http://127.0.0.1:5173", "https://[::1]:8443", "http://localhost"} {
		if _, err := NewCORS([]string{o}); err != nil {
			t.Error(err)
		}
	}
}
