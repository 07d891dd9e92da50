// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

// Config is what a [Server] answers from.
type Config struct {
	// Store gives the events. Required.
	Store store.Reader

	// Commits returns the number of the newest commit. Required.
	Commits func() uint64

	// Query answers one question in SQL: it calls columns once, and then writes
	// one JSON object in a line for each row, with members in the order of the
	// columns. It returns the first error of either. nil: SQL is not supported,
	// as Unsupported says.
	Query func(ctx context.Context, q Question, columns func([]string) error, rows io.Writer) error

	// Unsupported is why there is no Query.
	Unsupported error

	// Status returns what GET /v1/status answers; nil answers an empty object.
	Status func(ctx context.Context) (any, error)

	// Reload reads the chain anew and returns what POST /v1/chain/reload answers:
	// what changed. An error that is [ErrRefused] leaves the old chain in force.
	// nil: there is no chain here.
	Reload func(ctx context.Context) (any, error)

	// Requeue puts messages of the quarantine on the stream once more, those with
	// the given IDs or, with none, all, and tells what became of each: POST
	// /v1/quarantine/requeue. nil: nothing is collected here.
	Requeue func(ctx context.Context, ids []string, tell func(became any) error) error

	// Actions are what else admins may have done, by the path below /v1/: POST
	// /v1/NAME. Each takes the body, a JSON object, and tells lines of ndjson.
	Actions map[string]Action

	// Poll is how often a tail looks for a new commit; default 100 ms.
	Poll time.Duration

	// Stall is how long the caller of a query may take for a piece of its
	// answer; default 1 minute, negative is for ever.
	Stall time.Duration

	// Log is where failures to answer go; nil discards.
	Log *slog.Logger
}

// A Server answers. Its handlers may be used from many listeners at once.
type Server struct {
	cfg Config

	drain     chan struct{} // closed when tails shall end with what is stored
	drainOnce sync.Once
}

// New returns a Server.
func New(cfg Config) *Server {
	if cfg.Poll == 0 {
		cfg.Poll = 100 * time.Millisecond
	}
	if cfg.Stall == 0 {
		cfg.Stall = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, drain: make(chan struct{})}
}

// Drain lets every tail that follows send what is stored by now and end.
func (s *Server) Drain() { s.drainOnce.Do(func() { close(s.drain) }) }

// A guard admits callers to a handler, or answers why not.
type guard func(http.HandlerFunc) http.HandlerFunc

// Handler returns the handler of callers who are trusted already, such as
// those who can reach the socket in the data directory.
func (s *Server) Handler() http.Handler {
	trusted := func(next http.HandlerFunc) http.HandlerFunc { return next }
	return s.routes(trusted, trusted)
}

// API returns the handler of a network listener. Callers prove themselves with
// the token.
func (s *Server) API(token string) http.Handler {
	return s.routes(withToken(token), withToken(token))
}

// Local is API for loopback alone: local programs may read without the token.
// What changes something needs it there too.
func (s *Server) Local(token string) http.Handler {
	return s.routes(local, withToken(token))
}

// routes guards what reads and what changes something.
func (s *Server) routes(read, admin guard) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/events", read(s.events))
	mux.HandleFunc("GET /v1/tail", read(s.tail))
	mux.HandleFunc("POST /v1/query", read(s.query))
	mux.HandleFunc("GET /v1/status", read(s.status))
	mux.HandleFunc("POST /v1/chain/reload", admin(s.reload))
	mux.HandleFunc("POST /v1/quarantine/requeue", admin(s.requeue))
	for name, do := range s.cfg.Actions {
		mux.HandleFunc("POST /v1/"+name, admin(s.act(do)))
	}
	mux.HandleFunc("/", read(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, fmt.Errorf("%w: no %s %s here", store.ErrNotFound, r.Method, r.URL.Path))
	}))
	return mux
}

// withToken admits who has the token; nobody has none.
func withToken(token string) guard {
	return func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok || token == "" || subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
				writeError(w, tokenError{})
				return
			}
			next(w, r)
		}
	}
}

// local admits local programs. A web page that a user of this machine looks at
// must not be able to ask on the user's behalf by a name that resolves to
// loopback.
func local(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) || r.Header.Get("Origin") != "" {
			writeError(w, fmt.Errorf("%w: without a token only local programs may ask", ErrUnauthenticated))
			return
		}
		next(w, r)
	}
}

type tokenError struct{}

func (tokenError) Error() string { return ErrUnauthenticated.Error() }
func (tokenError) Unwrap() error { return ErrUnauthenticated }
func (tokenError) Hint() string {
	return "send `Authorization: Bearer TOKEN` with the token in keys/api.token of the data directory"
}

func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Status == nil {
		writeJSON(w, http.StatusOK, struct{}{})
		return
	}
	v, err := s.cfg.Status(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Reload == nil {
		writeError(w, fmt.Errorf("%w: there is no chain here", ErrUnsupported))
		return
	}
	v, err := s.cfg.Reload(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}
