// SPDX-License-Identifier: Apache-2.0

// Package devcert makes certificates to try TLS with: an authority, a server's, and a
// client's. The authority's key is thrown away when it has signed them, and what it may
// sign is limited to the hosts that were named: who trusts it trusts nothing else.
package devcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// MaxLifetime is the longest that clients take of a server's certificate.
const MaxLifetime = 825 * 24 * time.Hour

// An Order is what is to be made.
type Order struct {
	Hosts    []string // names and addresses beside localhost, 127.0.0.1 and ::1
	Client   string   // URI, mail address or DNS name of a client; "" makes none
	Lifetime time.Duration
	// Peers lets the server's certificate also say who it is to others of its kind,
	// as the servers of a cluster do.
	Peers bool
}

// A File is one of those that are made.
type File struct {
	Name string
	PEM  []byte
	Mode fs.FileMode
}

var dnsName = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// Make makes ca.pem, server.key and server.pem, and for a client client.key and
// client.pem: keys before certificates, so that who watches certificates finds the key.
func Make(o Order, now time.Time) ([]File, error) {
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: "docket"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback},
	}
	if o.Peers {
		server.ExtKeyUsage = append(server.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	for _, h := range o.Hosts {
		ip := net.ParseIP(h)
		switch {
		case ip != nil:
			server.IPAddresses = append(server.IPAddresses, ip)
		case len(h) <= 253 && dnsName.MatchString(h):
			server.DNSNames = append(server.DNSNames, h)
		default:
			return nil, fmt.Errorf("host %q is neither a name nor an address", h)
		}
	}
	root := &x509.Certificate{
		Subject: pkix.Name{CommonName: "docket development authority, made " + now.UTC().Format(time.RFC3339)}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign, PermittedDNSDomainsCritical: true, PermittedDNSDomains: slices.Clone(server.DNSNames),
	}
	for _, ip := range server.IPAddresses {
		if v4 := ip.To4(); v4 != nil {
			ip = v4 // an IPv4 address is not within a range of IPv6
		}
		bits := 8 * len(ip)
		root.PermittedIPRanges = append(root.PermittedIPRanges, &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)})
	}
	client := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	if o.Client != "" {
		if err := name(client, root, o.Client); err != nil {
			return nil, err
		}
	}
	for _, c := range []*x509.Certificate{root, server, client} {
		c.NotBefore, c.NotAfter = now.Add(-5*time.Minute), now.Add(o.Lifetime)
	}
	ca, err := issue(root, nil)
	if err != nil {
		return nil, err
	}
	files := []File{{"ca.pem", certPEM(ca.cert), 0o644}}
	for _, leaf := range []struct {
		name     string
		template *x509.Certificate
	}{{"server", server}, {"client", client}} {
		if leaf.name == "client" && o.Client == "" {
			continue
		}
		made, err := issue(leaf.template, ca)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(made.key)
		if err != nil {
			return nil, fmt.Errorf("make certificate: %w", err)
		}
		files = append(files,
			File{leaf.name + ".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600},
			File{leaf.name + ".pem", certPEM(made.cert), 0o644})
	}
	return files, nil
}

// name puts a client's name into its certificate, and lets the authority sign it.
func name(c, root *x509.Certificate, name string) error {
	c.Subject.CommonName = "docket client"
	switch {
	case strings.Contains(name, "://"):
		u, err := url.Parse(name)
		if err != nil || u.Host == "" || u.String() != name {
			return fmt.Errorf("client %q is no URI such as spiffe://example.com/ci", name)
		}
		c.URIs = []*url.URL{u}
	case strings.Contains(name, "@"):
		mailbox, host, _ := strings.Cut(name, "@")
		if mailbox == "" || !dnsName.MatchString(host) || strings.ContainsAny(name, " \t\r\n\x00") {
			return fmt.Errorf("client %q is no mail address", name)
		}
		c.EmailAddresses = []string{name}
	case len(name) <= 253 && dnsName.MatchString(name):
		c.DNSNames = []string{name}
		root.PermittedDNSDomains = append(root.PermittedDNSDomains, name)
	default:
		return fmt.Errorf("client %q is neither a URI nor a mail address nor a DNS name", name)
	}
	return nil
}

type made struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue signs a template; by nobody it signs itself. Clients of all kinds know P-256.
func issue(template *x509.Certificate, by *made) (*made, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.Join(errors.New("make certificate"), err)
	}
	return &made{cert, key}, nil
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
