// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/store"
)

func TestRequeue(t *testing.T) {
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
		s := serve.New(serve.Config{Store: &memory{}, Commits: func() uint64 { return 0 }, Requeue: func(_ context.Context, ids []string, tell func(any) error) error {
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
		}})
		srv := httptest.NewServer(s.Handler())
		resp, err := http.Post(srv.URL+"/v1/quarantine/requeue", "application/json", strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != test.status || !strings.Contains(string(b), test.want) || test.status == 200 && string(b) != test.want ||
			!strings.Contains(resp.Trailer.Get(serve.ErrorTrailer), test.trailer) || test.trailer == "" && resp.Trailer.Get(serve.ErrorTrailer) != "" {
			t.Errorf("%s: %d %q, trailer %q, %v", name, resp.StatusCode, b, resp.Trailer, err)
		}
		srv.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	w := httptest.NewRecorder()
	serve.New(serve.Config{Store: &memory{}, Commits: func() uint64 { return 0 }}).Local("secret").ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/quarantine/requeue", strings.NewReader(`{"all":true}`)))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("without the token: %d", w.Code)
	}
}
