// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// CORS says to which other origins a browser may show answers. The zero CORS says:
// none.
type CORS struct{ origins []string }

// NewCORS takes a list of exact origins, such as "https://console.example.com" or
// "http://localhost:5173". There are no patterns and no "*": an answer is for those
// that are named.
func NewCORS(origins []string) (CORS, error) {
	for _, o := range origins {
		if err := checkOrigin(o); err != nil {
			return CORS{}, fmt.Errorf("origin %s: %w", quoted(o), err)
		}
	}
	return CORS{origins: slices.Clone(origins)}, nil
}

func checkOrigin(o string) error {
	if o == "*" || o == "null" || strings.Contains(o, "*") {
		return errors.New("name each origin: there are no patterns")
	}
	u, err := url.Parse(o)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("an origin is https://HOST or https://HOST:PORT")
	}
	// Browsers send it in one spelling, and it is compared as it is.
	if o != u.Scheme+"://"+strings.ToLower(u.Host) || u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		return errors.New("an origin is written as browsers do: in lower case, with no path, no user, no slash at the end and no port that is the default")
	}
	return nil
}

// What a script may send and see.
const (
	corsMethods = "GET, POST"
	corsHeaders = "Authorization, Content-Type, Last-Event-ID"
	corsMaxAge  = "600"
)

// Handler answers preflights, and marks what next answers to the origins that are
// allowed. Credentials that a browser sends by itself are never allowed: who is
// asked for is the bearer of a token. Preflights of other origins are refused; what
// they ask for is answered as to any program, without the mark, so that the browser
// keeps it to itself.
func (c CORS) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Also where there is no origin, or a cache could give that answer to one.
		w.Header().Add("Vary", "Origin")
		given := r.Header.Values("Origin")
		allowed := len(given) == 1 && slices.Contains(c.origins, given[0])
		if allowed {
			w.Header().Set("Access-Control-Allow-Origin", given[0])
		}
		if r.Method != http.MethodOptions || len(given) == 0 || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Add("Vary", "Access-Control-Request-Method")
		w.Header().Add("Vary", "Access-Control-Request-Headers")
		if !allowed {
			http.Error(w, "the origin is not among those in [api] cors_origins", http.StatusForbidden)
			return
		}
		w.Header().Set("Access-Control-Allow-Methods", corsMethods)
		w.Header().Set("Access-Control-Allow-Headers", corsHeaders)
		w.Header().Set("Access-Control-Max-Age", corsMaxAge)
		w.WriteHeader(http.StatusNoContent)
	})
}
