// SPDX-License-Identifier: Apache-2.0

package natsaccess_test

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/cmd/internal/devcert"
	"github.com/docket-audit/docket/cmd/internal/natsaccess"
)

// A server over TLS, with one user, and the file of the authority that it is of.
func serve(t *testing.T, user, password string) (url, ca string) {
	t.Helper()
	files, err := devcert.Make(devcert.Order{Lifetime: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string][]byte{}
	for _, f := range files {
		byName[f.Name] = f.PEM
	}
	pair, err := tls.X509KeyPair(byName["server.pem"], byName["server.key"])
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		Users:     []*server.User{{Username: user, Password: password}},
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}},
	})
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	return srv.ClientURL(), write(t, "ca.pem", byName["ca.pem"])
}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func connect(t *testing.T, url string, a natsaccess.Access) error {
	t.Helper()
	opts, err := a.Options()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(url, opts...)
	if err == nil {
		conn.Close()
	}
	return err
}

func TestAccess(t *testing.T) {
	url, ca := serve(t, "gateway", "right")
	right := write(t, "password", []byte("right\n"))
	wrong := write(t, "password", []byte("wrong"))
	if err := connect(t, url, natsaccess.Access{CA: ca, User: "gateway", PasswordFile: right}); err != nil {
		t.Errorf("with all of it: %v", err)
	}
	if err := connect(t, url, natsaccess.Access{CA: ca, User: "gateway", PasswordFile: wrong}); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("with a wrong password: %v", err)
	}
	var unknown *tls.CertificateVerificationError
	if err := connect(t, url, natsaccess.Access{User: "gateway", PasswordFile: right}); !errors.As(err, &unknown) {
		t.Errorf("of an authority that nobody knows: %v", err)
	}
}

// A password that is replaced holds from the next connection on; one that is
// lost meanwhile is still the last one.
func TestPasswordIsReadAnew(t *testing.T) {
	url, ca := serve(t, "gateway", "right")
	file := write(t, "password", []byte("old"))
	opts, err := (&natsaccess.Access{CA: ca, User: "gateway", PasswordFile: file}).Options()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nats.Connect(url, opts...); !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("with the old one: %v", err)
	}
	if err := os.WriteFile(file, []byte("right"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"replaced", "lost"} {
		conn, err := nats.Connect(url, opts...)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		conn.Close()
		os.Remove(file)
	}
}

func TestMistakes(t *testing.T) {
	empty := write(t, "password", []byte("\n"))
	for _, tc := range []struct {
		name string
		a    natsaccess.Access
		want string
	}{
		{"no file", natsaccess.Access{User: "u", PasswordFile: filepath.Join(t.TempDir(), "none")}, "read the password for NATS"},
		{"empty file", natsaccess.Access{User: "u", PasswordFile: empty}, "it is empty"},
		{"no password", natsaccess.Access{User: "u"}, "a user without a password file"},
		{"no user", natsaccess.Access{PasswordFile: empty}, "a password file without a user"},
		{"two ways", natsaccess.Access{Creds: "c", User: "u", PasswordFile: empty}, "credentials and a user"},
	} {
		if _, err := tc.a.Options(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
