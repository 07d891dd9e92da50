// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/plans"
	"github.com/docket-audit/docket/interceptor"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

func plansCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use:   "plans",
		Short: "Say which plan was in force when, and what it was",
		Long: `Say which plan was in force when, at which gateway, and what it was. A plan is the
bindings of a chain; the record keeps each under its digest. When it was in force
is derived from what gateways record of themselves, as docket verify checks it.

A DIGEST is given whole or by its beginning, four digits or more, as long as one
plan alone begins so; "sha256:" and "plan:" may be before it.`,
		Example: "  docket plans ls\n  docket plans show 3f9c21ab\n  docket plans diff as-of:yesterday as-of:now",
		Args:    cli.Verbs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(anywhere(plansLsCommand(s)), anywhere(plansShowCommand(s)), anywhere(plansDiffCommand(s)))
	return c
}

// A planLine is a row of -o ndjson. New members may be added, none may go.
type planLine struct {
	Digest   string `json:"digest"`
	Gateway  string `json:"gateway,omitempty"`
	From     int64  `json:"from,omitempty"`  // ms
	Until    int64  `json:"until,omitempty"` // ms; missing while it is in force
	Began    string `json:"began,omitempty"`
	Ended    string `json:"ended,omitempty"`
	Event    string `json:"event,omitempty"`
	Kept     bool   `json:"kept"`
	Bindings int32  `json:"bindings"`
}

func planLineOf(p *auditv1.PlanInForce) planLine {
	l := planLine{Digest: p.GetDigest(), Gateway: p.GetGateway(), Began: p.GetBegan(), Ended: p.GetEnded(), Event: p.GetEvent(), Kept: p.GetKept(), Bindings: p.GetBindings()}
	if p.GetFrom() != nil {
		l.From = p.GetFrom().AsTime().UnixMilli()
	}
	if p.GetUntil() != nil {
		l.Until = p.GetUntil().AsTime().UnixMilli()
	}
	return l
}

// row is for the table, with a digest that is long enough to be given again.
func (l *planLine) row(digest string) (cli.Row, error) {
	b, err := json.Marshal(l)
	if err != nil {
		return cli.Row{}, err
	}
	moment := func(ms int64, layout func(int64) string, none string) string {
		if ms == 0 {
			return none
		}
		return layout(ms)
	}
	local := func(ms int64) string { return time.UnixMilli(ms).Local().Format(time.DateTime) }
	still, bindings := "", ""
	if l.Gateway != "" {
		still = "still"
	}
	if l.Kept {
		bindings = strconv.Itoa(int(l.Bindings))
	}
	return cli.Row{
		Cells: []string{digest, l.Gateway, moment(l.From, local, ""), moment(l.Until, local, still), l.Began, l.Ended, bindings},
		CSV:   []string{l.Digest, l.Gateway, moment(l.From, csvTime, ""), moment(l.Until, csvTime, ""), l.Began, l.Ended, bindings},
		JSON:  b,
	}, nil
}

func plansLsCommand(s *settings) *cobra.Command {
	var format, gateway string
	var within span
	c := &cobra.Command{
		Use:   "ls",
		Short: "List when plans were in force, by gateway",
		Long: `List when plans were in force, by gateway, the oldest first: from when until when
by the gateway's clock, how that is known, and how many bindings the plan has.

BEGAN is how it began: activated (the gateway recorded that), stated (it recorded
that the plan was in force already), or operation (nothing is recorded of it; this
is the first operation that was judged by it). ENDED is how it ended: replaced by
another plan, stopped with the gateway, or unknown: the gateway was killed, or what
it said is missing, and UNTIL is its last event. A plan without a gateway is kept,
and no event tells of it. Without bindings it is not kept.`,
		Example: "  docket plans ls\n  docket plans ls --gateway gateway-0 --since 7d\n  docket plans ls -o ndjson | jq -r 'select(.until == null) | .gateway + \" \" + .digest'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := within.parse(time.Now()); err != nil {
				return err
			}
			client, err := s.open(c)
			if err != nil {
				return err
			}
			defer client.Close()
			r := &auditv1.ListPlansRequest{Gateway: gateway}
			r.Since, r.Until = within.stamps()
			p, err := cli.NewPrinter(c.OutOrStdout(), format, []string{"digest", "gateway", "from", "until", "began", "ended", "bindings"}, false)
			if err != nil {
				return err
			}
			list, err := plans.List(c.Context(), client, r)
			if err != nil {
				return err
			}
			short := plans.Shorten(list)
			for _, of := range list {
				l := planLineOf(of)
				row, err := l.row(short[l.Digest])
				if err == nil {
					err = p.Row(row)
				}
				if err != nil {
					return err
				}
			}
			return p.Close()
		},
	}
	f := c.Flags()
	f.StringVar(&gateway, "gateway", "", "only this gateway, by the name of its emitter")
	f.StringVar(&within.since, "since", "", "only what was in force at this time or later: 10m (ago), 7d, yesterday, 2026-10-28, 2026-10-28T06:00:00Z")
	f.StringVar(&within.until, "until", "", "only what was in force before this time")
	cli.OutputFlag(f, &format)
	return c
}

func plansShowCommand(s *settings) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "show DIGEST",
		Short: "Show a plan: its bindings, and when it was in force",
		Long: `Show a plan: its bindings, in the order in which they run, and when it was in force.
-o json is the plan alone, as it was recorded, of which the SHA-256 of the canonical
form is the digest.`,
		Example: "  docket plans show 3f9c21ab\n  docket plans show 3f9c21ab -o json | jq '.bindings[].id'",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if format != "" && format != cli.Table && format != cli.JSON {
				return cli.Usage(cli.Hint(fmt.Errorf("plans show has no output format %q", format), "use table or json"))
			}
			client, err := s.open(c)
			if err != nil {
				return err
			}
			defer client.Close()
			digest, err := plans.Resolve(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			raw, err := plans.Get(c.Context(), client, digest)
			if err != nil {
				return err
			}
			if format == cli.JSON {
				return cli.PrintJSON(c.OutOrStdout(), json.RawMessage(raw))
			}
			list, err := plans.List(c.Context(), client, &auditv1.ListPlansRequest{})
			if err != nil {
				return err
			}
			return writePlan(c.OutOrStdout(), digest, raw, list)
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "", "format: table, json (default table)")
	return c
}

// writePlan writes a plan for people.
func writePlan(w io.Writer, digest string, raw []byte, list []*auditv1.PlanInForce) error {
	var plan interceptor.Plan
	if err := json.Unmarshal(raw, &plan); err != nil {
		return cli.Hint(fmt.Errorf("read plan %s: %w", digest, err), "run `docket verify`")
	}
	head, err := cli.NewPrinter(w, cli.Table, nil, false)
	if err != nil {
		return err
	}
	rows := [][]string{{"plan", digest}, {"unmatched", plan.Unmatched}, {"audit", plan.Audit}, {"answer", plan.Answer}}
	for _, p := range list {
		if p.GetDigest() == digest && p.GetGateway() != "" {
			l := planLineOf(p)
			row, err := l.row("")
			if err != nil {
				return err
			}
			text := fmt.Sprintf("at %s, since %s", l.Gateway, row.Cells[2])
			if l.Until != 0 || l.Ended != "" {
				text = fmt.Sprintf("at %s, %s to %s", l.Gateway, row.Cells[2], row.Cells[3])
			}
			if l.Ended != "" {
				text += " (" + l.Ended + ")"
			}
			rows = append(rows, []string{"in force", text})
		}
	}
	for _, row := range rows {
		if err := head.Row(cli.Row{Cells: row}); err != nil {
			return err
		}
	}
	if err := head.Close(); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	p, err := cli.NewPrinter(w, cli.Table, []string{"binding", "phases", "order", "on failure", "timeout", "mode", "principals", "endpoint", "methods"}, false)
	if err != nil {
		return err
	}
	for i := range plan.Bindings {
		if err := p.Row(cli.Row{Cells: bindingCells(&plan.Bindings[i])}); err != nil {
			return err
		}
	}
	return p.Close()
}

func bindingCells(b *interceptor.Binding) []string {
	phases := make([]string, len(b.Phases))
	failure := []string{}
	for i, phase := range b.Phases {
		phases[i] = phase.String()
		policy := b.FailurePolicy
		switch phase {
		case interceptor.ModifyOperation:
			policy = cmp.Or(b.ModifyPolicy, policy)
		case interceptor.PostCommit:
			policy = b.PostCommitPolicy
		}
		if !slices.Contains(failure, policy.String()) {
			failure = append(failure, policy.String())
		}
	}
	mode := "enforced"
	if b.Shadow {
		mode = "shadow"
	}
	order := strconv.Itoa(int(b.Order))
	if b.BindingOrder != 0 {
		order += "." + strconv.Itoa(int(b.BindingOrder))
	}
	every := func(list []string) string { return cmp.Or(strings.Join(list, ", "), "every") }
	return []string{b.Interceptor + "/" + b.ID, strings.Join(phases, ", "), order, strings.Join(failure, ", "), b.Timeout.String(), mode, every(b.Principals), b.Endpoint, every(b.RPCs)}
}
