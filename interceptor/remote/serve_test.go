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
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
)

func insecureCredentials() grpc.DialOption {
	return grpc.WithTransportCredentials(insecure.NewCredentials())
}

// badValue is a google.protobuf.Value that JSON cannot hold.
func badValue() *structpb.Value { return &structpb.Value{} }

var allow = interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
})

func TestManifestsTravel(t *testing.T) {
	const modify, validate, post = interceptor.ModifyOperation, interceptor.Validate, interceptor.PostCommit
	want := &interceptor.Manifest{
		Name: "n", FailurePolicy: interceptor.FailOpen, Audience: "urn:x",
		Bindings: []interceptor.Binding{
			{ID: "a", RPCs: []string{"s/A", "s/B"}, Phases: []interceptor.Phase{modify, validate, post}, FailurePolicy: interceptor.FailClosed},
			{ID: "b", Phases: []interceptor.Phase{validate}},
			{ID: "c", RPCs: []string{"s/A"}, Phases: []interceptor.Phase{post}, PostCommitPolicy: interceptor.FailOpen},
		},
	}
	got, err := dial(t, serveInterceptor(t, "unix", fake{allow, want})).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestManifestsAreReadStrictly(t *testing.T) {
	binding := func(change func(*wire.InterceptorBinding)) *wire.InterceptorManifest {
		b := &wire.InterceptorBinding{Id: " b ", Selector: &wire.InterceptorSelector{Service: "s", Method: "M"}, Phases: []wire.GatewayInterceptorPhase{3, 2, 3}}
		change(b)
		return &wire.InterceptorManifest{Bindings: []*wire.InterceptorBinding{b}}
	}
	for name, tc := range map[string]struct {
		manifest *wire.InterceptorManifest
		want     string // of the error; "" when there is none
	}{
		"service and method": {binding(func(*wire.InterceptorBinding) {}), ""},
		"rpc goes first":     {binding(func(b *wire.InterceptorBinding) { b.Selector.Rpc = " s/M " }), ""},
		"ignore":             {&wire.InterceptorManifest{FailurePolicy: "ignore"}, `unsupported failure policy "ignore"`},
		"policy":             {binding(func(b *wire.InterceptorBinding) { b.FailurePolicy = "open" }), `unsupported failure policy "open"`},
		"no id":              {binding(func(b *wire.InterceptorBinding) { b.Id = " " }), "id is empty"},
		"method only":        {binding(func(b *wire.InterceptorBinding) { b.Selector.Service = "" }), "both a service and a method"},
		"two slashes":        {binding(func(b *wire.InterceptorBinding) { b.Selector.Rpc = "a/b/c" }), "not service/method"},
		"no phases":          {binding(func(b *wire.InterceptorBinding) { b.Phases = nil }), "no phases"},
		"phase 0":            {binding(func(b *wire.InterceptorBinding) { b.Phases[0] = 0 }), "unknown phase 0"},
		"phase 1":            {binding(func(b *wire.InterceptorBinding) { b.Phases[0] = 1 }), "unknown phase 1"},
		"phase 258":          {binding(func(b *wire.InterceptorBinding) { b.Phases[0] = 258 }), "unknown phase 258"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := dial(t, serveWire(t, &rude{manifest: tc.manifest})).Describe(t.Context())
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error %v; want %q", err, tc.want)
				}
				return
			}
			want := []interceptor.Binding{{ID: "b", RPCs: []string{"s/M"}, Phases: []interceptor.Phase{interceptor.ModifyOperation, interceptor.Validate}}}
			if err != nil || cmp.Diff(want, got.Bindings) != "" {
				t.Errorf("bindings %+v, %v", got, err)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"unix:///run/x.sock": true, "http://127.0.0.1:1": true, "http://[::1]:1/": true, "https://host": true,
		"unix://run/x.sock": false, "unix:x.sock": false, "host:1": false, "ftp://host": false, "http://": false, "http://h/path": false, "http://u@h": false, "": false, "http://h:99999999999:1": false,
	} {
		client, err := remote.Dial(t.Context(), endpoint)
		if err == nil {
			_ = client.Close()
		}
		var bad *remote.EndpointError
		if (err == nil) != ok || !ok && (!errors.As(err, &bad) || bad.Hint() == "") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestASocketLeftBehindIsTakenOver(t *testing.T) {
	dir, err := os.MkdirTemp("", "docket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "i.sock")
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.ListenAndServe(t.Context(), "unix://"+path, allow); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a socket in use: %v", err)
	}
	lis.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- remote.ListenAndServe(ctx, "unix://"+path, allow) }()
	client := dial(t, "unix://"+path)
	for { // until it listens
		if _, err := client.Describe(t.Context()); err == nil {
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := remote.ListenAndServe(t.Context(), "unix://"+path, allow); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: %v", err)
	}
}

// TestPingsAreWelcome pings an idle connection more often than any gateway
// does. A Go server as it comes would have hung up after the third.
func TestPingsAreWelcome(t *testing.T) {
	endpoint := serveInterceptor(t, "unix", allow)
	conn, err := net.Dial("unix", strings.TrimPrefix(endpoint, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	const pings = 5
	sent, acked := 0, 0
	for acked < pings {
		if sent == acked && sent < pings {
			if sent > 0 {
				time.Sleep(1100 * time.Millisecond) // a little over what the server asks for
			}
			sent++
			if err := framer.WritePing(false, [8]byte{byte(sent)}); err != nil {
				t.Fatal(err)
			}
		}
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("after %d pings: %v", acked, err)
		}
		switch frame := frame.(type) {
		case *http2.PingFrame:
			if frame.IsAck() {
				acked++
			} else if err := framer.WritePing(true, frame.Data); err != nil {
				t.Fatal(err)
			}
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				if err := framer.WriteSettingsAck(); err != nil {
					t.Fatal(err)
				}
			}
		case *http2.GoAwayFrame:
			t.Fatalf("the server hung up after %d pings: %s %s", acked, frame.ErrCode, frame.DebugData())
		}
	}
}

func TestTLS(t *testing.T) {
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
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	endpoint := serve(t, "tcp", func(ctx context.Context, lis net.Listener) error {
		return remote.Serve(ctx, lis, allow, remote.TLS(config))
	})
	endpoint = strings.Replace(endpoint, "http://", "https://", 1)

	if _, err := dial(t, endpoint, remote.CACert(ca)).Evaluate(t.Context(), evaluation()); err != nil {
		t.Errorf("with the authority: %v", err)
	}
	if _, err := dial(t, endpoint).Evaluate(t.Context(), evaluation()); err == nil {
		t.Error("a certificate of nobody's was taken")
	}
	if _, err := remote.Dial(t.Context(), endpoint, remote.CACert(ca+".not")); err == nil || !strings.Contains(err.Error(), ca) {
		t.Errorf("a missing authority: %v", err)
	}
	if err := remote.ListenAndServe(t.Context(), "https://127.0.0.1:0", allow); err == nil {
		t.Error("https without a certificate is served")
	}
}
