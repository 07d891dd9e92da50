// SPDX-License-Identifier: Apache-2.0

// Package ops is the listener for those who watch a process: whether it lives,
// whether it is ready, and its metrics. It is plain HTTP, tells nothing of what
// is recorded, and answers 404 to everything else.
package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/rungroup"
)

// A Listener answers until it is closed.
type Listener struct {
	lis  *datadir.Listener
	srv  *http.Server
	part *rungroup.Part
}

// Listen answers at address or the next free port after it, as part of group.
func Listen(group *rungroup.Group, address string, ready func() error, metrics http.Handler, jwks func() []byte) (*Listener, error) {
	l, err := datadir.Listen(address)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: Handler(ready, metrics, jwks), ReadHeaderTimeout: 10 * time.Second}
	return &Listener{lis: l, srv: srv, part: group.Go("ops", func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // there is nothing to do about it
		defer stop()
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})}, nil
}

// URL returns where the listener is.
func (l *Listener) URL() string { return "http://" + l.lis.HostPort() }

// TakenPort is the port that it was to have and another program had, or "".
func (l *Listener) TakenPort() string { return l.lis.TakenPort }

// Close ends the listener.
func (l *Listener) Close(context.Context) error { return l.part.Stop() }

// Handler answers /healthz, /readyz and /metrics, and /.well-known/jwks.json where
// jwks returns a key set.
func Handler(ready func() error, metrics http.Handler, jwks func() []byte) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, r *http.Request) {
		keys := jwks()
		if keys == nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(keys) // a caller that left is not told
	})
	return mux
}
