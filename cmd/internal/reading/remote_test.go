// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/cmd/internal/contexts"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/serve"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// serving answers for a recorded directory at a door, over HTTP as docket does.
func serving(t *testing.T, d serve.Door, start func(*httptest.Server)) *httptest.Server {
	t.Helper()
	store, err := lake.OpenReader("../../docket/testdata/formats/3/lake")
	if err != nil {
		t.Fatal(err)
	}
	s := serve.New(serve.Config{Store: store, Commits: func() uint64 { return store.Manifest().Number }})
	h := httptest.NewUnstartedServer(s.Handler(d))
	h.Config.Protocols = new(http.Protocols)
	h.Config.Protocols.SetHTTP1(true)
	h.Config.Protocols.SetHTTP2(true)
	h.Config.Protocols.SetUnencryptedHTTP2(true)
	h.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	h.EnableHTTP2 = true
	start(h)
	t.Cleanup(func() {
		h.Close()
		s.Close()
		store.Close()
	})
	return h
}

// count asks for all events, and returns how many there are.
func count(t *testing.T, c contexts.Context) (int, error) {
	t.Helper()
	c.Name = "test"
	client, err := Remote(t.Context(), c)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	n := 0
	for _, err := range client.Search(t.Context(), &auditv1.SearchEventsRequest{}, 0) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func refused(t *testing.T, what string, c contexts.Context, want, hint string) {
	t.Helper()
	_, err := count(t, c)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", what, err, want)
		return
	}
	var h interface{ Hint() string }
	if !errors.As(err, &h) || !strings.Contains(h.Hint(), hint) {
		t.Errorf("%s: %v without the hint %q", what, err, hint)
	}
}

func put(t *testing.T, name string, b []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestRemote(t *testing.T) {
	h := serving(t, serve.Door{Name: "api", Authenticate: bearer(t, "right")}, (*httptest.Server).StartTLS)
	ca := put(t, "ca.pem", pemOf("CERTIFICATE", h.Certificate().Raw))
	good := contexts.Context{URL: h.URL, CA: ca, Token: "right"}
	n, err := count(t, good)
	if err != nil || n == 0 {
		t.Fatalf("%d events, %v", n, err)
	}
	file := put(t, "token", []byte("right\n"))
	if m, err := count(t, contexts.Context{URL: h.URL, CA: ca, TokenFile: file}); err != nil || m != n {
		t.Errorf("with a token in a file: %d of %d events, %v", m, n, err)
	}
	refused(t, "no authority", contexts.Context{URL: h.URL, Token: "right"}, "cannot trust context test", "--ca FILE")
	refused(t, "another name", contexts.Context{URL: strings.Replace(h.URL, "127.0.0.1", "localhost", 1), CA: ca, Token: "right"}, "cannot trust context test", "another name")
	refused(t, "no token", contexts.Context{URL: h.URL, CA: ca}, "unauthenticated", "the context has no token")
	refused(t, "wrong token", contexts.Context{URL: h.URL, CA: ca, Token: "wrong"}, "unauthenticated", "get a new token")
	refused(t, "no file of the token", contexts.Context{URL: h.URL, CA: ca, TokenFile: file + ".gone"}, "no such file", "--token-file FILE")
	refused(t, "no authority in the file", contexts.Context{URL: h.URL, CA: file}, "there is no certificate", "PEM")
	expired := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1700000000}`)) + ".c2ln"
	refused(t, "expired", contexts.Context{URL: h.URL, CA: ca, Token: expired}, "expired at 2023-11-14T22:13:20Z", "get a new token")
	refused(t, "TLS without TLS", contexts.Context{URL: strings.Replace(h.URL, "https", "http", 1), Token: "right"}, "cannot reach context test", "https://")
}

func TestRemotePlain(t *testing.T) {
	h := serving(t, serve.Door{Name: "api", Authenticate: bearer(t, "right")}, (*httptest.Server).Start)
	if n, err := count(t, contexts.Context{URL: h.URL, Token: "right"}); err != nil || n == 0 {
		t.Fatalf("%d events, %v", n, err)
	}
	refused(t, "TLS where there is none", contexts.Context{URL: strings.Replace(h.URL, "http", "https", 1), Token: "right"}, "cannot trust", "does not speak TLS")
	h.Close()
	refused(t, "down", contexts.Context{URL: h.URL, Token: "right"}, "cannot reach context test ("+h.URL+")", "is the server up")
}

// A name that says this machine and leads elsewhere is given no token.
func TestRemoteIsThisMachine(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := &remote{context: contexts.Context{Name: "x", URL: "http://localhost:1", Token: "secret"}}
	conn, err := r.plain(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatalf("loopback: %v", err)
	}
	conn.Close()
	for _, to := range []net.Addr{
		&net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 80}, &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}, &net.TCPAddr{IP: net.IPv4zero}, &net.UnixAddr{},
	} {
		other := &leading{to: to}
		if _, err := within(other, "localhost:80"); err == nil || !strings.Contains(err.Error(), "is not this machine") || !other.closed {
			t.Errorf("%s was taken for this machine: %v, closed %t", to, err, other.closed)
		}
	}
}

// leading is a connection that leads to an address.
type leading struct {
	net.Conn

	to     net.Addr
	closed bool
}

func (l *leading) RemoteAddr() net.Addr { return l.to }

func (l *leading) Close() error {
	l.closed = true
	return nil
}

// A server that wants a certificate gets that of the context.
func TestRemoteCertificate(t *testing.T) {
	cert, key, pool := clientCertificate(t)
	door := serve.Door{Name: "api", Authenticate: func(r *http.Request) (*authz.Grant, error) {
		if len(r.TLS.VerifiedChains) == 0 {
			return nil, fmt.Errorf("no certificate")
		}
		return authz.Trusted(r.TLS.PeerCertificates[0].Subject.CommonName, authz.BySecret), nil
	}}
	// In TLS 1.2 a client learns in the handshake that its certificate is missed, in
	// 1.3 behind it.
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		h := serving(t, door, func(h *httptest.Server) {
			h.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: version, MaxVersion: version}
			h.StartTLS()
		})
		ca := put(t, "ca.pem", pemOf("CERTIFICATE", h.Certificate().Raw))
		if n, err := count(t, contexts.Context{URL: h.URL, CA: ca, Cert: cert, Key: key}); err != nil || n == 0 {
			t.Errorf("%d events, %v", n, err)
		}
		refused(t, "no certificate", contexts.Context{URL: h.URL, CA: ca}, "context test", "--cert FILE --key FILE")
		refused(t, "no key", contexts.Context{URL: h.URL, CA: ca, Cert: cert, Key: cert}, "read the certificate of context test", "docket context show")
	}
}

func clientCertificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return put(t, "client.pem", pemOf("CERTIFICATE", der)), put(t, "client.key", pemOf("PRIVATE KEY", pkcs8)), pool
}

// What a tail sends comes with tokens that go on behind it.
func TestFollowResumes(t *testing.T) {
	h := serving(t, serve.Door{Name: "api", Authenticate: bearer(t, "right")}, (*httptest.Server).Start)
	client, err := Remote(t.Context(), contexts.Context{Name: "test", URL: h.URL, Token: "right"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	all := func(ctx context.Context, r *auditv1.TailRequest, limit int) (events []string, token string) {
		for item, err := range client.Follow(ctx, r) {
			if err != nil {
				t.Fatal(err)
			}
			token = item.GetResumeToken()
			if item.GetEvent() != nil {
				if events = append(events, string(item.GetEvent())); len(events) == limit {
					return events, token
				}
			}
		}
		return events, token
	}
	whole, _ := all(t.Context(), &auditv1.TailRequest{All: true}, 0)
	if len(whole) < 10 {
		t.Fatalf("only %d events", len(whole))
	}
	first, token := all(t.Context(), &auditv1.TailRequest{All: true}, 7)
	rest, _ := all(t.Context(), &auditv1.TailRequest{ResumeToken: token}, 0)
	if strings.Join(append(first, rest...), "\n") != strings.Join(whole, "\n") {
		t.Errorf("%d and %d events are not the %d", len(first), len(rest), len(whole))
	}
}

// bearer admits who brings the secret.
func bearer(t *testing.T, secret string) func(*http.Request) (*authz.Grant, error) {
	t.Helper()
	v, err := authz.New(authz.Config{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	return v.HTTP
}
