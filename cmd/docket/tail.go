// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

func tailCommand(s *settings) *cobra.Command {
	var (
		format string
		follow bool
		last   int
		filter *eventFilter
	)
	c := &cobra.Command{
		Use:   "tail",
		Short: "Print events, one sentence each, as they are stored",
		Long: `Print events, one sentence each: who did what, decided by which binding, and
why. While the data directory's owner runs, tail goes on with what comes, unless
--last asks for a number. Nothing is shown twice and nothing is left out; an
event is shown when it is durable in the store.`,
		Example: `  docket tail                                      what happens now
  docket tail --last 20                            the newest 20, then end
  docket tail --kind outcome --decision deny       denied operations
  docket tail --filter 'duration_ms > 100' -o json --last 5`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			expression, err := filter.expression()
			if err != nil {
				return err
			}
			if last < 0 {
				return cli.Usagef("--last %d: not a number of events", last)
			}
			client, err := s.open(c)
			if err != nil {
				return err
			}
			defer client.Close()
			if !c.Flags().Changed("follow") {
				follow = client.Live && !c.Flags().Changed("last")
			}
			if follow && !client.Live {
				fmt.Fprintln(c.ErrOrStderr(), "docket: nobody runs on this data directory, so nothing will follow")
				follow = false
			}
			p, err := cli.NewPrinter(c.OutOrStdout(), format, eventColumns, follow)
			if err != nil {
				return err
			}
			for raw, err := range client.Tail(ctx, last, follow, expression) {
				if err != nil {
					return err
				}
				row, err := eventRow(raw)
				if err != nil {
					return err
				}
				if err := p.Row(row); err != nil {
					return err
				}
			}
			return p.Close()
		},
	}
	f := c.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with what comes (default while the owner runs, unless --last is given)")
	f.IntVarP(&last, "last", "n", 10, "begin with the newest N")
	filter = newEventFilter(f)
	cli.OutputFlag(f, &format)
	return c
}
