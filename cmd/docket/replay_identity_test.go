// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/interceptor/remote"
)

// A party is somebody with a certificate of 127.0.0.1 that vouches for itself.
type party struct {
	pair      tls.Certificate
	pool      *x509.CertPool
	cert, key string // PEM files
}

func newParty(t *testing.T) party {
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
	p := party{
		pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool: x509.NewCertPool(),
		cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"),
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.pool.AppendCertsFromPEM(text)
	writeFile(t, p.cert, string(text))
	writeFile(t, p.key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	return p
}

// keyOf returns the key set of a gateway whose key is at path, which is made.
func keyOf(t *testing.T, path string) []byte {
	t.Helper()
	key, err := datadir.TokenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return jwks(t, key)
}

func jwks(t *testing.T, key ed25519.PrivateKey) []byte {
	t.Helper()
	s, err := remote.NewSigner(remote.SignerConfig{GatewayID: "prod", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return s.JWKS()
}

// serveStrictly serves an interceptor to who has a certificate and a token.
func serveStrictly(t *testing.T, server, gateway party, keys []byte, audience string, j *judge) (port string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- remote.Serve(ctx, lis, j,
			remote.TLS(&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server.pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: gateway.pool}),
			remote.Verify(remote.VerifyConfig{Issuer: "openshell-gateway:prod", Audience: audience, Keys: keys}))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "https://" + lis.Addr().String()
}

// A candidate's interceptors that know their callers by certificates and tokens
// are called with those of the file, and nobody else is let in.
func TestReplayHasTheGatewaysIdentity(t *testing.T) {
	server, gateway, other := newParty(t), newParty(t), newParty(t)
	const audience = "urn:example:images"
	dir := recordedBy(t, bindingOf("images", "", allowing(), nil))
	tokens := filepath.Join(dir, "keys", "tokens.key")
	now := allowing()
	at := serveStrictly(t, server, gateway, keyOf(t, tokens), audience, now)

	type candidate struct {
		cert     party
		audience string
		tokens   string // more of the table
	}
	write := func(c candidate) string {
		file := filepath.Join(t.TempDir(), "chain.toml")
		writeFile(t, file, "[gateway]\nunmatched = \"allow\"\n[tokens]\ngateway_id = \"prod\"\n"+c.tokens+
			"[[interceptors]]\nname = \"images\"\ngrpc_endpoint = \""+at+"\"\naudience = \""+c.audience+"\"\n"+
			"tls_ca_cert_path = \""+server.cert+"\"\ntls_client_cert_path = \""+c.cert.cert+"\"\ntls_client_key_path = \""+c.cert.key+"\"\n")
		return file
	}
	wantReplay(t, cli.ExitOK, []string{`"reexecuted": 20`}, []string{"docket: dialled: images at " + at}, "--data", dir, "--chain", write(candidate{cert: gateway, audience: audience}))
	if now.calls.Load() != 2*operations { // its manifest has two phases
		t.Errorf("the interceptor was called %d times, want %d", now.calls.Load(), 2*operations)
	}

	elsewhere := filepath.Join(t.TempDir(), "gateway.key")
	writeFile(t, elsewhere, string(readFile(t, tokens)))
	strange := filepath.Join(t.TempDir(), "strange.key")
	keyOf(t, strange)
	wantReplay(t, cli.ExitOK, []string{`"reexecuted": 20`}, nil, "--data", dir, "--chain", write(candidate{cert: gateway, audience: audience, tokens: "key = \"" + elsewhere + "\"\n"}))

	now.calls.Store(0)
	for name, c := range map[string]candidate{
		"another audience":      {cert: gateway, audience: "urn:example:others"},
		"another certificate":   {cert: other, audience: audience},
		"another gateway's key": {cert: gateway, audience: audience, tokens: "key = \"" + strange + "\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			wantReplay(t, cli.ExitFailure, nil, []string{"images"}, "--data", dir, "--chain", write(c))
		})
	}

	// Without the gateway's key it is said where it was looked for, and none is made.
	if err := os.Remove(tokens); err != nil {
		t.Fatal(err)
	}
	wantReplay(t, cli.ExitFailure, nil, []string{tokens, "hint: "}, "--data", dir, "--chain", write(candidate{cert: gateway, audience: audience}))
	if _, err := os.Stat(tokens); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was made: %v", err)
	}
	if n := now.calls.Load(); n != 0 {
		t.Errorf("the interceptor was called %d times by those it does not know", n)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
