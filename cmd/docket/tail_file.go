// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/eventfile"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/internal/profile"
)

// tailFile prints the events of a file that the filter selects: all, or with
// --last the last of them.
func (o *tailFlags) tailFile(c *cobra.Command, expression string) error {
	selects, err := filter.Parse(expression)
	if err != nil {
		return err
	}
	in, err := eventfile.Open(o.input, c.InOrStdin())
	if err != nil {
		return err
	}
	defer in.Close()
	p, err := eventPrinter(c, o.format, o.input == eventfile.Stdin)
	if err != nil {
		return err
	}
	rows := newEventRows()
	show := func(raw []byte) error {
		row, err := rows.row(raw)
		if err != nil {
			return err
		}
		return p.Row(row)
	}
	var kept [][]byte // with --last
	faults, ctx := 0, c.Context()
	for r := eventfile.NewReader(in, eventfile.Options{}); ctx.Err() == nil; {
		e, err := r.Next()
		var fault *eventfile.Fault
		switch {
		case errors.Is(err, io.EOF):
			return o.endFile(c, p, kept, show, faults)
		case errors.As(err, &fault):
			faults++
			fmt.Fprintf(c.ErrOrStderr(), "docket: %s: %s\n", cli.Escape(o.input), cli.Escape(fault.Error()))
			continue
		case err != nil:
			return errors.Join(p.Close(), fmt.Errorf("read %s: %w", o.input, err))
		case e.Bundle:
			continue
		}
		h, err := profile.Parse(e.Data)
		if err != nil {
			faults++
			fmt.Fprintf(c.ErrOrStderr(), "docket: %s: line %d: %s\n", cli.Escape(o.input), e.Line, cli.Escape(err.Error()))
			continue
		}
		ok, err := selects.Matches(&h)
		switch {
		case err != nil:
			return errors.Join(p.Close(), err)
		case !ok:
		case !c.Flags().Changed("last"):
			err = show(e.Data)
		case o.last > 0:
			if len(kept) == o.last {
				kept = kept[1:]
			}
			kept = append(kept, slices.Clone(e.Data))
		}
		if err != nil {
			return err
		}
	}
	return o.endFile(c, p, kept, show, faults)
}

func (o *tailFlags) endFile(c *cobra.Command, p *cli.Printer, kept [][]byte, show func([]byte) error, faults int) error {
	for _, raw := range kept {
		if err := show(raw); err != nil {
			return err
		}
	}
	if err := p.Close(); err != nil {
		return err
	}
	cli.Interrupted(c.Context(), c.ErrOrStderr(), p.Rows(), "event")
	if faults > 0 {
		return &cli.Exit{Code: cli.ExitPartial, Err: cli.Hint(fmt.Errorf("%s of %s could not be read as events of docket", cli.Count(int64(faults), "part"), o.input), "`docket validate` judges events of others")}
	}
	return nil
}
