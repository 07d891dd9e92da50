// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/telemetry"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/remote"
	"github.com/docket-audit/docket/ocsf"
)

// A loaded is a file that was read, with its interceptors.
type loaded struct {
	*chainfile.File
	peers  []*peer         // by name
	denies map[string]bool // interceptors without which operations are denied
}

// load reads the file anew and asks its interceptors for their manifests.
func (p *Path) load(ctx context.Context) (*loaded, error) {
	l := &loaded{}
	f, err := chainfile.Load(ctx, p.cfg.File, chainfile.Dialer(func(ctx context.Context, e chainfile.Endpoint) (chainfile.Client, error) {
		c, err := p.dial(ctx, e)
		if err != nil {
			return nil, err // not a nil *remote.Client in a Client
		}
		l.peers = append(l.peers, &peer{name: e.Interceptor, token: e.Audience != "", client: c})
		return c, nil
	}))
	if err != nil {
		return nil, err
	}
	l.File = f
	slices.SortFunc(l.peers, func(a, b *peer) int { return cmp.Compare(a.name, b.name) })
	for _, w := range f.Warnings {
		p.log.Warn(w)
	}
	if w := Unnamed(p.cfg, f.Plan.Bindings); w != "" {
		f.Warnings = append(f.Warnings, w)
		p.log.Warn(w)
	}
	override(p.cfg, f)
	for i := range f.Plan.Bindings {
		if b := &f.Plan.Bindings[i]; b.Capture == "" && f.Capture.Mode != interceptor.CaptureFull {
			b.Capture = f.Capture.Mode
		}
	}
	return l, nil
}

// Unnamed warns of bindings that select by principals where nothing says who a
// caller is: they select nobody. "" is no warning.
func Unnamed(cfg *config.Config, bindings []interceptor.Binding) string {
	if cfg.Principal.MetadataKey != "" {
		return ""
	}
	var of []string
	for i := range bindings {
		if b := &bindings[i]; len(b.Principals) > 0 {
			of = append(of, b.Interceptor+"/"+b.ID)
		}
	}
	if len(of) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: principals are selected, and without [principal] metadata_key every caller is anonymous", strings.Join(of, ", "))
}

// dial connects to an interceptor, with a token where it gets one.
func (p *Path) dial(ctx context.Context, e chainfile.Endpoint) (*remote.Client, error) {
	opts := []remote.Option{remote.CACert(e.CACertPath), remote.ClientCert(e.ClientCert, e.ClientKey), remote.MaxResponseBytes(e.MaxResponseBytes), remote.DialOptions(telemetry.DialOptions(p.traces)...)}
	if e.Audience != "" {
		s, err := p.signer.open(p.dir, e.Tokens)
		if err != nil {
			return nil, err
		}
		opts = append(opts, remote.Token(s, e.Audience))
	}
	return remote.Dial(ctx, e.URL, opts...)
}

// activate keeps the plan and states that it is in force. It returns when both
// are on stable storage: the plan is what makes sense of the operations behind
// it.
func (p *Path) activate(ctx context.Context, plan *interceptor.Plan) error {
	if err := p.keep(plan); err != nil {
		return fmt.Errorf("keep the plan in force: %w", err)
	}
	if err := p.activated(ctx, plan).Spooled(ctx); err != nil {
		return fmt.Errorf("state the plan in force: %w", err)
	}
	return nil
}

// keep writes the plan to DIR/plans under its digest, as collectors do.
func (p *Path) keep(plan *interceptor.Plan) error {
	raw, err := json.Marshal(plan)
	if err == nil {
		raw, err = ocsf.Canonicalize(raw)
	}
	if err != nil {
		return err
	}
	return p.dir.Keep(raw, "plans", strings.TrimPrefix(plan.Digest(), "sha256:")+".json")
}
