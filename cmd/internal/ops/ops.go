// SPDX-License-Identifier: Apache-2.0

// Package ops is the listener for those who watch a process: whether it lives,
// whether it is ready, and its metrics. It is plain HTTP, tells nothing of what
// is recorded, and answers 404 to everything else.
package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
	"github.com/docket-audit/docket/cmd/internal/rungroup"
)

// A Watched is the process that a listener tells about.
type Watched struct {
	// Ready returns why the process is not ready, or nil.
	Ready func() error
	// Path returns what governs calls, or nil.
	Path    func() *requestpath.Path
	Metrics http.Handler
}

// A Listener answers until it is closed.
type Listener struct {
	lis  *datadir.Listener
	srv  *http.Server
	part *rungroup.Part
}

// Listen answers at address or the next free port after it, as part of group.
func Listen(group *rungroup.Group, address string, of Watched) (*Listener, error) {
	l, err := datadir.Listen(address)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: Handler(of), ReadHeaderTimeout: 10 * time.Second}
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

// Handler answers /healthz, /readyz and /metrics and, where tokens are made,
// /.well-known/jwks.json and /.well-known/openid-configuration.
func Handler(of Watched) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", of.ready)
	mux.Handle("GET /metrics", of.Metrics)
	mux.HandleFunc("GET "+jwksPath, of.keys)
	mux.HandleFunc("GET /.well-known/openid-configuration", of.discovery)
	return mux
}

// A State is what /readyz answers to who accepts JSON.
type State struct {
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitzero"` // why not
	// Plan is the digest of the plan in force, Interceptors how those do that it
	// calls elsewhere. Both are empty where nothing is governed.
	Plan         string               `json:"plan,omitzero"`
	Interceptors []requestpath.Health `json:"interceptors"`
}

// State asks the process how it is, without what only its operator may know.
func (of *Watched) State() State {
	s := State{Ready: true, Interceptors: []requestpath.Health{}}
	err := of.Ready()
	if p := of.Path(); p != nil {
		s.Plan = p.Plan().Digest()
		for _, h := range p.Health() {
			h.Detail = "" // it tells addresses; the log has it
			s.Interceptors = append(s.Interceptors, h)
		}
		if err == nil {
			err = p.Ready()
		}
	}
	if err != nil {
		s.Ready, s.Reason = false, err.Error()
	}
	return s
}

// ready answers in the first line whether the process is ready, and then what
// does not serve all the same.
func (of *Watched) ready(w http.ResponseWriter, r *http.Request) {
	s := of.State()
	status := http.StatusOK
	if !s.Ready {
		status = http.StatusServiceUnavailable
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		answer(w, status, "application/json", s)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if s.Ready {
		fmt.Fprintln(w, "ok")
	} else {
		fmt.Fprintln(w, s.Reason)
	}
	for _, h := range s.Interceptors {
		if h.State != requestpath.Serving {
			fmt.Fprintln(w, h)
		}
	}
}

const jwksPath = "/.well-known/jwks.json"

// tokens says whose tokens there are; "" and nil without any.
func (of *Watched) tokens() (issuer string, keys []byte) {
	if p := of.Path(); p != nil {
		return p.Tokens()
	}
	return "", nil
}

func (of *Watched) keys(w http.ResponseWriter, r *http.Request) {
	_, keys := of.tokens()
	if keys == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(keys) // a caller that left is not told
}

// discovery says who issues tokens and where the keys are: for verifiers that
// refresh keys. What they trust at first their operator brings them.
func (of *Watched) discovery(w http.ResponseWriter, r *http.Request) {
	issuer, keys := of.tokens()
	if keys == nil {
		http.NotFound(w, r)
		return
	}
	answer(w, http.StatusOK, "application/json", map[string]any{
		"issuer": issuer,
		// The listener is plain, and known to others by the name that they call.
		"jwks_uri":                              "http://" + r.Host + jwksPath,
		"id_token_signing_alg_values_supported": []string{"EdDSA"},
	})
}

func answer(w http.ResponseWriter, status int, kind string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a caller that left is not told
}
