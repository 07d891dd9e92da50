// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
)

func chainReloadCommand(s *settings) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have the running docket read its chain anew, and say what changed",
		Long: `Have the docket that runs over the data directory read its configuration anew and
put the chain in force, for calls that come from now on; calls under way end by the
plan that they began with. It connects anew to its interceptors and asks each for
its manifest. SIGHUP does the same.

A chain that is refused leaves the old one in force: the reason is printed and
recorded, and the exit code is 1. What else changed in the file, such as [tenant],
[nats] or [[redact]], waits for a restart and is named.

A docket-gateway has no listener for this: send it SIGHUP.`,
		Example: "  docket chain reload\n  docket chain reload --data /var/lib/docket -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "" && format != cli.Table && format != cli.JSON {
				return cli.Usage(cli.Hint(fmt.Errorf("chain reload has no output format %q", format), "use table or json"))
			}
			change, err := reloadChain(c.Context(), s.data)
			if err != nil {
				return err
			}
			if format == cli.JSON {
				return cli.PrintJSON(c.OutOrStdout(), change)
			}
			return writeChange(c.OutOrStdout(), change)
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "", "format: table, json (default table)")
	return c
}

// reloadChain asks the owner of dir.
func reloadChain(ctx context.Context, dir string) (*requestpath.Change, error) {
	if err := datadir.Check(dir); err != nil {
		return nil, err
	}
	run, err := datadir.Owner(dir)
	switch {
	case errors.Is(err, datadir.ErrNotOwned):
		return nil, cli.Hint(&datadir.Error{Path: dir, Err: err}, "nothing is running there: the next start reads the chain")
	case err != nil:
		return nil, err
	case run.Command == gatewayCommand:
		return nil, cli.Hint(&datadir.Error{Path: dir, Err: errors.New("docket-gateway has no listener that takes commands")},
			"send it the signal: kill -HUP %d; its log says what came of it, and so do its events", run.PID)
	}
	client, err := reading.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	b, err := client.Reload(ctx)
	if err != nil {
		return nil, err
	}
	var change requestpath.Change
	if err := json.Unmarshal(b, &change); err != nil {
		return nil, fmt.Errorf("read what changed: %w", err)
	}
	return &change, nil
}

// writeChange writes what changed for people.
func writeChange(w io.Writer, c *requestpath.Change) error {
	var b strings.Builder
	if c.Plan() {
		fmt.Fprintf(&b, "before   %s\nafter    %s\n", c.Before, c.After)
	} else {
		fmt.Fprintf(&b, "same     %s\n", c.After)
	}
	for _, name := range c.Removed {
		fmt.Fprintf(&b, "removed  %s\n", cli.Escape(name))
	}
	for _, name := range c.Added {
		fmt.Fprintf(&b, "added    %s\n", cli.Escape(name))
	}
	for _, k := range c.Changed {
		fmt.Fprintf(&b, "changed  %s: %s\n", cli.Escape(k.Binding), strings.Join(k.Keys, ", "))
	}
	if len(c.Settings) > 0 {
		fmt.Fprintf(&b, "changed  %s\n", strings.Join(c.Settings, ", "))
	}
	if len(c.Restart) > 0 {
		fmt.Fprintf(&b, "restart  for %s: a reload does not take what changed there\n", strings.Join(c.Restart, ", "))
	}
	for _, text := range c.Warnings {
		fmt.Fprintf(&b, "warning  %s\n", cli.Escape(text))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
