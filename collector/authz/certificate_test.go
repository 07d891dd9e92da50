// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ca signs certificates.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T, name string) ca {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(noon-3600, 0), NotAfter: time.Unix(noon+86400, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return ca{}.issue(t, template)
}

// issue signs a template; the zero ca signs what signs itself.
func (c ca) issue(t *testing.T, template *x509.Certificate) ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := c.cert, c.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return ca{cert, key}
}

// client issues a certificate, with changes.
func (c ca) client(t *testing.T, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	return c.pair(t, change).cert
}

func (c ca) pair(t *testing.T, change func(*x509.Certificate)) ca {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ci.example"}, NotBefore: time.Unix(noon-60, 0), NotAfter: time.Unix(noon+3600, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	return c.issue(t, template)
}

func (c ca) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})
}

func uri(text string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		u, err := url.Parse(text)
		if err != nil {
			panic(err)
		}
		c.URIs = append(c.URIs, u)
	}
}

func TestCertificates(t *testing.T) {
	clock, ours, theirs := newClock(), newCA(t, "ours"), newCA(t, "theirs")
	file := write(t, filepath.Join(t.TempDir(), "ca.pem"), ours.pem())
	v := open(t, Config{
		ClientCA: file, Now: clock.now,
		Certificates: []Certificate{
			{Name: "spiffe://example.com/ci", Subject: "ci", Capabilities: []Capability{Tail, Read}, Prefixes: []string{"acme"}},
			{Name: "auditor@example.com", Capabilities: []Capability{List}, Prefixes: []string{"/"}},
			{Name: "batch.example.com", Capabilities: []Capability{SQL}, Prefixes: []string{"acme", "umbrella"}},
		},
	})
	mail := func(m string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.EmailAddresses = []string{m} }
	}
	dns := func(d string) func(*x509.Certificate) { return func(c *x509.Certificate) { c.DNSNames = []string{d} } }
	between := ours.issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "between"}, NotBefore: time.Unix(noon-60, 0), NotAfter: time.Unix(noon+600, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	for _, c := range []struct {
		name  string
		chain []*x509.Certificate
		who   string
		want  string
	}{
		{"URI", []*x509.Certificate{ours.client(t, uri("spiffe://example.com/ci"))}, "ci", ""},
		{"mail", []*x509.Certificate{ours.client(t, mail("auditor@example.com"))}, "auditor@example.com", ""},
		{"DNS", []*x509.Certificate{ours.client(t, dns("Batch.example.com"))}, "batch.example.com", ""},
		{"the table's first", []*x509.Certificate{ours.client(t, func(c *x509.Certificate) { dns("batch.example.com")(c); uri("spiffe://example.com/ci")(c) })}, "ci", ""},
		{"by one between", []*x509.Certificate{between.client(t, uri("spiffe://example.com/ci")), between.cert}, "ci", ""},
		{"one between is left out", []*x509.Certificate{between.client(t, uri("spiffe://example.com/ci"))}, "", ReasonCertificate},
		{"nobody", nil, "", ReasonMissing},
		{"of another authority", []*x509.Certificate{theirs.client(t, uri("spiffe://example.com/ci"))}, "", ReasonCertificate},
		{"of another authority, brought along", []*x509.Certificate{theirs.client(t, uri("spiffe://example.com/ci")), theirs.cert}, "", ReasonCertificate},
		{"signed by itself", []*x509.Certificate{ca{}.client(t, uri("spiffe://example.com/ci"))}, "", ReasonCertificate},
		{"a server's", []*x509.Certificate{ours.client(t, func(c *x509.Certificate) {
			uri("spiffe://example.com/ci")(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		})}, "", ReasonCertificate},
		{"expired", []*x509.Certificate{ours.client(t, func(c *x509.Certificate) { uri("spiffe://example.com/ci")(c); c.NotAfter = time.Unix(noon-1, 0) })}, "", ReasonCertExpired},
		{"not yet", []*x509.Certificate{ours.client(t, func(c *x509.Certificate) { uri("spiffe://example.com/ci")(c); c.NotBefore = time.Unix(noon+9, 0) })}, "", ReasonCertExpired},
		{"nobody's name", []*x509.Certificate{ours.client(t, uri("spiffe://example.com/ci/x"))}, "", ReasonCertUnknown},
		{"the name in another place", []*x509.Certificate{ours.client(t, func(c *x509.Certificate) { c.Subject.CommonName = "batch.example.com" })}, "", ReasonCertUnknown},
		{"a wildcard of it", []*x509.Certificate{ours.client(t, dns("*.example.com"))}, "", ReasonCertUnknown},
		{"no name", []*x509.Certificate{ours.client(t, func(*x509.Certificate) {})}, "", ReasonCertUnknown},
	} {
		g, err := v.Certificate(c.chain)
		if got := reason(t, err); got != c.want {
			t.Errorf("%s: refused by %q, want %q", c.name, got, c.want)
			continue
		}
		if err == nil && (g.Subject != c.who || g.By != ByCertificate || g.Expires.IsZero()) {
			t.Errorf("%s: %+v", c.name, g)
		}
	}

	want := &Grant{Subject: "ci", Issuer: "CN=between", By: ByCertificate, Capabilities: []Capability{Read, Tail}, Prefixes: []string{"acme"}, Expires: time.Unix(noon+600, 0).UTC()}
	got := must(v.Certificate([]*x509.Certificate{between.client(t, uri("spiffe://example.com/ci")), between.cert}))(t)
	if d := cmp.Diff(want, got); d != "" { // expires with the first certificate of the chain that does
		t.Error(d)
	}
	if _, err := open(t, Config{}).Certificate([]*x509.Certificate{ours.cert}); reason(t, err) != ReasonNoCertificates {
		t.Errorf("where none are accepted: %v", err)
	}

	// The authorities are replaced without a restart.
	write(t, file, theirs.pem())
	clock.advance(lookAgain)
	if _, err := v.Certificate([]*x509.Certificate{ours.client(t, uri("spiffe://example.com/ci"))}); reason(t, err) != ReasonCertificate {
		t.Errorf("of the authority that left: %v", err)
	}
	if _, err := v.Certificate([]*x509.Certificate{theirs.client(t, uri("spiffe://example.com/ci"))}); err != nil {
		t.Errorf("of the authority that came: %v", err)
	}
}

// Over a real connection: the certificate says who it is, unless there is a token,
// which then has to hold.
func TestCertificateOfARequest(t *testing.T) {
	ours := newCA(t, "ours")
	v := open(t, Config{
		ClientCA: write(t, "ca.pem", ours.pem()), HS256: []string{write(t, "k", first)}, Now: newClock().now,
		Certificates: []Certificate{{Name: "spiffe://example.com/ci", Capabilities: []Capability{Read}, Prefixes: []string{"acme"}}},
	})
	var grant *Grant
	var refused error
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { grant, refused = v.HTTP(r) }))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	p := ours.pair(t, uri("spiffe://example.com/ci"))
	transport := server.Client().Transport.(*http.Transport)
	transport.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key}}
	defer transport.CloseIdleConnections()
	for _, c := range []struct{ authorization, who, want string }{
		{"", "spiffe://example.com/ci", ""},
		{"Bearer " + sign(t, object{"alg": "HS256"}, with(nil), byHMAC(first)), "alice", ""},
		{"Bearer " + sign(t, object{"alg": "HS256"}, with(object{"exp": noon - 50}), byHMAC(first)), "", ReasonExpired},
		{"Bearer x", "", ReasonMalformed},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := reason(t, refused); got != c.want || refused == nil && grant.Subject != c.who {
			t.Errorf("with %.10q: %+v, %v", c.authorization, grant, refused)
		}
	}
}
