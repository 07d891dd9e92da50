// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor/remote"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// newIdentity makes a certificate of 127.0.0.1 that vouches for itself, and
// writes it to NAME.pem and NAME.key in dir.
func newIdentity(t *testing.T, dir, name string) (tls.Certificate, *x509.CertPool) {
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
	text, pool := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, name+".pem"), text, 0o600),
		os.WriteFile(filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// An interceptor that wants to know its caller by a certificate, and by a token
// over it: paths are relative to the file.
func TestMutualTLSFromAFile(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Dir(w.file)
	server, _ := newIdentity(t, dir, "server")
	_, callers := newIdentity(t, dir, "gateway")
	newIdentity(t, dir, "stranger")
	address := serve(t, "tcp", judge{"b", allow}, remote.TLS(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: callers,
	}))
	table := func(who string) string {
		text := fmt.Sprintf("[[interceptors]]\nname = \"j\"\nbinding_policy = \"dynamic\"\ngrpc_endpoint = \"https://%s\"\ntls_ca_cert_path = \"server.pem\"\ntimeout = \"20s\"\n", address)
		if who != "" {
			text += fmt.Sprintf("tls_client_cert_path = %q\ntls_client_key_path = %q\n", who+".pem", who+".key")
		}
		return text
	}
	for _, who := range []string{"", "stranger"} {
		w.write("", table(who))
		if err := w.refused(); err == nil || !strings.Contains(err.Error(), `interceptor "j" at https://`+address+" does not answer") {
			t.Errorf("called by %q: %v", who, err)
		}
	}
	w.write("", table("gateway"))
	w.start()
	if err := w.create(t.Context(), &sandboxv1.Sandbox{Name: "box"}); err != nil {
		t.Error(err)
	}
}

// An interceptor that verifies tokens starts with the gateway's key set, which
// the gateway makes on its first start; calls with a token are judged.
func TestTokensFromAFile(t *testing.T) {
	w := newWorld(t)
	// The first start makes the keys; nobody is called with a token yet.
	maker := serve(t, "unix", judge{"b", allow})
	w.write("", "[tokens]\ngateway_id = \"edge\"\n"+judged("maker", maker, ""))
	w.start()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile(filepath.Join(w.dir, "keys", "tokens.jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	verified := func(audience string) string {
		return serve(t, "unix", judge{"b", allow}, remote.Verify(remote.VerifyConfig{Issuer: "openshell-gateway:edge", Audience: audience, Keys: keys}))
	}
	w.write("", "[tokens]\ngateway_id = \"edge\"\n"+judged("j", verified("urn:openshell:extension:interceptor:j"), "")+judged("k", verified("mine"), `audience = "mine"`))
	w.start()
	if err := w.create(t.Context(), &sandboxv1.Sandbox{Name: "box"}); err != nil {
		t.Error(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}

	w.write("", judged("j", verified("urn:openshell:extension:interceptor:j"), ""))
	if err := w.refused(); err == nil || !strings.Contains(err.Error(), "Unauthenticated") {
		t.Errorf("without a token: %v", err)
	}
	w.write("", "[tokens]\ngateway_id = \"another\"\n"+judged("j", verified("urn:openshell:extension:interceptor:j"), ""))
	if err := w.refused(); err == nil || !strings.Contains(err.Error(), "Unauthenticated") {
		t.Errorf("as another gateway: %v", err)
	}
	// A key is no document for others: nothing of it is anywhere but in its file.
	key, err := os.ReadFile(filepath.Join(w.dir, "keys", "tokens.key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(key)
	for _, e := range append(w.sent(), w.printed.String()) {
		if strings.Contains(e, "eyJ") || block == nil || strings.Contains(e, string(block.Bytes)) {
			t.Errorf("a token or its key is in %s", e)
		}
	}
}
