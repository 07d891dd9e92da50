// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"context"
	"encoding/base64"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/store"
)

// keyring mints tokens by a key, and knows callers by that key and no other.
type keyring struct {
	signer *authz.Signer
	*authz.Verifier
}

func newKeyring(t *testing.T, key string) *keyring {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	k := new(keyring)
	var err error
	if k.signer, err = authz.OpenSigner(path); err != nil {
		t.Fatal(err)
	}
	if k.Verifier, err = authz.New(authz.Config{HS256: []string{path}, Now: epoch}); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *keyring) mint(t *testing.T, at time.Time, prefixes ...string) string {
	t.Helper()
	token, _, err := k.signer.Mint(authz.Order{Subject: "carol", Capabilities: []authz.Capability{authz.List, authz.Read, authz.Tail}, Prefixes: prefixes}, at)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// watched is a store that tells whether anybody looked.
type watched struct {
	store.Reader

	looked bool
}

func (w *watched) Scan(ctx context.Context, q store.Query) iter.Seq2[store.Entry, error] {
	w.looked = true
	return w.Reader.Scan(ctx, q)
}

const (
	ourKey   = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	otherKey = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	arabic   = "مرحبا بالعالم"
)

// What clients of data-plane-gateway are tested with, in our terms: its journals
// by collection are events by tenant, its shards are operations. Whoever is
// refused has not had the store looked at, which one of its defects was: it
// answered that it was not allowed, and did it.
func TestDataPlaneClients(t *testing.T) {
	m := newShelf()
	m.put(t,
		sealed(t, "acme", 1, "event-1", "op-1", ""), sealed(t, "acme/eu", 2, "event-2", "op-2", arabic),
		sealed(t, "acmeCorp", 3, "event-3", "op-3", ""), sealed(t, "globex", 4, "event-4", "op-4", ""))
	ring := newKeyring(t, ourKey)
	mine := ring.mint(t, epoch(), "acme/")
	wrong := newKeyring(t, otherKey).mint(t, epoch(), "acme")
	old := ring.mint(t, epoch().Add(-2*time.Hour), "acme")
	for name, test := range map[string]struct {
		token, path string
		status      int
		has, hasNot string // in the answer
	}{
		"list by collection":           {mine, "/v1/operations?tenants=acme", 200, "op-1", "op-3"},
		"list by name":                 {mine, "/v1/operations/op-1", 200, "event-1", "event-2"},
		"list by prefix":               {mine, "/v1/operations?tenants=acme", 200, "op-2", "globex"},
		"list with an exclusion":       {mine, "/v1/operations?tenants=acme&exclude_tenants=acme/eu", 200, "op-1", "op-2"},
		"an exclusion alone":           {mine, "/v1/operations?exclude_tenants=globex", 403, "excluded grants nothing", "op-1"},
		"wrong signing key":            {wrong, "/v1/operations?tenants=acme", 401, "key is unknown", "op-1"},
		"expired":                      {old, "/v1/operations?tenants=acme", 401, "expired", "op-1"},
		"two, and one is not allowed":  {mine, "/v1/operations?tenants=acme&tenants=globex", 403, `\"globex\"`, "op-1"},
		"read":                         {mine, "/v1/tail?all=true&tenants=acme", 200, "event-1", "event-4"},
		"read content":                 {mine, "/v1/events/event-1", 200, string(m.entries[0].Raw), "event-2"},
		"read content in Arabic":       {mine, "/v1/events?filter=" + url.QueryEscape(`message == "`+arabic+`"`), 200, arabic, "event-1"},
		"read what is not allowed":     {mine, "/v1/tail?all=true&tenants=globex", 403, `\"globex\"`, "event-4"},
		"a task":                       {mine, "/v1/operations?filter=" + url.QueryEscape(`service.startsWith("acme.v1.Things")`), 200, "op-1", "op-4"},
		"a bare id, one's own":         {mine, "/v1/operations/op-2", 200, "event-2", ""},
		"a bare id of somebody else":   {mine, "/v1/operations/op-4", 404, "not_found", "event-4"},
		"a compound id":                {mine, "/v1/events?tenants=acme&filter=" + url.QueryEscape(`metadata_uid == "event-2"`), 200, "event-2", "event-1"},
		"stat":                         {mine, "/v1/stats?facets=tenant&filter=true", 200, `"events":"2"`, "globex"},
		"stat of what is not allowed":  {mine, "/v1/stats?tenants=acmeCorp", 403, `\"acmeCorp\"`, `"events"`},
		"a longer name, no prefix":     {mine, "/v1/operations?tenants=acmeCorp", 403, `\"acmeCorp\"`, "op-3"},
		"nobody":                       {"", "/v1/operations", 401, "no token", "op-1"},
		"a token that says alg none":   {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + mine[strings.IndexByte(mine, '.'):], "/v1/operations", 401, "unauthenticated", "op-1"},
		"a token of one's own cut off": {mine[:len(mine)-2], "/v1/operations", 401, "unauthenticated", "op-1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &watched{Reader: m}
			var told accesses
			s := serve.New(serve.Config{Store: w, Commits: m.Commits, Now: epoch, Poll: time.Millisecond, Accessed: told.tell})
			defer s.Close()
			r := httptest.NewRequest(http.MethodGet, test.path, nil)
			if test.token != "" {
				r.Header.Set("Authorization", "Bearer "+test.token)
			}
			r.AddCookie(&http.Cookie{Name: "__Host-flow_auth", Value: mine}) // never looked at
			answer := httptest.NewRecorder()
			s.Handler(serve.Door{Name: "api", Authenticate: ring.HTTP}).ServeHTTP(answer, r)
			body := answer.Body.String()
			if answer.Code != test.status || !strings.Contains(body, test.has) || test.hasNot != "" && strings.Contains(body, test.hasNot) {
				t.Errorf("%d %s", answer.Code, body)
			}
			if refused := test.status == 401 || test.status == 403; refused && w.looked {
				t.Error("it was refused, and looked for all the same")
			}
			// Who read what, and who was refused, is known.
			if all := told.take(); len(all) != 1 || (all[0].Err == nil) != (test.status == 200) || test.status != 401 && all[0].Grant.Subject != "carol" {
				t.Errorf("told %+v", all)
			}
		})
	}
}

// There is no key by default, none that everybody knows, and a prefix that is
// empty covers nothing.
func TestDataPlaneDefaults(t *testing.T) {
	m := newShelf()
	m.add(t, "acme")
	nobody, err := authz.New(authz.Config{Now: epoch})
	if err != nil {
		t.Fatal(err)
	}
	s := serve.New(serve.Config{Store: m, Commits: m.Commits, Now: epoch})
	t.Cleanup(s.Close)
	ask := func(authenticate func(*http.Request) (*authz.Grant, error), token string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "/v1/events", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		s.Handler(serve.Door{Authenticate: authenticate}).ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if code, body := ask(nobody.HTTP, newKeyring(t, ourKey).mint(t, epoch(), "/")); code != http.StatusUnauthorized {
		t.Errorf("without a key: %d %s", code, body)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("supersecret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := authz.New(authz.Config{HS256: []string{short}}); err == nil {
		t.Error("a key that can be guessed is taken")
	}
	for _, prefixes := range [][]string{nil, {""}} {
		empty := func(*http.Request) (*authz.Grant, error) {
			return &authz.Grant{Subject: "eve", Capabilities: authz.Capabilities(), Prefixes: prefixes}, nil
		}
		if code, body := ask(empty, ""); code != http.StatusOK || strings.Contains(body, "event-1") {
			t.Errorf("prefixes %q: %d %s", prefixes, code, body)
		}
	}
}
