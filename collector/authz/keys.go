// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

// MinKey is the length of an HS256 key in bytes below which it is refused: that
// of what HMAC-SHA256 gives.
const MinKey = 32

const (
	maxKeyFile = 64 << 10
	maxKeySet  = 1 << 20
	maxKeys    = 256
	minRSA     = 2048
	maxRSA     = 8192
)

// A key verifies tokens of one algorithm, the one that its type allows. What a
// token's header says only chooses among keys, never what is done with one.
type key struct {
	id  string // "" for one of a key set that has none
	alg jwa.SignatureAlgorithm
	raw any // []byte, ed25519.PublicKey, *ecdsa.PublicKey, *rsa.PublicKey
}

// accepted are the algorithms of all keys.
func accepted(alg string) bool {
	return slices.Contains([]string{"HS256", "EdDSA", "ES256", "RS256"}, alg)
}

// hmacKey reads a file with an HS256 key: what it holds, without the newline at its
// end, is the key.
func hmacKey(b []byte) (key, error) {
	b = bytes.TrimRight(b, "\r\n")
	switch {
	case len(b) < MinKey:
		return key{}, fmt.Errorf("an HS256 key has at least %d bytes, this one has %d", MinKey, len(b))
	case public(b):
		return key{}, errors.New("it holds a key or a certificate in PEM, JSON or SSH's form, which others may have: no secret for HS256")
	}
	sum := sha256.Sum256(append([]byte("docket HS256 key\x00"), b...))
	return key{id: "hs256-" + base64.RawURLEncoding.EncodeToString(sum[:9]), alg: jwa.HS256(), raw: b}, nil
}

// public says whether a file looks like one that is given away: who takes a public
// key for an HMAC secret lets everybody sign who has it.
func public(b []byte) bool {
	b = bytes.TrimSpace(b)
	return bytes.Contains(b, []byte("-----BEGIN ")) || bytes.HasPrefix(b, []byte("{")) || bytes.HasPrefix(b, []byte("ssh-")) || bytes.HasPrefix(b, []byte("ecdsa-"))
}

// keySet reads a JWKS. Keys that cannot verify tokens are passed over. One that is
// secret is a mistake that makes all others worthless, so that the set is refused.
func keySet(b []byte) ([]key, error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil || set.Keys == nil {
		return nil, errors.New("it is no JWKS: a JSON object with a list of keys")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("it has %d keys, at most %d are read", len(set.Keys), maxKeys)
	}
	var keys []key
	for _, raw := range set.Keys {
		var secret struct {
			D jsontext.Value `json:"d"`
			P jsontext.Value `json:"p"`
			K jsontext.Value `json:"k"`
		}
		if err := json.Unmarshal(raw, &secret); err != nil {
			return nil, errors.New("it is no JWKS: one of its keys is no JSON object")
		}
		if secret.D != nil || secret.P != nil || secret.K != nil {
			return nil, errors.New("it holds a private or a symmetric key, which whoever reads the set could sign with")
		}
		if k, ok := setKey(raw); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no key that tokens can be verified with: Ed25519, P-256, or RSA of 2048 bits or more, for signatures")
	}
	return keys, nil
}

// setKey reads one key of a set, and says whether it can be used here.
func setKey(raw []byte) (key, bool) {
	parsed, err := jwk.ParseKey(raw)
	if err != nil {
		return key{}, false
	}
	var k key
	if err := jwk.Export(parsed, &k.raw); err != nil {
		return key{}, false
	}
	switch p := k.raw.(type) {
	case ed25519.PublicKey:
		k.alg = jwa.EdDSA()
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return key{}, false
		}
		k.alg = jwa.ES256()
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < minRSA || n > maxRSA {
			return key{}, false
		}
		k.alg = jwa.RS256()
	default:
		return key{}, false
	}
	if use, ok := parsed.KeyUsage(); ok && use != "sig" {
		return key{}, false
	}
	if ops, ok := parsed.KeyOps(); ok && !slices.Contains(ops, jwk.KeyOpVerify) {
		return key{}, false
	}
	if alg, ok := parsed.Algorithm(); ok && alg.String() != k.alg.String() && alg.String() != "Ed25519" {
		return key{}, false
	}
	k.id, _ = parsed.KeyID()
	return k, true
}
