// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/store"
)

// A route is an endpoint beside those of the service. Each is in the OpenAPI
// document too, where tools/openapi puts it.
type route struct {
	method, path string
	do           http.HandlerFunc
}

func (s *Server) beside() []route {
	all := []route{
		{http.MethodGet, "/openapi.json", document},
		{http.MethodGet, "/docs", docs},
		{http.MethodGet, "/v1/status", s.admin(authz.List, s.status)},
		{http.MethodPost, "/v1/chain/reload", s.admin(authz.Admin, s.reload)},
		{http.MethodPost, "/v1/quarantine/requeue", s.admin(authz.Admin, s.requeue)},
	}
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Actions)) {
		all = append(all, route{http.MethodPost, "/v1/" + name, s.admin(authz.Admin, s.act(s.cfg.Actions[name]))})
	}
	return all
}

// routes returns what answers HTTP.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.beside() {
		mux.HandleFunc(r.method+" "+r.path, r.do)
		methods := r.method
		if r.method == http.MethodGet {
			methods += ", " + http.MethodHead
		}
		mux.HandleFunc(r.path, func(w http.ResponseWriter, r *http.Request) { s.otherMethod(w, r, methods) })
	}
	mux.Handle("/v1/", s.rest)
	mux.HandleFunc("/v1", s.nowhere) // else it is sent to /v1/
	mux.HandleFunc("/", s.nowhere)
	return mux
}

func (s *Server) nowhere(w http.ResponseWriter, r *http.Request) {
	err := fmt.Errorf("%w: no %s %s here; /docs says what there is", store.ErrNotFound, r.Method, r.URL.Path)
	s.unreadHTTP(r, err)
	writeError(w, err)
}

// otherMethod answers a request whose path is for other methods.
func (s *Server) otherMethod(w http.ResponseWriter, r *http.Request, methods string) {
	e := &RemoteError{Code: "unimplemented", Message: r.URL.Path + " is for another method than " + r.Method, Advice: "it is for " + methods + "; /docs says what there is"}
	s.unreadHTTP(r, fmt.Errorf("%w: %s", ErrUnsupported, e.Message))
	w.Header().Set("Allow", methods)
	writeJSON(w, http.StatusMethodNotAllowed, map[string]any{"error": e})
}

// methodsOf returns the methods of the service at a path, as Allow has them.
func methodsOf(path string) string {
	api, err := readDocument()
	if err != nil {
		return "" // the document is in the binary, and a test reads it
	}
	var all []string
	for pattern, methods := range api.Paths {
		if !matchesPath(pattern, path) {
			continue
		}
		for m := range methods {
			all = append(all, strings.ToUpper(m))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// matchesPath reports whether a path is one of a pattern with names in braces.
func matchesPath(pattern, path string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, have, func(w, h string) bool { return w == h || strings.HasPrefix(w, "{") && h != "" })
}
