// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/remote"
	"github.com/docket-audit/docket/ocsf"
)

// load reads the file anew and asks its interceptors for their manifests.
func (p *Path) load(ctx context.Context) (*chainfile.File, error) {
	f, err := chainfile.Load(ctx, p.cfg.File, chainfile.Dialer(p.dial))
	if err != nil {
		return nil, err
	}
	for _, w := range f.Warnings {
		p.log.Warn(w)
	}
	override(p.cfg, f)
	for i := range f.Plan.Bindings {
		if b := &f.Plan.Bindings[i]; b.Capture == "" && f.Capture.Mode != interceptor.CaptureFull {
			b.Capture = f.Capture.Mode
		}
	}
	return f, nil
}

// dial connects to an interceptor, with a token where it gets one.
func (p *Path) dial(ctx context.Context, e chainfile.Endpoint) (chainfile.Client, error) {
	opts := []remote.Option{remote.CACert(e.CACertPath), remote.ClientCert(e.ClientCert, e.ClientKey), remote.MaxResponseBytes(e.MaxResponseBytes)}
	if e.Audience != "" {
		s, err := p.signer.open(p.dir, e.Tokens)
		if err != nil {
			return nil, err
		}
		opts = append(opts, remote.Token(s, e.Audience))
	}
	c, err := remote.Dial(ctx, e.URL, opts...)
	if err != nil {
		return nil, err // not a nil *remote.Client in a Client
	}
	return c, nil
}

// activate keeps the plan and states that it is in force. It returns when both
// are on stable storage: the plan is what makes sense of the operations behind
// it.
func (p *Path) activate(ctx context.Context, plan *interceptor.Plan) error {
	if err := p.keep(plan); err != nil {
		return fmt.Errorf("keep the plan in force: %w", err)
	}
	if err := p.emit(ctx, activity.PlanActivated(plan, p.form...)).Spooled(ctx); err != nil {
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

// Reload reads the chain anew and puts it in force for the calls that come from
// now on. On an error what is in force stays, and an event says why.
func (p *Path) Reload(ctx context.Context) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	f, err := p.load(ctx)
	if err == nil {
		err = p.swap(ctx, f)
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		err = fmt.Errorf("reload chain: %w", err)
		p.log.Error("the chain is as it was", "error", err)
		p.emit(context.WithoutCancel(ctx), activity.PlanRejected(err, p.cfg.File, p.chain.Plan(), p.form...))
	}
	return err
}

// swap puts a file's plan in the place of the one in force, and closes the old
// file when its last call is over.
func (p *Path) swap(ctx context.Context, f *chainfile.File) error {
	for table, changed := range map[string]bool{
		"gateway": !reflect.DeepEqual(p.file.Gateway, f.Gateway), "redact": !reflect.DeepEqual(p.file.Redactions, f.Redactions),
		"capture": p.file.Capture != f.Capture, "tokens": !reflect.DeepEqual(p.file.Tokens, f.Tokens),
	} {
		if changed {
			p.log.Warn("what changed in this table takes effect after a restart only, but for unmatched and capture's mode", "table", table)
		}
	}
	// What cannot run must not be stated to be in force. The plan of a chain has
	// its defaults written out, which its digest is of.
	next, err := interceptor.New(f.Plan, interceptor.Discard)
	if err != nil {
		return err
	}
	plan := next.Plan()
	if plan.Digest() == p.chain.Plan().Digest() {
		p.log.Warn("the chain is reloaded, and says what it said")
		return f.Close()
	}
	if err := p.check(ctx, plan); err != nil {
		return err
	}
	if err := p.activate(ctx, plan); err != nil {
		return err
	}
	retired, err := p.chain.Swap(f.Plan)
	if err != nil {
		return err
	}
	old := p.file
	f.Gateway, f.Redactions, f.Capture, f.Tokens = old.Gateway, old.Redactions, old.Capture, old.Tokens // as they are in force
	p.file = f
	p.closing.Go(func() {
		<-retired
		if err := old.Close(); err != nil {
			p.log.Warn("close the interceptors of the old chain", "error", err)
		}
	})
	p.log.Warn("the chain is reloaded", "plan", plan.Digest())
	return nil
}
