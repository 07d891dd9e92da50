// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// searchFlags are what search is asked.
type searchFlags struct {
	format      string
	limit       int64
	all         bool
	oldestFirst bool
	filter      *eventFilter
	span        *span
}

func searchCommand(s *settings) *cobra.Command {
	var o searchFlags
	c := &cobra.Command{
		Use:   "search",
		Short: "Print stored events, the newest first",
		Long: `Print stored events, the newest first, until --limit of them were. --since and
--until bound the time of the events. For what happens now there is tail, for a file
export, for counts stats, and for questions of more than one event query.

` + filterHelp,
		Example: `  docket search --decision deny --since yesterday
  docket search --principal alice --not --method GetSandbox --limit 20
  docket search --all --oldest-first --since 2026-10-28 --until 2026-10-29 -o ndjson
  docket search --filter 'duration_ms > 100' -o wide`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, s) },
	}
	f := c.Flags()
	f.Int64VarP(&o.limit, "limit", "n", 100, "at most so many")
	f.BoolVar(&o.all, "all", false, "all that there are")
	f.BoolVar(&o.oldestFirst, "oldest-first", false, "begin with the oldest")
	o.span = newSpan(f)
	o.filter = newEventFilter(f)
	eventOutputFlag(f, &o.format)
	return c
}

func (o *searchFlags) run(c *cobra.Command, s *settings) error {
	switch {
	case o.limit < 1:
		return cli.Usage(cli.Hint(fmt.Errorf("--limit %d: not a number of events", o.limit), "--all prints all that there are"))
	case o.all && c.Flags().Changed("limit"):
		return cli.Usage(fmt.Errorf("--all and --limit exclude each other"))
	}
	expression, done, err := o.filter.asked(c, o.span)
	if err != nil || done {
		return err
	}
	client, err := s.open(c)
	if err != nil {
		return err
	}
	defer client.Close()
	p, err := eventPrinter(c, o.format, false)
	if err != nil {
		return err
	}
	r := &auditv1.SearchEventsRequest{Filter: expression, Tenants: o.filter.tenants(), NewestFirst: !o.oldestFirst}
	r.Since, r.Until = o.span.stamps()
	most := o.limit + 1 // one more tells whether there are more
	if o.all {
		most = 0
	}
	rows := newEventRows()
	for raw, err := range client.Search(c.Context(), r, most) {
		if err != nil {
			return err
		}
		if !o.all && p.Rows() == o.limit {
			if err := p.Close(); err != nil {
				return err
			}
			if !c.Flags().Changed("limit") {
				fmt.Fprintln(c.ErrOrStderr(), "docket: there are more; --all prints every one")
			}
			return nil
		}
		row, err := rows.row(raw)
		if err != nil {
			return err
		}
		if err := p.Row(row); err != nil {
			return err
		}
	}
	if err := p.Close(); err != nil {
		return err
	}
	if p.Rows() == 0 && c.Context().Err() == nil && (p.Format == cli.Table || p.Format == cli.Wide) {
		fmt.Fprintln(c.ErrOrStderr(), "docket: no stored event is selected") // the names of columns alone look like an answer that was cut
	}
	cli.Interrupted(c.Context(), c.ErrOrStderr(), p.Rows(), "event")
	return nil
}
