// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/config"
)

// Who starts a docket is told that the stream keeps what its store cannot take, if that
// is all that is wrong.
func TestReachTellsOfTheStream(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Clickhouse-Exception-Code", "516")
		w.WriteHeader(http.StatusForbidden)
	}))
	defer srv.Close()
	for _, c := range []struct {
		addr, want string
		waits      bool
	}{
		{away, "no server answers there", true},
		{srv.Listener.Addr().String(), "the user or the password", false},
	} {
		cfg := new(config.Config)
		cfg.Store.URL = config.DSN("http://docket@" + c.addr + "/audit")
		err := Reach(t.Context(), cfg)
		var hinted interface{ Hint() string }
		if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), c.want) || strings.Contains(hinted.Hint(), "events wait on the stream") != c.waits {
			t.Errorf("%v, without the hint %q", err, c.want)
		}
	}
}
