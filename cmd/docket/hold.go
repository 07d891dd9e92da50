// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/recordpath"
	"github.com/docket-audit/docket/collector/retention"
)

func holdCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use:   "hold",
		Short: "Keep events from expiring and from being erased",
		Long: `Keep events from expiring and from being erased while a hold is on them. Each hold
has a reason, and who placed it; placing one and taking it away are events.`,
		Example: "  docket hold ls\n  docket hold add --tenant acme --reason \"case 17\"",
		Args:    cli.Verbs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(holdAddCommand(s), holdRemoveCommand(s), holdListCommand(s))
	return c
}

// change has a change of the holds made by the owner of the directory, or makes it
// where nobody owns it.
func (o *offlineVerb) change(c *cobra.Command, order holdOrder) (h retention.Hold, err error) {
	if err := lakeOnly(o.data, "hold"); err != nil {
		return h, err
	}
	asked, err := o.ask(c, "holds", order, func(line []byte) error { return json.Unmarshal(line, &h) })
	if err != nil || asked {
		return h, err
	}
	dir, err := o.own()
	if err != nil {
		return h, err
	}
	err = o.stores(c, dir, func(_ context.Context, stores *recordpath.Stores) error {
		h, err = order.do(stores.Retention, time.Now())
		return err
	})
	return h, errors.Join(err, dir.Close())
}

func holdAddCommand(s *settings) *cobra.Command {
	var (
		o      offlineVerb
		sel    selectionFlags
		reason string
	)
	c := &cobra.Command{
		Use:     "add --reason TEXT",
		Short:   "Place a hold",
		Example: `  docket hold add --tenant acme --since 2026-01-01T00:00:00Z --reason "case 17"` + "\n" + `  docket hold add --subject user:alice --reason "case 18"`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.data = s.data
			selected, err := sel.selection()
			if err != nil {
				return err
			}
			if reason == "" || selected.IsZero() {
				return cli.Usage(cli.Hint(errors.New("a hold needs a reason, and what it holds"), "give --reason, and one of --tenant, --subject, --operation, --since, --until"))
			}
			h, err := o.change(c, holdOrder{Add: &retention.Hold{Selection: selected, Reason: reason, By: whoOrders()}})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), h.ID)
			return err
		},
	}
	o.flags(c)
	sel.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why; the event about it says so")
	return c
}

func holdRemoveCommand(s *settings) *cobra.Command {
	var (
		o      offlineVerb
		reason string
	)
	c := &cobra.Command{
		Use:     "rm ID --reason TEXT",
		Short:   "Take a hold away",
		Example: `  docket hold rm 0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b --reason "case 17 is closed"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.data = s.data
			if reason == "" {
				return cli.Usage(errors.New("give a reason with --reason"))
			}
			h, err := o.change(c, holdOrder{Remove: args[0], Reason: reason, By: whoOrders()})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "removed %s\n", h.ID)
			return err
		},
	}
	o.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why; the event about it says so")
	return c
}

func holdListCommand(s *settings) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:     "ls",
		Short:   "List the holds",
		Example: "  docket hold ls\n  docket hold ls -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := datadir.Check(s.data); err != nil {
				return err
			}
			if err := lakeOnly(s.data, "hold"); err != nil {
				return err
			}
			holds, err := retention.ReadHolds(filepath.Join(s.data, recordpath.BookPath))
			if err != nil {
				return err
			}
			p, err := cli.NewPrinter(c.OutOrStdout(), format, []string{"id", "placed", "by", "holds", "reason"}, false)
			if err != nil {
				return err
			}
			for i := range holds {
				h := &holds[i]
				b, err := json.Marshal(h)
				if err != nil {
					return err
				}
				if err := p.Row(cli.Row{Cells: []string{h.ID, stamp(h.Placed), h.By, held(&h.Selection), h.Reason}, JSON: b}); err != nil {
					return err
				}
			}
			return p.Close()
		},
	}
	cli.OutputFlag(c.Flags(), &format)
	return c
}

// held says what a hold is on.
func held(s *retention.Selection) string {
	var parts []string
	for name, value := range map[string]string{"tenant": s.Tenant, "operation": s.Operation} {
		if value != "" {
			parts = append(parts, name+" "+value)
		}
	}
	if !s.Subject.IsZero() {
		parts = append(parts, s.Subject.String())
	}
	if s.Since != 0 {
		parts = append(parts, "from "+stamp(s.Since))
	}
	if s.Until != 0 {
		parts = append(parts, "before "+stamp(s.Until))
	}
	return strings.Join(parts, ", ")
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
