// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// prefix is what every digest of a plan begins with.
const prefix = "sha256:"

// List returns which plans were in force when, at a gateway or, with "", at all.
func List(ctx context.Context, c *reading.Client, r *auditv1.ListPlansRequest) ([]*auditv1.PlanInForce, error) {
	resp, err := c.Audit.ListPlans(ctx, r)
	if err != nil {
		return nil, c.Answered(err)
	}
	return resp.GetPlans(), nil
}

// Get returns a plan as canonical JSON.
func Get(ctx context.Context, c *reading.Client, digest string) ([]byte, error) {
	resp, err := c.Audit.GetPlan(ctx, &auditv1.GetPlanRequest{Digest: digest})
	if err != nil {
		return nil, c.Answered(err)
	}
	return resp.GetPlan(), nil
}

// At returns the digest of the plan that was in force at a time, at a gateway or,
// with "", at all that had one then. Its error is an [*AmbiguousError] where they
// had different ones, or a [*NoneError].
func At(ctx context.Context, c *reading.Client, at time.Time, gateway string) (digest string, err error) {
	all, err := List(ctx, c, &auditv1.ListPlansRequest{Gateway: gateway})
	if err != nil {
		return "", err
	}
	return pick(all, at, gateway)
}

func pick(all []*auditv1.PlanInForce, at time.Time, gateway string) (string, error) {
	// A gateway tells time in milliseconds.
	ms := at.UnixMilli()
	all = slices.DeleteFunc(slices.Clone(all), func(p *auditv1.PlanInForce) bool { return p.GetGateway() == "" })
	found := slices.DeleteFunc(slices.Clone(all), func(p *auditv1.PlanInForce) bool { return away(p, ms) != 0 || empty(p) })
	if len(found) == 0 {
		e := &NoneError{At: at, Gateway: gateway}
		for _, p := range all {
			if e.Nearest == nil || away(p, ms) < away(e.Nearest, ms) {
				e.Nearest = p
			}
		}
		return "", e
	}
	for _, p := range found {
		if p.GetDigest() != found[0].GetDigest() {
			return "", &AmbiguousError{At: at, Plans: found}
		}
	}
	return found[0].GetDigest(), nil
}

// empty reports whether a plan was replaced as it came into force.
func empty(p *auditv1.PlanInForce) bool {
	return p.GetUntil() != nil && !p.GetFrom().AsTime().Before(p.GetUntil().AsTime())
}

// away is how long, in ms, a time is before a plan came into force or behind when
// it was; 0 is within.
func away(p *auditv1.PlanInForce, ms int64) int64 {
	if from := p.GetFrom().AsTime().UnixMilli(); ms < from {
		return from - ms
	}
	if p.GetUntil() == nil {
		return 0
	}
	return max(0, ms-p.GetUntil().AsTime().UnixMilli()+1)
}

// An AmbiguousError says that gateways had different plans at a time, or one of
// them two, as when its clock was set back.
type AmbiguousError struct {
	At    time.Time
	Plans []*auditv1.PlanInForce // that were in force then
}

func (e *AmbiguousError) Error() string {
	gateways := map[string][]string{}
	var digests []string
	for _, p := range e.Plans {
		if gateways[p.GetDigest()] == nil {
			digests = append(digests, p.GetDigest())
		}
		if !slices.Contains(gateways[p.GetDigest()], p.GetGateway()) {
			gateways[p.GetDigest()] = append(gateways[p.GetDigest()], p.GetGateway())
		}
	}
	short := Shorten(e.Plans)
	said := make([]string, len(digests))
	for i, d := range digests {
		said[i] = short[d] + " at " + strings.Join(gateways[d], ", ")
	}
	return fmt.Sprintf("at %s there was more than one plan in force: %s", e.At.UTC().Format(time.RFC3339), strings.Join(said, "; "))
}

// Hint tells how to name one.
func (e *AmbiguousError) Hint() string {
	if slices.ContainsFunc(e.Plans, func(p *auditv1.PlanInForce) bool { return p.GetGateway() != e.Plans[0].GetGateway() }) {
		return "name the gateway that you mean, or the plan: plan:DIGEST"
	}
	return "name the plan that you mean: plan:DIGEST"
}

// A NoneError says that no plan was in force at a time, as far as the record goes.
type NoneError struct {
	At      time.Time
	Gateway string               // the one that was asked about; "" is all
	Nearest *auditv1.PlanInForce // nil: nothing tells of any
}

func (e *NoneError) Error() string {
	of := ""
	if e.Gateway != "" {
		of = " at gateway " + e.Gateway
	}
	if e.Nearest == nil {
		return "no event tells of a plan in force" + of
	}
	text := fmt.Sprintf("no plan was in force%s at %s; the nearest is %s at %s, ", of, e.At.UTC().Format(time.RFC3339), Shorten([]*auditv1.PlanInForce{e.Nearest})[e.Nearest.GetDigest()], e.Nearest.GetGateway())
	if from := e.Nearest.GetFrom().AsTime(); e.At.Before(from) {
		return text + "from " + from.Format(time.RFC3339Nano) + " on"
	}
	return text + "until " + e.Nearest.GetUntil().AsTime().Format(time.RFC3339Nano)
}

// Hint tells where to look.
func (e *NoneError) Hint() string {
	if e.Nearest == nil {
		return "`docket plans ls` shows which there are, and of which gateways"
	}
	return "`docket plans ls` shows which plan was in force when; name one with plan:DIGEST"
}

var (
	wholeDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	shortDigest = regexp.MustCompile(`^[0-9a-f]{4,64}$`)
)

// IsDigest reports whether a text can be meant as a digest or the beginning of one:
// four digits of it or more, with "plan:" or "sha256:" before it, or without.
func IsDigest(text string) bool { return shortDigest.MatchString(bare(text)) }

func bare(text string) string {
	return strings.TrimPrefix(strings.TrimPrefix(text, "plan:"), prefix)
}

// Resolve returns the digest that a text stands for: itself, or the one that begins
// with it.
func Resolve(ctx context.Context, c *reading.Client, text string) (digest string, err error) {
	begin := bare(text)
	if wholeDigest.MatchString(begin) {
		return prefix + begin, nil
	}
	if !shortDigest.MatchString(begin) {
		return "", cli.Usage(cli.Hint(fmt.Errorf("%q is no digest of a plan", text), "give the hex of a SHA-256, or four digits or more of its beginning; `docket plans ls` shows them"))
	}
	all, err := List(ctx, c, &auditv1.ListPlansRequest{})
	if err != nil {
		return "", err
	}
	return complete(all, begin)
}

func complete(all []*auditv1.PlanInForce, begin string) (string, error) {
	var found []string
	for _, p := range all {
		if strings.HasPrefix(p.GetDigest(), prefix+begin) && !slices.Contains(found, p.GetDigest()) {
			found = append(found, p.GetDigest())
		}
	}
	switch len(found) {
	case 0:
		return "", cli.Hint(fmt.Errorf("no plan begins with %s", begin), "`docket plans ls` shows those that there are")
	case 1:
		return found[0], nil
	}
	slices.Sort(found)
	return "", cli.Hint(fmt.Errorf("%d plans begin with %s", len(found), begin), "give more of it: %s", strings.Join(found, ", "))
}

// shortest is how much of a digest is shown where it suffices.
const shortest = 12

// Shorten returns the beginnings of digests, as long as it takes to tell them apart.
func Shorten(all []*auditv1.PlanInForce) map[string]string {
	var digests []string
	for _, p := range all {
		digests = append(digests, p.GetDigest())
	}
	slices.Sort(digests)
	digests = slices.Compact(digests)
	short := map[string]string{}
	for i, d := range digests {
		n := shortest
		for _, beside := range []int{i - 1, i + 1} {
			if beside >= 0 && beside < len(digests) {
				n = max(n, common(bare(d), bare(digests[beside]))+1)
			}
		}
		short[d] = bare(d)[:min(n, len(bare(d)))]
	}
	return short
}

// common is the length of what two texts begin with.
func common(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
