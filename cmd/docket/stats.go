// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/duration"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// statsFlags are what stats is asked.
type statsFlags struct {
	cost     bool
	format   string
	facets   []string
	top      int32
	interval time.Duration
	filter   *eventFilter
	span     *span
}

func statsCommand(s *settings) *cobra.Command {
	var o statsFlags
	c := &cobra.Command{
		Use:   "stats",
		Short: "Count events by what they are and when, or say what they take on disk",
		Long: `Count events by the values of columns, the most frequent first, and by time.

` + filterHelp + `

--cost says what the events take on disk: bytes by the day of the events, tenant and
class, as they lie there, compressed. Files that are not compacted yet hold the events
of many; there the share of each goes by the number of events, and is counted as
estimated. Growth is that of the last seven days, or of the time since the first
commit, and says in how many days the disk is full if that goes on and nothing is
removed; within ten minutes of the first commit it says nothing. The directory is read
as it lies, beside a docket that runs or without one.`,
		Example: `  docket stats --since 24h
  docket stats --kind outcome --decision deny --facet principal --facet method --top 5
  docket stats --interval 1h --since yesterday -o json
  docket stats --cost
  docket stats --cost -o json | jq .days_until_full`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.cost {
				return o.costs(c, s)
			}
			return o.run(c, s)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.facets, "facet", nil, "count by this column (default kind, decision, service, method, principal, binding)")
	f.Int32Var(&o.top, "top", 10, "so many values of each")
	duration.Var(f, &o.interval, "interval", 0, "the width of a step in time, such as 1m or 1d (default: about 60 of what there is)")
	f.BoolVar(&o.cost, "cost", false, "bytes by day, tenant and class, and days until the disk is full")
	o.span = newSpan(f)
	o.filter = newEventFilter(f)
	f.StringVarP(&o.format, "output", "o", "", "format: table, json, ndjson, csv (default table)")
	return c
}

// costs is about a directory as a whole.
func (o *statsFlags) costs(c *cobra.Command, s *settings) error {
	expression, err := o.filter.expression()
	if err != nil {
		return err
	}
	if expression != "" || o.span.since != "" || o.span.until != "" || len(o.facets) > 0 || o.interval != 0 {
		return cli.Usage(errors.New("--cost is about all that is on disk; leave the flags that select out"))
	}
	if called, err := s.contextOf(c); err != nil || called != "" {
		return errors.Join(err, cli.Usage(cli.Hint(errors.New("--cost is asked on the machine with the directory"), "give it with --data")))
	}
	return printCosts(c, s.data, o.format)
}

func (o *statsFlags) run(c *cobra.Command, s *settings) error {
	expression, done, err := o.filter.asked(c, o.span)
	if err != nil || done {
		return err
	}
	if o.interval < 0 || o.interval%time.Millisecond != 0 {
		return cli.Usage(fmt.Errorf("--interval %s: not a number of milliseconds", o.interval))
	}
	client, err := s.open(c)
	if err != nil {
		return err
	}
	defer client.Close()
	r := &auditv1.StatsRequest{Filter: expression, Tenants: o.filter.tenants(), Facets: o.facets, Top: o.top}
	r.Since, r.Until = o.span.stamps()
	if o.interval > 0 {
		r.Interval = durationpb.New(o.interval)
	}
	stats, err := client.Audit.Stats(c.Context(), r)
	if err != nil {
		return client.Answered(err)
	}
	return printStats(c.OutOrStdout(), o.format, stats)
}
