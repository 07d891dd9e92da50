// SPDX-License-Identifier: Apache-2.0

// Package tlsfiles serves TLS with a certificate and a key from files that may be
// replaced while they are in use, as certbot, cert-manager and an operator do.
//
//	files, err := tlsfiles.Open(tlsfiles.Config{Cert: "server.pem", Key: "server.key", Hostname: "docket.example.com"})
//	l = tls.NewListener(l, files.TLS())
//
// The files are looked at again when somebody connects, at most once a second; there
// is no goroutine, and nothing to close. A connection keeps what it began with. A pair
// that cannot be used (a key of another certificate, as between the writing of two
// files; one that is for other hosts; no PEM) is logged once, and the last good one is
// served on.
//
// What cannot be used at the start is an [*Error] then: a server that comes up with a
// certificate that no client takes is not up.
package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/docket-audit/docket/internal/regular"
)

// lookAgain is how long what the files said is taken for what they say.
const lookAgain = time.Second

// maxFile is more than any chain of certificates has.
const maxFile = 1 << 20

// Config is what is served.
type Config struct {
	Cert string // file with the certificate and those between it and its authority, in PEM
	Key  string // file with its private key, in PEM
	// ClientCA is a file with the authorities of clients, in PEM. A client that shows a
	// certificate of another is turned away; none has to show one. "" asks for none.
	ClientCA string
	// Hostname is what clients call the server: the certificate must be for it. "" takes
	// any certificate.
	Hostname string

	Now func() time.Time // nil is time.Now
	Log *slog.Logger     // nil is none
}

// An Error is a file that cannot be served.
type Error struct {
	Path   string
	Err    error
	Advice string
}

func (e *Error) Error() string { return fmt.Sprintf("TLS: %s: %v", e.Path, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Hint returns what to do about it, for the command line to print.
func (e *Error) Hint() string { return e.Advice }

// Files are what is served. They are safe for concurrent use.
type Files struct {
	cfg Config

	mu       sync.Mutex // guards what follows
	last     time.Time
	contents [3][]byte // of Cert, Key, ClientCA: what served is made of
	served   *tls.Config
	leaf     *x509.Certificate
	told     string // the last error, which is logged once
}

// Open reads the files.
func Open(c Config) (*Files, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	f := &Files{cfg: c, last: c.Now()}
	contents, err := f.read()
	if err != nil {
		return nil, err
	}
	if f.served, f.leaf, err = f.make(contents); err != nil {
		return nil, err
	}
	f.contents = contents
	return f, nil
}

// TLS returns the configuration of a server: TLS 1.2 or newer, and of each connection
// the files as they are then.
func (f *Files) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current(), nil },
	}
}

var protocols = []string{"h2", "http/1.1"}

// Expires returns until when the certificate that is served is valid.
func (f *Files) Expires() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.leaf.NotAfter
}

func (f *Files) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.cfg.Now(); now.Sub(f.last) >= lookAgain || now.Before(f.last) {
		f.last = now
		f.look()
	}
	return f.served
}

// look takes what the files hold now, if it can be served. Contents are compared, not
// times: a file system's clock may be too coarse for two changes.
func (f *Files) look() {
	contents, err := f.read()
	if err == nil {
		same := true
		for i := range contents {
			same = same && bytes.Equal(contents[i], f.contents[i])
		}
		if same && f.told == "" {
			return
		}
		var served *tls.Config
		var leaf *x509.Certificate
		if served, leaf, err = f.make(contents); err == nil {
			f.contents, f.served, f.leaf, f.told = contents, served, leaf, ""
			f.cfg.Log.Info("serving the certificate as it is in its files now", "cert", f.cfg.Cert, "expires", leaf.NotAfter)
			return
		}
	}
	if said := err.Error(); said != f.told {
		f.told = said
		f.cfg.Log.Warn("the certificate in the files cannot be served: the one before stays in force", "error", err)
	}
}

func (f *Files) read() (contents [3][]byte, err error) {
	for i, path := range []string{f.cfg.Cert, f.cfg.Key, f.cfg.ClientCA} {
		if path == "" && i == 2 {
			continue
		}
		if contents[i], err = regular.ReadAtMost(path, maxFile); err != nil {
			return contents, &Error{Path: path, Err: err, Advice: "name a file in PEM that this user may read; `docket cert` makes a pair for this machine"}
		}
	}
	return contents, nil
}

// make makes of the files' contents what is served.
func (f *Files) make(contents [3][]byte) (*tls.Config, *x509.Certificate, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, nil, &Error{f.cfg.Cert, fmt.Errorf("it is no pair with %s: %w", f.cfg.Key, err), "both are in PEM, and the key is the certificate's"}
	}
	leaf := pair.Leaf
	if now := f.cfg.Now(); now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		return nil, nil, &Error{f.cfg.Cert, fmt.Errorf("it is valid from %s to %s", leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339)), "get a new one, and compare the clock"}
	}
	if f.cfg.Hostname != "" {
		if err := leaf.VerifyHostname(f.cfg.Hostname); err != nil {
			return nil, nil, &Error{f.cfg.Cert, err, "clients would refuse it: get one that has the hostname among its subject alternative names, or correct [api] hostname"}
		}
	}
	if err := forServers(leaf); err != nil {
		return nil, nil, &Error{f.cfg.Cert, err, "clients would refuse it: get one for a server"}
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, Certificates: []tls.Certificate{pair}}
	if f.cfg.ClientCA != "" {
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(contents[2]) {
			return nil, nil, &Error{f.cfg.ClientCA, errors.New("it has no certificate in PEM"), "give the certificates of the authorities in PEM"}
		}
		c.ClientAuth = tls.VerifyClientCertIfGiven
		// Whoever comes back shows the certificate again, to the authorities of now.
		c.SessionTicketsDisabled = true
	}
	return c, leaf, nil
}

func forServers(leaf *x509.Certificate) error {
	if len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return nil
	}
	for _, u := range leaf.ExtKeyUsage {
		if u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny {
			return nil
		}
	}
	return errors.New("it is not for servers: its extended key usage says so")
}
