// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/plans"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
)

// recordedAs is what the plans that were in force are called.
const recordedAs = "recorded"

// A programme finds the plans of a replay, with who answers for their bindings.
type programme struct {
	client *reading.Client
	on     *cast
	stderr io.Writer
	files  []*chainfile.File // open
}

func (p *programme) close() {
	for _, f := range p.files {
		_ = f.Close() // nothing is under way any more
	}
	p.on.close()
}

// load reads a chain file, whose interceptors must all answer.
func (p *programme) load(ctx context.Context, name string) (*interceptor.Plan, error) {
	f, err := chainfile.Load(ctx, name, p.on.link(), p.on.dialer())
	if err != nil {
		return nil, err
	}
	p.files = append(p.files, f)
	for _, w := range f.Warnings {
		fmt.Fprintf(p.stderr, "docket: warning: %s\n", cli.Escape(w))
	}
	return f.Plan, nil
}

// recorded returns the plan with a digest, and dials those of its bindings that
// are not linked.
func (p *programme) recorded(ctx context.Context, digest string) (*interceptor.Plan, error) {
	plan, err := p.kept(ctx, digest)
	if err == nil {
		p.on.dial(ctx, plan)
	}
	return plan, err
}

func (p *programme) kept(ctx context.Context, digest string) (*interceptor.Plan, error) {
	if p.client.Dir != "" {
		return recordedPlan(p.client.Dir, digest, p.on.link())
	}
	b, err := plans.Get(ctx, p.client, digest)
	if err != nil {
		return nil, cli.Hint(err, "replay with a chain file: --chain FILE")
	}
	return planOf(b, digest, p.on.link())
}

// against returns the plan that --against names: a chain file, or a recorded plan
// as "plan:DIGEST".
func (p *programme) against(ctx context.Context, name string) (*interceptor.Plan, error) {
	if !strings.HasPrefix(name, "plan:") {
		plan, err := p.load(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			err = cli.Hint(fmt.Errorf("--against: %w", err), "give recorded, plan:DIGEST, or a chain file that is there")
		}
		return plan, err
	}
	digest, err := plans.Resolve(ctx, p.client, name)
	if err != nil {
		return nil, err
	}
	return p.recorded(ctx, digest)
}

// asOf returns the plan that was in force at a time, at a gateway or, with "", at
// all of them.
func (p *programme) asOf(ctx context.Context, at time.Time, gateway string) (*interceptor.Plan, error) {
	digest, err := plans.At(ctx, p.client, at, gateway)
	var several *plans.AmbiguousError
	if errors.As(err, &several) {
		return nil, cli.Hint(fmt.Errorf("--as-of: %w", unhinted{several}), "name the gateway with --gateway, or the plan with --against plan:DIGEST")
	}
	if err != nil {
		return nil, fmt.Errorf("--as-of: %w", err)
	}
	return p.recorded(ctx, digest)
}

// unhinted is an error whose hint speaks of other flags.
type unhinted struct{ error }

// recordedPlan reads the plan with the given digest, as the collector kept it.
func recordedPlan(dir, digest string, link chainfile.Option) (*interceptor.Plan, error) {
	name := strings.TrimPrefix(digest, "sha256:")
	if name == "" || strings.ContainsAny(name, `/\.`) {
		return nil, fmt.Errorf("%q is no digest of a plan", digest)
	}
	b, err := os.ReadFile(filepath.Join(dir, "plans", name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Hint(fmt.Errorf("the plan is not in %s: %w", filepath.Join(dir, "plans"), err), "replay with a chain file: --chain FILE")
	}
	if err != nil {
		return nil, err
	}
	return planOf(b, digest, link)
}

// planOf reads a recorded plan, which must have the digest.
func planOf(b []byte, digest string, link chainfile.Option) (*interceptor.Plan, error) {
	plan, err := chainfile.FromPlan(b, link)
	if err != nil {
		return nil, err
	}
	if found := plan.Digest(); found != digest {
		return nil, cli.Hint(fmt.Errorf("the file of plan %s holds plan %s", digest, found), "run `docket verify`")
	}
	return plan, nil
}
