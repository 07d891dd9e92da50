// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Tests make tokens by hand, with the standard library alone: what jwx signs and
// what it takes must not be wrong in the same way.

const noon = 1795608000 // 2026-11-25T12:00:00Z

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(noon, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type object = map[string]any

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func jsonOf(t testing.TB, v any) []byte {
	t.Helper()
	if raw, ok := v.(string); ok {
		return []byte(raw)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sign makes a token of a header and claims, objects or raw text, by sum.
func sign(t testing.TB, head, claims any, sum func(signed []byte) []byte) string {
	t.Helper()
	signed := b64(jsonOf(t, head)) + "." + b64(jsonOf(t, claims))
	return signed + "." + b64(sum([]byte(signed)))
}

func byHMAC(secret []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(b)
		return h.Sum(nil)
	}
}

func byKey(t testing.TB, private crypto.Signer) func([]byte) []byte {
	return func(b []byte) []byte {
		switch k := private.(type) {
		case ed25519.PrivateKey:
			return ed25519.Sign(k, b)
		case *rsa.PrivateKey:
			sum := sha256.Sum256(b)
			s, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
			if err != nil {
				t.Fatal(err)
			}
			return s
		case *ecdsa.PrivateKey:
			sum := sha256.Sum256(b)
			r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
			if err != nil {
				t.Fatal(err)
			}
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
		panic("no such key")
	}
}

// with returns claims that hold at noon, with changes; nil takes a claim away.
func with(changes object) object {
	c := object{"sub": "alice", "aud": "docket", "iat": noon - 60, "exp": noon + 3600, "cap": []string{"list", "read"}, "prefixes": []string{"acme"}}
	for name, v := range changes {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.TempDir(), name)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func open(t testing.TB, c Config) *Verifier {
	t.Helper()
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// reason returns why err refuses; every refusal is an Error that says what to do.
func reason(t testing.TB, err error) string {
	t.Helper()
	var e *Error
	if err == nil {
		return ""
	}
	if !errors.As(err, &e) || !errors.Is(err, ErrUnauthenticated) || e.Hint() == "" {
		t.Fatalf("refused by %v, which is no Error that is ErrUnauthenticated and says what to do", err)
	}
	return e.Reason
}

// issuer has a key of each sort and publishes them.
type issuer struct {
	ed  ed25519.PrivateKey
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

var theIssuer = sync.OnceValue(func() issuer {
	_, ed, err1 := ed25519.GenerateKey(rand.Reader)
	r, err2 := rsa.GenerateKey(rand.Reader, 2048)
	ec, err3 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err)
	}
	return issuer{ed, r, ec}
})

func edJWK(id string, k ed25519.PrivateKey) object {
	return object{"kty": "OKP", "crv": "Ed25519", "kid": id, "x": b64(k.Public().(ed25519.PublicKey))}
}

func (i issuer) jwks() []object {
	point, err := i.ec.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return []object{
		edJWK("ed", i.ed),
		{"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": b64(i.rsa.N.Bytes()), "e": "AQAB"},
		{"kty": "EC", "crv": "P-256", "kid": "ec", "x": b64(point[1:33]), "y": b64(point[33:])},
		{"kty": "RSA", "kid": "for-encryption", "use": "enc", "n": b64(i.rsa.N.Bytes()), "e": "AQAB"},
		{"kty": "new", "kid": "of a sort that nobody knows"},
	}
}

func jwks(t testing.TB, keys ...object) []byte {
	t.Helper()
	return jsonOf(t, object{"keys": keys})
}

var (
	first  = []byte("the first key has more than 32 bytes in it")
	second = []byte("the second key has more than 32 bytes too")
)
