// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/docket-audit/docket/internal/regular"
)

// DefaultLifetime is how long a token is valid that is minted without saying, and
// MaxLifetime the most that can be said: a token cannot be called back.
const (
	DefaultLifetime = time.Hour
	MaxLifetime     = 30 * 24 * time.Hour
)

// A Signer mints tokens.
type Signer struct {
	key key
	set []byte // the key set that verifies them; nil where that is a secret
}

// OpenSigner reads the key that signs: an Ed25519 key in PEM (PKCS #8), or an HS256
// key as [Config] has them.
func OpenSigner(path string) (*Signer, error) {
	b, err := regular.ReadAtMost(path, maxKeyFile)
	if err != nil {
		return nil, &KeyError{Path: path, Err: err, Advice: "name a file with an HS256 key or a private Ed25519 key"}
	}
	if block, _ := pem.Decode(b); block != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		private, ok := parsed.(ed25519.PrivateKey)
		if err != nil || !ok || block.Type != "PRIVATE KEY" {
			return nil, &KeyError{Path: path, Err: errors.New("it holds no private Ed25519 key in PEM"), Advice: "`openssl genpkey -algorithm ed25519` makes one"}
		}
		return newEd25519Signer(private)
	}
	k, err := hmacKey(b)
	if err != nil {
		return nil, &KeyError{Path: path, Err: err, Advice: "`openssl rand -hex 32` prints a key; keep it in a file of mode 0600"}
	}
	return &Signer{key: k}, nil
}

func newEd25519Signer(private ed25519.PrivateKey) (*Signer, error) {
	public, err := jwk.Import(private.Public())
	if err != nil {
		return nil, fmt.Errorf("make a JWK: %w", err)
	}
	sum, err := public.Thumbprint(crypto.SHA256) // RFC 7638
	if err != nil {
		return nil, fmt.Errorf("make a JWK: %w", err)
	}
	id := base64.RawURLEncoding.EncodeToString(sum)
	for name, value := range map[string]any{jwk.KeyIDKey: id, jwk.AlgorithmKey: jwa.EdDSA(), jwk.KeyUsageKey: "sig"} {
		if err := public.Set(name, value); err != nil {
			return nil, fmt.Errorf("make a JWK: %w", err)
		}
	}
	set, err := json.Marshal(map[string]any{"keys": []any{public}})
	if err != nil {
		return nil, fmt.Errorf("make a JWK: %w", err)
	}
	return &Signer{key: key{id: id, alg: jwa.EdDSA(), raw: private}, set: set}, nil
}

// JWKS returns the key set that verifies what is minted. There is none for HS256,
// where who verifies has the secret.
func (s *Signer) JWKS() ([]byte, bool) { return s.set, s.set != nil }

// An Order is the token that is to be minted.
type Order struct {
	Subject      string
	Capabilities []Capability
	Prefixes     []string
	Audience     string        // "" is DefaultAudience
	Issuer       string        // "" leaves it out
	Lifetime     time.Duration // 0 is DefaultLifetime; at most MaxLifetime
}

// Mint returns a token, and until when it is valid.
func (s *Signer) Mint(o Order, now time.Time) (token string, expires time.Time, err error) {
	if o.Lifetime == 0 {
		o.Lifetime = DefaultLifetime
	}
	if o.Audience == "" {
		o.Audience = DefaultAudience
	}
	var names []string
	for _, c := range o.Capabilities {
		names = append(names, string(c))
	}
	if _, err := ParseCapabilities(names); err != nil {
		return "", expires, fmt.Errorf("mint a token: %w", err)
	}
	if err := checkPrefixes(o.Prefixes); err != nil {
		return "", expires, fmt.Errorf("mint a token: %w", err)
	}
	switch {
	case o.Subject == "" || len(o.Subject) > maxSubject:
		return "", expires, fmt.Errorf("mint a token: the subject has 1 to %d bytes, this one %d", maxSubject, len(o.Subject))
	case o.Lifetime < time.Second || o.Lifetime > MaxLifetime:
		return "", expires, fmt.Errorf("mint a token: it would be valid for %v; that is 1s to %v", o.Lifetime, MaxLifetime)
	}
	issued := now.UTC().Truncate(time.Second)
	expires = issued.Add(o.Lifetime).Truncate(time.Second)
	claims := map[string]any{
		"sub": o.Subject, "aud": o.Audience, "cap": names, "prefixes": o.Prefixes, "iat": issued.Unix(), "exp": expires.Unix(),
	}
	if o.Issuer != "" {
		claims["iss"] = o.Issuer
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", expires, fmt.Errorf("mint a token: %w", err)
	}
	h := jws.NewHeaders()
	if err := errors.Join(h.Set(jws.KeyIDKey, s.key.id), h.Set(jws.TypeKey, "JWT")); err != nil {
		return "", expires, fmt.Errorf("mint a token: %w", err)
	}
	b, err := jws.Sign(payload, jws.WithKey(s.key.alg, s.key.raw, jws.WithProtectedHeaders(h)))
	if err != nil {
		return "", expires, fmt.Errorf("mint a token: %w", err)
	}
	if len(b) > MaxToken {
		return "", expires, fmt.Errorf("mint a token: it has %d bytes, at most %d are taken: name fewer prefixes", len(b), MaxToken)
	}
	return string(b), expires, nil
}
