// SPDX-License-Identifier: Apache-2.0

package ops

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/requestpath"
)

// A process that governs nothing is ready by its own word, and has no tokens.
// What a gateway says is tested where one runs, in cmd/docket-gateway.
func TestHandler(t *testing.T) {
	var unready error
	h := Handler(Watched{
		Ready: func() error { return unready }, Path: func() *requestpath.Path { return nil },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) }),
	})
	ask := func(path, accept string, want int, body string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || body != "" && w.Body.String() != body {
			t.Errorf("%s: %d %q, want %d %q", path, w.Code, w.Body, want, body)
		}
	}
	ask("/healthz", "", 200, "ok\n")
	ask("/readyz", "", 200, "ok\n")
	ask("/readyz", "application/json", 200, `{"ready":true,"interceptors":[]}`+"\n")
	ask("/metrics", "", 200, "metrics")
	ask("/.well-known/jwks.json", "", 404, "")
	ask("/.well-known/openid-configuration", "", 404, "")
	ask("/v1/events", "", 404, "")
	unready = errors.New("the emitter: wal: no space")
	ask("/healthz", "", 200, "ok\n")
	ask("/readyz", "", 503, "the emitter: wal: no space\n")
	ask("/readyz", "text/html, application/json;q=0.9", 503, `{"ready":false,"reason":"the emitter: wal: no space","interceptors":[]}`+"\n")
}
