// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
	wire "github.com/docket-audit/docket/schemas/proto/openshell/gateway_interceptor/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// key is a key that is the same in each run.
func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

func signer(t *testing.T, config remote.SignerConfig) *remote.Signer {
	t.Helper()
	s, err := remote.NewSigner(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// receiver serves an interceptor and returns what authorization its last call
// came with.
func receiver(t *testing.T) (endpoint string, last func() string) {
	t.Helper()
	var mu sync.Mutex
	var got string
	note := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		mu.Lock()
		got = strings.Join(metadata.ValueFromIncomingContext(ctx, "authorization"), "|")
		mu.Unlock()
		return handler(ctx, req)
	}
	endpoint = serve(t, "unix", func(ctx context.Context, lis net.Listener) error {
		return remote.Serve(ctx, lis, fake{allow, &interceptor.Manifest{}}, remote.ServerOptions(grpc.ChainUnaryInterceptor(note)))
	})
	return endpoint, func() string {
		mu.Lock()
		defer mu.Unlock()
		return got
	}
}

// part decodes one part of a bearer token.
func part(t *testing.T, authorization string, n int) map[string]any {
	t.Helper()
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		t.Fatalf("authorization %q", authorization)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTokens: what goes out with a call, and for how long (S62-S64).
func TestTokens(t *testing.T) {
	start := time.Date(2026, 11, 21, 4, 0, 0, 700, time.UTC)
	now := &clock{now: start}
	s := signer(t, remote.SignerConfig{GatewayID: "gw-1", Key: key(1), Now: now.Now})
	endpoint, last := receiver(t)
	client := dial(t, endpoint, remote.Token(s, "urn:a"))
	evaluate := func(c *remote.Client) string {
		t.Helper()
		if _, err := c.Evaluate(t.Context(), evaluation()); err != nil {
			t.Fatal(err)
		}
		return last()
	}
	first := evaluate(client)
	claims := part(t, first, 1)
	if jti, _ := claims["jti"].(string); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(jti) {
		t.Errorf("jti %q", claims["jti"])
	}
	delete(claims, "jti")
	want := map[string]any{
		"iss": "openshell-gateway:gw-1", "sub": "openshell-gateway:gw-1", "aud": "urn:a", "caller_kind": "gateway",
		"iat": float64(start.Unix()), "exp": float64(start.Unix() + 900),
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Error(diff)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(s.JWKS(), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("key set %s, %v", s.JWKS(), err)
	}
	kid := set.Keys[0]["kid"]
	public := base64.RawURLEncoding.EncodeToString(key(1).Public().(ed25519.PublicKey))
	if diff := cmp.Diff(map[string]string{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": public}, set.Keys[0]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"alg": "EdDSA", "kid": kid, "typ": "openshell-ext+jwt"}, part(t, first, 0)); diff != "" || len(kid) != 16 {
		t.Error(diff, kid)
	}

	if _, err := client.Describe(t.Context()); err != nil || last() != first {
		t.Errorf("Describe came with %q, %v; want the same token", last(), err)
	}
	now.set(start.Add(12*time.Minute - time.Second))
	if got := evaluate(client); got != first {
		t.Error("the token was replaced before 4/5 of its life")
	}
	now.set(start.Add(12 * time.Minute))
	second := evaluate(client)
	if second == first || part(t, second, 1)["jti"] == part(t, first, 1)["jti"] {
		t.Error("the token was not replaced after 4/5 of its life")
	}
	now.set(start)
	if got := evaluate(client); got == second {
		t.Error("the token is of a time that is yet to come")
	}
	other := dial(t, endpoint, remote.Token(s, "urn:b"))
	if got := part(t, evaluate(other), 1)["aud"]; got != "urn:b" {
		t.Errorf("audience %v", got)
	}
	if evaluate(dial(t, endpoint)) != "" {
		t.Error("a client without a signer sends a token")
	}
}

func TestTokenLives(t *testing.T) {
	endpoint, last := receiver(t)
	for ttl, want := range map[time.Duration]float64{0: 900, time.Second: 1, 90*time.Second + 1: 90, time.Hour: 3600, 48 * time.Hour: 3600} {
		s := signer(t, remote.SignerConfig{GatewayID: "gw", Key: key(1), TTL: ttl})
		if _, err := dial(t, endpoint, remote.Token(s, "urn:a")).Evaluate(t.Context(), evaluation()); err != nil {
			t.Fatal(err)
		}
		claims := part(t, last(), 1)
		if got := claims["exp"].(float64) - claims["iat"].(float64); got != want {
			t.Errorf("TTL %s: a token lives for %v s; want %v", ttl, got, want)
		}
	}
	for name, config := range map[string]remote.SignerConfig{
		"no id":        {Key: key(1)},
		"a blank id":   {GatewayID: "a b", Key: key(1)},
		"no key":       {GatewayID: "gw"},
		"half a key":   {GatewayID: "gw", Key: key(1)[:32]},
		"a short life": {GatewayID: "gw", Key: key(1), TTL: time.Millisecond},
		"no life":      {GatewayID: "gw", Key: key(1), TTL: -1},
	} {
		if s, err := remote.NewSigner(config); err == nil {
			t.Errorf("%s: %v", name, s)
		}
	}
}

// Who could have no token does not call (S64, S65); who can has one, whatever the
// clock does.
func TestNoToken(t *testing.T) {
	s := signer(t, remote.SignerConfig{GatewayID: "gw", Key: key(1)})
	for name, option := range map[string]remote.Option{
		"no signer": remote.Token(nil, "urn:a"), "no audience": remote.Token(s, ""), "a blank audience": remote.Token(s, "urn: a"), "its own": remote.Token(s, s.Issuer()),
	} {
		if c, err := remote.Dial(t.Context(), "unix:///run/x.sock", option); err == nil {
			t.Errorf("%s: dialled", name)
			_ = c.Close()
		}
	}
	var calls int
	mad := signer(t, remote.SignerConfig{GatewayID: "gw", Key: key(1), Now: func() time.Time { calls++; return time.Unix(int64(calls)*10000, 0) }})
	endpoint, last := receiver(t)
	client := dial(t, endpoint, remote.Token(mad, "urn:a"))
	for range 3 {
		if _, err := client.Evaluate(t.Context(), evaluation()); err != nil || part(t, last(), 1)["exp"].(float64) <= float64(calls)*10000 {
			t.Errorf("a clock that leaps: %q, %v", last(), err)
		}
	}
}

func TestTokenIsNeverPrinted(t *testing.T) {
	config := remote.SignerConfig{GatewayID: "gw", Key: key(7)}
	s := signer(t, config)
	endpoint, last := receiver(t)
	client := dial(t, endpoint, remote.Token(s, "urn:a"))
	if _, err := client.Evaluate(t.Context(), evaluation()); err != nil {
		t.Fatal(err)
	}
	token := strings.TrimPrefix(last(), "Bearer ")
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", config)
		fmt.Fprintf(&out, verb+"\n", &config)
		fmt.Fprintf(&out, verb+"\n", client)
		fmt.Fprintf(&out, verb+"\n", struct{ Signer *remote.Signer }{s})
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "signer", s, "config", config, "client", client)
	}
	for _, v := range []any{s, config, client} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(raw)
	}
	// What refuses a token does not quote it.
	refusing := serve(t, "unix", func(ctx context.Context, lis net.Listener) error {
		return remote.Serve(ctx, lis, allow, remote.Verify(remote.VerifyConfig{Issuer: s.Issuer(), Audience: "urn:b", Keys: s.JWKS()}))
	})
	_, err := dial(t, refusing, remote.Token(s, "urn:a")).Evaluate(t.Context(), evaluation())
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("another audience: %v", err)
	}
	fmt.Fprintln(&out, err)
	seed := key(7).Seed()
	for name, secret := range map[string]string{
		"token": token, "signature": token[strings.LastIndexByte(token, '.')+1:], "key in hex": hex.EncodeToString(seed[:8]),
		"key in base64": base64.StdEncoding.EncodeToString(seed)[:10], "key in decimal": "7 7 7 7", "key in Go": "0x7, 0x7",
	} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the %s is printed in %s", name, out.String())
		}
	}
	if !strings.Contains(out.String(), "signer of openshell-gateway:gw") {
		t.Error("a signer says nothing of itself")
	}
}

// TestVerify breaks each duty of a verifier once (S66).
func TestVerify(t *testing.T) {
	now := time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	s := signer(t, remote.SignerConfig{GatewayID: "gw", Key: key(1)})
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(s.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	kid := set.Keys[0]["kid"]
	endpoint := serve(t, "unix", func(ctx context.Context, lis net.Listener) error {
		return remote.Serve(ctx, lis, fake{allow, &interceptor.Manifest{}}, remote.Verify(remote.VerifyConfig{
			Issuer: "openshell-gateway:gw", Audience: "urn:a", Keys: s.JWKS(), Now: func() time.Time { return now },
		}))
	})
	conn, err := grpc.NewClient(endpoint, insecureCredentials())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stub := wire.NewGatewayInterceptorClient(conn)

	type object = map[string]any
	encode := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	token := func(by ed25519.PrivateKey, header, claims object) string {
		h := object{"alg": "EdDSA", "kid": kid, "typ": "openshell-ext+jwt"}
		c := object{
			"iss": "openshell-gateway:gw", "sub": "openshell-gateway:gw", "aud": "urn:a", "caller_kind": "gateway",
			"iat": now.Unix() - 10, "exp": now.Unix() + 1, "jti": "x",
		}
		for k, v := range header {
			h[k] = v
		}
		for k, v := range claims {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		signed := encode(h) + "." + encode(c)
		return "Bearer " + signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(by, []byte(signed)))
	}
	good := token(key(1), nil, nil)
	for name, tc := range map[string]struct {
		authorization []string
		want          string // of the refusal; "" when there is none
	}{
		"as it should be":       {[]string{good}, ""},
		"another way to write":  {[]string{"bearer" + good[len("Bearer"):]}, ""},
		"for a while":           {[]string{token(key(1), nil, object{"exp": float64(now.Unix()) + 0.5})}, ""},
		"none":                  {nil, "one authorization header"},
		"two":                   {[]string{good, good}, "one authorization header"},
		"no bearer":             {[]string{"Basic " + good}, "no bearer token"},
		"no token":              {[]string{"Bearer"}, "no JWT"},
		"two parts":             {[]string{good[:strings.LastIndexByte(good, '.')]}, "no JWT"},
		"four parts":            {[]string{good + ".x"}, "no JWT"},
		"too long":              {[]string{good + strings.Repeat("x", 8<<10)}, "no JWT"},
		"no header":             {[]string{"Bearer x.y.z"}, "header does not decode"},
		"alg none":              {[]string{token(key(1), object{"alg": "none"}, nil)}, "algorithm"},
		"alg HS256":             {[]string{token(key(1), object{"alg": "HS256"}, nil)}, "algorithm"},
		"alg in small letters":  {[]string{token(key(1), object{"alg": "eddsa"}, nil)}, "algorithm"},
		"typ":                   {[]string{token(key(1), object{"typ": "JWT"}, nil)}, "type"},
		"crit":                  {[]string{token(key(1), object{"crit": []string{"b64"}}, nil)}, "critical"},
		"kid":                   {[]string{token(key(1), object{"kid": "0123456789abcdef"}, nil)}, "key is not known"},
		"signature of another":  {[]string{token(key(2), nil, nil)}, "signature"},
		"no signature":          {[]string{good[:strings.LastIndexByte(good, '.')+1]}, "signature"},
		"a signature too much":  {[]string{good + "AAAA"}, "signature"},
		"other claims":          {[]string{good[:strings.IndexByte(good, '.')+1] + encode(object{"iss": "x"}) + good[strings.LastIndexByte(good, '.'):]}, "signature"},
		"iss":                   {[]string{token(key(1), nil, object{"iss": "openshell-gateway:other"})}, "issuer"},
		"aud":                   {[]string{token(key(1), nil, object{"aud": "urn:a/b"})}, "another audience"},
		"aud is a list":         {[]string{token(key(1), nil, object{"aud": []string{"urn:a"}})}, "not one text"},
		"no aud":                {[]string{token(key(1), nil, object{"aud": nil})}, "not one text"},
		"exp is now":            {[]string{token(key(1), nil, object{"exp": now.Unix()})}, "expired"},
		"no exp":                {[]string{token(key(1), nil, object{"exp": nil})}, "expired"},
		"exp is a text":         {[]string{token(key(1), nil, object{"exp": "9999999999"})}, "claims do not decode"},
		"a supervisor":          {[]string{token(key(1), nil, object{"caller_kind": "supervisor"})}, "no gateway"},
		"nobody":                {[]string{token(key(1), nil, object{"caller_kind": nil})}, "no gateway"},
		"the same jti as above": {[]string{good}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": tc.authorization})
			request := &wire.InterceptorEvaluation{Phase: &wire.InterceptorEvaluation_Validate{Validate: &wire.ValidateEvaluation{ProposedOperation: emptyObject()}}}
			_, err1 := stub.Describe(ctx, &wire.DescribeRequest{})
			_, err2 := stub.Evaluate(ctx, request)
			_, err3 := stub.SnapshotProviderProfiles(ctx, &wire.ProviderProfileSnapshotRequest{})
			for method, err := range map[string]error{"Describe": err1, "Evaluate": err2, "SnapshotProviderProfiles": err3} {
				if tc.want == "" && err != nil || tc.want != "" && (status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), tc.want)) {
					t.Errorf("%s: %v; want %q", method, err, tc.want)
				}
			}
		})
	}
}

// A server whose verifier cannot work does not serve.
func TestVerifiersThatCannotWork(t *testing.T) {
	keys := signer(t, remote.SignerConfig{GatewayID: "gw", Key: key(1)}).JWKS()
	one := strings.TrimSuffix(strings.TrimPrefix(string(keys), `{"keys":[`), `]}`)
	twice := []byte(`{"keys":[` + one + `,` + one + `]}`)
	for name, tc := range map[string]struct {
		config remote.VerifyConfig
		want   string
	}{
		"no issuer":     {remote.VerifyConfig{Audience: "a", Keys: keys}, "required"},
		"no audience":   {remote.VerifyConfig{Issuer: "i", Keys: keys}, "required"},
		"no keys":       {remote.VerifyConfig{Issuer: "i", Audience: "a"}, "read key set"},
		"no key":        {remote.VerifyConfig{Issuer: "i", Audience: "a", Keys: []byte(`{"keys":[{"kty":"RSA","kid":"x"}]}`)}, "no Ed25519 key"},
		"a short key":   {remote.VerifyConfig{Issuer: "i", Audience: "a", Keys: bytes.Replace(keys, []byte(`"x":"`), []byte(`"x":"A`), 1)}, "no named Ed25519 key"},
		"one key twice": {remote.VerifyConfig{Issuer: "i", Audience: "a", Keys: twice}, "two keys are named"},
	} {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Serve(t.Context(), lis, allow, remote.Verify(tc.config)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err := lis.Close(); err == nil {
			t.Errorf("%s: the listener was left open", name)
		}
	}
}
