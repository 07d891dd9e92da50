// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRefused is the matrix of what is and is not a caller.
func TestRefused(t *testing.T) {
	iss := theIssuer()
	der, err := x509.MarshalPKIXPublicKey(&iss.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k1, err := hmacKey(first)
	if err != nil {
		t.Fatal(err)
	}
	k2, err := hmacKey(second)
	if err != nil {
		t.Fatal(err)
	}
	v := open(t, Config{
		HS256: []string{write(t, "first", append(first, '\n')), write(t, "second", second)},
		JWKS:  write(t, "jwks.json", jwks(t, iss.jwks()...)), Issuer: "https://issuer.example",
		Secret: "the secret of the directory", Now: newClock().now,
	})
	claims := func(changes object) object {
		c := with(changes)
		if _, ok := changes["iss"]; !ok {
			c["iss"] = "https://issuer.example"
		}
		return c
	}
	hs := func(changes object) string {
		return sign(t, object{"alg": "HS256", "typ": "JWT"}, claims(changes), byHMAC(first))
	}
	good := hs(nil)
	parts := strings.Split(good, ".")
	for _, c := range []struct{ name, token, want string }{
		{"first key", good, ""},
		{"second key", sign(t, object{"alg": "HS256"}, claims(nil), byHMAC(second)), ""},
		{"first key by its kid", sign(t, object{"alg": "HS256", "kid": k1.id}, claims(nil), byHMAC(first)), ""},
		{"EdDSA", sign(t, object{"alg": "EdDSA", "kid": "ed"}, claims(nil), byKey(t, iss.ed)), ""},
		{"EdDSA without kid", sign(t, object{"alg": "EdDSA"}, claims(nil), byKey(t, iss.ed)), ""},
		{"RS256", sign(t, object{"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}, claims(nil), byKey(t, iss.rsa)), ""},
		{"ES256", sign(t, object{"alg": "ES256", "kid": "ec"}, claims(nil), byKey(t, iss.ec)), ""},
		{"one of many audiences", hs(object{"aud": []string{"other", "docket"}}), ""},
		{"times with fractions", hs(object{"iat": noon - 0.5, "exp": noon + 0.5}), ""},
		{"expired within the leeway", hs(object{"exp": noon - 4}), ""},
		{"issued within the leeway", hs(object{"iat": noon + 4}), ""},
		{"claims of other programs", hs(object{"tenant": "other", "email": object{"a": []int{1}}}), ""},

		{"missing", "", ReasonMissing},
		{"wrong key", sign(t, object{"alg": "HS256"}, claims(nil), byHMAC([]byte("some other key, of more than 32 bytes"))), ReasonSignature},
		{"wrong EdDSA key", sign(t, object{"alg": "EdDSA", "kid": "ed"}, claims(nil), byKey(t, stranger)), ReasonSignature},
		{"changed claims", parts[0] + "." + b64(jsonOf(t, claims(object{"sub": "bob"}))) + "." + parts[2], ReasonSignature},
		{"no signature", parts[0] + "." + parts[1] + ".", ReasonSignature},
		{"cut signature", good[:len(good)-3], ReasonSignature},
		{"part of the secret", "the secret of the director", ReasonMalformed},
		{"two parts", parts[0] + "." + parts[1], ReasonMalformed},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, ReasonMalformed},
		{"another spelling of its base64", good[:len(good)-1] + string(good[len(good)-1]+1), ReasonMalformed},
		{"padded", good + "=", ReasonMalformed},
		{"newline inside", parts[0] + "." + parts[1][:4] + "\n" + parts[1][4:] + "." + parts[2], ReasonMalformed},
		{"header twice the same name", sign(t, `{"alg":"none","alg":"HS256"}`, claims(nil), byHMAC(first)), ReasonMalformed},
		{"header is an array", sign(t, `["HS256"]`, claims(nil), byHMAC(first)), ReasonMalformed},
		{"critical header", sign(t, object{"alg": "HS256", "crit": []string{"x"}, "x": 1}, claims(nil), byHMAC(first)), ReasonMalformed},
		{"b64 false", sign(t, object{"alg": "HS256", "b64": false}, claims(nil), byHMAC(first)), ReasonMalformed},
		{"of another type", sign(t, object{"alg": "HS256", "typ": "logout+jwt"}, claims(nil), byHMAC(first)), ReasonMalformed},
		{"huge", hs(object{"x": strings.Repeat("x", MaxToken)}), ReasonTooLarge},
		{"bomb of arrays in the header", sign(t, `{"alg":"HS256","x":`+strings.Repeat("[", 2900)+strings.Repeat("]", 2900)+"}", "{}", byHMAC(first)), ReasonClaims},
		{"bomb of arrays in the claims", sign(t, object{"alg": "HS256"}, `{"prefixes":`+strings.Repeat("[", 2900)+strings.Repeat("]", 2900)+"}", byHMAC(first)), ReasonClaims},
		{"bomb that does not end", sign(t, object{"alg": "HS256"}, `{"x":`+strings.Repeat(`{"x":`, 1000), byHMAC(first)), ReasonClaims},
		{"bomb of a number", sign(t, object{"alg": "HS256"}, `{"sub":"a","aud":"docket","iat":1,"exp":1e999}`, byHMAC(first)), ReasonClaims},

		{"alg none", sign(t, object{"alg": "none"}, claims(nil), func([]byte) []byte { return nil }), ReasonAlgorithm},
		{"alg nOnE, signed", sign(t, object{"alg": "nOnE"}, claims(nil), byHMAC(first)), ReasonAlgorithm},
		{"no alg", sign(t, object{"typ": "JWT"}, claims(nil), byHMAC(first)), ReasonAlgorithm},
		{"HS512", sign(t, object{"alg": "HS512"}, claims(nil), byHMAC(first)), ReasonAlgorithm},
		{"PS256", sign(t, object{"alg": "PS256", "kid": "rsa"}, claims(nil), byKey(t, iss.rsa)), ReasonAlgorithm},
		{"confusion: HS256 by the RSA key's PEM", sign(t, object{"alg": "HS256", "kid": "rsa"}, claims(nil), byHMAC(publicPEM)), ReasonAlgorithm},
		{"confusion, without kid", sign(t, object{"alg": "HS256"}, claims(nil), byHMAC(publicPEM)), ReasonSignature},
		{"confusion, by its DER", sign(t, object{"alg": "HS256"}, claims(nil), byHMAC(der)), ReasonSignature},
		{"confusion, by the modulus", sign(t, object{"alg": "HS256"}, claims(nil), byHMAC(iss.rsa.N.Bytes())), ReasonSignature},
		{"confusion, by the Ed25519 key", sign(t, object{"alg": "HS256"}, claims(nil), byHMAC(iss.ed.Public().(ed25519.PublicKey))), ReasonSignature},
		{"kid of an HS256 key, EdDSA header", sign(t, object{"alg": "EdDSA", "kid": k1.id}, claims(nil), byKey(t, iss.ed)), ReasonAlgorithm},
		{"kid of the RSA key, EdDSA header", sign(t, object{"alg": "EdDSA", "kid": "rsa"}, claims(nil), byKey(t, iss.ed)), ReasonAlgorithm},
		{"kid of a key for encryption", sign(t, object{"alg": "RS256", "kid": "for-encryption"}, claims(nil), byKey(t, iss.rsa)), ReasonUnknownKey},
		{"kid swap", sign(t, object{"alg": "HS256", "kid": k2.id}, claims(nil), byHMAC(first)), ReasonSignature},
		{"unknown kid", sign(t, object{"alg": "HS256", "kid": "other"}, claims(nil), byHMAC(first)), ReasonUnknownKey},
		{"kid is a path", sign(t, object{"alg": "HS256", "kid": "../../dev/null"}, claims(nil), byHMAC(nil)), ReasonUnknownKey},
		{"kid is long", sign(t, object{"alg": "HS256", "kid": strings.Repeat("k", 300)}, claims(nil), byHMAC(first)), ReasonMalformed},
		{"brings its key along", sign(t, object{"alg": "EdDSA", "jwk": edJWK("", stranger)}, claims(nil), byKey(t, stranger)), ReasonSignature},
		{"says where its key is", sign(t, object{"alg": "EdDSA", "jku": "https://evil.example/jwks.json"}, claims(nil), byKey(t, stranger)), ReasonSignature},

		{"expired", hs(object{"exp": noon - 5}), ReasonExpired},
		{"no exp", hs(object{"exp": nil}), ReasonClaims},
		{"exp null", hs(object{"exp": "null"}), ReasonClaims},
		{"exp in words", hs(object{"exp": "tomorrow"}), ReasonClaims},
		{"exp in the year 300000", hs(object{"exp": 9.4e12}), ReasonClaims},
		{"exp negative", hs(object{"exp": -1}), ReasonClaims},
		{"no iat", hs(object{"iat": nil}), ReasonClaims},
		{"future iat", hs(object{"iat": noon + 6}), ReasonNotYet},
		{"future nbf", hs(object{"nbf": noon + 6}), ReasonNotYet},
		{"iat after exp", hs(object{"iat": noon + 3, "exp": noon + 2}), ReasonClaims},
		{"no aud", hs(object{"aud": nil}), ReasonAudience},
		{"wrong aud", hs(object{"aud": "docket2"}), ReasonAudience},
		{"wrong auds", hs(object{"aud": []string{"", "Docket"}}), ReasonAudience},
		{"aud is an object", hs(object{"aud": object{"docket": true}}), ReasonClaims},
		{"no iss", hs(object{"iss": nil}), ReasonIssuer},
		{"wrong iss", hs(object{"iss": "https://issuer.example/"}), ReasonIssuer},
		{"no sub", hs(object{"sub": nil}), ReasonClaims},
		{"empty sub", hs(object{"sub": ""}), ReasonClaims},
		{"long sub", hs(object{"sub": strings.Repeat("s", 257)}), ReasonClaims},
		{"cap is a text", hs(object{"cap": "admin"}), ReasonClaims},
		{"prefixes is a text", hs(object{"prefixes": "/"}), ReasonClaims},
		{"prefixes of numbers", hs(object{"prefixes": []any{"acme", 7}}), ReasonClaims},
		{"claims twice the same name", sign(t, object{"alg": "HS256"}, `{"sub":"a","aud":"docket","iat":1,"exp":99999999999,"iss":"https://issuer.example","prefixes":["acme"],"prefixes":["/"]}`, byHMAC(first)), ReasonClaims},
		{"claims are an array", sign(t, object{"alg": "HS256"}, `[]`, byHMAC(first)), ReasonClaims},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := v.Token(t.Context(), c.token)
			if got := reason(t, err); got != c.want {
				t.Fatalf("refused by %q, want %q (%v)", got, c.want, err)
			}
			if (g == nil) != (err != nil) {
				t.Fatalf("grant %v and error %v", g, err)
			}
			if err != nil && len(c.token) > 20 {
				e, _ := errors.AsType[*Error](err)
				for _, part := range strings.Split(c.token, ".") {
					if len(part) > 12 && strings.Contains(e.Error()+e.Advice, part[:12]) {
						t.Errorf("the error quotes the token: %v, %s", err, e.Advice)
					}
				}
			}
		})
	}
}

// What a token grants, and what it does not.
func TestGranted(t *testing.T) {
	v := open(t, Config{HS256: []string{write(t, "first", first)}, Secret: "s3cret", Now: newClock().now})
	grant := func(changes object) *Grant {
		g, err := v.Token(t.Context(), sign(t, object{"alg": "HS256"}, with(changes), byHMAC(first)))
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g := grant(object{"iss": "i", "cap": []string{"tail", "read", "own-the-place", "ADMIN"}, "prefixes": []string{"acme", "umbrella/eu"}})
	want := &Grant{
		Subject: "alice", Issuer: "i", By: ByToken, Capabilities: []Capability{Read, Tail}, Prefixes: []string{"acme", "umbrella/eu"},
		Expires: time.Unix(noon+3600, 0).Add(DefaultLeeway).UTC(),
	}
	if d := cmp.Diff(want, g); d != "" {
		t.Error(d)
	}
	for _, c := range Capabilities() {
		if err := g.May(c); (err == nil) != (c == Read || c == Tail) || err != nil && !errors.Is(err, ErrDenied) {
			t.Errorf("may %s: %v", c, err)
		}
	}
	if d := cmp.Diff(Trusted("the token of the data directory", BySecret), must(v.Token(t.Context(), "s3cret"))(t)); d != "" {
		t.Error(d)
	}
	for _, c := range []struct {
		name             string
		prefixes         []string
		include, exclude []string
		denied           bool
		sees, not        []string
	}{
		{"all that is covered", []string{"acme"}, nil, nil, false, []string{"acme", "acme/eu"}, []string{"acmeCorp", "acmeCorp/eu", "other", "", "acm"}},
		{"a part of it", []string{"acme"}, []string{"acme/eu"}, nil, false, []string{"acme/eu", "acme/eu/x"}, []string{"acme", "acme/us", "acme/eux"}},
		{"with a slash at the end", []string{"acme/"}, nil, nil, false, []string{"acme", "acme/eu"}, []string{"acmeCorp"}},
		{"foreign prefix", []string{"acme"}, []string{"other"}, nil, true, nil, nil},
		{"one of two is foreign", []string{"acme"}, []string{"acme", "other"}, nil, true, nil, nil},
		{"acmeCorp by acme", []string{"acme"}, []string{"acmeCorp"}, nil, true, nil, nil},
		{"above what is covered", []string{"acme/eu"}, []string{"acme"}, nil, true, nil, nil},
		{"exclude only", []string{"acme"}, nil, []string{"other"}, true, nil, nil},
		{"exclude only, of what is covered", []string{"acme"}, nil, []string{"acme/eu"}, true, nil, nil},
		{"exclude only, by who sees all", []string{"/"}, nil, []string{"acme"}, false, []string{"other", "acmeCorp"}, []string{"acme", "acme/eu"}},
		{"exclude of what is named", []string{"acme"}, []string{"acme"}, []string{"acme/eu"}, false, []string{"acme", "acme/us"}, []string{"acme/eu", "acme/eu/x"}},
		{"all, named as a tenant", []string{"/"}, []string{"/"}, nil, true, nil, nil},
		{"empty prefix", []string{""}, nil, nil, false, nil, []string{"", "acme", "/"}},
		{"empty prefix, named", []string{""}, []string{""}, nil, true, nil, nil},
		{"two slashes are not all", []string{"//"}, nil, nil, false, nil, []string{"acme", "", "/"}},
		{"no prefixes", nil, nil, nil, false, nil, []string{"", "acme"}},
		{"no prefixes, named", nil, []string{"acme"}, nil, true, nil, nil},
		{"a star is a name", []string{"*"}, nil, nil, false, []string{"*"}, []string{"acme"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			view, err := grant(object{"prefixes": c.prefixes}).View(c.include, c.exclude)
			if (err != nil) != c.denied || err != nil && !errors.Is(err, ErrDenied) {
				t.Fatalf("error %v, denied should be %v", err, c.denied)
			}
			for _, tenant := range c.sees {
				if !view.Sees(tenant) {
					t.Errorf("does not see %q", tenant)
				}
			}
			for _, tenant := range append(c.not, "nobody's") {
				if view.Sees(tenant) && !slices.Contains(c.prefixes, "/") {
					t.Errorf("sees %q", tenant)
				}
			}
		})
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A caller is known by one header, or by a certificate, and by nothing else that a
// browser or a link could bring along.
func TestHTTP(t *testing.T) {
	v := open(t, Config{HS256: []string{write(t, "first", first)}, Now: newClock().now})
	token := sign(t, object{"alg": "HS256"}, with(nil), byHMAC(first))
	for _, c := range []struct {
		name string
		make func(*http.Request)
		want string
	}{
		{"bearer", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, ""},
		{"in lower case", func(r *http.Request) { r.Header.Set("Authorization", "bearer  "+token+" ") }, ""},
		{"nothing", func(*http.Request) {}, ReasonMissing},
		{"empty bearer", func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, ReasonMissing},
		{"basic", func(r *http.Request) { r.SetBasicAuth("alice", token) }, ReasonScheme},
		{"the token alone", func(r *http.Request) { r.Header.Set("Authorization", token) }, ReasonScheme},
		{"two", func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token} }, ReasonMalformed},
		{"query string", func(r *http.Request) { r.URL.RawQuery = "access_token=" + token + "&token=" + token }, ReasonMissing},
		{"cookie", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "access_token", Value: token}) }, ReasonMissing},
		{"proxy's header", func(r *http.Request) { r.Header.Set("X-Forwarded-Authorization", "Bearer "+token) }, ReasonMissing},
		{"form", func(r *http.Request) {
			r.Method = http.MethodPost
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Body = http.NoBody
			r.PostForm = map[string][]string{"access_token": {token}}
		}, ReasonMissing},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/events", http.NoBody)
		c.make(r)
		if _, err := v.HTTP(r); reason(t, err) != c.want {
			t.Errorf("%s: refused by %v, want %q", c.name, err, c.want)
		}
	}
}

// Who is configured wrongly does not start.
func TestConfiguration(t *testing.T) {
	iss := theIssuer()
	der, err := x509.MarshalPKIXPublicKey(&iss.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	private := edJWK("x", iss.ed)
	private["d"] = b64(iss.ed.Seed())
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"short key", Config{HS256: []string{write(t, "k", []byte("31 bytes are one less than need\n"))}}, "at least 32 bytes, this one has 31"},
		{"empty key", Config{HS256: []string{write(t, "k", nil)}}, "this one has 0"},
		{"no key file", Config{HS256: []string{filepath.Join(t.TempDir(), "none")}}, "no such file"},
		{"a public key as secret", Config{HS256: []string{write(t, "k", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}}, "which others may have"},
		{"a key set as secret", Config{HS256: []string{write(t, "k", jwks(t, iss.jwks()...))}}, "which others may have"},
		{"an SSH key as secret", Config{HS256: []string{write(t, "k", []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2 me"))}}, "which others may have"},
		{"own key that is short", Config{OwnHS256: write(t, "k", []byte("short"))}, "at least 32 bytes"},
		{"no set", Config{JWKS: filepath.Join(t.TempDir(), "none")}, "no such file"},
		{"no JWKS", Config{JWKS: write(t, "k", []byte("{}"))}, "it is no JWKS"},
		{"an empty set", Config{JWKS: write(t, "k", []byte(`{"keys":[]}`))}, "no key that tokens can be verified with"},
		{"a set with a private key", Config{JWKS: write(t, "k", jwks(t, private))}, "private or a symmetric key"},
		{"a set with a secret", Config{JWKS: write(t, "k", jwks(t, object{"kty": "oct", "k": b64(first)}, edJWK("x", iss.ed)))}, "private or a symmetric key"},
		{"plain HTTP", Config{JWKS: "http://issuer.example/jwks.json"}, "https://HOST/PATH"},
		{"a password in the URL", Config{JWKS: "https://me:pw@issuer.example/jwks.json"}, "https://HOST/PATH"},
		{"leeway", Config{Leeway: 2 * time.Minute}, "at most 1m"},
		{"certificates without authority", Config{Certificates: []Certificate{{Name: "a.example", Capabilities: []Capability{Read}, Prefixes: []string{"a"}}}}, "no authority"},
		{"capability", Config{ClientCA: "x", Certificates: []Certificate{{Name: "a.example", Capabilities: []Capability{"reed"}, Prefixes: []string{"a"}}}}, `no capability "reed"`},
		{"no prefix", Config{ClientCA: "x", Certificates: []Certificate{{Name: "a.example", Capabilities: []Capability{Read}}}}, "no prefix"},
		{"empty prefix", Config{ClientCA: "x", Certificates: []Certificate{{Name: "a.example", Capabilities: []Capability{Read}, Prefixes: []string{""}}}}, "covers no tenant"},
		{"wildcard", Config{ClientCA: "x", Certificates: []Certificate{{Name: "*.example", Capabilities: []Capability{Read}, Prefixes: []string{"a"}}}}, "without wildcards"},
		{"a name twice", Config{ClientCA: "x", Certificates: []Certificate{{Name: "a.example", Capabilities: []Capability{Read}, Prefixes: []string{"a"}}, {Name: "A.example", Capabilities: []Capability{Read}, Prefixes: []string{"a"}}}}, "an earlier one"},
		{"no authority in the file", Config{ClientCA: write(t, "ca", []byte("hello"))}, "no certificate in PEM"},
	} {
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	// Nothing is configured: nobody is known, and there is no key by default.
	v := open(t, Config{})
	for _, secret := range [][]byte{nil, []byte("supersecret"), []byte("secret"), make([]byte, 32)} {
		token := sign(t, object{"alg": "HS256"}, object{"sub": "a", "aud": "docket", "iat": 1, "exp": 99999999999}, byHMAC(secret))
		if _, err := v.Token(t.Context(), token); reason(t, err) != ReasonUnknownKey {
			t.Errorf("without keys: %v", err)
		}
	}
	for _, secret := range []string{"", " "} {
		if _, err := v.Token(t.Context(), secret); err == nil {
			t.Errorf("without a secret, %q is it", secret)
		}
	}
}
