// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay/why"
)

// whyWithin is how long `docket why` looks for a change.
const whyWithin = 30 * time.Second

func whyCommand(s *settings) *cobra.Command {
	var chain, format string
	budget, within := why.DefaultBudget, whyWithin
	c := &cobra.Command{
		Use:   "why UID",
		Short: "Print what decided an operation, and what would have been allowed",
		Long: `Print which binding, which plan and which fields of the request decided one
operation, and the smallest change of the request that would have been allowed.
UID is that of the operation, or of one of its events or evaluations.

What decided is what the record says. The deciding binding is then asked again,
as docket replay does it: where the recorded plan, or --chain, says that it is
served, or linked in process. Where it cannot be asked, the record is all there is.

The request is then changed, a little at a time, and the whole chain is asked: the
values that allowed operations of the same method and tenant had (of the newest
4,000 events), the other truth, the limit of a number by halves, items and fields
left out, and then more than one at once. What is found was asked and allowed. Who
asked, attributes, metadata and the current state are not varied, and secrets are
not in the record. The service is never called. docs/why.md`,
		Example: `  docket why 0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b
  docket why 0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b --chain candidate.toml
  docket why 0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b -o json | jq .change.patches`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case format != "" && format != cli.Table && format != cli.JSON:
				return cli.Usage(cli.Hint(fmt.Errorf("why has no output format %q", format), "use table or json"))
			case budget < 1:
				return cli.Usage(cli.Hint(fmt.Errorf("--budget %d: that asks nothing", budget), "give how often the operation may be asked, such as %d", why.DefaultBudget))
			case within <= 0:
				return cli.Usage(cli.Hint(fmt.Errorf("--within %s: that leaves no time", within), "give how long may be looked, such as %s", whyWithin))
			}
			a, err := runWhy(c.Context(), whyOptions{dir: s.data, uid: args[0], chain: chain, budget: budget, within: within}, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if format == cli.JSON {
				return printAnswer(c.OutOrStdout(), a)
			}
			_, err = io.WriteString(c.OutOrStdout(), sayWhy(a))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&chain, "chain", "", "ask a chain file (default: the plan recorded with the operation)")
	f.IntVar(&budget, "budget", budget, "how often the operation is asked at most")
	f.DurationVar(&within, "within", within, "how long is looked for a change")
	f.StringVarP(&format, "output", "o", "", "format: table, json (default table)")
	return c
}

type whyOptions struct {
	dir, uid, chain string
	budget          int
	within          time.Duration
}

func runWhy(ctx context.Context, o whyOptions, stderr io.Writer) (*why.Answer, error) {
	k, err := openCase(ctx, o.dir, o.uid, o.chain, stderr)
	if err != nil {
		return nil, err
	}
	defer k.close()
	if k.op.Outcome == nil {
		return nil, cli.Hint(fmt.Errorf("operation %s has no outcome: it was cut off, or is still under way", k.op.UID), "`docket show %s` prints what there is of it", k.op.UID)
	}
	asked := why.Options{Budget: o.budget}
	if asked.Allowed, err = k.allowedLike(ctx); err != nil {
		return nil, err
	}
	since, err := k.planSince(ctx)
	if err != nil {
		return nil, err
	}
	looking, enough := context.WithTimeout(ctx, o.within)
	defer enough()
	a, err := why.Explain(looking, k.op, k.plan, asked)
	if err != nil {
		return nil, err
	}
	a.PlanSince = since
	if k.noPlan != nil {
		a.Notes = append(a.Notes, k.noPlan.Error()+"; --chain FILE asks another")
	}
	return a, nil
}

// printAnswer prints the JSON of an answer, for a terminal one that holds nothing
// the terminal would act on.
func printAnswer(w io.Writer, a *why.Answer) error {
	if !cli.IsTerminal(w) {
		return cli.PrintJSON(w, a)
	}
	var b bytes.Buffer
	if err := cli.PrintJSON(&b, a); err != nil {
		return err
	}
	_, err := io.WriteString(w, cli.EscapeJSON(b.String()))
	return err
}

// A whyText is an answer in lines for people to read.
type whyText struct{ lines []string }

func (t *whyText) add(format string, args ...any) {
	t.lines = append(t.lines, cli.Escape(fmt.Sprintf(format, args...)))
}

// sayWhy puts an answer into words.
func sayWhy(a *why.Answer) string {
	var t whyText
	t.add("operation %s: %s/%s of %s%s", a.Operation, a.Service, a.Method, a.Tenant, byWhom(a.Principal))
	t.decision(a)
	t.given("labels", a.Labels)
	t.given("attributes", a.Attributes)
	if len(a.Metadata) > 0 {
		t.add("metadata: %s", strings.Join(slices.Sorted(maps.Keys(a.Metadata)), ", "))
	}
	t.fields(a)
	t.change(a)
	t.search(a)
	for _, n := range a.Notes {
		t.add("note: %s", n)
	}
	return strings.Join(t.lines, "\n") + "\n"
}

func byWhom(principal map[string]string) string {
	who := or(principal["subject"], principal["display_name"])
	if kind := principal["kind"]; kind != "" {
		who = strings.TrimSpace(kind + " " + who)
	}
	if who == "" {
		return ""
	}
	return ", by " + who
}

// decision says who decided, and whether it still does.
func (t *whyText) decision(a *why.Answer) {
	plan := "plan " + shortDigest(a.Plan)
	if a.PlanSince != "" {
		plan += " in force since " + a.PlanSince
	}
	told := plan + ", " + nowOf(a)
	switch {
	case a.Decision != interceptor.Deny.String():
		t.add("%s: nothing denied it (%s)", decidedAs(a.Decision), told)
		t.judged(a)
	case a.Failure != nil:
		t.add("denied because %s failed: %s, under %s (%s)", a.By, a.Failure.Kind, a.Failure.Policy, told)
		if a.Failure.Detail != "" {
			t.add("cause: %s", a.Failure.Detail)
		}
	case a.By == nil:
		t.add("denied by no binding, with %s (%s)", a.Status, told)
		t.add("because: %s", or(a.Reason, "the record has no reason"))
	default:
		t.add("denied by %s, with %s (%s)", a.By, a.Status, told)
		t.add("because: %s", or(a.Reason, "it gave no reason"))
	}
	if a.Now.Decision == interceptor.Deny.String() && a.Now.Reason != a.Reason {
		t.add("because now: %s", a.Now.Reason)
	}
}

func decidedAs(decision string) string {
	return map[string]string{interceptor.Allow.String(): "allowed", interceptor.Modify.String(): "allowed, with patches"}[decision]
}

// nowOf says what asking again came to.
func nowOf(a *why.Answer) string {
	n := &a.Now
	by := "re-executed"
	if a.Asked != "" {
		by += " through " + shortDigest(a.Asked)
	}
	switch {
	case n.How == why.NotAsked:
		return "not asked again: " + n.Why
	case n.How == why.FromRecord:
		return "answered from the record: " + n.Why
	case n.Unstable:
		return by + ": not always the same"
	case n.Why != "":
		return by + ": " + n.Why
	case n.Decision == a.Decision && n.By == nil:
		return by + ": still allowed"
	case n.By == nil:
		return by + ": now " + decidedAs(n.Decision)
	case a.By != nil && *a.By == *n.By:
		return by + ": still denies"
	}
	return by + ": now denied by " + n.By.String()
}

// shortDigest is enough of a digest to tell plans apart.
func shortDigest(digest string) string {
	const enough = len("sha256:") + 12
	if len(digest) <= enough {
		return digest
	}
	return digest[:enough]
}

func (t *whyText) judged(a *why.Answer) {
	for _, j := range a.Judged {
		said := j.Decision
		switch {
		case j.Failure != "":
			said = "failed (" + j.Failure + ")"
			if j.Policy != "" {
				said += ", under " + j.Policy
			}
		case j.Skipped != "":
			said = "not called, " + j.Skipped
		case j.Shadow:
			said = "shadow, would " + j.Decision
		}
		t.add("  %s: %s", &j.Binding, said)
	}
}

func (t *whyText) given(what string, values map[string]string) {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		all = append(all, k+"="+clip(values[k]))
	}
	if len(all) > 0 {
		t.add("%s: %s", what, strings.Join(all, ", "))
	}
}

func (t *whyText) fields(a *why.Answer) {
	var decisive, read []string
	for _, f := range a.Fields {
		if f.Decisive {
			decisive = append(decisive, f.Pointer+" "+clip(string(f.Value)))
		} else {
			read = append(read, f.Pointer)
		}
	}
	for i, f := range decisive {
		if i == 0 {
			t.add("decisive fields: %s", f)
		} else {
			t.add("                 %s", f)
		}
	}
	if a.Search != nil && len(decisive) == 0 && !a.Now.Unstable {
		t.add("decisive fields: none by itself")
	}
	if len(read) > 0 {
		t.add("other fields that change the answer: %s", strings.Join(read, ", "))
	}
}

func (t *whyText) change(a *why.Answer) {
	if a.Change == nil {
		return
	}
	const lead = "smallest change that would have been allowed:"
	for i, p := range a.Change.Patches {
		line := "  "
		if len(a.Change.Patches) == 1 {
			line = lead + " "
		} else if i == 0 {
			t.add(lead)
		}
		line += p.Op + " " + p.Path
		if p.Value != nil {
			line += " " + clip(string(p.Value))
		}
		t.add("%s%s", line, fromWhere(a.Change.Edits[i]))
	}
	for _, b := range a.Change.Skips {
		t.add("  %s is not called then: it does not select the changed request", &b)
	}
}

func fromWhere(e why.Edit) string {
	var all []string
	if e.Limit != "" {
		all = append(all, fmt.Sprintf("the %s that is allowed: %s is not", e.Limit, clip(string(e.Beyond))))
	}
	if e.Seen > 0 {
		all = append(all, fmt.Sprintf("seen in %s", count(e.Seen, "allowed operation")))
	}
	if len(all) == 0 {
		return ""
	}
	return "   (" + strings.Join(all, "; ") + ")"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (t *whyText) search(a *why.Answer) {
	s := a.Search
	if s == nil || s.Tries == 0 || a.Now.Unstable {
		return
	}
	tried := fmt.Sprintf("%s, %d of %s changed, values of %s", count(s.Tries, "re-execution"), s.Changed, count(s.Fields, "field"), count(s.Allowed, "allowed operation"))
	why := map[string]string{"": "", "budget": "; --budget ended it", "time": "; --within ended it"}[s.Stopped]
	switch {
	case a.Change != nil:
		t.add("searched: %s%s", tried, why)
	case s.Stopped == "":
		t.add("no change was found that would have been allowed, though all was tried that is: %s", tried)
	default:
		t.add("no change was found that would have been allowed within %s%s", tried, why)
	}
	for _, b := range s.Assumed {
		t.add("assumed: %s, which has no implementation here, has nothing against the changed request", &b)
	}
}
