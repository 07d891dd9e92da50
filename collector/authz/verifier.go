// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jws"
)

// DefaultAudience is the audience of tokens where none is configured.
const DefaultAudience = "docket"

// DefaultLeeway is how far clocks may be apart where nothing is configured, and
// MaxLeeway what can be.
const (
	DefaultLeeway = 5 * time.Second
	MaxLeeway     = time.Minute
)

// Config is by what callers are known. The zero Config knows nobody.
type Config struct {
	// HS256 are files with HS256 keys: a token that any of them signed is taken. Each
	// must be there at the start, and may be replaced meanwhile; while it is gone, what
	// it signed is refused.
	HS256 []string
	// OwnHS256 is one more such file, which need not be there: the key that `docket
	// token` makes in the data directory. "" is none.
	OwnHS256 string
	// JWKS is a file with a key set, or an https URL; "" is none.
	JWKS string
	// Audience must be among a token's; "" is DefaultAudience.
	Audience string
	// Issuer must be a token's; "" takes any, and tokens without.
	Issuer string
	// Leeway is how far the clock of an issuer may be from this one: 0 is DefaultLeeway.
	Leeway time.Duration

	// Secret is a bearer token that needs no signature and may everything: the one in
	// the data directory. "" is none.
	Secret string

	// ClientCA is a file with the authorities, in PEM, whose certificates of clients
	// are taken; "" is none. It may be replaced meanwhile.
	ClientCA string
	// Certificates are those who are known by a certificate. The first that has one of
	// a certificate's names is who it is.
	Certificates []Certificate

	Client *http.Client     // fetches JWKS; nil is one of its own
	Now    func() time.Time // nil is time.Now
	Log    *slog.Logger     // nil is none
}

// A Verifier says who asks. It is safe for concurrent use, starts nothing and needs
// no closing.
type Verifier struct {
	cfg    Config
	secret [sha256.Size]byte

	hmac   []*watched[[]key]
	set    *watched[[]key] // nil without a file
	remote *remote         // nil without a URL

	authorities *watched[*x509.CertPool] // nil: certificates are not accepted
	clients     []client
}

// New returns a verifier, or an error that says which part of the configuration
// cannot be used. A key set at a URL is fetched when a token first needs it.
func New(c Config) (*Verifier, error) {
	if c.Audience == "" {
		c.Audience = DefaultAudience
	}
	if c.Leeway == 0 {
		c.Leeway = DefaultLeeway
	}
	if c.Leeway < 0 || c.Leeway > MaxLeeway {
		return nil, fmt.Errorf("authorization: the leeway is %v, it is at most %v", c.Leeway, MaxLeeway)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	v := &Verifier{cfg: c, secret: sha256.Sum256([]byte(c.Secret))}
	for _, step := range []func() error{v.openHMAC, v.openSet, v.openCertificates} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *Verifier) openHMAC() error {
	one := func(b []byte) ([]key, error) {
		k, err := hmacKey(b)
		return []key{k}, err
	}
	for _, path := range v.cfg.HS256 {
		v.hmac = append(v.hmac, &watched[[]key]{path: path, most: maxKeyFile, parse: one, now: v.cfg.Now, log: v.cfg.Log})
	}
	if v.cfg.OwnHS256 != "" {
		v.hmac = append(v.hmac, &watched[[]key]{path: v.cfg.OwnHS256, most: maxKeyFile, parse: one, mayLack: true, now: v.cfg.Now, log: v.cfg.Log})
	}
	for _, w := range v.hmac {
		if err := w.open(); err != nil {
			return &KeyError{Path: w.path, Err: err, Advice: "`openssl rand -hex 32` prints a key; keep it in a file of mode 0600"}
		}
		// Who takes the file of a key away, as of one that leaked, takes the key away.
		w.mayLack = true
	}
	return nil
}

func (v *Verifier) openSet() (err error) {
	switch at := v.cfg.JWKS; {
	case at == "":
	case strings.Contains(at, "://"):
		v.remote, err = newRemote(at, v.cfg.Client, v.cfg.Now, v.cfg.Log)
	default:
		v.set = &watched[[]key]{path: at, most: maxKeySet, parse: keySet, now: v.cfg.Now, log: v.cfg.Log}
		err = v.set.open()
	}
	if err != nil {
		return &KeyError{Path: v.cfg.JWKS, Err: err, Advice: "give the public keys of your issuer: its jwks_uri, or a copy in a file"}
	}
	return nil
}

// A KeyError is a file or URL of the configuration that cannot be used. It holds
// nothing of what is in it.
type KeyError struct {
	Path   string
	Err    error
	Advice string
}

func (e *KeyError) Error() string { return fmt.Sprintf("authorization: %s: %v", e.Path, e.Err) }
func (e *KeyError) Unwrap() error { return e.Err }

// Hint returns what to do about it, for the command line to print.
func (e *KeyError) Hint() string { return e.Advice }

// HTTP says who sent a request; see [Verifier.Caller]. A cookie or a parameter is
// never looked at: what a browser sends by itself, or what ends in the log of a
// proxy, proves nothing.
func (v *Verifier) HTTP(r *http.Request) (*Grant, error) {
	var chain []*x509.Certificate
	if r.TLS != nil {
		chain = r.TLS.PeerCertificates
	}
	return v.Caller(r.Context(), r.Header.Values("Authorization"), chain)
}

// Caller says who asks: by the values of authorization, of the header in HTTP and of
// the metadata in gRPC; where there is none, by the certificate that the peer showed
// in TLS, and whose key it has. Who brings a token that does not hold is refused,
// whatever certificate there is. The error is an [*Error].
func (v *Verifier) Caller(ctx context.Context, authorization []string, chain []*x509.Certificate) (*Grant, error) {
	switch {
	case len(authorization) > 1:
		return nil, nobody(ReasonMalformed, "send one authorization, not several")
	case len(authorization) == 1:
		scheme, token, _ := strings.Cut(authorization[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, nobody(ReasonScheme, "send Authorization: Bearer TOKEN")
		}
		return v.Token(ctx, strings.Trim(token, " "))
	case len(chain) > 0:
		return v.Certificate(chain)
	}
	return nil, nobody(ReasonMissing, "send Authorization: Bearer TOKEN; `docket token` mints one")
}

// Token says who brings a bearer token. The error is an [*Error].
func (v *Verifier) Token(ctx context.Context, token string) (*Grant, error) {
	if token == "" {
		return nil, nobody(ReasonMissing, "send Authorization: Bearer TOKEN; `docket token` mints one")
	}
	if v.isSecret(token) {
		return Trusted("the token of the data directory", BySecret), nil
	}
	h, _, refusal := split(token)
	if refusal != nil {
		return nil, refusal
	}
	candidates, refusal := v.candidates(ctx, h)
	if refusal != nil {
		return nil, refusal
	}
	for _, k := range candidates {
		payload, err := jws.Verify([]byte(token), jws.WithCompact(), jws.WithKey(k.alg, k.raw))
		if err != nil {
			continue
		}
		g, refusal := v.judge(payload)
		if refusal != nil {
			return nil, refusal
		}
		return g, nil
	}
	return nil, nobody(ReasonSignature, "it was not signed by a key that is known here, or was changed")
}

// isSecret compares digests, so that neither content nor length shows in the time.
func (v *Verifier) isSecret(token string) bool {
	given := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(given[:], v.secret[:]) == 1 && v.cfg.Secret != ""
}

// candidates are the keys that may have signed a token with this header: those that
// it names, or, where it names none, those of its algorithm. None of them is of
// another algorithm.
func (v *Verifier) candidates(ctx context.Context, h header) ([]key, *Error) {
	if !accepted(h.Algorithm) {
		return nil, nobody(ReasonAlgorithm, "HS256, EdDSA, ES256 and RS256 are, each with keys of its own")
	}
	keys := v.keys(ctx)
	named := func(k key) bool { return h.KeyID == "" || k.id == h.KeyID }
	fits := func(k key) bool { return k.alg.String() == h.Algorithm }
	if !slices.ContainsFunc(keys, named) && v.remote != nil && h.Algorithm != "HS256" {
		// The issuer may have a new key.
		keys = append(v.files(), v.remote.again(ctx)...)
	}
	if !slices.ContainsFunc(keys, named) {
		return nil, nobody(ReasonUnknownKey, "the keys in the configuration do not have its kid")
	}
	keys = slices.DeleteFunc(keys, func(k key) bool { return !named(k) || !fits(k) })
	if len(keys) == 0 {
		return nil, nobody(ReasonAlgorithm, "no key for it is configured, or the key that its kid names is of another algorithm")
	}
	return keys, nil
}

// keys returns a list of its own of all keys.
func (v *Verifier) keys(ctx context.Context) []key {
	keys := v.files()
	if v.remote != nil {
		keys = append(keys, v.remote.keys(ctx)...)
	}
	return keys
}

func (v *Verifier) files() []key {
	var keys []key
	for _, w := range v.hmac {
		keys = append(keys, w.get()...)
	}
	if v.set != nil {
		keys = append(keys, v.set.get()...)
	}
	return keys
}

// judge makes a grant of what a key has signed.
func (v *Verifier) judge(payload []byte) (*Grant, *Error) {
	c, err := readClaims(payload)
	if err != nil {
		return nil, nobody(ReasonClaims, err.Error())
	}
	now, leeway := v.cfg.Now(), v.cfg.Leeway
	switch {
	case c.Subject == "" || len(c.Subject) > maxSubject:
		return nil, nobody(ReasonClaims, fmt.Sprintf("sub says who it is, in at most %d bytes", maxSubject))
	case c.Expires.IsZero() || c.Issued.IsZero():
		return nil, nobody(ReasonClaims, "exp and iat are required")
	case c.Issued.After(c.Expires):
		return nil, nobody(ReasonClaims, "it was issued after it expires")
	case !now.Before(c.Expires.Add(leeway)):
		return nil, nobody(ReasonExpired, "get a new one")
	case c.Issued.After(now.Add(leeway)), c.NotBefore.After(now.Add(leeway)):
		return nil, nobody(ReasonNotYet, "compare the clocks of issuer and server")
	case !slices.Contains(c.Audience, v.cfg.Audience):
		return nil, nobody(ReasonAudience, "its aud must have what [auth] audience says")
	case v.cfg.Issuer != "" && c.Issuer != v.cfg.Issuer:
		return nil, nobody(ReasonIssuer, "its iss must be what [auth] issuer says")
	}
	return &Grant{
		Subject: c.Subject, Issuer: c.Issuer, By: ByToken,
		Capabilities: known(c.Capabilities), Prefixes: c.Prefixes,
		// As long as the token would be taken anew.
		Expires: c.Expires.Add(leeway),
	}, nil
}

// known are the capabilities among names. Others are those of other programs, or of
// a newer docket: they are passed over, and grant nothing.
func known(names []string) []Capability {
	var caps []Capability
	for _, c := range Capabilities() {
		if slices.Contains(names, string(c)) {
			caps = append(caps, c)
		}
	}
	return caps
}

// ParseCapabilities reads names of capabilities that somebody wrote. One that does
// not exist is an error, so that no typing error grants less than was meant.
func ParseCapabilities(names []string) ([]Capability, error) {
	for _, name := range names {
		if !slices.Contains(Capabilities(), Capability(name)) {
			return nil, &CapabilityError{Name: name}
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no capability")
	}
	return known(names), nil
}

// A CapabilityError is a capability that does not exist.
type CapabilityError struct{ Name string }

func (e *CapabilityError) Error() string {
	return "there is no capability " + quoted(e.Name)
}

// Hint lists those that there are.
func (e *CapabilityError) Hint() string {
	var names []string
	for _, c := range Capabilities() {
		names = append(names, string(c))
	}
	return "one of " + strings.Join(names, ", ")
}
