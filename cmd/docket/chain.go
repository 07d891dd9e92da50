// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
)

func chainCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use:     "chain",
		Short:   "Work with chain files and with the chain in force",
		Example: "  docket chain check docket.toml\n  docket chain reload",
		Args:    cli.Verbs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(chainCheckCommand(), chainReloadCommand(s))
	return c
}

func chainCheckCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a chain file and say what it means",
		Long: `Check a configuration or an OpenShell gateway TOML, and say who runs when, on what,
within which limits, what a failure makes of an operation, and who said so. No
interceptor is called: what only its manifest can tell is shown as unknown.`,
		Example: `  docket chain check docket.toml
  docket chain check openshell-gateway.toml -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if format != "" && format != cli.Table && format != cli.JSON {
				return cli.Usage(cli.Hint(fmt.Errorf("chain check has no output format %q", format), "use table or json"))
			}
			e, err := chainfile.Explain(args[0])
			if errors.Is(err, fs.ErrNotExist) {
				return cli.Hint(err, "name a file that is there, or write one with `docket init`")
			}
			if err != nil {
				return err
			}
			cfg, err := loadConfig(args[0], nil)
			if err != nil {
				return err
			}
			var selecting []interceptor.Binding
			for _, s := range e.Steps {
				if s.Options["principals"].Value != "" {
					selecting = append(selecting, interceptor.Binding{Interceptor: s.Interceptor, ID: s.Binding.Value, Principals: []string{s.Options["principals"].Value}})
				}
			}
			if w := requestpath.Unnamed(cfg, selecting); w != "" {
				e.Warnings = append(e.Warnings, w)
			}
			if format == cli.JSON {
				return cli.PrintJSON(c.OutOrStdout(), e)
			}
			var text strings.Builder
			if _, err = e.WriteTo(&text); err == nil {
				_, err = io.WriteString(c.OutOrStdout(), cli.EscapeText(text.String()))
			}
			return err
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "", "format: table, json (default table)")
	return c
}
