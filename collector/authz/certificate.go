// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A Certificate is somebody who is known by a client's certificate.
type Certificate struct {
	// Name is a subject alternative name: a URI such as spiffe://example.com/ci, a
	// mail address, or a DNS name. It must be the certificate's exactly; there are no
	// wildcards.
	Name string
	// Subject is what events call them; "" is Name.
	Subject string

	Capabilities []Capability
	Prefixes     []string
}

// client is a Certificate with its name understood.
type client struct {
	Certificate
	kind string // "uri", "email" or "dns"
}

func (c client) has(cert *x509.Certificate) bool {
	switch c.kind {
	case "uri":
		return slices.ContainsFunc(cert.URIs, func(u *url.URL) bool { return u.String() == c.Name })
	case "email":
		return slices.Contains(cert.EmailAddresses, c.Name)
	default:
		return slices.ContainsFunc(cert.DNSNames, func(d string) bool { return strings.EqualFold(d, c.Name) })
	}
}

func (v *Verifier) openCertificates() error {
	for i, c := range v.cfg.Certificates {
		made, err := newClient(c)
		if err == nil && slices.ContainsFunc(v.clients, func(o client) bool { return strings.EqualFold(o.Name, c.Name) }) {
			err = errors.New("an earlier one has the name too")
		}
		if err != nil {
			return fmt.Errorf("authorization: certificate %d, %s: %w", i+1, quoted(c.Name), err)
		}
		v.clients = append(v.clients, made)
	}
	if v.cfg.ClientCA == "" {
		if len(v.clients) > 0 {
			return errors.New("authorization: certificates are listed, and no authority that they must be of")
		}
		return nil
	}
	v.authorities = &watched[*x509.CertPool]{path: v.cfg.ClientCA, most: maxKeySet, now: v.cfg.Now, log: v.cfg.Log, parse: authorities}
	if err := v.authorities.open(); err != nil {
		return &KeyError{Path: v.cfg.ClientCA, Err: err, Advice: "give the certificates of the authorities in PEM"}
	}
	return nil
}

func authorities(b []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, errors.New("it has no certificate in PEM")
	}
	return pool, nil
}

func newClient(c Certificate) (client, error) {
	kind := "dns"
	switch {
	case strings.Contains(c.Name, "://"):
		kind = "uri"
		if u, err := url.Parse(c.Name); err != nil || u.String() != c.Name {
			return client{}, errors.New("the URI is not spelled as certificates do")
		}
	case strings.Contains(c.Name, "@"):
		kind = "email"
	}
	if c.Name == "" || strings.ContainsAny(c.Name, " \t\r\n*") {
		return client{}, errors.New("the name is the URI, the mail address or the DNS name in a certificate, without wildcards")
	}
	if c.Subject == "" {
		c.Subject = c.Name
	}
	var names []string
	for _, name := range c.Capabilities {
		names = append(names, string(name))
	}
	caps, err := ParseCapabilities(names)
	if err != nil {
		return client{}, err
	}
	c.Capabilities = caps
	if err := checkPrefixes(c.Prefixes); err != nil {
		return client{}, err
	}
	c.Prefixes = slices.Clone(c.Prefixes)
	return client{Certificate: c, kind: kind}, nil
}

// checkPrefixes refuses prefixes that somebody wrote and that cover nothing.
func checkPrefixes(prefixes []string) error {
	if len(prefixes) == 0 {
		return errors.New("no prefix: nothing would be seen; / is all tenants")
	}
	for _, p := range prefixes {
		if p != Everywhere && (p == "" || p[0] == '/' || strings.ContainsAny(p, "*\r\n")) {
			return fmt.Errorf("the prefix %s covers no tenant: it is a tenant's name, which covers what is below it at a /, or / for all", quoted(p))
		}
	}
	return nil
}

// Certificate says who showed a chain of certificates in TLS, leaf first. The chain is
// verified here, whoever did that before. The error is an [*Error].
func (v *Verifier) Certificate(chain []*x509.Certificate) (*Grant, error) {
	if v.authorities == nil {
		return nil, nobody(ReasonNoCertificates, "[api] client_ca and [[auth.certificates]] say whose are; else send a token")
	}
	if len(chain) == 0 {
		return nil, nobody(ReasonMissing, "show a certificate, or send a token")
	}
	leaf, between := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	verified, err := leaf.Verify(x509.VerifyOptions{
		Roots: v.authorities.get(), Intermediates: between, CurrentTime: v.cfg.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return nil, nobody(ReasonCertExpired, "get a new one, and compare the clocks")
		}
		return nil, nobody(ReasonCertificate, "its issuer must be among those in [api] client_ca")
	}
	i := slices.IndexFunc(v.clients, func(c client) bool { return c.has(leaf) })
	if i < 0 {
		return nil, nobody(ReasonCertUnknown, "none of its names is in [[auth.certificates]]")
	}
	c := v.clients[i]
	expires := leaf.NotAfter
	for _, link := range verified[0] {
		if link.NotAfter.Before(expires) {
			expires = link.NotAfter
		}
	}
	return &Grant{
		Subject: c.Subject, Issuer: leaf.Issuer.String(), By: ByCertificate,
		Capabilities: slices.Clone(c.Capabilities), Prefixes: slices.Clone(c.Prefixes), Expires: expires,
	}, nil
}
