// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/docket-audit/docket/collector/authz"
)

// A Door is a way in: a listener, and how its callers prove who they are.
type Door struct {
	// Name is api, socket or the like.
	Name string
	// Authenticate returns who asks, or an error of package authz.
	Authenticate func(*http.Request) (*authz.Grant, error)
}

// Handler returns what answers at a door: gRPC, REST, and what admins do.
// Listeners must speak HTTP/2 for gRPC, without TLS too ([http.Protocols]).
func (s *Server) Handler(d Door) http.Handler {
	routes := s.routes()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &caller{door: d.Name, peer: r.RemoteAddr}
		c.grant, c.err = d.Authenticate(r)
		if c.err != nil && s.cfg.Patience > 0 {
			// Who is not known could hold as many connections as they like.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.Patience)) // a writer without deadlines has no connection to hold
		}
		r = r.WithContext(withCaller(r.Context(), c))
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			// What waits for a caller who takes nothing must be able to stop.
			out := http.NewResponseController(w)
			s.serveGRPC(w, r.WithContext(withHangUp(r.Context(), func() { _ = out.SetWriteDeadline(time.Unix(1, 0)) })))
			return
		}
		if r.URL.Path != path.Clean(r.URL.Path) { // the mux would send them elsewhere
			s.nowhere(w, r)
			return
		}
		routes.ServeHTTP(w, r)
	})
}

// admin guards what is about the whole of this docket.
func (s *Server) admin(need authz.Capability, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := callerOf(r.Context())
		err := c.err
		if err == nil && !c.grant.Expires.IsZero() && !s.cfg.Now().Before(c.grant.Expires) {
			err = errExpired
		}
		if err == nil {
			err = c.grant.May(need)
		}
		if err == nil && !c.grant.Covers(authz.Everywhere) {
			err = &authz.Error{Err: authz.ErrDenied, Reason: "this is about all tenants, and not all are covered", Advice: `it takes a token whose prefix is "/"`}
		}
		if err != nil {
			s.unreadHTTP(r, err)
			writeError(w, err)
			return
		}
		next(w, r.WithContext(authz.NewContext(r.Context(), c.grant)))
	}
}

// Trusting admits everybody who can reach the door as one who may do all. who
// names them.
func Trusting(who func(*http.Request) string) func(*http.Request) (*authz.Grant, error) {
	return func(r *http.Request) (*authz.Grant, error) { return authz.Trusted(who(r), authz.BySocket), nil }
}

// OrLoopback lets programs on this machine list, read, tail and ask in SQL
// without a token, as the demo does. A web page that a user of this machine looks
// at must not be able to ask on the user's behalf by a name that resolves to
// loopback.
func OrLoopback(next func(*http.Request) (*authz.Grant, error)) func(*http.Request) (*authz.Grant, error) {
	return func(r *http.Request) (*authz.Grant, error) {
		// A header that is there counts, whatever it says.
		if len(r.Header.Values("Authorization")) > 0 || r.TLS != nil && len(r.TLS.PeerCertificates) > 0 || len(r.Header.Values("Origin")) > 0 || ofOthers(r) || !loopback(r.Host) || !loopback(r.RemoteAddr) {
			return next(r)
		}
		return Loopback(), nil
	}
}

// ofOthers reports whether a browser asks for a page of somebody else. It says so
// where there is no Origin too: of an image, or a link.
func ofOthers(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "same-origin" && site != "none"
}

// Loopback is the grant of programs on this machine, where they need no token.
func Loopback() *authz.Grant {
	g := authz.Trusted("loopback", authz.ByLoopback)
	g.Capabilities = []authz.Capability{authz.List, authz.Read, authz.Tail, authz.SQL}
	return g
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
