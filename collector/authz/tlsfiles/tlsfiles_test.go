// SPDX-License-Identifier: Apache-2.0

package tlsfiles

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// made is a certificate and its key, in PEM.
type made struct {
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
	pem, kPEM []byte
}

var serial atomic.Int64

// issue makes a certificate for localhost, with changes; of nobody it signs itself.
func issue(t *testing.T, by *made, change func(*x509.Certificate)) *made {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	m := &made{key: key}
	if m.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	m.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	m.kPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	return m
}

func authority(t *testing.T) *made {
	t.Helper()
	return issue(t, nil, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.DNSNames, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil, nil
	})
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// server answers real connections with the files of a directory.
type server struct {
	dir     string
	address string
	pool    *x509.CertPool
	log     bytes.Buffer // read by one goroutine, when no handshake runs
	served  atomic.Int64
	resumed atomic.Int64 // connections that went on with an earlier session

	mu  sync.Mutex
	now time.Time
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *server) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func start(t *testing.T, ca *made, clientCA *made) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), pool: x509.NewCertPool(), now: time.Now()}
	s.pool.AddCert(ca.cert)
	m := issue(t, ca, nil)
	write(t, s.path("cert"), m.pem)
	write(t, s.path("key"), m.kPEM)
	c := Config{Cert: s.path("cert"), Key: s.path("key"), Hostname: "localhost", Log: slog.New(slog.NewTextHandler(&s.log, nil)), Now: func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.now
	}}
	if clientCA != nil {
		c.ClientCA = s.path("client-ca")
		write(t, c.ClientCA, clientCA.pem)
	}
	files, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	srv := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.served.Add(1); io.WriteString(w, "the answer") }),
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ReadHeaderTimeout: 10 * time.Second,
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(tls.NewListener(l, files.TLS())) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return s
}

// dial shakes hands and has one answer; it returns the certificate that was shown.
func (s *server) dial(t *testing.T, c *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	if c == nil {
		c = &tls.Config{}
	}
	c = c.Clone()
	c.RootCAs, c.ServerName = s.pool, "localhost"
	conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// In TLS 1.3 a client learns with its first answer whether its certificate was taken.
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(b, []byte("the answer")) {
		return nil, errors.New("no answer")
	}
	state := conn.(*tls.Conn).ConnectionState()
	if state.DidResume {
		s.resumed.Add(1)
	}
	return state.PeerCertificates[0], nil
}

// A new pair in the files is served without a restart; one that cannot be used is told
// once, and the one before is served on.
func TestRotation(t *testing.T) {
	ca := authority(t)
	s := start(t, ca, nil)
	serving := func(when string, want *x509.Certificate) {
		t.Helper()
		got, err := s.dial(t, nil)
		if err != nil || want != nil && !got.Equal(want) {
			t.Errorf("%s: %v, %v", when, got, err)
		}
	}
	before, err := s.dial(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	next := issue(t, ca, nil)
	write(t, s.path("cert"), next.pem) // and not yet its key
	serving("within the second", before)
	for range 3 {
		s.advance(time.Second)
		serving("a pair that is none", before)
	}
	write(t, s.path("key"), next.kPEM)
	s.advance(time.Second)
	serving("the whole pair", next.cert)

	elsewhere := issue(t, ca, func(c *x509.Certificate) { c.DNSNames = []string{"elsewhere.example"} })
	expired := issue(t, ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	for name, bad := range map[string]*made{"for another host": elsewhere, "expired": expired, "no PEM": {pem: []byte("x"), kPEM: []byte("y")}} {
		write(t, s.path("cert"), bad.pem)
		write(t, s.path("key"), bad.kPEM)
		for range 3 {
			s.advance(time.Second)
			serving(name, next.cert)
		}
	}
	if err := os.Remove(s.path("key")); err != nil {
		t.Fatal(err)
	}
	s.advance(time.Second)
	serving("no key", next.cert)
	if n := strings.Count(s.log.String(), "cannot be served"); n != 5 {
		t.Errorf("told %d times of five bad pairs:\n%s", n, &s.log)
	}

	// Back to what it was, which is a change too: nothing is wrong any more.
	write(t, s.path("cert"), next.pem)
	write(t, s.path("key"), next.kPEM)
	s.advance(time.Second)
	serving("back", next.cert)
	last := issue(t, ca, nil)
	// As tools do that replace files: by renaming.
	write(t, s.path("new-cert"), last.pem)
	write(t, s.path("new-key"), last.kPEM)
	if err := errors.Join(os.Rename(s.path("new-cert"), s.path("cert")), os.Rename(s.path("new-key"), s.path("key"))); err != nil {
		t.Fatal(err)
	}
	s.advance(time.Second)
	serving("renamed", last.cert)
}

// Who speaks no TLS, or an old one, is not served.
func TestRefusedConnections(t *testing.T) {
	s := start(t, authority(t), nil)
	for name, send := range map[string]string{
		"HTTP/1.1": "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n",
		"HTTP/2":   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"nonsense": "\x16\x03\x01\x00\x05hello",
	} {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, send); err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(conn) // ends when the server has closed it, or reset it
		conn.Close()
		if bytes.Contains(b, []byte("the answer")) || bytes.Contains(b, []byte(" 200 ")) || s.served.Load() > 0 {
			t.Errorf("%s in the plain is served: %q", name, b)
		}
		if name == "HTTP/1.1" && !bytes.HasPrefix(b, []byte("HTTP/1.0 400 ")) {
			t.Errorf("%s in the plain is answered by %q", name, b)
		}
	}
	if _, err := s.dial(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil || s.served.Load() > 0 {
		t.Errorf("TLS 1.1: %v", err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if _, err := s.dial(t, &tls.Config{MinVersion: version, MaxVersion: version}); err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// HTTP/2, which gRPC needs, is spoken over it.
func TestHTTP2(t *testing.T) {
	s := start(t, authority(t), nil)
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.pool}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.address)
		},
	}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("https://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("answered by %s", resp.Proto)
	}
}

// Clients may show a certificate of the authorities that are trusted now, or none.
func TestClients(t *testing.T) {
	clients, strangers := authority(t), authority(t)
	s := start(t, authority(t), clients)
	one := func(by *made) *tls.Config {
		m := issue(t, by, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
		pair := tls.Certificate{Certificate: [][]byte{m.cert.Raw}, PrivateKey: m.key}
		return &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(4), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
	}
	known, stranger := one(clients), one(strangers)
	for name, c := range map[string]struct {
		config *tls.Config
		taken  bool
	}{"none": {nil, true}, "known": {known, true}, "known again": {known, true}, "stranger": {stranger, false}} {
		if _, err := s.dial(t, c.config); (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 {
		if _, err := s.dial(t, known); err != nil {
			t.Error(err)
		}
	}
	if n := s.resumed.Load(); n > 0 {
		t.Errorf("%d clients did not show their certificate again", n)
	}
	write(t, s.path("client-ca"), strangers.pem)
	s.advance(time.Second)
	if _, err := s.dial(t, known); err == nil {
		t.Error("a client of the authority that left is taken, by its session")
	}
	if _, err := s.dial(t, stranger); err != nil {
		t.Errorf("a client of the authority that came: %v", err)
	}
}

func TestOpen(t *testing.T) {
	ca := authority(t)
	dir := t.TempDir()
	at := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		write(t, path, b)
		return path
	}
	good, other := issue(t, ca, func(c *x509.Certificate) { c.DNSNames = []string{"docket.example", "*.apps.example"} }), issue(t, ca, nil)
	cert, key := at("cert", good.pem), at("key", good.kPEM)
	client := issue(t, ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	expired := issue(t, ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	commonName := issue(t, ca, func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "docket.example" })
	for _, c := range []struct {
		name string
		cfg  Config
		want string // "" is none
	}{
		{"any host", Config{Cert: cert, Key: key}, ""},
		{"its host", Config{Cert: cert, Key: key, Hostname: "docket.example"}, ""},
		{"a host by wildcard", Config{Cert: cert, Key: key, Hostname: "a.apps.example"}, ""},
		{"another host", Config{Cert: cert, Key: key, Hostname: "docket.example.evil"}, "not docket.example.evil"},
		{"two below the wildcard", Config{Cert: cert, Key: key, Hostname: "a.b.apps.example"}, "not a.b.apps.example"},
		{"an address", Config{Cert: cert, Key: key, Hostname: "10.0.0.1"}, "10.0.0.1"},
		{"common name only", Config{Cert: at("cn", commonName.pem), Key: at("cn.key", commonName.kPEM), Hostname: "docket.example"}, "Common Name"},
		{"no certificate", Config{Cert: filepath.Join(dir, "none"), Key: key}, "none: "},
		{"no key", Config{Cert: cert, Key: filepath.Join(dir, "none")}, "no such file"},
		{"a key not given", Config{Cert: cert}, "no such file"},
		{"another key", Config{Cert: cert, Key: at("other.key", other.kPEM)}, "no pair with"},
		{"no PEM", Config{Cert: at("x", []byte("x")), Key: key}, "no pair with"},
		{"expired", Config{Cert: at("old", expired.pem), Key: at("old.key", expired.kPEM)}, "it is valid from"},
		{"a client's", Config{Cert: at("client", client.pem), Key: at("client.key", client.kPEM)}, "not for servers"},
		{"no authorities", Config{Cert: cert, Key: key, ClientCA: at("ca", []byte("hello"))}, "no certificate in PEM"},
		{"authorities missing", Config{Cert: cert, Key: key, ClientCA: filepath.Join(dir, "none")}, "no such file"},
		{"a directory", Config{Cert: dir, Key: key}, "not a regular file"},
	} {
		files, err := Open(c.cfg)
		var e *Error
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want == "" && !files.Expires().Equal(good.cert.NotAfter):
			t.Errorf("%s: expires %v", c.name, files.Expires())
		case c.want != "" && (!errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.Hint() == ""):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
