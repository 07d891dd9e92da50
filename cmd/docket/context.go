// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/contexts"
)

func contextCommand(*settings) *cobra.Command {
	c := &cobra.Command{
		Use:   "context",
		Short: "Name the servers that you ask",
		Long: `Name the servers that you ask. tail, search, show, query, stats, export and replay ask
the server of a context where one is set and --data was not given: by --context NAME,
by DOCKET_CONTEXT, or by ` + "`docket context use`" + `. The nearest to the command line
wins: --data, --context, DOCKET_CONTEXT, DOCKET_DATA, the context in use.

A context is a file that its owner alone can read, $XDG_CONFIG_HOME/docket/contexts/NAME.json.
Its token is sent over TLS and, without TLS, to this machine; never anywhere else.`,
		Example: `  docket context add prod --url https://audit.example:8443 --token-file /run/secrets/docket
  docket context use prod
  docket tail --context prod`,
		Args: cli.Verbs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(contextAddCommand(), contextListCommand(), contextUseCommand(), contextRemoveCommand(), contextShowCommand())
	return c
}

func contextUseCommand() *cobra.Command {
	var none bool
	c := &cobra.Command{
		Use:               "use [NAME]",
		Short:             "Ask this server where nothing else is said",
		Example:           "  docket context use prod\n  docket context use --none",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(c *cobra.Command, args []string) error {
			if none == (len(args) == 1) {
				return cli.Usage(cli.Hint(fmt.Errorf("which context"), "give a name, or --none for the data directory"))
			}
			store, err := contexts.Open()
			if err != nil {
				return err
			}
			called := ""
			if !none {
				called = args[0]
			}
			if err := store.Use(called); err != nil {
				return err
			}
			if other := os.Getenv("DOCKET_CONTEXT"); other != "" && other != called {
				fmt.Fprintf(c.ErrOrStderr(), "docket: note: DOCKET_CONTEXT says %s, which wins\n", cli.Escape(other))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&none, "none", false, "ask the data directory again")
	return c
}

func contextRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "rm NAME",
		Short:             "Forget a server, and the token with it",
		Example:           "  docket context rm prod",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := contexts.Open()
			if err != nil {
				return err
			}
			return store.Remove(args[0])
		},
	}
}
