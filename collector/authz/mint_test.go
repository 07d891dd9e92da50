// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is minted is taken, by each sort of key, and says what was ordered.
func TestMint(t *testing.T) {
	clock, iss := newClock(), theIssuer()
	der, err := x509.MarshalPKCS8PrivateKey(iss.ed)
	if err != nil {
		t.Fatal(err)
	}
	hs := write(t, "hs", append(first, '\n'))
	ed := must(OpenSigner(write(t, "ed", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))))(t)
	set, ok := ed.JWKS()
	if !ok {
		t.Fatal("no key set")
	}
	other := must(OpenSigner(write(t, "other", second)))(t)
	if _, ok := other.JWKS(); ok {
		t.Error("an HS256 key is published")
	}
	v := open(t, Config{HS256: []string{hs}, JWKS: write(t, "jwks", set), Issuer: "me", Audience: "here", Now: clock.now})
	order := Order{Subject: "alice", Capabilities: []Capability{Tail, Read}, Prefixes: []string{"acme"}, Audience: "here", Issuer: "me", Lifetime: time.Minute}
	for name, s := range map[string]*Signer{"HS256": must(OpenSigner(hs))(t), "EdDSA": ed} {
		token, expires, err := s.Mint(order, clock.now())
		if err != nil {
			t.Fatal(err)
		}
		g, err := v.Token(t.Context(), token)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := &Grant{Subject: "alice", Issuer: "me", By: ByToken, Capabilities: []Capability{Read, Tail}, Prefixes: []string{"acme"}, Expires: expires.Add(DefaultLeeway)}
		if d := cmp.Diff(want, g); d != "" || !expires.Equal(time.Unix(noon+60, 0)) {
			t.Errorf("%s, until %v: %s", name, expires, d)
		}
		said := must(Peek(token))(t)
		if said.Algorithm != name || said.Subject != "alice" || said.KeyID == "" || !said.Expires.Equal(expires) {
			t.Errorf("it says %+v", said)
		}
	}
	if token, _, err := other.Mint(order, clock.now()); err != nil {
		t.Error(err)
	} else if _, err := v.Token(t.Context(), token); reason(t, err) != ReasonUnknownKey {
		t.Errorf("of another key: %v", err)
	}
	// A key in PEM signs by its own algorithm, and is no secret for HS256.
	if ed.key.alg.String() != "EdDSA" {
		t.Error("an Ed25519 key signs", ed.key.alg)
	}
	if _, ok := ed.key.raw.(ed25519.PrivateKey); !ok {
		t.Error("the key is no Ed25519 key")
	}

	defaults := Order{Subject: "a", Capabilities: []Capability{List}, Prefixes: []string{Everywhere}}
	token, expires, err := ed.Mint(defaults, clock.now())
	if err != nil || !expires.Equal(time.Unix(noon, 0).Add(DefaultLifetime)) {
		t.Errorf("by default until %v, %v", expires, err)
	}
	if said := must(Peek(token))(t); !cmp.Equal(said.Audience, []string{DefaultAudience}) || said.Issuer != "" {
		t.Errorf("by default %+v", said)
	}
	for name, change := range map[string]func(*Order){
		"no subject":     func(o *Order) { o.Subject = "" },
		"long subject":   func(o *Order) { o.Subject = strings.Repeat("s", 257) },
		"no capability":  func(o *Order) { o.Capabilities = nil },
		"unknown":        func(o *Order) { o.Capabilities = []Capability{"reed"} },
		"no prefix":      func(o *Order) { o.Prefixes = nil },
		"empty prefix":   func(o *Order) { o.Prefixes = []string{"acme", ""} },
		"a prefix //":    func(o *Order) { o.Prefixes = []string{"//"} },
		"too long":       func(o *Order) { o.Lifetime = MaxLifetime + 1 },
		"negative":       func(o *Order) { o.Lifetime = -time.Hour },
		"many prefixes":  func(o *Order) { o.Prefixes = strings.Split(strings.Repeat("some-tenant,", 900)+"x", ",") },
		"wildcard":       func(o *Order) { o.Prefixes = []string{"acme/*"} },
		"leading slash":  func(o *Order) { o.Prefixes = []string{"/acme"} },
		"a line's break": func(o *Order) { o.Prefixes = []string{"ac\nme"} },
	} {
		o := defaults
		change(&o)
		if token, _, err := ed.Mint(o, clock.now()); err == nil || token != "" {
			t.Errorf("%s: minted", name)
		}
	}
	for name, content := range map[string][]byte{
		"short": []byte("short"), "a certificate": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), "a set": set,
	} {
		if _, err := OpenSigner(write(t, "k", content)); err == nil {
			t.Errorf("%s signs", name)
		}
	}
}
