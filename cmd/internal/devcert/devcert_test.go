// SPDX-License-Identifier: Apache-2.0

package devcert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

// read returns the files by name, and the certificate in each.
func read(t *testing.T, files []File) (map[string]File, map[string]*x509.Certificate) {
	t.Helper()
	byName, certs := map[string]File{}, map[string]*x509.Certificate{}
	for _, f := range files {
		byName[f.Name] = f
		block, rest := pem.Decode(f.PEM)
		if block == nil || len(bytes.TrimSpace(rest)) > 0 {
			t.Fatalf("%s is not one block of PEM", f.Name)
		}
		if secret := strings.HasSuffix(f.Name, ".key"); secret != (block.Type == "PRIVATE KEY") || secret != (f.Mode == 0o600) {
			t.Errorf("%s: mode %o, of type %s", f.Name, f.Mode, block.Type)
		}
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			certs[f.Name] = c
		}
	}
	return byName, certs
}

func TestMake(t *testing.T) {
	now := time.Now()
	files, err := Make(Order{Hosts: []string{"docket.test", "192.0.2.7", "2001:db8::7"}, Client: "spiffe://example.com/ci", Lifetime: time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	byName, certs := read(t, files)
	if len(byName) != 5 || byName["ca.key"].PEM != nil {
		t.Errorf("made %d files", len(byName))
	}
	roots := x509.NewCertPool()
	roots.AddCert(certs["ca.pem"])
	server := certs["server.pem"]
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]", "docket.test", "192.0.2.7", "[2001:db8::7]"} {
		if _, err := server.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"other.test", "a.docket.test", "192.0.2.8"} {
		if _, err := server.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err == nil {
			t.Errorf("the certificate is for %s too", host)
		}
	}
	if _, err := server.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now.Add(2 * time.Hour)}); err == nil {
		t.Error("valid for longer than was said")
	}
	client := certs["client.pem"]
	if _, err := client.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil || client.URIs[0].String() != "spiffe://example.com/ci" {
		t.Errorf("client %v: %v", client.URIs, err)
	}
	if _, err := client.Verify(x509.VerifyOptions{Roots: roots}); err == nil {
		t.Error("a client's certificate is for servers too")
	}
	for _, pair := range []string{"server", "client"} {
		if _, err := tls.X509KeyPair(byName[pair+".pem"].PEM, byName[pair+".key"].PEM); err != nil {
			t.Error(err)
		}
	}
}

// The servers of a cluster know each other by the certificate that clients know
// them by; no other server's is one of a client.
func TestPeers(t *testing.T) {
	for _, peers := range []bool{true, false} {
		files, err := Make(Order{Hosts: []string{"nats-1"}, Peers: peers, Lifetime: time.Hour}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		_, certs := read(t, files)
		roots := x509.NewCertPool()
		roots.AddCert(certs["ca.pem"])
		_, err = certs["server.pem"].Verify(x509.VerifyOptions{Roots: roots, DNSName: "nats-1", KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if (err == nil) != peers {
			t.Errorf("peers %v: as a client: %v", peers, err)
		}
	}
}

// Who trusts the authority trusts it for the hosts that were named: had it its key
// still, it could sign for no other.
func TestAuthorityIsLimited(t *testing.T) {
	root := &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	files, err := Make(Order{Hosts: []string{"docket.test"}, Lifetime: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, certs := read(t, files)
	root.PermittedDNSDomains, root.PermittedIPRanges, root.PermittedDNSDomainsCritical = certs["ca.pem"].PermittedDNSDomains, certs["ca.pem"].PermittedIPRanges, true
	ca, err := issue(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for host, allowed := range map[string]bool{"docket.test": true, "localhost": true, "bank.example": false, "docket.test.evil.example": false} {
		leaf, err := issue(&x509.Certificate{DNSNames: []string{host}, NotBefore: root.NotBefore, NotAfter: root.NotAfter}, ca)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); (err == nil) != allowed {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestOrders(t *testing.T) {
	for _, o := range []Order{
		{Hosts: []string{""}},
		{Hosts: []string{"*.docket.test"}},
		{Hosts: []string{"a b"}},
		{Hosts: []string{"-a.test"}},
		{Hosts: []string{"https://docket.test"}},
		{Hosts: []string{strings.Repeat("a.", 127) + "aa"}},
		{Client: "spiffe://"},
		{Client: "@example.com"},
		{Client: "a@b@c"},
		{Client: "a name"},
		{Client: "spiffe://example.com/a b"},
	} {
		o.Lifetime = time.Hour
		if _, err := Make(o, time.Now()); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for _, client := range []string{"ci@example.com", "ci.example.com"} {
		files, err := Make(Order{Client: client, Lifetime: time.Hour}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		_, certs := read(t, files)
		roots := x509.NewCertPool()
		roots.AddCert(certs["ca.pem"])
		if _, err := certs["client.pem"].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s: %v", client, err)
		}
	}
}
