// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/docket-audit/docket/internal/strictoml"
)

func TestDoors(t *testing.T) {
	file := write(t, `
[api]
tls_cert = "tls/server.pem"
tls_key = "/etc/server.key"
client_ca = "ca.pem"
hostname = "docket.example.com"
cors_origins = ["https://ok.example", "http://localhost:5173"]
[auth]
hs256_keys = ["a.key", "/etc/b.key"]
jwks = "jwks.json"
issuer = "me"
audience = "here"
leeway = "2s"
[[auth.certificates]]
name = "spiffe://example.com/ci"
capabilities = ["list", "read"]
prefixes = ["acme"]
[[auth.certificates]]
name = "auditor@example.com"
subject = "the auditor"
capabilities = ["list"]
prefixes = ["/"]
`)
	dir := filepath.Dir(file)
	c, err := Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantAPI := API{
		Listen: "127.0.0.1:8080", TLSCert: filepath.Join(dir, "tls/server.pem"), TLSKey: "/etc/server.key", ClientCA: filepath.Join(dir, "ca.pem"),
		Hostname: "docket.example.com", CORSOrigins: List{"https://ok.example", "http://localhost:5173"},
	}
	wantAuth := Auth{
		HS256Keys: List{filepath.Join(dir, "a.key"), "/etc/b.key"}, JWKS: filepath.Join(dir, "jwks.json"), Issuer: "me", Audience: "here", Leeway: Duration(2 * time.Second),
		Certificates: []Certificate{
			{Name: "spiffe://example.com/ci", Capabilities: []string{"list", "read"}, Prefixes: []string{"acme"}},
			{Name: "auditor@example.com", Subject: "the auditor", Capabilities: []string{"list"}, Prefixes: []string{"/"}},
		},
	}
	if d := cmp.Diff(wantAPI, c.API); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(wantAuth, c.Auth, cmpopts.IgnoreTypes(strictoml.Pos{})); d != "" {
		t.Error(d)
	}

	// In the environment and in flags, lists have commas, and paths are the caller's.
	c, err = Load(file, []string{"DOCKET_AUTH_HS256_KEYS=x.key, y.key", "DOCKET_AUTH_JWKS=https://issuer.example/jwks.json"}, []string{"api.cors_origins=https://one.example"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(List{"x.key", "y.key"}, c.Auth.HS256Keys); d != "" {
		t.Error(d)
	}
	if c.Auth.JWKS != "https://issuer.example/jwks.json" || !cmp.Equal(c.API.CORSOrigins, List{"https://one.example"}) || len(c.Auth.Certificates) != 2 {
		t.Errorf("%+v, %+v", c.API, c.Auth)
	}
	if c, err = Load("", []string{"DOCKET_API_INSECURE=true"}, nil); err != nil || !c.API.Insecure {
		t.Errorf("insecure: %+v, %v", c, err)
	}
}

func TestDoorsRefused(t *testing.T) {
	const one = "[api]\ntls_cert = \"c\"\ntls_key = \"k\"\nclient_ca = \"a\"\n[[auth.certificates]]\n"
	for _, tc := range []struct{ name, content, want, hint string }{
		{"no key", "[api]\ntls_cert = \"c\"\n", "[api] has tls_cert and no tls_key", "docket cert"},
		{"no certificate", "[api]\ntls_key = \"c\"\n", "[api] has tls_key and no tls_cert", "docket cert"},
		{"authorities without TLS", "[api]\nclient_ca = \"c\"\n", "client_ca and no tls_cert", "tls_key too"},
		{"a hostname without TLS", "[api]\nhostname = \"c\"\n", "hostname and no tls_cert", "tls_key too"},
		{"both", "[api]\ntls_cert = \"c\"\ntls_key = \"k\"\ninsecure = true\n", "both tls_cert and insecure", "leave it out"},
		{"any origin", "[api]\ncors_origins = [\"*\"]\n", `"*": there are no patterns`, "https://HOST"},
		{"an origin's pattern", "[api]\ncors_origins = [\"https://*.example\"]\n", "there are no patterns", "https://HOST"},
		{"an origin with a path", "[api]\ncors_origins = [\"https://a.example/\"]\n", "it is no origin", "https://HOST"},
		{"origins as a text", "[api]\ncors_origins = \"https://a.example\"\n", "docket.toml:2: cors_origins must be an array, not a string", ""},
		{"insecure in words", "[api]\ninsecure = \"yes\"\n", "docket.toml:2: insecure must be true or false", ""},
		{"no name of a key", "[auth]\nhs256_keys = [\"\"]\n", "hs256_keys has an empty name", "name files"},
		{"a key of numbers", "[auth]\nhs256_keys = [7]\n", "docket.toml:2: hs256_keys must be a string", ""},
		{"plain HTTP", "[auth]\njwks = \"http://issuer.example/\"\n", "neither a file nor an https URL", "anybody's keys"},
		{"a password", "[auth]\njwks = \"https://a:b@issuer.example/\"\n", "without a password", "anybody's keys"},
		{"leeway", "[auth]\nleeway = \"soon\"\n", `docket.toml:2: leeway: "soon" is not a duration`, ""},
		{"a typo", "[auth]\nhs256_key = []\n", `docket.toml:2: unknown key "hs256_key" in auth`, `did you mean "hs256_keys"?`},
		{"a certificate's typo", one + "name = \"a\"\nprefix = []\n", `docket.toml:7: unknown key "prefix" in certificates`, `did you mean "prefixes"?`},
		{"a capability", one + "name = \"a\"\ncapabilities = [\"read\", \"tial\"]\nprefixes = [\"/\"]\n", `docket.toml:7: there is no capability "tial"`, `did you mean "tail"?`},
		{"no capabilities", one + "name = \"a\"\nprefixes = [\"/\"]\n", "docket.toml:5: capabilities is missing", "list, read"},
		{"no prefixes", one + "name = \"a\"\ncapabilities = [\"read\"]\n", "docket.toml:5: prefixes is missing", `"acme" covers`},
		{"an empty prefix", one + "name = \"a\"\ncapabilities = [\"read\"]\nprefixes = [\"\"]\n", "docket.toml:8: prefixes is missing, or one is empty", `"acme" covers`},
		{"no name", one + "capabilities = [\"read\"]\nprefixes = [\"/\"]\n", "docket.toml:5: name is missing", "the URI"},
		{"certificates without authorities", "[[auth.certificates]]\nname = \"a\"\ncapabilities = [\"read\"]\nprefixes = [\"/\"]\n", "no client_ca", "which authorities"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(write(t, tc.content), nil, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			var h interface{ Hint() string }
			if tc.hint != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint(), tc.hint)) {
				t.Errorf("error %v without hint %q", err, tc.hint)
			}
		})
	}
	for _, tc := range []struct{ variable, want string }{
		{"DOCKET_AUTH_CERTIFICATES=x", "unknown variable"},
		{"DOCKET_API_INSECURE=yes", `"yes" is neither true nor false`},
		{"DOCKET_API_TLS_CERT=x", "configuration: [api] has tls_cert and no tls_key"},
	} {
		if _, err := Load("", []string{tc.variable}, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.variable, err, tc.want)
		}
	}
}
