// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"cmp"
	"sync"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/remote"
)

// signer makes the tokens of a gateway: one for its life, whatever is reloaded.
type signer struct {
	mu sync.Mutex
	s  *remote.Signer   // guarded by mu; nil until an interceptor gets a token
	of chainfile.Tokens // guarded by mu; what s was made of

	// A file that is being loaded has its interceptors asked with tokens of its own,
	// where there are none yet. They are the gateway's once the file is in force.
	next   *remote.Signer   // guarded by mu
	nextOf chainfile.Tokens // guarded by mu
}

// settle says whether the file that was being loaded is in force.
func (g *signer) settle(inForce bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if inForce && g.next != nil {
		g.s, g.of = g.next, g.nextOf
	}
	g.next = nil
}

// now returns the signer in force, or else the one that is being tried.
func (g *signer) now() *remote.Signer {
	g.mu.Lock()
	defer g.mu.Unlock()
	return cmp.Or(g.s, g.next)
}

// made returns what the tokens are made of; nil when none is.
func (g *signer) made() *chainfile.Tokens {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.s == nil {
		return nil
	}
	of := g.of
	return &of
}

func (g *signer) open(dir *datadir.Dir, t *chainfile.Tokens) (*remote.Signer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := cmp.Or(g.s, g.next); s != nil {
		return s, nil
	}
	path := t.Key
	if path == "" {
		path = dir.Join("keys", "tokens.key")
	}
	key, err := datadir.TokenKey(path)
	if err != nil {
		return nil, err
	}
	s, err := remote.NewSigner(remote.SignerConfig{GatewayID: t.GatewayID, Key: key, TTL: t.TTL})
	if err != nil {
		return nil, err
	}
	if err := dir.Replace(s.JWKS(), "keys", "tokens.jwks.json"); err != nil {
		return nil, err
	}
	g.next, g.nextOf = s, *t
	return s, nil
}

// Tokens says who the tokens of the gateway say has made them, and the key set
// by which interceptors check them; "" and nil when none of them gets any.
func (p *Path) Tokens() (issuer string, jwks []byte) {
	s := p.signer.now()
	if s == nil {
		return "", nil
	}
	return s.Issuer(), s.JWKS()
}

// withheld is what the record leaves out, by the file.
func (p *Path) withheld(f *chainfile.File) ([]activity.Option, error) {
	var opts []activity.Option
	if f.Capture.Max > 0 {
		opts = append(opts, activity.WithCaptureMax(f.Capture.Max))
	}
	if len(f.Redactions) == 0 {
		return opts, nil
	}
	var key []byte
	rules := make([]activity.Rule, len(f.Redactions))
	for i, r := range f.Redactions {
		rules[i] = activity.Rule(r)
		if r.Do != activity.RedactHMAC || key != nil {
			continue
		}
		path := f.Capture.HMACKey
		if path == "" {
			path = p.dir.Join("keys", "redact.key")
		}
		var err error
		if key, err = datadir.SecretKey(path); err != nil {
			return nil, err
		}
	}
	r, err := activity.NewRedactor(rules, key)
	if err != nil {
		return nil, err
	}
	return append(opts, activity.WithRedactor(r)), nil
}
