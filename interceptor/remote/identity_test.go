// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// An identity is a certificate that vouches for itself, of 127.0.0.1.
type identity struct {
	pair      tls.Certificate
	pool      *x509.CertPool
	cert, key string // PEM files
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id := identity{
		pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), pool: x509.NewCertPool(),
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	id.pool.AppendCertsFromPEM(text)
	err = errors.Join(os.WriteFile(id.cert, text, 0o600), os.WriteFile(id.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func serveTLS(t *testing.T, config *tls.Config) string {
	t.Helper()
	endpoint := serve(t, "tcp", func(ctx context.Context, lis net.Listener) error {
		return remote.Serve(ctx, lis, allow, remote.TLS(config))
	})
	return strings.Replace(endpoint, "http://", "https://", 1)
}

func TestTLS(t *testing.T) {
	id := newIdentity(t)
	endpoint := serveTLS(t, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{id.pair}})

	if _, err := dial(t, endpoint, remote.CACert(id.cert)).Evaluate(t.Context(), evaluation()); err != nil {
		t.Errorf("with the authority: %v", err)
	}
	if _, err := dial(t, endpoint).Evaluate(t.Context(), evaluation()); err == nil {
		t.Error("a certificate of nobody's was taken")
	}
	if _, err := remote.Dial(t.Context(), endpoint, remote.CACert(id.cert+".not")); err == nil || !strings.Contains(err.Error(), id.cert) {
		t.Errorf("a missing authority: %v", err)
	}
	if _, err := remote.Dial(t.Context(), endpoint, remote.CACert(id.key)); err == nil || strings.Contains(err.Error(), "BEGIN") {
		t.Errorf("a file without an authority: %v", err)
	}
	if err := remote.ListenAndServe(t.Context(), "https://127.0.0.1:0", allow); err == nil {
		t.Error("https without a certificate is served")
	}
}

func TestMutualTLS(t *testing.T) {
	server, gateway, other := newIdentity(t), newIdentity(t), newIdentity(t)
	endpoint := serveTLS(t, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server.pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: gateway.pool,
	})
	if _, err := dial(t, endpoint, remote.CACert(server.cert), remote.ClientCert(gateway.cert, gateway.key)).Evaluate(t.Context(), evaluation()); err != nil {
		t.Errorf("the gateway: %v", err)
	}
	for name, opts := range map[string][]remote.Option{"nobody": nil, "another": {remote.ClientCert(other.cert, other.key)}, "nobody in words": {remote.ClientCert("", "")}} {
		if _, err := dial(t, endpoint, append(opts, remote.CACert(server.cert))...).Evaluate(t.Context(), evaluation()); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, tc := range map[string]struct{ endpoint, cert, key string }{
		"no key": {endpoint, gateway.cert, ""}, "no certificate": {endpoint, "", gateway.key}, "a key of another's": {endpoint, gateway.cert, other.key},
		"no file": {endpoint, gateway.cert + ".not", gateway.key}, "in the clear": {"http://127.0.0.1:1", gateway.cert, gateway.key},
		"a socket": {"unix:///run/x.sock", gateway.cert, gateway.key},
	} {
		if client, err := remote.Dial(t.Context(), tc.endpoint, remote.ClientCert(tc.cert, tc.key)); err == nil {
			_ = client.Close()
			t.Errorf("%s: dialled", name)
		} else if strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSignersAndVerifiersAgree goes all the way; health needs no token.
func TestSignersAndVerifiersAgree(t *testing.T) {
	s := signer(t, remote.SignerConfig{GatewayID: "gw", Key: key(1)})
	endpoint := serve(t, "unix", func(ctx context.Context, lis net.Listener) error {
		return remote.Serve(ctx, lis, fake{allow, &interceptor.Manifest{Audience: "urn:a"}}, remote.Verify(remote.VerifyConfig{Issuer: s.Issuer(), Audience: "urn:a", Keys: s.JWKS()}))
	})
	for name, tc := range map[string]struct {
		opts []remote.Option
		want codes.Code
	}{
		"its gateway":      {[]remote.Option{remote.Token(s, "urn:a")}, codes.OK},
		"another audience": {[]remote.Option{remote.Token(s, "urn:b")}, codes.Unauthenticated},
		"another gateway":  {[]remote.Option{remote.Token(signer(t, remote.SignerConfig{GatewayID: "gw", Key: key(2)}), "urn:a")}, codes.Unauthenticated},
		"nobody":           {nil, codes.Unauthenticated},
	} {
		client := dial(t, endpoint, tc.opts...)
		_, err1 := client.Describe(t.Context())
		_, err2 := client.Evaluate(t.Context(), evaluation())
		if status.Code(err1) != tc.want || status.Code(err2) != tc.want {
			t.Errorf("%s: %v, %v", name, err1, err2)
		}
		if err := client.Check(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	serving := func(is healthpb.HealthCheckResponse_ServingStatus) string {
		return serve(t, "unix", func(ctx context.Context, lis net.Listener) error {
			server, ready := grpc.NewServer(), health.NewServer()
			ready.SetServingStatus("", is)
			healthpb.RegisterHealthServer(server, ready)
			stop := context.AfterFunc(ctx, server.Stop)
			defer stop()
			return server.Serve(lis)
		})
	}
	for name, tc := range map[string]struct {
		endpoint, want string // of the error; "" when there is none
	}{
		"one of ours":   {serveInterceptor(t, "unix", allow), ""},
		"knows nothing": {serveWire(t, &rude{}), ""},
		"serves":        {serving(healthpb.HealthCheckResponse_SERVING), ""},
		"does not":      {serving(healthpb.HealthCheckResponse_NOT_SERVING), "it says NOT_SERVING"},
		"is not there":  {"unix:///nowhere/there.sock", "check interceptor"},
	} {
		if err := dial(t, tc.endpoint).Check(t.Context()); (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	conn, err := grpc.NewClient(serveInterceptor(t, "unix", allow), insecureCredentials())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answer, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "openshell.gateway_interceptor.v1.GatewayInterceptor"})
	if err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("the contract's service: %v, %v", answer, err)
	}
}

// TestAnInterceptorThatComesBack is found again by the connection that was there.
func TestAnInterceptorThatComesBack(t *testing.T) {
	dir, err := os.MkdirTemp("", "docket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	endpoint := "unix://" + filepath.Join(dir, "i.sock")
	client := dial(t, endpoint)
	until := func(there bool) {
		t.Helper()
		for { // the test's own deadline ends it
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := client.Evaluate(ctx, evaluation())
			cancel()
			if (err == nil) == there {
				return
			}
			if err != nil && status.Code(err) != codes.Unavailable {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	until(false)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- remote.ListenAndServe(ctx, endpoint, allow) }()
		until(true)
		cancel()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		until(false)
	}
}
