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
	"slices"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
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
	r, err := p.client.Audit.GetPlan(ctx, &auditv1.GetPlanRequest{Digest: digest})
	if err != nil {
		return nil, cli.Hint(p.client.Answered(err), "replay with a chain file: --chain FILE")
	}
	return planOf(r.GetPlan(), digest, p.on.link())
}

// against returns the plan that --against names: a chain file, or a recorded plan
// as "plan:DIGEST".
func (p *programme) against(ctx context.Context, name string) (*interceptor.Plan, error) {
	digest, ok := strings.CutPrefix(name, "plan:")
	if !ok {
		return p.load(ctx, name)
	}
	whole, err := p.digest(digest)
	if err != nil {
		return nil, err
	}
	return p.recorded(ctx, whole)
}

// hexDigest is how long the digest of a plan is, behind "sha256:".
const hexDigest = 64

// digest completes the beginning of a digest.
func (p *programme) digest(text string) (string, error) {
	short := strings.ToLower(strings.TrimPrefix(text, "sha256:"))
	if short == "" || strings.Trim(short, "0123456789abcdef") != "" || len(short) > hexDigest {
		return "", cli.Usage(cli.Hint(fmt.Errorf("plan:%s: no digest of a plan", text), "plan_digest of an event is one; its beginning is enough"))
	}
	if len(short) == hexDigest {
		return "sha256:" + short, nil
	}
	if p.client.Dir == "" {
		return "", cli.Usage(cli.Hint(fmt.Errorf("plan:%s is not a whole digest", text), "a server is asked for a plan by all %d digits", hexDigest))
	}
	files, err := os.ReadDir(filepath.Join(p.client.Dir, "plans"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var found []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".json"); ok && strings.HasPrefix(name, short) {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return "", cli.Usage(cli.Hint(fmt.Errorf("plan:%s: no plan in %s begins so", text, filepath.Join(p.client.Dir, "plans")), "plan_digest of an event is the digest of one"))
	case 1:
		return "sha256:" + found[0], nil
	}
	slices.Sort(found)
	return "", cli.Usage(cli.Hint(fmt.Errorf("plan:%s: %d plans begin so", text, len(found)), "give more of it: %s", strings.Join(found[:min(len(found), 3)], ", ")))
}

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
