// SPDX-License-Identifier: Apache-2.0

package ops

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/requestpath"
	"github.com/docket-audit/docket/schemas/openapi"
)

// Nothing that is recorded can be asked for here: no path of the API is there,
// by no method, and no gRPC.
func TestNoAPI(t *testing.T) {
	var api struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(openapi.Document, &api); err != nil || len(api.Paths) < 9 {
		t.Fatalf("%d paths, %v", len(api.Paths), err)
	}
	paths := []string{"/openapi.json", "/docs", "/v1/status", "/v1/chain/reload", "/v1/quarantine/requeue", "/v1/erase", "/v1/expire", "/v1/holds"}
	for path, methods := range api.Paths {
		paths = append(paths, strings.NewReplacer("{uid}", "x", "{id}", "x", "{digest}", strings.Repeat("0", 64)).Replace(path))
		for _, m := range methods {
			paths = append(paths, "/docket.audit.v1.AuditService/"+m.OperationID)
		}
	}
	h := Handler(Watched{
		Ready: func() error { return nil }, Path: func() *requestpath.Path { return nil },
		Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
	})
	for _, path := range paths {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(method, path, strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/grpc")
			h.ServeHTTP(w, r)
			if w.Code != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
}
