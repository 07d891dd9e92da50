// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/docket-audit/docket/collector/authz"
)

// One caller has so many tails and no more, all have so many, and who ends one
// makes room.
func TestTailsAreBounded(t *testing.T) {
	var all tails
	var leave []func()
	admit := func(who string, most int) {
		t.Helper()
		for range most {
			l, err := all.enter(&authz.Grant{Subject: who})
			if err != nil {
				t.Fatalf("%s: %d tails: %v", who, len(leave), err)
			}
			leave = append(leave, l)
		}
		if _, err := all.enter(&authz.Grant{Subject: who}); !errors.Is(err, ErrBusy) {
			t.Fatalf("%s: one more: %v", who, err)
		}
	}
	admit("ann", maxCallerTails)
	admit("gus", maxTails-maxCallerTails)
	if _, err := all.enter(&authz.Grant{Subject: "ray"}); !errors.Is(err, ErrBusy) {
		t.Errorf("beyond all: %v", err)
	}
	for _, l := range leave {
		l()
	}
	if all.all != 0 || len(all.of) != 0 {
		t.Errorf("%d are left, of %v", all.all, all.of)
	}
	admit("ray", maxCallerTails)
}

// Without a token only programs are let in: not pages of others, which a browser
// tells by headers that are there, and not who brings something that does not hold.
func TestLoopbackIsForPrograms(t *testing.T) {
	refused := errors.New("refused")
	door := OrLoopback(func(*http.Request) (*authz.Grant, error) { return nil, refused })
	for name, test := range map[string]struct {
		header http.Header
		in     bool
	}{
		"a program":                   {http.Header{}, true},
		"typed into a browser":        {http.Header{"Sec-Fetch-Site": {"none"}}, true},
		"a page of its own":           {http.Header{"Sec-Fetch-Site": {"same-origin"}}, true},
		"an image in another page":    {http.Header{"Sec-Fetch-Site": {"cross-site"}}, false},
		"another port":                {http.Header{"Sec-Fetch-Site": {"same-site"}}, false},
		"another page":                {http.Header{"Origin": {"http://evil.example"}}, false},
		"an empty one before it":      {http.Header{"Origin": {"", "http://evil.example"}}, false},
		"an empty token before a bad": {http.Header{"Authorization": {"", "Bearer x"}}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080/v1/events", nil)
		r.RemoteAddr, r.Header = "127.0.0.1:4242", test.header
		if g, err := door(r); (err == nil) != test.in || test.in && g.By != authz.ByLoopback || !test.in && !errors.Is(err, refused) {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "https://127.0.0.1:8080/v1/events", nil)
	r.RemoteAddr, r.TLS = "127.0.0.1:4242", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
	if _, err := door(r); !errors.Is(err, refused) {
		t.Errorf("who shows a certificate: %v", err)
	}
}
