// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// maxToken bounds the tokens that are looked at.
const maxToken = 8 << 10

// A VerifyConfig says which callers an interceptor serves.
type VerifyConfig struct {
	// Issuer is the gateway, "openshell-gateway:ID". Required.
	Issuer string
	// Audience is what tokens must be made out to, exactly. It is what the
	// manifest announces. Required.
	Audience string
	// Keys is the gateway's JSON Web Key Set, as it is written beside its key and
	// served at /.well-known/jwks.json. Whoever operates the interceptor brings
	// it here: it is never fetched. Required.
	Keys []byte
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Verify makes a server refuse calls that carry no valid token of the gateway,
// with UNAUTHENTICATED. Health checks need none. The same token comes with many
// calls: repeats are no replay.
func Verify(config VerifyConfig) Option {
	return func(o *options) { o.verify = &config }
}

// A verifier verifies tokens.
type verifier struct {
	issuer, audience string
	keys             map[string]ed25519.PublicKey // by id
	now              func() time.Time
}

func newVerifier(config *VerifyConfig) (*verifier, error) {
	if config.Issuer == "" || config.Audience == "" {
		return nil, errors.New("verify tokens: issuer and audience are required")
	}
	keys, err := readKeys(config.Keys)
	if err != nil {
		return nil, fmt.Errorf("verify tokens: %w", err)
	}
	v := &verifier{issuer: config.Issuer, audience: config.Audience, keys: keys, now: config.Now}
	if v.now == nil {
		v.now = time.Now
	}
	return v, nil
}

// readKeys reads the Ed25519 keys of a key set. Keys of other kinds are none of
// ours and skipped.
func readKeys(set []byte) (map[string]ed25519.PublicKey, error) {
	var read keySet
	if err := json.Unmarshal(set, &read); err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	keys := make(map[string]ed25519.PublicKey)
	for _, k := range read.Keys {
		if k.Kty != "OKP" || k.Crv != "Ed25519" || k.Use != "" && k.Use != "sig" || k.Alg != "" && k.Alg != tokenAlg {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize || k.Kid == "" {
			return nil, fmt.Errorf("read key set: key %q is no named Ed25519 key", k.Kid)
		}
		if _, twice := keys[k.Kid]; twice {
			return nil, fmt.Errorf("read key set: two keys are named %q", k.Kid)
		}
		keys[k.Kid] = x
	}
	if len(keys) == 0 {
		return nil, errors.New("read key set: it has no Ed25519 key")
	}
	return keys, nil
}

// caller refuses a call without a valid token. A nil verifier serves everybody.
func (v *verifier) caller(ctx context.Context) error {
	if v == nil {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get(authorizationKey)
	if len(values) != 1 {
		return refused("one authorization header is needed")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return refused("authorization is no bearer token")
	}
	return v.check(token)
}

func refused(why string) error { return status.Error(codes.Unauthenticated, "token refused: "+why) }

// check verifies a token. What it says never quotes the token.
func (v *verifier) check(token string) error {
	signed, signature, ok1 := cutLast(token)
	header, payload, ok2 := strings.Cut(signed, ".")
	if len(token) > maxToken || !ok1 || !ok2 || strings.Contains(payload, ".") {
		return refused("it is no JWT")
	}
	var h struct {
		tokenHeader

		Crit json.RawMessage `json:"crit"`
	}
	if !decodePart(header, &h) {
		return refused("its header does not decode")
	}
	key, known := v.keys[h.Kid]
	switch {
	case h.Alg != tokenAlg:
		return refused("its algorithm is not " + tokenAlg)
	case h.Typ != tokenType:
		return refused("its type is not " + tokenType)
	case h.Crit != nil:
		return refused("it has critical extensions")
	case !known:
		return refused("its key is not known")
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || !ed25519.Verify(key, []byte(signed), sig) {
		return refused("its signature is wrong")
	}
	return v.claims(payload)
}

// claims verifies what a signed token says.
func (v *verifier) claims(payload string) error {
	var c struct {
		Iss        string   `json:"iss"`
		Aud        any      `json:"aud"`
		Exp        *float64 `json:"exp"`
		CallerKind string   `json:"caller_kind"`
	}
	if !decodePart(payload, &c) {
		return refused("its claims do not decode")
	}
	audience, isText := c.Aud.(string)
	switch {
	case c.Iss != v.issuer:
		return refused("its issuer is another")
	case !isText:
		return refused("its audience is not one text")
	case audience != v.audience:
		return refused("it is made out to another audience")
	case c.Exp == nil || *c.Exp <= float64(v.now().UnixNano())/1e9:
		return refused("it has expired")
	case c.CallerKind != tokenCaller:
		return refused("its caller is no gateway")
	}
	return nil
}

// cutLast cuts a text at its last point.
func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// decodePart decodes one part of a token.
func decodePart(part string, into any) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	return err == nil && json.Unmarshal(raw, into) == nil
}
