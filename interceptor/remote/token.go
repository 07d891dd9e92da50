// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// The words of a token, as OpenShell's gateways and verifiers have them.
const (
	tokenType    = "openshell-ext+jwt"
	tokenAlg     = "EdDSA"
	tokenCaller  = "gateway"
	issuerPrefix = "openshell-gateway:"
)

// The bounds of a token's life.
const (
	DefaultTokenTTL = 15 * time.Minute
	MaxTokenTTL     = time.Hour
)

// A SignerConfig is what tokens are made from.
type SignerConfig struct {
	// GatewayID names the gateway. Tokens are issued by "openshell-gateway:ID".
	// Required.
	GatewayID string
	// Key signs. Required.
	Key ed25519.PrivateKey `json:"-"`
	// TTL is how long a token is valid, in whole seconds: 0 is
	// [DefaultTokenTTL], and nothing lives longer than [MaxTokenTTL]. A token is
	// replaced after 4/5 of its life.
	TTL time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time `json:"-"`
}

// String never tells the key.
func (c SignerConfig) String() string { return "signer of " + issuerPrefix + c.GatewayID }

// Format never tells the key, whatever the verb.
func (c SignerConfig) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, c.String()) }

// LogValue never tells the key.
func (c SignerConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }

// A Signer makes the tokens by which interceptors know that a gateway calls
// them: JWTs signed with Ed25519, short-lived, one for each audience. It never
// prints one, nor its key. It may be used by many at once.
type Signer struct {
	issuer, kid, header string
	key                 ed25519.PrivateKey
	ttl                 time.Duration
	now                 func() time.Time

	mu    sync.Mutex
	slots map[string]slot // by audience; guarded by mu
}

// A slot holds the token of one audience. The same token goes with every call
// until it is replaced.
type slot struct {
	token         string
	made, replace time.Time
}

// NewSigner returns a signer.
func NewSigner(config SignerConfig) (*Signer, error) {
	switch {
	case config.GatewayID == "" || strings.ContainsFunc(config.GatewayID, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return nil, fmt.Errorf("make token signer: gateway id %q: it must be one word", config.GatewayID)
	case len(config.Key) != ed25519.PrivateKeySize:
		return nil, errors.New("make token signer: the key is no Ed25519 private key")
	case config.TTL < 0 || config.TTL > 0 && config.TTL < time.Second:
		return nil, fmt.Errorf("make token signer: tokens cannot live for %s: a second at least", config.TTL)
	}
	s := &Signer{
		issuer: issuerPrefix + config.GatewayID, kid: keyID(config.Key.Public().(ed25519.PublicKey)), key: config.Key,
		ttl: min(config.TTL, MaxTokenTTL).Truncate(time.Second), now: config.Now, slots: make(map[string]slot),
	}
	if config.TTL == 0 {
		s.ttl = DefaultTokenTTL
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.header = encodePart(tokenHeader{Alg: tokenAlg, Kid: s.kid, Typ: tokenType})
	return s, nil
}

// keyID names a public key: the first 16 hexadecimal digits of its SHA-256.
func keyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// Issuer is who the tokens say has made them, "openshell-gateway:ID".
func (s *Signer) Issuer() string { return s.issuer }

// JWKS returns the JSON Web Key Set (RFC 7517, RFC 8037) with the public key
// that tokens are verified by.
func (s *Signer) JWKS() []byte {
	set, err := json.Marshal(keySet{Keys: []jsonWebKey{{
		Kty: "OKP", Crv: "Ed25519", Use: "sig", Alg: tokenAlg, Kid: s.kid,
		X: base64.RawURLEncoding.EncodeToString(s.key.Public().(ed25519.PublicKey)),
	}}})
	if err != nil {
		panic(err) // texts alone
	}
	return set
}

// String never tells the key.
func (s *Signer) String() string {
	if s == nil {
		return "no signer"
	}
	return "signer of " + s.issuer
}

// Format never tells the key, whatever the verb.
func (s *Signer) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, s.String()) }

// LogValue never tells the key.
func (s *Signer) LogValue() slog.Value { return slog.StringValue(s.String()) }

type tokenHeader struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
}

type tokenClaims struct {
	Iss        string `json:"iss"`
	Aud        string `json:"aud"`
	Sub        string `json:"sub"`
	Iat        int64  `json:"iat"`
	Exp        int64  `json:"exp"`
	Jti        string `json:"jti"`
	CallerKind string `json:"caller_kind"`
}

type keySet struct {
	Keys []jsonWebKey `json:"keys"`
}

type jsonWebKey struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	Use string `json:"use,omitempty"`
	Alg string `json:"alg,omitempty"`
	Kid string `json:"kid"`
	X   string `json:"x"`
}

// token returns the audience's token, a new one when there is none that has a
// fifth of its life before it. A clock that was set back counts as none. What is
// returned has never expired.
func (s *Signer) token(audience string) string {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.slots[audience]
	if held.token == "" || now.Before(held.made) || !now.Before(held.replace) {
		held = s.sign(audience, now)
		s.slots[audience] = held
	}
	return held.token
}

// sign makes a token. The clock of its claims goes in whole seconds, so that it
// may be made up to a second before now.
func (s *Signer) sign(audience string, now time.Time) slot {
	made := now.Truncate(time.Second)
	signed := s.header + "." + encodePart(tokenClaims{
		Iss: s.issuer, Sub: s.issuer, Aud: audience, Iat: made.Unix(), Exp: made.Add(s.ttl).Unix(), Jti: newJTI(), CallerKind: tokenCaller,
	})
	signature := ed25519.Sign(s.key, []byte(signed))
	return slot{
		token: signed + "." + base64.RawURLEncoding.EncodeToString(signature),
		made:  made, replace: made.Add(s.ttl * 4 / 5),
	}
}

// encodePart encodes one part of a token.
func encodePart(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and whole numbers alone
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// newJTI returns a random UUID (RFC 9562, version 4).
func newJTI() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Token sends a token of the signer with each call of a client, for an audience
// that the interceptor expects: its manifest says which. Over http:// whoever is
// on the way can read the token; whoever reads a configuration asks its writer
// whether that may be.
func Token(s *Signer, audience string) Option {
	return func(o *options) { o.token = &bearer{signer: s, audience: audience} }
}

// A bearer is the gRPC credentials of a client's calls.
type bearer struct {
	signer   *Signer
	audience string
}

// check refuses what could never make a token that is accepted, and a token that
// the gateway itself would accept from whoever gets it.
func (b *bearer) check() error {
	switch {
	case b.signer == nil:
		return errors.New("there is nobody to sign its tokens")
	case b.audience == "" || strings.ContainsFunc(b.audience, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fmt.Errorf("the audience %q of its tokens is not one word", b.audience)
	case b.audience == b.signer.issuer:
		return fmt.Errorf("the audience of its tokens is the gateway's own, %s", b.audience)
	}
	return nil
}

// GetRequestMetadata implements gRPC's credentials.PerRPCCredentials.
func (b *bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{authorizationKey: "Bearer " + b.signer.token(b.audience)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: a socket of
// this machine needs none.
func (b *bearer) RequireTransportSecurity() bool { return false }
