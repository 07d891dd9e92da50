// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Of a key set, the keys that verify tokens are taken, each for one algorithm, and no
// others.
func TestKeySet(t *testing.T) {
	iss := theIssuer()
	modulus := func(bytes int) string {
		n := make([]byte, bytes)
		n[0], n[bytes-1] = 0x80, 1
		return b64(n)
	}
	with := func(k object, changes object) object {
		for name, v := range changes {
			k[name] = v
		}
		return k
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := p384.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	ed := func(changes object) object { return with(edJWK("k", iss.ed), changes) }
	for _, c := range []struct {
		name string
		key  object
		alg  string // "" is not taken
	}{
		{"Ed25519", ed(nil), "EdDSA"},
		{"Ed25519, of that name", ed(object{"alg": "Ed25519"}), "EdDSA"},
		{"for verifying", ed(object{"key_ops": []string{"verify"}}), "EdDSA"},
		{"for signing alone", ed(object{"key_ops": []string{"sign"}}), ""},
		{"for another algorithm", ed(object{"alg": "ES256"}), ""},
		{"for HS256", ed(object{"alg": "HS256"}), ""},
		{"for encryption", ed(object{"use": "enc"}), ""},
		{"for agreements", ed(object{"crv": "X25519"}), ""},
		{"RSA of 2048 bits", object{"kty": "RSA", "n": modulus(256), "e": "AQAB"}, "RS256"},
		{"RSA of 1024 bits", object{"kty": "RSA", "n": modulus(128), "e": "AQAB"}, ""},
		{"RSA that takes long", object{"kty": "RSA", "n": modulus(1032), "e": "AQAB"}, ""},
		{"RSA for PS256", object{"kty": "RSA", "alg": "PS256", "n": modulus(256), "e": "AQAB"}, ""},
		{"P-384", object{"kty": "EC", "crv": "P-384", "x": b64(point[1:49]), "y": b64(point[49:])}, ""},
		{"a point that is not on the curve", object{"kty": "EC", "crv": "P-256", "x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}, ""},
	} {
		keys, err := keySet(jwks(t, c.key))
		switch {
		case c.alg == "" && err == nil:
			t.Errorf("%s: taken for %s", c.name, keys[0].alg)
		case c.alg != "" && (err != nil || len(keys) != 1 || keys[0].alg.String() != c.alg):
			t.Errorf("%s: %v, %v", c.name, keys, err)
		}
	}
	if _, err := keySet(jwks(t, slices.Repeat([]object{edJWK("k", iss.ed)}, maxKeys+1)...)); err == nil {
		t.Error("a set of any length is taken")
	}
}

// Keys in files are rotated while they are in use: one is added, signs, and the old
// one leaves. A file that turns bad changes nothing.
func TestRotationOfFiles(t *testing.T) {
	clock, iss := newClock(), theIssuer()
	dir := t.TempDir()
	hs, own, set := filepath.Join(dir, "hs256"), filepath.Join(dir, "own"), write(t, filepath.Join(dir, "jwks"), jwks(t, edJWK("old", iss.ed)))
	write(t, hs, first)
	var told logged
	v := open(t, Config{HS256: []string{hs}, OwnHS256: own, JWKS: set, Now: clock.now, Log: slog.New(&told)})
	_, next, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	byFirst := sign(t, object{"alg": "HS256"}, with(nil), byHMAC(first))
	bySecond := sign(t, object{"alg": "HS256"}, with(nil), byHMAC(second))
	old := sign(t, object{"alg": "EdDSA", "kid": "old"}, with(nil), byKey(t, iss.ed))
	newer := sign(t, object{"alg": "EdDSA", "kid": "new"}, with(nil), byKey(t, next))
	check := func(when string, want map[string]string) {
		t.Helper()
		for token, why := range want {
			if _, err := v.Token(t.Context(), token); reason(t, err) != why {
				t.Errorf("%s: %v, want %q", when, err, why)
			}
		}
	}
	check("at first", map[string]string{byFirst: "", bySecond: ReasonSignature, old: "", newer: ReasonUnknownKey})

	write(t, own, second)
	write(t, set, jwks(t, edJWK("old", iss.ed), edJWK("new", next)))
	check("within the second", map[string]string{bySecond: ReasonSignature, newer: ReasonUnknownKey})
	clock.advance(time.Second)
	check("both", map[string]string{byFirst: "", bySecond: "", old: "", newer: ""})

	write(t, hs, []byte("short"))
	write(t, set, []byte(`{"keys":`))
	for range 3 {
		clock.advance(time.Second)
		check("bad files", map[string]string{byFirst: "", bySecond: "", old: "", newer: ""})
	}
	if n := told.count("cannot be used"); n != 2 {
		t.Errorf("told %d times of two bad files", n)
	}

	write(t, set, jwks(t, edJWK("new", next)))
	write(t, hs, second)
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	clock.advance(time.Second)
	check("the old ones left", map[string]string{byFirst: ReasonSignature, bySecond: "", old: ReasonUnknownKey, newer: ""})

	if err := os.Remove(hs); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		clock.advance(time.Second)
		check("the file of a key that leaked is gone", map[string]string{byFirst: ReasonAlgorithm, bySecond: ReasonAlgorithm, newer: ""})
	}
	if n := told.count("is gone"); n != 2 {
		t.Errorf("told %d times of two files that are gone", n)
	}
	write(t, hs, first)
	clock.advance(time.Second)
	check("another one is there", map[string]string{byFirst: "", bySecond: ReasonSignature, newer: ""})
}

// logged keeps what was logged.
type logged struct {
	mu   sync.Mutex
	text []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, r.Message)
	return nil
}

func (l *logged) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.text {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

// A key set at a URL is fetched when it is needed, and no oftener than is allowed.
func TestRotationByURL(t *testing.T) {
	clock, iss := newClock(), theIssuer()
	_, next, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	fetches, status, body := 0, http.StatusOK, jwks(t, edJWK("old", iss.ed))
	serve := func(code int, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		status, body = code, b
	}
	fetched := func() int {
		mu.Lock()
		defer mu.Unlock()
		return fetches
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/elsewhere" {
			w.Write(jwks(t, edJWK("new", next)))
			return
		}
		fetches++
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		w.Write(body)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	var told logged
	v := open(t, Config{JWKS: server.URL + "/jwks.json", HS256: []string{write(t, "k", first)}, Client: server.Client(), Now: clock.now, Log: slog.New(&told)})
	if fetched() != 0 {
		t.Error("fetched before it was needed")
	}
	long := object{"exp": noon + 86400}
	old := sign(t, object{"alg": "EdDSA", "kid": "old"}, with(long), byKey(t, iss.ed))
	newer := sign(t, object{"alg": "EdDSA", "kid": "new"}, with(long), byKey(t, next))
	step := func(when, token, why string, want int) {
		t.Helper()
		if _, err := v.Token(t.Context(), token); reason(t, err) != why {
			t.Errorf("%s: %v, want %q", when, err, why)
		}
		if n := fetched(); n != want {
			t.Errorf("%s: %d fetches, want %d", when, n, want)
		}
	}
	step("first", old, "", 1)
	step("cached", old, "", 1)
	step("unknown kid at once", newer, ReasonUnknownKey, 1)
	clock.advance(fetchAgain)
	step("unknown kid later", newer, ReasonUnknownKey, 2)
	for range 20 {
		step("many unknown kids", newer, ReasonUnknownKey, 2)
	}
	clock.advance(fetchAgain)
	step("HS256 with an unknown kid", sign(t, object{"alg": "HS256", "kid": "x"}, with(nil), byHMAC(first)), ReasonUnknownKey, 2)
	step("alg none with an unknown kid", sign(t, object{"alg": "none", "kid": "x"}, with(nil), byHMAC(first)), ReasonAlgorithm, 2)

	serve(http.StatusOK, jwks(t, edJWK("old", iss.ed), edJWK("new", next)))
	step("rotated", newer, "", 3)
	step("both", old, "", 3)

	// Whatever goes wrong there, the last good set is in force.
	private := edJWK("evil", next)
	private["d"] = b64(next.Seed())
	for i, bad := range []struct {
		code int
		body []byte
	}{
		{http.StatusInternalServerError, jwks(t, edJWK("evil", next))},
		{http.StatusOK, []byte("<html>")},
		{http.StatusOK, jwks(t)},
		{http.StatusOK, jwks(t, private)},
		{http.StatusOK, []byte(strings.Repeat(" ", maxKeySet) + "{}")},
		{http.StatusFound, nil},
	} {
		serve(bad.code, bad.body)
		clock.advance(maxAge)
		step("failing", old, "", 4+i)
		step("failing, asked again", newer, "", 4+i)
	}
	if n := told.count("could not be fetched"); n != 6 {
		t.Errorf("told %d times of six failures", n)
	}

	// A key that was withdrawn is not taken for longer than a set's age.
	serve(http.StatusOK, jwks(t, edJWK("new", next)))
	clock.advance(fetchAgain)
	step("withdrawn", old, ReasonUnknownKey, 10)
	step("and the other stays", newer, "", 10)

	// The authority of the server counts.
	stranger := open(t, Config{JWKS: server.URL, Now: clock.now})
	if _, err := stranger.Token(t.Context(), newer); reason(t, err) != ReasonUnknownKey {
		t.Errorf("from a server of an unknown authority: %v", err)
	}
}

// Many callers wait for one fetch, and who leaves does not end it for the others.
func TestFetchesTogether(t *testing.T) {
	iss := theIssuer()
	var mu sync.Mutex
	fetches := 0
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		fetches++
		mu.Unlock()
		select {
		case arrived <- struct{}{}:
		default: // one too many, which is counted
		}
		<-release
		w.Write(jwks(t, edJWK("ed", iss.ed)))
	}))
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	v := open(t, Config{JWKS: server.URL, Client: server.Client(), Now: newClock().now})
	token := sign(t, object{"alg": "EdDSA", "kid": "ed"}, with(nil), byKey(t, iss.ed))
	ctx, leave := context.WithCancel(t.Context())
	errs := make(chan error, 9)
	go func() { _, err := v.Token(ctx, token); errs <- err }()
	<-arrived
	leave()
	for range 8 {
		go func() { _, err := v.Token(t.Context(), token); errs <- err }()
	}
	close(release)
	for range 9 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if fetches != 1 {
		t.Errorf("%d fetches", fetches)
	}
}
